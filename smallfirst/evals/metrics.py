"""How good a way to route is, by the definitions that were published, each with its source at the line.

Knows arrays: qualities, costs and shares of calls, probabilities and what came true. Does not know models, prompts or
files. Interval estimates are made elsewhere (evals/statistics.py, evals/curves.py) by calling these on resamples.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.errors import DataError
from smallfirst.evals.statistics import Floats

BINS = 15
"""Bins of the calibration error, as in Guo et al. 2017, section 4.3 (M = 15)."""


def recovered(quality: npt.ArrayLike, weak: float, strong: float) -> Floats:
    """PGR, the share of the gap between the weak and the strong model that a router recovers; nan without a gap.

    PGR = (r(router) - r(weak)) / (r(strong) - r(weak)). Source: Ong et al., RouteLLM, arXiv 2406.18665, section 2.2.
    """
    gap = strong - weak
    values = np.asarray(quality, dtype=np.float64)
    return (values - weak) / gap if gap != 0 else np.full_like(values, np.nan)


def apgr(shares: npt.ArrayLike, qualities: npt.ArrayLike, weak: float, strong: float) -> float:
    """APGR: the mean of PGR over all shares of strong calls, the integral of PGR over [0, 1], by trapezia.

    `shares` (k,) of calls to the strong model, 0..1, ascending; `qualities` (k,). Where the curve does not reach 0
    or 1, always-weak and always-strong close it: any router can be set so. A random router has 0.5.
    Source: Ong et al. 2024, section 2.2 (the paper takes ten shares, its program the trapezia).
    """
    x, y = _closed(shares, qualities, weak, strong)
    return float(np.trapezoid(recovered(y, weak, strong), x))


def cpt(shares: npt.ArrayLike, qualities: npt.ArrayLike, weak: float, strong: float, percent: float) -> float:
    """CPT(percent): the least share of strong calls with which PGR reaches `percent` / 100, between points linear.

    Source: Ong et al. 2024, section 2.2. nan where there is no gap. A random router has percent / 100.
    """
    x, y = _closed(shares, qualities, weak, strong)
    reached = recovered(y, weak, strong)
    goal = percent / 100
    hits = np.flatnonzero(reached >= goal)
    if not len(hits):
        return float("nan")
    at = int(hits[0])
    if at == 0:
        return float(x[0])
    low, high = reached[at - 1], reached[at]
    return float(x[at - 1] + (x[at] - x[at - 1]) * (goal - low) / (high - low))


def _closed(shares: npt.ArrayLike, qualities: npt.ArrayLike, weak: float, strong: float) -> tuple[Floats, Floats]:
    x, y = np.asarray(shares, dtype=np.float64), np.asarray(qualities, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise DataError(f"one quality a share is needed: {x.shape} shares, {y.shape} qualities")
    if len(x) and ((np.diff(x) < 0).any() or x[0] < -1e-9 or x[-1] > 1 + 1e-9):
        raise DataError("shares of strong calls must ascend within 0..1")
    if not len(x) or x[0] > 1e-12:
        x, y = np.r_[0.0, x], np.r_[weak, y]
    if x[-1] < 1 - 1e-12:
        x, y = np.r_[x, 1.0], np.r_[y, strong]
    return x, y


def hull(costs: npt.ArrayLike, qualities: npt.ArrayLike) -> tuple[Floats, Floats]:
    """The non-decreasing concave hull of points in the cost-quality plane: (costs, qualities), both ascending.

    What a coin between two settings can reach counts as reached. Source: Hu et al., RouterBench, arXiv 2403.12031,
    section 3.2 ("non-decreasing convex hull").
    """
    x, y = np.asarray(costs, dtype=np.float64), np.asarray(qualities, dtype=np.float64)
    order = np.lexsort((-y, x))
    kept: list[tuple[float, float]] = []
    for cost, quality in zip(x[order].tolist(), y[order].tolist(), strict=True):
        if kept and quality <= kept[-1][1]:
            continue  # dearer and no better
        while len(kept) >= 2 and _below(kept[-2], kept[-1], (cost, quality)):
            kept.pop()
        kept.append((cost, quality))
    return np.array([point[0] for point in kept]), np.array([point[1] for point in kept])


def _below(left: tuple[float, float], middle: tuple[float, float], right: tuple[float, float]) -> bool:
    """Whether the middle point lies on or below the line from left to right."""
    return (middle[1] - left[1]) * (right[0] - left[0]) <= (right[1] - left[1]) * (middle[0] - left[0])


def aiq(costs: npt.ArrayLike, qualities: npt.ArrayLike, lowest: float, highest: float) -> float:
    """AIQ, Average Improvement in Quality: the mean height of the hull between two costs, the same for all compared.

    AIQ = 1 / (highest - lowest) * integral of the hull; right of its last point the hull goes on level, left of its
    first there is nothing to integrate, so give it a point at `lowest` (always the cheapest model). Source: Hu et al.
    2024, section 3.2. Raises DataError for an empty range or a hull that begins above `lowest`.
    """
    if not highest > lowest:
        raise DataError(f"AIQ needs a range of costs, not {lowest} to {highest}")
    x, y = hull(costs, qualities)
    if x[0] > lowest * (1 + 1e-9) + 1e-12:
        raise DataError("AIQ: the curve begins above the lowest cost; add the cheapest model's point")
    grid = np.unique(np.clip(np.r_[lowest, x, highest], lowest, highest))
    return float(np.trapezoid(np.interp(grid, x, y), grid) / (highest - lowest))


def cost_save(costs: npt.ArrayLike, qualities: npt.ArrayLike, best_cost: float, best_quality: float) -> float:
    """CostSave: 1 - (cost of the cheapest point at least as good as the best single model) / (its cost); nan: none.

    On the hull, so that a coin between two settings counts. Source: Li et al., LLMRouterBench, arXiv 2601.07206
    ("cost reduction achieved while maintaining comparable accuracy to the best single model"); we ask for at least the
    same mean score, no tolerance. Negative where reaching it costs more than the best single model does.
    """
    x, y = hull(costs, qualities)
    if y[-1] < best_quality - 1e-12:
        return float("nan")
    return 1 - float(np.interp(best_quality, y, x)) / best_cost if best_cost > 0 else float("nan")


class Bin(msgspec.Struct, frozen=True):
    """Rows whose probability lies in (low, high]: how many, their mean probability, and the share that came true."""

    low: float
    high: float
    rows: int
    chance: float
    truth: float


def reliability(truth: npt.ArrayLike, chance: npt.ArrayLike, bins: int = BINS) -> tuple[Bin, ...]:
    """The calibration diagram: `bins` of equal width over 0..1, empty ones left out. `truth` may be a share.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 2, equations 1 and 2.
    """
    real, said = np.asarray(truth, dtype=np.float64), np.asarray(chance, dtype=np.float64)
    at = np.clip(np.ceil(said * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for number in range(bins):
        rows = at == number
        if rows.any():
            mean, share = float(said[rows].mean()), float(real[rows].mean())
            found.append(Bin(number / bins, (number + 1) / bins, int(rows.sum()), mean, share))
    return tuple(found)


def expected_calibration_error(truth: npt.ArrayLike, chance: npt.ArrayLike, bins: int = BINS) -> float:
    """ECE: the mean over rows of |share that came true - mean probability| of the row's bin.

    Source: Guo et al. 2017, equation 3 (after Naeini et al., AAAI 2015).
    """
    found = reliability(truth, chance, bins)
    total = sum(one.rows for one in found)
    return sum(one.rows * abs(one.truth - one.chance) for one in found) / total if total else float("nan")
