"""Has the promise stopped holding? A sequential detector on audited rows, restarted at every row.

Knows scores of audited rows and the bound watched for each slice. Does not know how rows are chosen for audit, what an
alarm does, or time.

Source: Shin, Ramdas, Rinaldo 2023, "E-detectors: a nonparametric framework for sequential change detection", section
2.2 (the Shiryaev-Roberts e-detector) and 3 (mixtures). An audit's evidence is x = (1 - eps) f - s. While the promise
holds, E[x | earlier audits] <= 0; then 1 + l x, 0 < l < 1, can't grow on average, and

    M <- (1 + M) (1 + l x)

sums up the wealth of one bettor who started before each audit. E[M after n audits] <= n, hence for the first time
that M reaches a threshold A:

- the chance of a false alarm within the first n audits is at most n / A, for every n, and
- the expected number of audits up to a false alarm is at least A,

for every law of scores in [0, 1] that keeps the promise, changing or not, with dependence on the past of any kind. A
drift that comes late is found as fast as one that comes at once, because a bettor starts before each row. The
detector averages M over a few stakes l; an average of e-detectors is one.

All audits go to the detector of `all`, and each to that of its slice. Both kinds have A = 2 horizon / alpha: half of
alpha for `all`, half for all slices together, since the slices' audits add up to the audits. So

    P(any false alarm within the first n audits) <= alpha n / horizon.

Audits that were chosen, or graded, with known probabilities that are not all alike carry a weight proportional to 1
over theirs, so that on average they speak for the traffic; those that were not graded are not shown to the detector.
Any constant factor will do, as long as it is fixed beforehand and no stake can be ruined: give rows whose answers
differ a weight of at most 1, and rows that agree (x = -eps f) theirs.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from smallfirst.calibrate.certificate import ALL
from smallfirst.errors import DataError

STAKES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""l. Best against a drift of mean x is about mean / variance: 0.1 for a few per cent, 0.8 where all goes wrong."""


class Watch(msgspec.Struct, frozen=True):
    """What is watched, fixed when watching begins."""

    bounds: dict[str, float]  # slice (or `all`) -> relative quality loss beyond which to alarm: what was certified
    alpha: float = 0.05  # the chance of any false alarm within the first `horizon` audits
    horizon: int = 10_000  # audits

    @property
    def threshold(self) -> float:
        """A: where the detector of a slice sounds; half of alpha where `all` and slices are watched at once."""
        kinds = (ALL in self.bounds) + (len(self.bounds) > (ALL in self.bounds))
        return kinds * self.horizon / self.alpha

    def check(self) -> None:
        """Raises DataError for what can't be watched."""
        if not self.bounds:
            raise DataError("bounds: nothing to watch; name `all` or a slice with the loss that was certified")
        for name, bound in self.bounds.items():
            if not 0.0 < bound < 1.0:
                raise DataError(f"bounds: {name!r}: {bound} is not between 0 and 1")
        if not 0.0 < self.alpha < 1.0 or self.horizon < 1:
            raise DataError(
                f"alpha {self.alpha}, horizon {self.horizon}: a chance between 0 and 1, and at least 1 audit"
            )


class Evidence(msgspec.Struct, frozen=True):
    """The state of one detector: small, and all that must be stored."""

    audits: int = 0
    wealth: tuple[float, ...] = (0.0,) * len(STAKES)  # M for each stake
    alarmed_at: int | None = None  # the audit (counted from 1) that sounded it; it stays until a new certificate

    @property
    def level(self) -> float:
        """What is compared with the threshold."""
        return sum(self.wealth) / len(self.wealth)


States = Mapping[str, Evidence]


def begin(watch: Watch) -> dict[str, Evidence]:
    """Nothing seen yet. Raises DataError as `Watch.check`."""
    watch.check()
    return {name: Evidence() for name in watch.bounds}


def audit(
    watch: Watch, states: States, slice_name: str, served: float, baseline: float, weight: float = 1.0
) -> tuple[dict[str, Evidence], tuple[str, ...]]:
    """The states after one audit, and the names whose alarm it sounded. A slice that is not watched counts for `all`.

    Raises DataError for scores outside 0..1 or a weight that could ruin a stake.
    """
    if not 0.0 <= served <= 1.0 or not 0.0 <= baseline <= 1.0:
        raise DataError(f"audit: scores {served} and {baseline} are not both in 0..1")
    changed, sounded = dict(states), []
    for name in {slice_name, ALL} & watch.bounds.keys():
        before = states[name]
        excess = weight * ((1.0 - watch.bounds[name]) * baseline - served)
        changed[name] = after = step(before, excess, watch.threshold)
        if after.alarmed_at is not None and before.alarmed_at is None:
            sounded.append(name)
    return changed, tuple(sorted(sounded))


def step(state: Evidence, excess: float, threshold: float) -> Evidence:
    """One audit's `excess`, (1 - eps) f - s times its weight. A sounded alarm stays as it is.

    Raises DataError for an excess at which the largest stake would lose more than there is.
    """
    if not excess > -1.0 / STAKES[-1]:
        raise DataError(f"audit: weighted evidence of {excess:g} is too large; grade these rows more often")
    if state.alarmed_at is not None:
        return msgspec.structs.replace(state, audits=state.audits + 1)
    wealth = tuple((1.0 + m) * (1.0 + stake * excess) for m, stake in zip(state.wealth, STAKES, strict=True))
    after = Evidence(state.audits + 1, wealth)
    if after.level >= threshold:
        return msgspec.structs.replace(after, alarmed_at=after.audits)
    return after
