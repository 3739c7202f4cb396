"""How good a probability is, when the truth is a share between 0 and 1.

Knows arrays: `truth` (0..1, e.g. the share of models that failed), `chance` (0..1). Does not know prompts or models.
A truth of 0.3 counts as 0.3 of a positive and 0.7 of a negative row, so that every measure below is the ordinary one
on the single answers behind the share.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Measure = Callable[[Array, Array], float]


def auroc(truth: Array, chance: Array) -> float:
    """The chance that a positive is ranked above a negative, ties counted half; nan when one side is empty.

    With shares the best possible value lies below 1: of a prompt that half the models fail, no ranking is right.
    """
    order = np.argsort(chance, kind="stable")
    sorted_chance, positive = chance[order], truth[order]
    negative = 1.0 - positive
    starts = np.flatnonzero(np.r_[True, np.diff(sorted_chance) > 0])
    up, down = np.add.reduceat(positive, starts), np.add.reduceat(negative, starts)
    below = np.cumsum(down) - down
    total = up.sum() * down.sum()
    return float((up * (below + 0.5 * down)).sum() / total) if total > 0 else float("nan")


def auroc_within(truth: Array, chance: Array, category: NDArray[np.str_], least: int = 30) -> float:
    """AUROC inside each category with at least `least` rows, averaged by rows: what is left without task identity."""
    values, weights = [], []
    for name in np.unique(category):
        rows = category == name
        if rows.sum() >= least:
            value = auroc(truth[rows], chance[rows])
            if not np.isnan(value):
                values.append(value)
                weights.append(float(rows.sum()))
    return float(np.average(values, weights=weights)) if values else float("nan")


def brier(truth: Array, chance: Array) -> float:
    """Mean squared error against the single answers."""
    return float(np.mean(truth * (1.0 - chance) ** 2 + (1.0 - truth) * chance**2))


def calibration_error(truth: Array, chance: Array, bins: int = 15) -> float:
    """Expected calibration error over `bins` of equal size."""
    order = np.argsort(chance, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(abs(truth[part].mean() - chance[part].mean()) * len(part) for part in parts) / len(order))


def interval(
    measure: Measure, truth: Array, chance: Array, groups: NDArray[np.str_], *, seed: int, draws: int = 500
) -> tuple[float, float]:
    """95% percentile bootstrap interval; whole groups are drawn, because copies of a prompt are not independent."""
    names, at = np.unique(groups, return_inverse=True)
    rows_of = np.split(np.argsort(at, kind="stable"), np.cumsum(np.bincount(at))[:-1])
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        rows = np.concatenate([rows_of[draw] for draw in rng.integers(0, len(names), len(names))])
        values.append(measure(truth[rows], chance[rows]))
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
