"""Intervals for means and ratios of means, by prompt group.

Knows arrays, groups and a seed. Does not know models, policies or prices. The unit is the prompt group: all copies of
a prompt are drawn together, because they are not independent. Intervals from the bootstrap and the normal law are
approximate; a promise needs a certificate, which this is not.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.errors import DataError

Floats = npt.NDArray[np.float64]

Z95 = 1.959963984540054
"""The 97.5% quantile of the standard normal law."""

CHUNK = 256
"""Resamples drawn at once: 256 x 10,000 groups are 20 MB."""


class Interval(msgspec.Struct, frozen=True):
    """An estimate and the ends of its two-sided 95% interval."""

    estimate: float
    low: float
    high: float
    method: Literal["bootstrap", "normal"]
    groups: int  # how many independent units it rests on

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_mean(
    values: npt.ArrayLike, groups: Sequence[Hashable] | None = None, *, seed: int = 0, resamples: int = 2000
) -> Interval:
    """Percentile bootstrap for the mean of `values` (n,), drawing whole groups (default: every row is its own).

    Raises DataError for no rows, rows that are not finite, or groups of another length.
    """
    numerator = _finite(values, "values")
    return bootstrap_ratio(numerator, np.ones_like(numerator), groups, seed=seed, resamples=resamples)


def bootstrap_ratio(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    groups: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> Interval:
    """Percentile bootstrap for sum(numerator) / sum(denominator), both (n,), paired by row, drawing whole groups.

    Resamples whose denominator is 0 are left out. Raises DataError as `bootstrap_mean`, and where the denominators
    add up to 0. Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    top, bottom = _by_group(numerator, denominator, groups)
    count = len(top)
    rng = np.random.default_rng(seed)
    drawn: list[Floats] = []
    for start in range(0, resamples, CHUNK):
        weights = rng.multinomial(count, np.full(count, 1 / count), size=min(CHUNK, resamples - start))
        below = weights @ bottom
        drawn.append((weights @ top)[below != 0] / below[below != 0])
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975])
    return Interval(float(top.sum() / bottom.sum()), float(low), float(high), "bootstrap", count)


def normal_mean(values: npt.ArrayLike, groups: Sequence[Hashable] | None = None) -> Interval:
    """Normal interval for the mean of `values` (n,), with the variance between groups. Errors as `bootstrap_mean`."""
    numerator = _finite(values, "values")
    return normal_ratio(numerator, np.ones_like(numerator), groups)


def normal_ratio(
    numerator: npt.ArrayLike, denominator: npt.ArrayLike, groups: Sequence[Hashable] | None = None
) -> Interval:
    """Normal interval for sum(numerator) / sum(denominator) by the delta method, groups as units.

    Source: Cochran, Sampling Techniques, 3rd ed., section 6.3. Errors as `bootstrap_ratio`.
    """
    top, bottom = _by_group(numerator, denominator, groups)
    count = len(top)
    ratio = float(top.sum() / bottom.sum())
    residual = top - ratio * bottom
    spread = float(np.sqrt(count / max(count - 1, 1) * np.sum(residual**2)) / abs(bottom.sum()))
    return Interval(ratio, ratio - Z95 * spread, ratio + Z95 * spread, "normal", count)


def _finite(values: npt.ArrayLike, name: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise DataError(f"{name}: one number a row is needed, and at least one row")
    if not np.isfinite(array).all():
        raise DataError(f"{name}: row {int(np.flatnonzero(~np.isfinite(array))[0])} is not a finite number")
    return array


def _by_group(
    numerator: npt.ArrayLike, denominator: npt.ArrayLike, groups: Sequence[Hashable] | None
) -> tuple[Floats, Floats]:
    """Sums over each group, in order of first appearance."""
    top, bottom = _finite(numerator, "numerator"), _finite(denominator, "denominator")
    if len(top) != len(bottom):
        raise DataError(f"denominator: {len(bottom)} rows beside {len(top)} in the numerator")
    if bottom.sum() == 0:
        raise DataError("denominator: it adds up to 0, so there is no ratio")
    if groups is None:
        return top, bottom
    if len(groups) != len(top):
        raise DataError(f"groups: {len(groups)} entries for {len(top)} rows")
    order: dict[Hashable, int] = {}
    index = np.array([order.setdefault(group, len(order)) for group in groups])
    sums = [np.bincount(index, weights=rows).astype(np.float64) for rows in (top, bottom)]
    return sums[0], sums[1]
