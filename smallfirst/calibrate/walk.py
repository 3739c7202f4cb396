"""Learn-then-Test along one path: from always-frontier towards cheap, and no further than the data prove.

Knows scores of nested rungs. Does not know how a rung routes.

Source: Angelopoulos, Bates, Candes, Jordan, Lei 2021, "Learn then test", section 3.1 (fixed-sequence testing). The
order of rungs is fixed before the rows are seen; each is tested at the full level delta, and the walk ends at the first
that is not rejected. A wrong rung is certified only if the first wrong rung on the path was rejected, and the chance of
that is at most delta; so all certified rungs hold at once, and which of them to run (the cheapest) is free to choose.
Rung 0 is always-frontier: its loss is 0 by definition and it takes no test.

Slices: `alone` walks each slice at delta, and each statement holds by itself with the confidence; `joint` walks each
at delta / m, and all hold together; both give each slice a rung of its own. `common` looks for one rung that keeps the
promise in every slice: it is certified where every slice rejects at delta (an intersection-union test, Berger 1982: no
split is needed, since a wrong claim needs the very slice that is broken to reject).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.calibrate.betting import STANDARD, Bets, fewest_units, p_values
from smallfirst.calibrate.comparison import z_p_values, z_parts
from smallfirst.calibrate.promise import Design, Promise, Slicing
from smallfirst.calibrate.units import Units, make_units
from smallfirst.errors import DataError

_POWER = 0.8416212335729143
"""The 80% quantile of the normal law: rows are planned so that four in five tests succeed."""


class Step(msgspec.Struct, frozen=True):
    """One rung, tested. `p_value` is valid; `z_p_value` is the floor beside it."""

    rung: int
    setting: float  # the path's scalar
    loss: float  # estimated relative loss; no bound
    p_value: float
    z_p_value: float
    rows_needed: int | None  # units for four tests in five to succeed, if the estimate were true; None: it never will


class Walk(msgspec.Struct, frozen=True):
    """How far the promise is proved. `steps` are all rungs after rung 0, whether the walk reached them or not."""

    promise: Promise
    delta: float  # the level of each test; below 1 - confidence where walks share it
    steps: tuple[Step, ...]
    certified: int  # the last rung that is certified; 0 is always-frontier, for which nothing was proved
    floor: int  # where a z-test would have stopped
    rows: int
    units: int

    def cheapest(self, costs: npt.ArrayLike) -> int:
        """The certified rung (or rung 0) with the lowest of `costs` (k,); of equals the one nearest to always-frontier.

        Free to choose: all certified rungs hold at once. Costs may come from any rows.
        """
        return int(np.argmin(np.asarray(costs, dtype=np.float64)[: self.certified + 1]))

    def p_value(self, rung: int) -> float | None:
        """Of the walk up to `rung`: the largest on the way, at most delta where it is certified; None for rung 0."""
        return max(step.p_value for step in self.steps[:rung]) if rung else None

    @property
    def stalled(self) -> Step | None:
        """The first rung that was not certified, or None at the end of the path."""
        return self.steps[self.certified] if self.certified < len(self.steps) else None

    def explain(self) -> str:
        """One sentence: how far, and what stood in the way."""
        step = self.stalled
        far = f"certified up to rung {self.certified} of {len(self.steps)} on {self.units} prompt groups"
        if step is None:
            return f"{far}: the whole path"
        if step.p_value <= self.delta:
            return f"{far}: this slice would go further, another does not"
        more = "no number of rows would do" if step.rows_needed is None else f"about {step.rows_needed} would do"
        return (
            f"{far}; rung {step.rung} (setting {step.setting:g}) has an estimated loss of {step.loss:.2%} and "
            f"p = {step.p_value:.3f}, which is above {self.delta:g}; if that estimate were true, {more}"
        )


def walk(
    served: npt.ArrayLike,
    baseline: npt.ArrayLike,
    settings: Sequence[float],
    promise: Promise,
    *,
    groups: Sequence[Hashable] | None = None,
    weights: npt.ArrayLike | None = None,
    design: Design | None = None,
    bets: Bets = STANDARD,
    walks: int = 1,
) -> Walk:
    """Test scores `served` (k, n) of rungs at ascending `settings` (k,); rung 0 has the scores `baseline` (n,).

    `walks` is how many walks share the level. Raises DataError as `make_units`, and for rungs that are not in order, a
    rung 0 that is not the baseline, or fewer rows than could certify anything.
    """
    promise.check()
    s, f = np.asarray(served, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    check_path(s, f, settings)
    epsilon, delta = promise.max_quality_loss, promise.delta / walks
    units = make_units(s, f, epsilon=epsilon, groups=groups, weights=weights, design=design)
    fewest = fewest_units(units, epsilon, delta, bets)
    if units.count < fewest or not units.baseline.any():
        needed = f"at least {fewest} are needed" if fewest else "no number would do: the baseline never scored"
        raise DataError(
            f"{units.count} prompt groups can't certify a loss of at most {epsilon:g} at confidence {1 - delta:g} for "
            f"any policy; {needed}"
        )
    return _walk(units, settings, promise, delta, bets)


def walk_slices(
    served: npt.ArrayLike,
    baseline: npt.ArrayLike,
    settings: Sequence[float],
    promise: Promise,
    slices: Sequence[str],
    *,
    slicing: Slicing = "joint",
    groups: Sequence[Hashable] | None = None,
    weights: npt.ArrayLike | None = None,
    design: Design | None = None,
    bets: Bets = STANDARD,
) -> dict[str, Walk]:
    """A walk for each name in `slices` (n,); the names must have been fixed before the rows were seen.

    With `common`, every walk ends at the last rung that all slices certify. Raises DataError as `walk`, with the slice.
    """
    s, f = np.asarray(served, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if len(slices) != len(f):
        raise DataError(f"slices: {len(slices)} names for {len(f)} rows")
    names = sorted(set(slices))
    label, w = np.array(slices), None if weights is None else np.asarray(weights, dtype=np.float64)
    found = {}
    for name in names:
        rows = np.flatnonzero(label == name)
        try:
            found[name] = walk(
                s[:, rows],
                f[rows],
                settings,
                promise,
                groups=None if groups is None else [groups[int(i)] for i in rows],
                weights=None if w is None else w[..., rows],
                design=design,
                bets=bets,
                walks=len(names) if slicing == "joint" else 1,
            )
        except DataError as error:
            raise DataError(f"slice {name!r}: {error}") from error
    if slicing == "common":
        certified, floor = (min(ends) for ends in zip(*((w.certified, w.floor) for w in found.values()), strict=True))
        found = {name: msgspec.structs.replace(w, certified=certified, floor=floor) for name, w in found.items()}
    return found


def _walk(units: Units, settings: Sequence[float], promise: Promise, delta: float, bets: Bets) -> Walk:
    valid, normal = p_values(units, delta, bets), z_p_values(units)
    losses, (mean, spread) = units.losses(), z_parts(units)
    steps = tuple(
        Step(
            rung=i,
            setting=float(settings[i]),
            loss=float(losses[i]),
            p_value=float(valid[i]),
            z_p_value=float(normal[i]),
            rows_needed=_rows_needed(float(mean[i]), float(spread[i]), units.count, delta),
        )
        for i in range(1, len(settings))
    )
    return Walk(
        promise,
        delta,
        steps,
        certified=_passed(valid[1:], delta),
        floor=_passed(normal[1:], delta),
        rows=units.rows,
        units=units.count,
    )


def _passed(p: npt.NDArray[np.float64], delta: float) -> int:
    """How many rungs after rung 0 are rejected before the first that is not. A p of exactly delta is rejected."""
    missed = np.flatnonzero(p > delta * (1 + 1e-9))
    return int(missed[0]) if len(missed) else len(p)


def _rows_needed(mean: float, spread: float, count: int, delta: float) -> int | None:
    if mean <= 0:
        return None
    reach = NormalDist().inv_cdf(1 - delta) + _POWER
    return math.ceil(count * (reach * spread / mean) ** 2)


def check_path(s: npt.NDArray[np.float64], f: npt.NDArray[np.float64], settings: Sequence[float]) -> None:
    """Raises DataError for scores (k, n) and (n,) that are no path from always-frontier, at ascending settings."""
    if s.ndim != 2 or f.ndim != 1 or s.shape[1:] != f.shape:
        raise DataError(f"served has shape {s.shape}, baseline {f.shape}: (rungs, rows) beside (rows,) is needed")
    if len(settings) != len(s):
        raise DataError(f"settings: {len(settings)} for {len(s)} rungs")
    if len(s) < 2:
        raise DataError("settings: a path needs a rung besides always-frontier")
    back = np.flatnonzero(~(np.diff(np.asarray(settings, dtype=np.float64)) > 0))
    if len(back):
        raise DataError(
            f"settings: rung {int(back[0]) + 1} does not lie above rung {int(back[0])}; the path must ascend from "
            "always-frontier towards cheap, in an order fixed beforehand"
        )
    differs = np.flatnonzero((s[0] != f) & ~(np.isnan(s[0]) & np.isnan(f)))
    if len(differs):
        raise DataError(
            f"served: rung 0 is not always-frontier; its score of row {int(differs[0])} is not the baseline's"
        )
