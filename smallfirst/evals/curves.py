"""The quality-cost curve of a way to route that has a dial, with its hull, AIQ and CostSave.

Knows settings (k) on queries (n): scores, costs, who served. The routers of query_routers.py make curves here by their
trades; a fitted ladder brings its rungs in the same shape. Does not know how a setting decides.
"""

from __future__ import annotations

import msgspec
import numpy as np

from smallfirst.errors import DataError
from smallfirst.evals.baselines import Priced
from smallfirst.evals.metrics import aiq, cost_save, hull
from smallfirst.evals.query_routers import TRADES, Predicted, picks
from smallfirst.evals.resamples import Resamples
from smallfirst.evals.statistics import Floats, Interval


class Curve(msgspec.Struct, frozen=True):
    """k settings on the same n queries: scores and costs (nano-dollars, every attempt paid), both (k, n).

    `strong` (k, n): 1 where the baseline served, or its chance. `sequential` (k, n): calls on the critical path, and
    `latency` (k, n) microseconds, where they are known.
    """

    name: str
    scores: Floats
    costs: Floats
    strong: Floats
    sequential: Floats | None = None
    latency: Floats | None = None

    def __post_init__(self) -> None:
        if not self.scores.shape == self.costs.shape == self.strong.shape or self.scores.ndim != 2:
            raise DataError(f"{self.name}: scores, costs and shares of the baseline must all be settings x queries")


class CurvePoint(msgspec.Struct, frozen=True):
    """One setting: cost relative to the baseline, mean score, and whether it lies on the hull."""

    cost: float
    quality: float
    on_hull: bool
    sequential: float | None = None
    latency_mean_us: float | None = None


class CurveLine(msgspec.Struct, frozen=True):
    """A curve as it is reported. AIQ is over costs from the cheapest to the dearest single model, the same for all."""

    name: str
    points: tuple[CurvePoint, ...]
    aiq: Interval
    cost_save: Interval


class Anchors(msgspec.Struct, frozen=True):
    """The single models that curves are measured against, by column of the report part, chosen on the fit part."""

    baseline: int
    best: int
    cheapest: int
    dearest: int


def anchors(fit: Priced, report: Priced, baseline: str) -> Anchors:
    """Best by mean score on the fit part (of equals the cheaper), cheapest and dearest by mean cost there."""
    cost = fit.costs.mean(0)
    order = np.lexsort((cost, -fit.scores.mean(0)))
    return Anchors(report.table.column(baseline), int(order[0]), int(np.argmin(cost)), int(np.argmax(cost)))


def sweep(predicted: Predicted, fit: Priced, report: Priced, baseline: int) -> Curve:
    """A query router at every trade."""
    rows = np.arange(len(report.scores))
    chosen = [picks(predicted, fit, trade)[1] for trade in TRADES]
    kept = [pick for at, pick in enumerate(chosen) if at == 0 or not np.array_equal(pick, chosen[at - 1])]
    times = report.times
    return Curve(
        predicted.name,
        np.array([report.scores[rows, pick] for pick in kept]),
        np.array([report.costs[rows, pick] for pick in kept]),
        np.array([(pick == baseline).astype(np.float64) for pick in kept]),
        np.ones((len(kept), len(rows))),
        None if times is None else np.array([times.total[rows, pick] for pick in kept], dtype=np.float64),
    )


def measure_curve(curve: Curve, report: Priced, at: Anchors, resamples: Resamples) -> CurveLine:
    """Points, AIQ and CostSave, with intervals. Every curve has the cheapest model's point too."""
    k = len(curve.scores)
    sides = (at.baseline, at.best, at.cheapest, at.dearest)
    singles = [report.scores[:, sides], report.costs[:, sides]]
    columns = np.column_stack([curve.scores.T, curve.costs.T, *singles, np.ones(len(report.scores))])
    whole = columns.sum(0)
    drawn = [_summed_up(sums, k) for sums in resamples.sums(columns)]
    found = _summed_up(whole, k)
    base = whole[2 * k + 4] / whole[-1]
    quality, cost = whole[:k] / whole[-1], whole[k : 2 * k] / whole[-1]
    top = set(zip(*(side.tolist() for side in hull(cost, quality)), strict=True))
    points = tuple(
        CurvePoint(
            cost=float(c / base) if base else float("nan"),
            quality=float(q),
            on_hull=(float(c), float(q)) in top,
            sequential=None if curve.sequential is None else float(curve.sequential[i].mean()),
            latency_mean_us=None if curve.latency is None else float(curve.latency[i].mean()),
        )
        for i, (c, q) in enumerate(zip(cost, quality, strict=True))
    )
    intervals = [resamples.interval(value, [row[i] for row in drawn]) for i, value in enumerate(found)]
    return CurveLine(curve.name, points, *intervals)


def _summed_up(sums: Floats, k: int) -> tuple[float, float]:
    """(AIQ, CostSave) from the sums of a resample: scores and costs of k settings, then of the four single models."""
    means = sums[:-1] / sums[-1]
    quality, cost = means[:k], means[k : 2 * k]
    singles_quality, singles_cost = means[2 * k : 2 * k + 4], means[2 * k + 4 :]
    low, high = float(singles_cost[2]), float(singles_cost[3])
    x, y = np.r_[low, cost], np.r_[singles_quality[2], quality]
    inside = x >= low
    area = aiq(x[inside], y[inside], low, high) if high > low else float("nan")
    return area, cost_save(x, y, float(singles_cost[1]), float(singles_quality[1]))
