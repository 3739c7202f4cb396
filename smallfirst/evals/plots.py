"""The plots of an evaluation's page, each from the report alone.

Knows which figure is drawn how, and gives every way and curve the same colour in all plots. Does not compute figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from smallfirst.evals.evaluation_report import Report, WayLine
from smallfirst.evals.metrics import hull
from smallfirst.evals.svg import Plot, Point, key, nice_ticks, stacked

SHAPES = {"policy": "square", "rule": "diamond", "router": "triangle", "single": "circle", "oracle": "circle"}

LEAST_ROWS = 20
"""Rows that a bin of the calibration diagram needs to be joined by the line; smaller ones are only dots."""

COLOURS = 8
"""s0 to s7 in the style sheet; more curves than that begin again."""


def percent(value: float) -> str:
    return f"{100 * value:g}%"


def colours(report: Report) -> dict[str, str]:
    """A style for each name that is drawn in colour: policies and given curves first, then the rule and the routers."""
    named = [way.name for way in report.ways if way.kind in ("policy", "rule")]
    named += [curve.name for curve in report.curves] + [way.name for way in report.ways if way.kind == "router"]
    unique = [name for name in dict.fromkeys(named) if not name.startswith("random")]
    return {name: f"s{at % COLOURS}" for at, name in enumerate(unique)}


def quality_cost(report: Report) -> str:
    """Quality against cost: curves with their hulls, single ways as marks, and the line of a coin between models."""
    styles, ways = colours(report), [way for way in report.ways if not way.name.startswith("random")]
    costs = [way.cost.estimate for way in ways] + [p.cost for c in report.curves for p in c.points]
    low, high = _room([way.quality for way in ways] + [p.quality for c in report.curves for p in c.points])
    plot = Plot(
        (0, max(1.02, max(costs) * 1.02)),
        (low, high),
        x_label=f"cost, relative to always {report.baseline}",
        y_label="mean score",
        title="Quality against cost",
        x_text=percent,
        y_text="{:.2f}".format,
        width=1160,
        height=460,
    )
    singles = [way for way in ways if way.kind == "single"]
    plot.line(_hull_of([(way.cost.estimate, way.quality) for way in singles]), "muted dashed", "a coin between models")
    for curve in report.curves:
        style = styles[curve.name]
        for point in curve.points:
            if not point.on_hull:
                plot.dot((point.cost, point.quality), 1.8, style)
        plot.line(_hull_of([(p.cost, p.quality) for p in curve.points]), style, f"hull of {curve.name}")
    for way in ways:
        if way.kind != "router":
            style = styles.get(way.name, "muted" if way.kind == "single" else "ideal")
            plot.mark((way.cost.estimate, way.quality), SHAPES[way.kind], style, _told(way))
    for way in sorted(ways, key=lambda w: w.kind == "single"):
        if way.kind != "router":
            plot.label((way.cost.estimate, way.quality), way.name)
    entries = [("line", styles[curve.name], f"{curve.name}, hull") for curve in report.curves]
    entries += [(SHAPES[w.kind], styles[w.name], w.name) for w in ways if w.kind in ("policy", "rule")]
    entries += [("circle", "muted", "one model"), ("line", "muted dashed", "a coin between models")]
    return plot.svg() + key([*entries, ("circle", "ideal", "oracle")])


def deferral(report: Report) -> str:
    """Quality against the share of queries that the baseline answers."""
    styles = colours(report)
    low, high = _room([quality for one in report.deferrals for quality in one.qualities])
    plot = Plot(
        (0, 1),
        (low, high),
        x_label=f"share answered by {report.baseline}, the rest by {report.weak}",
        y_label="mean score",
        title="Deferral curve",
        x_text=percent,
        y_text="{:.2f}".format,
    )
    entries = []
    for one in report.deferrals:
        style = {"random": "muted dashed", "oracle": "ideal"}.get(one.name, styles.get(one.name, "muted"))
        words = f"{one.name}: APGR {one.apgr.estimate:.3f}"
        plot.line(list(zip(one.shares, one.qualities, strict=True)), style, words)
        entries.append(("line", style, words))
    return plot.svg() + key(entries)


def calibration(report: Report) -> str:
    """What came true against what was said, bin by bin; the area of a mark is its share of the rows."""
    plot = Plot(
        (0, 1),
        (0, 1),
        x_label="said: p_correct",
        y_label="came true: mean score",
        title="Calibration diagram",
        x_text=percent,
        y_text=percent,
    )
    plot.line([(0, 0), (1, 1)], "muted dashed", "perfectly calibrated")
    entries = []
    for at, one in enumerate(report.estimates):
        style = f"s{at % COLOURS}"
        plot.line([(b.chance, b.truth) for b in one.bins if b.rows >= LEAST_ROWS], f"{style} thin")
        for bin in one.bins:
            told = f"{one.name}: said {bin.chance:.2f}, came true {bin.truth:.2f} ({bin.rows} rows)"
            plot.dot((bin.chance, bin.truth), 2 + 7 * math.sqrt(bin.rows / one.rows), style, told)
        entries.append(("circle", style, f"{one.name}: ECE {one.ece.estimate:.3f}"))
    return plot.svg() + key(entries)


def tier_shares(report: Report) -> str:
    """Who served, for each way."""
    names = list(dict.fromkeys(tier for way in report.ways for tier in way.tiers))
    styles = {tier: f"t{at % COLOURS}" for at, tier in enumerate(names)}
    rows = [
        (way.name, [(share, styles[tier], tier) for tier, share in way.tiers.items()])
        for way in report.ways
        if way.kind != "single"
    ]
    entries = [("square", styles[tier], tier) for tier in names]
    return stacked(rows, "Share of queries served by each tier") + key(entries)


def latencies(report: Report) -> str:
    """Median to 95th percentile of each way, its mean as a mark."""
    shown = [way for way in report.ways if way.latency is not None and (way.kind != "single" or _is_anchor(way))]
    most = max((way.latency.p95_us for way in shown if way.latency), default=1.0) / 1e6
    names = [way.name for way in shown]
    plot = Plot(
        (0, nice_ticks(0, most * 1.15)[-1] or most),
        (0, len(shown)),
        x_label="seconds: median to p95, mean marked",
        y_label="",
        title="Latency",
        y_text=lambda _: "",
        height=60 + 26 * len(shown),
        left=170,
    )
    for at, (name, way) in enumerate(zip(reversed(names), reversed(shown), strict=True)):
        found = way.latency
        if found is None:
            continue
        told = (
            f"{name}: p50 {found.p50_us / 1e6:.2f} s, mean {found.mean_us / 1e6:.2f} s, p95 {found.p95_us / 1e6:.2f} s"
        )
        plot.bar((found.p50_us / 1e6, at + 0.3), (found.p95_us / 1e6, at + 0.7), "range", told)
        plot.mark((found.mean_us / 1e6, at + 0.5), "diamond", "s0", told)
        plot.row_name(at + 0.5, name)
    return plot.svg()


def _is_anchor(way: WayLine) -> bool:
    return "baseline" in way.note or "cheapest" in way.note


def _told(way: WayLine) -> str:
    return f"{way.name}: {way.cost.estimate:.1%} of the cost, {way.relative.estimate:.1%} of the quality"


def _hull_of(points: Sequence[Point]) -> list[Point]:
    x, y = hull([p[0] for p in points], [p[1] for p in points])
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _room(values: Iterable[float]) -> tuple[float, float]:
    """A range with a little air, inside 0..1."""
    found = [value for value in values if math.isfinite(value)]
    low, high = min(found), max(found)
    air = max((high - low) * 0.08, 0.01)
    return max(0.0, low - air), min(1.0, high + air)
