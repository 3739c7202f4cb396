"""Rows -> independent bounded units: one number for each prompt group and rung, in random order.

Knows arrays. Does not know where scores come from, nor how the units are tested.

The argument for validity. Traffic is a stream of prompt groups: a group is a prompt with all its copies, groups are
drawn independently from one law, and the copies within a group may depend on each other in any way. Row i of a group
has the gain z_i = s_i - (1 - eps) f_i. With c = min(size, `copies`), the group's unit is Z = c x (mean of its z_i), so

    E[Z] = E[(1 - loss) c f - (1 - eps) c f],      loss = 1 - E[sum of c s] / E[sum of c f],

is at most 0 exactly when the loss, with each prompt counted as often as it occurs but at most `copies` times, is eps or
more. Where no prompt has more than `copies` copies, that is the loss over rows. Z lies in [-worst, best] with
worst = (1 - eps) copies and best = copies, whatever the sizes; these are known beforehand, which is what betting needs:
the largest group that happens to be in the data must not decide how much is staked. Units of different size are no
trouble: they are draws of one bounded variable. The price of `copies` above 1 is that stakes must be that many times
smaller, which is felt where rows are few and harm is rare.

A row that was graded only with known probability p carries the weight 1/p when it was graded and 0 when not; the mean
of w z is then that of z, as long as p was fixed before the scores were known (Horvitz and Thompson 1952). Its range
grows to 1 / `least_probability` times the above. Rows whose two answers count as equal (s = f) have z = eps f >= 0 and
can't ruin a bet; they may be graded more rarely. On a path, a row's answers differ if any rung's does.

The seeded shuffle matters because tables come sorted by data set: a bettor learns from earlier units, and it is the
random order that makes those a fair sample of the later ones (were the stream not identically distributed, then the
mean of a late unit could differ from that of the whole).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.calibrate.promise import Design
from smallfirst.errors import DataError

Floats = npt.NDArray[np.float64]

_ROUNDING = 1e-9


class Units(msgspec.Struct, frozen=True):
    """k rungs on u prompt groups, in the random order in which they are tested."""

    gains: Floats  # (u, k): what betting sees; a promise that is broken makes their mean 0 or less
    served: Floats  # (u, k): weighted scores, with which a loss is estimated
    baseline: Floats  # (u, k) or (u, 1): the same of the baseline
    worst: float  # no gain is below -worst
    best: float  # no gain is above
    rows: int

    @property
    def count(self) -> int:
        """How many independent units there are."""
        return len(self.gains)

    def losses(self) -> Floats:
        """(k,): estimated relative loss of each rung; nan where the baseline never scored."""
        below = np.broadcast_to(self.baseline.sum(0), self.served.shape[1:])
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(1.0 - self.served.sum(0) / np.where(below > 0, below, np.nan))


def make_units(
    served: npt.ArrayLike,
    baseline: npt.ArrayLike,
    *,
    epsilon: float,
    groups: Sequence[Hashable] | None = None,
    weights: npt.ArrayLike | None = None,
    design: Design | None = None,
) -> Units:
    """Scores `served` (n,) or (k, n) and `baseline` (n,), all in 0..1, as units for the promise `epsilon`.

    `groups` (n,) names each row's prompt group; without it every row is its own. `weights` (n,) or (k, n): 1 over the
    known probability of being graded, 0 where a row was not (its scores may then be nan). Raises DataError, naming the
    row, for scores that are missing or outside 0..1, weights that break the design, arrays that do not match, or one
    group only.
    """
    design = design or Design()
    design.check()
    s, f = np.atleast_2d(np.asarray(served, dtype=np.float64)), np.asarray(baseline, dtype=np.float64)
    if f.ndim != 1 or s.ndim != 2 or s.shape[1] != len(f):
        raise DataError(f"served has shape {s.shape}, baseline {f.shape}: (rungs, rows) beside (rows,) is needed")
    w = None if weights is None else _weights(weights, s, f)
    s, f = check_scores(s, "served", w), check_scores(f, "baseline", None if w is None else w.max(0))
    size, at = _group(groups, len(f), design.seed)
    counted = np.minimum(size, design.copies) / size
    weighted = [x if w is None else w * x for x in (s, f[None, :])]
    top, bottom = (_sums(rows, at, len(size)) * counted[:, None] for rows in weighted)
    gains = top - (1.0 - epsilon) * bottom
    worst, best = (x * design.copies / design.least_probability for x in (1.0 - epsilon, 1.0))
    if gains.min() < -worst - _ROUNDING or gains.max() > best + _ROUNDING:
        raise DataError(
            f"weights: a group gains {gains.min():.3f} to {gains.max():.3f}, and with least_probability "
            f"{design.least_probability} it can't leave -{worst:.3f} to {best:.3f}; rows whose answers differ were "
            "graded more rarely than the design says, or rows that count as equal have different scores"
        )
    return Units(gains, top, bottom, worst, best, len(f))


def check_scores(scores: npt.ArrayLike, name: str, weights: Floats | None = None) -> Floats:
    """Scores (n,) or (k, n), 0 where the weight is 0. Raises DataError for one that is missing or outside 0..1."""
    scores = np.asarray(scores, dtype=np.float64)
    if weights is not None:
        scores = np.where(weights > 0, scores, 0.0)
    bad = ~((scores >= 0.0) & (scores <= 1.0))  # nan is bad too
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        row = f"row {where[-1]}" + (f" of rung {where[0]}" if len(where) > 1 else "")
        what = "is missing" if np.isnan(scores[where]) else f"{scores[where]:g} is outside 0..1"
        raise DataError(f"{name}: the score of {row} {what}; {int(bad.sum())} such; grade these rows or leave them out")
    return scores


def _weights(weights: npt.ArrayLike, served: Floats, baseline: Floats) -> Floats:
    w = np.asarray(weights, dtype=np.float64)
    if w.shape not in (baseline.shape, served.shape):
        raise DataError(f"weights have shape {w.shape}: one for each row is needed, {baseline.shape} or {served.shape}")
    bad = ~((w == 0.0) | ((w >= 1.0) & np.isfinite(w)))
    if bad.any():
        first = np.argwhere(bad)[0]
        raise DataError(
            f"weights: {w[tuple(first)]:g} in row {int(first[-1])}; 1 over a probability is at least 1; 0: not graded"
        )
    return np.broadcast_to(np.atleast_2d(w), served.shape)


def _group(groups: Sequence[Hashable] | None, rows: int, seed: int) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Sizes (u,) of the groups in random order, and the position (n,) of each row's group in it."""
    if groups is None:
        at = np.arange(rows)
    elif len(groups) != rows:
        raise DataError(f"groups: {len(groups)} entries for {rows} rows")
    else:
        order: dict[Hashable, int] = {}
        at = np.array([order.setdefault(group, len(order)) for group in groups], dtype=np.intp)
    count = int(at.max()) + 1 if rows else 0
    if count < 2:
        raise DataError(f"groups: {count} prompt group in {rows} rows; copies of one prompt prove nothing about others")
    at = np.random.default_rng(seed).permutation(count)[at]
    return np.bincount(at, minlength=count).astype(np.float64), at


def _sums(rows: Floats, at: npt.NDArray[np.intp], count: int) -> Floats:
    """(k, n) -> (count, k), added up by group."""
    if rows.shape[1] == count:
        sums = np.empty((count, len(rows)))
        sums[at] = rows.T
        return sums
    return np.stack([np.bincount(at, weights=row, minlength=count) for row in rows], axis=1)
