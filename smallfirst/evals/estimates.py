"""How good probabilities were: calibration diagram, ECE, Brier score, AUROC pooled and within category, with intervals.

Knows a probability and what came true for each row. Does not know whether it was said before an answer or after one.
Most of a query router's AUROC is telling tasks apart; the one within category is what is left without that.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.evals.metrics import BINS, Bin, expected_calibration_error, reliability
from smallfirst.evals.resamples import Resamples
from smallfirst.evals.statistics import Floats, Interval
from smallfirst.learn.metrics import auroc, auroc_within, brier

LEAST_ROWS = 30
"""Rows below which a category's AUROC is noise, as in learn/metrics.py."""

CHUNK = 100


class Estimate(msgspec.Struct, frozen=True):
    """`chance` (n,) that an answer is right, nan where nothing was said; `truth` (n,) its score, 0..1."""

    name: str
    chance: Floats
    truth: Floats


class EstimateLine(msgspec.Struct, frozen=True):
    """An estimate as it is reported. AUROC: Fawcett, Pattern Recognition Letters 27, 2006; Brier: Brier 1950."""

    name: str
    rows: int
    ece: Interval
    brier: Interval
    auroc: Interval
    auroc_within: Interval
    bins: tuple[Bin, ...]


def measure_estimate(estimate: Estimate, categories: Sequence[str], resamples: Resamples) -> EstimateLine | None:
    """None where fewer than LEAST_ROWS rows have a probability."""
    said = np.isfinite(estimate.chance)
    if said.sum() < LEAST_ROWS:
        return None
    truth, chance = estimate.truth[said], np.clip(estimate.chance[said], 0, 1)
    names = np.array(categories)[said] if categories else np.zeros(int(said.sum()), dtype=str)
    found = _Drawn(truth, chance, names, resamples, said)
    squared = truth * (1 - chance) ** 2 + (1 - truth) * chance**2
    return EstimateLine(
        name=estimate.name,
        rows=int(said.sum()),
        ece=resamples.interval(expected_calibration_error(truth, chance), found.errors()),
        brier=resamples.interval(brier(truth, chance), found.means(squared)),
        auroc=resamples.interval(auroc(truth, chance), found.areas(np.ones(len(truth), dtype=bool))),
        auroc_within=resamples.interval(auroc_within(truth, chance, names, LEAST_ROWS), found.areas_within()),
        bins=reliability(truth, chance),
    )


class _Drawn:
    """The same measures on every resample, by weights on the rows: nothing is drawn or sorted again."""

    def __init__(
        self,
        truth: Floats,
        chance: Floats,
        names: npt.NDArray[np.str_],
        resamples: Resamples,
        said: npt.NDArray[np.bool_],
    ) -> None:
        self.truth, self.chance, self.names = truth, chance, names
        self.index, self.counts = resamples.index[said], resamples.counts

    def _grouped(self, columns: Floats) -> Floats:
        """(draws, c): sums over each resample."""
        grouped = np.zeros((self.counts.shape[1], columns.shape[1]))
        np.add.at(grouped, self.index, columns)
        return np.asarray(self.counts @ grouped.astype(np.float32), dtype=np.float64)

    def means(self, values: Floats) -> Floats:
        sums = self._grouped(np.column_stack([values, np.ones(len(values))]))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(sums[:, 0] / sums[:, 1])

    def errors(self) -> Floats:
        """ECE: of each bin the sum of truth less chance, whose sizes add up."""
        at = np.clip(np.ceil(self.chance * BINS).astype(int) - 1, 0, BINS - 1)
        columns = np.zeros((len(at), BINS + 1))
        columns[np.arange(len(at)), at] = self.truth - self.chance
        columns[:, BINS] = 1
        sums = self._grouped(columns)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.abs(sums[:, :BINS]).sum(1) / sums[:, BINS])

    def areas(self, rows: npt.NDArray[np.bool_]) -> Floats:
        """AUROC of these rows, ties counted half."""
        order = np.flatnonzero(rows)[np.argsort(self.chance[rows], kind="stable")]
        chance, truth, index = self.chance[order], self.truth[order], self.index[order]
        starts = np.flatnonzero(np.r_[True, np.diff(chance) > 0])
        found: list[Floats] = []
        for start in range(0, len(self.counts), CHUNK):
            weight = self.counts[start : start + CHUNK][:, index].astype(np.float64)
            up = np.add.reduceat(weight * truth, starts, axis=1)
            down = np.add.reduceat(weight * (1 - truth), starts, axis=1)
            below = np.cumsum(down, 1) - down
            with np.errstate(divide="ignore", invalid="ignore"):
                found.append((up * (below + 0.5 * down)).sum(1) / (up.sum(1) * down.sum(1)))
        return np.concatenate(found)

    def areas_within(self) -> Floats:
        """AUROC inside each category of at least LEAST_ROWS, averaged by rows."""
        total, weights = np.zeros(len(self.counts)), np.zeros(len(self.counts))
        for name in np.unique(self.names):
            rows = self.names == name
            if rows.sum() < LEAST_ROWS:
                continue
            areas = self.areas(rows)
            there = np.isfinite(areas)
            total += np.where(there, areas, 0) * rows.sum()
            weights += there * rows.sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(total / weights)
