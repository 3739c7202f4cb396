"""The deferral curve: quality against the share of queries that go to the strong model, for every way to choose them.

Knows two models' scores, and a number for each query that says how much it should go up (`need`). Does not know where
the number comes from: a prediction from the words, a verdict on the weak model's answer, the truth. Queries with equal
need go up together, by a coin in between, so that a router that says the same of all is a random one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.evals.metrics import apgr, cpt, recovered
from smallfirst.evals.resamples import Resamples
from smallfirst.evals.statistics import Floats, Interval

POINTS = 101
"""Points that are kept of a curve, at even shares."""


class Deferral(msgspec.Struct, frozen=True):
    """One curve, `shares` and `qualities` (k,), and the figures that sum it up."""

    name: str
    shares: tuple[float, ...]
    qualities: tuple[float, ...]
    apgr: Interval
    cpt50: Interval
    cpt80: Interval


def curve(need: npt.ArrayLike, weak: Floats, strong: Floats) -> tuple[Floats, Floats]:
    """(shares, qualities) as the queries go up by falling need; one point after each run of equal needs, and 0."""
    order, ends = _runs(np.asarray(need, dtype=np.float64))
    gain = np.cumsum((strong - weak)[order])[ends]
    return np.r_[0.0, (ends + 1) / len(order)], weak.mean() + np.r_[0.0, gain] / len(order)


def measure(name: str, need: npt.ArrayLike, weak: Floats, strong: Floats, resamples: Resamples) -> Deferral:
    """The curve of one way to choose, with intervals by bootstrap over prompt groups."""
    shares, qualities = curve(need, weak, strong)
    low, high = float(weak.mean()), float(strong.mean())
    drawn = _resampled(np.asarray(need, dtype=np.float64), weak, strong, resamples)
    grid = np.linspace(0, 1, POINTS)
    found = [apgr(shares, qualities, low, high), *(cpt(shares, qualities, low, high, p) for p in (50, 80))]
    intervals = [resamples.interval(value, drawn[:, at]) for at, value in enumerate(found)]
    return Deferral(name, tuple(grid.tolist()), tuple(np.interp(grid, shares, qualities).tolist()), *intervals)


def measure_points(
    name: str, shares: Floats, scores: Floats, weak: Floats, strong: Floats, resamples: Resamples
) -> Deferral:
    """The same for settings that were run one by one: `shares` (k, n) of the strong model, `scores` (k, n)."""
    order = np.argsort(shares.mean(1), kind="stable")
    share, score = shares[order], scores[order]
    drawn = resamples.sums(np.column_stack([share.T, score.T, weak, strong, np.ones(len(weak))]))
    k, rows = len(order), []
    for draw in drawn:
        n = draw[-1]
        x, y = draw[:k] / n, draw[k : 2 * k] / n
        rows.append(_figures(x, y, draw[-3] / n, draw[-2] / n))
    x, y = share.mean(1), score.mean(1)
    found = _figures(x, y, float(weak.mean()), float(strong.mean()))
    intervals = [resamples.interval(value, [row[at] for row in rows]) for at, value in enumerate(found)]
    return Deferral(name, tuple(x.tolist()), tuple(y.tolist()), *intervals)


def _figures(x: Floats, y: Floats, weak: float, strong: float) -> tuple[float, float, float]:
    order = np.argsort(x, kind="stable")
    x, y = np.clip(x[order], 0, 1), y[order]
    return apgr(x, y, weak, strong), cpt(x, y, weak, strong, 50), cpt(x, y, weak, strong, 80)


def _runs(need: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(rows by falling need, the last place of each run of equal needs)."""
    order = np.argsort(-need, kind="stable")
    ordered = need[order]
    return order, np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])


def _resampled(need: Floats, weak: Floats, strong: Floats, resamples: Resamples, chunk: int = 100) -> Floats:
    """(draws, 3): APGR, CPT(50), CPT(80) on every resample; the order of the queries is the same in all."""
    order, ends = _runs(need)
    gain, index = (strong - weak)[order], resamples.index[order]
    found: list[Floats] = []
    for start in range(0, resamples.draws, chunk):
        weight = resamples.counts[start : start + chunk][:, index].astype(np.float64)
        total = weight.sum(1, keepdims=True)
        x = np.cumsum(weight, 1)[:, ends] / total
        y = np.cumsum(weight * gain, 1)[:, ends] / total
        found.append(_sum_up(np.pad(x, ((0, 0), (1, 0))), np.pad(y, ((0, 0), (1, 0)))))
    return np.concatenate(found)


def _sum_up(x: Floats, above: Floats) -> Floats:
    """(draws, 3) from shares and gains over the weak model, (draws, k + 1) each; the last gain is the whole gap."""
    gap = above[:, -1:]
    reached = np.divide(above, gap, out=np.full_like(above, np.nan), where=gap != 0)  # no gap: no share of it
    areas = np.trapezoid(reached, x, axis=1)
    return np.column_stack([areas, *(_first_reach(x, reached, goal) for goal in (0.5, 0.8))])


def _first_reach(x: Floats, reached: Floats, goal: float) -> Floats:
    """(draws,): the least share at which `reached` comes to the goal, linear between points; nan: never."""
    at = np.argmax(reached >= goal, axis=1)
    rows = np.arange(len(x))
    before = np.maximum(at - 1, 0)
    low, high = reached[rows, before], reached[rows, at]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(at > 0, x[rows, before] + (x[rows, at] - x[rows, before]) * (goal - low) / (high - low), 0.0)
    return np.where(reached[rows, at] >= goal, share, np.nan)


def pgr_of(quality: float, weak: Floats, strong: Floats) -> float:
    """PGR of one setting; nan where the two models are equally good."""
    return float(recovered(np.array([quality]), float(weak.mean()), float(strong.mean()))[0])


def random_curve(weak: Sequence[float] | Floats, strong: Sequence[float] | Floats) -> tuple[Floats, Floats]:
    """The straight line that a coin gives."""
    return np.array([0.0, 1.0]), np.array([float(np.mean(weak)), float(np.mean(strong))])
