"""One set of bootstrap resamples for everything that a report shows: prompt groups are drawn, rows follow them.

Knows arrays, groups and a seed. Does not know what the figures mean. Because all figures of a report are made on the
same resamples, differences between ways to route are paired, and the whole report costs one draw.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from smallfirst.errors import DataError
from smallfirst.evals.statistics import Floats, Interval

DRAWS = 1000


class Resamples:
    """`draws` resamples of the groups of n rows. Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
    section 13.3 (percentile intervals)."""

    def __init__(self, groups: Sequence[Hashable], *, seed: int = 0, draws: int = DRAWS) -> None:
        if not len(groups) or draws < 1:
            raise DataError("a bootstrap needs at least one row and one draw")
        order: dict[Hashable, int] = {}
        self.index: npt.NDArray[np.int64] = np.array([order.setdefault(group, len(order)) for group in groups])
        self.groups, self.seed, self.draws = len(order), seed, draws
        rng = np.random.default_rng(seed)
        counts = rng.multinomial(self.groups, np.full(self.groups, 1 / self.groups), size=draws)
        self.counts: npt.NDArray[np.float32] = counts.astype(np.float32)  # (draws, groups): how often each was drawn

    def sums(self, rows: npt.ArrayLike) -> Floats:
        """(draws, c): sums over each resample of `rows` (n, c)."""
        values = np.asarray(rows, dtype=np.float64)
        if values.ndim != 2 or len(values) != len(self.index):
            raise DataError(f"rows: {values.shape} beside {len(self.index)} rows")
        grouped = np.zeros((self.groups, values.shape[1]))
        np.add.at(grouped, self.index, values)
        return np.asarray(self.counts @ grouped.astype(np.float32), dtype=np.float64)

    def weights(self) -> npt.NDArray[np.float32]:
        """(draws, n): how often each row was drawn."""
        return self.counts[:, self.index]

    def interval(self, estimate: float, drawn: npt.ArrayLike) -> Interval:
        """The estimate with the middle 95% of what the resamples gave; those without a value are left out.

        An estimate that can't be had (nan) has no interval either.
        """
        values = np.asarray(drawn, dtype=np.float64)
        values = values[np.isfinite(values)] if np.isfinite(estimate) else values[:0]
        low, high = np.quantile(values, [0.025, 0.975]) if len(values) else (float("nan"), float("nan"))
        return Interval(float(estimate), float(low), float(high), "bootstrap", self.groups)

    def mean(self, values: npt.ArrayLike) -> Interval:
        """Of values (n,)."""
        return self.ratio(values, np.ones(len(self.index)))

    def ratio(self, numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Interval:
        """Of sum(numerator) / sum(denominator), both (n,), paired by row. nan where the denominators add up to 0."""
        top, bottom = (np.asarray(one, dtype=np.float64) for one in (numerator, denominator))
        drawn = self.sums(np.column_stack([top, bottom]))
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.float64(top.sum()) / bottom.sum() if bottom.sum() else float("nan")
            return self.interval(float(value), drawn[:, 0] / drawn[:, 1])
