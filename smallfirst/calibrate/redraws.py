"""How often is a certificate wrong, and how far does it get? A fitted path, walked again on many drawn data sets.

Knows scores of a fixed path on a whole pool of rows. Does not know how the path was fitted; its fit part must not be in
the pool. Certification groups are drawn with replacement, so the pool is the exact truth that each draw is a sample of:
a certificate is wrong when the rung it ends at loses more than promised on the pool.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from statistics import NormalDist

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.calibrate.betting import STANDARD, Bets, bet
from smallfirst.calibrate.promise import Design, Promise
from smallfirst.calibrate.units import Floats, make_units
from smallfirst.calibrate.walk import check_path

Ints = npt.NDArray[np.intp]

_LANES = 2000
"""Wealths bet on side by side: rungs times draws."""


class Redraws(msgspec.Struct, frozen=True):
    """Where each of R walks ended, and the truth about every rung."""

    losses: Floats  # (k,): the pool's relative loss of each rung
    certified: Ints  # (R,): the last certified rung
    floor: Ints  # (R,): where the z-test would have stopped
    violations: int  # certified rungs that lose more than promised
    floor_violations: int
    groups: int  # drawn each time

    def means(self, values: npt.ArrayLike) -> tuple[float, float]:
        """Mean over the draws of `values` (k,), such as costs, at the certified rung and at the floor's."""
        at = np.asarray(values, dtype=np.float64)
        return float(at[self.certified].mean()), float(at[self.floor].mean())

    def stalls(self) -> Floats:
        """(k,): the share of draws that ended at each rung; the first is the share that certified nothing."""
        return np.bincount(self.certified, minlength=len(self.losses)) / len(self.certified)


def redraw(
    served: npt.ArrayLike,
    baseline: npt.ArrayLike,
    settings: Sequence[float],
    promise: Promise,
    *,
    size: int,
    groups: Sequence[Hashable] | None = None,
    draws: int = 1000,
    seed: int = 0,
    design: Design | None = None,
    bets: Bets = STANDARD,
    progress: Callable[[int], None] = lambda _: None,
) -> Redraws:
    """Walk `draws` times on `size` prompt groups drawn from the pool: scores (k, n), baseline (n,), as `walk` takes.

    `progress` is told how many draws are done. Raises DataError as `walk` does for scores and paths.
    """
    promise.check()
    s, f = np.asarray(served, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    check_path(s, f, settings)
    pool = make_units(s, f, epsilon=promise.max_quality_loss, groups=groups, design=design)
    rng, rungs = np.random.default_rng(seed), len(settings)
    ends: list[Ints] = []
    floors: list[Ints] = []
    together = max(1, _LANES // rungs)
    for start in range(0, draws, together):
        count = min(together, draws - start)
        picked = rng.integers(0, pool.count, (size, count))
        gains = pool.gains[picked][:, :, 1:]  # (size, count, rungs - 1); rung 0 takes no test
        wealth = bet(gains.reshape(size, -1), pool.worst, promise.delta, bets).reshape(count, rungs - 1)
        ends.append(_ends(wealth >= -math.log(promise.delta)))
        floors.append(_ends(_z(gains) > NormalDist().inv_cdf(promise.confidence)))
        progress(start + count)
    certified, floor = np.concatenate(ends), np.concatenate(floors)
    losses = pool.losses()
    wrong = losses >= promise.max_quality_loss
    return Redraws(losses, certified, floor, int(wrong[certified].sum()), int(wrong[floor].sum()), size)


def _ends(passed: npt.NDArray[np.bool_]) -> Ints:
    """(count, rungs - 1) -> (count,): how many passed before the first that did not."""
    return np.asarray(np.cumprod(passed, axis=1).sum(1))


def _z(gains: Floats) -> Floats:
    spread = gains.std(0, ddof=1) / math.sqrt(len(gains))
    return np.asarray(gains.mean(0) / np.maximum(spread, 1e-12))
