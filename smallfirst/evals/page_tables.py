"""The tables of an evaluation's page, as HTML.

Knows the report and how a figure is written. Does not know the page around them. Every word of the data is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from smallfirst.evals.evaluation_report import ModelLine, Report, SliceLine, WayLine
from smallfirst.evals.statistics import Interval

NONE = "&ndash;"
TO = "&ndash;"


def ways(report: Report) -> str:
    """Every way to route, with its shares, calls and times."""
    tiers = list(dict.fromkeys(tier for way in report.ways for tier in way.tiers))
    heads = ["way to route", "cost", "quality", "PGR", "CostSave", *map(escape, tiers), "calls", "in a row", "mean s"]
    caption = f"Cost and quality relative to always {report.baseline}, with 95% intervals; shares by serving tier."
    return table([*heads, "p95 s"], [(way.kind, _way(way, tiers)) for way in report.ways], caption)


def beside(report: Report) -> str:
    """What query-only routers and a coin give for the same money; empty without a policy or a rule."""
    shown = [way for way in report.ways if way.beside]
    if not shown:
        return ""
    heads = ["way to route", "cost", "mean score", *(f"over {escape(one.name)}" for one in shown[0].beside)]
    rows = [
        (
            way.kind,
            [
                escape(way.name),
                percent(way.cost.estimate),
                figure(way.quality),
                *(_ahead(one.ahead) for one in way.beside),
            ],
        )
        for way in shown
    ]
    caption = "How much higher the mean score is than that of a router which reads only the query, at the same cost."
    return table(heads, rows, caption)


def slices(report: Report) -> str:
    """Categories and slices down, ways across; empty where the data names none."""
    names = list(dict.fromkeys(line.way for line in report.slices))
    by_place: dict[tuple[str, str], dict[str, SliceLine]] = {}
    for line in report.slices:
        by_place.setdefault((line.by, line.name), {})[line.way] = line
    if not by_place:
        return ""
    rows = [
        (
            by,
            [
                f"<small>{escape(by)}</small> {escape(name)}",
                f"{next(iter(found.values())).prompts:,}",
                *(_slice(found[way]) for way in names),
            ],
        )
        for (by, name), found in by_place.items()
    ]
    caption = (
        f"Quality relative to always {report.baseline} on the same prompts, its interval, and the cost. Marked: the "
        f"whole interval lies below {1 - report.target_loss:.0%}. Of many intervals one in twenty misses."
    )
    return table(["slice", "prompts", *map(escape, names)], rows, caption)


def curves(report: Report) -> str:
    """What sums up each curve."""
    lines = {one.name: one for one in report.curves}
    rows = []
    for one in report.deferrals:
        line = lines.get(one.name)
        areas = [_ranged(line.aiq), _shared(line.cost_save)] if line else ["", ""]
        rows.append(("", [escape(one.name), _ranged(one.apgr), _shared(one.cpt50), _shared(one.cpt80), *areas]))
    caption = f"Weak model {report.weak}, strong model {report.baseline}; AIQ and CostSave over all models."
    return table(["curve", "APGR", "CPT(50)", "CPT(80)", "AIQ", "CostSave"], rows, caption)


def estimates(report: Report) -> str:
    """How good each probability was; empty where nobody said any."""
    if not report.estimates:
        return ""
    rows = [
        ("", [escape(one.name), f"{one.rows:,}", *map(_ranged, (one.ece, one.brier, one.auroc, one.auroc_within))])
        for one in report.estimates
    ]
    heads = ["estimate: of whom", "rows", "ECE", "Brier", "AUROC", "AUROC within category"]
    return table(heads, rows, "How good each p_correct is: calibration, error, ranking.")


def models(report: Report) -> str:
    """Models with scores, prices and laws."""
    heads = ["model", "tier", "mean score", "$ per 1,000", "$/M in", "$/M out", "first ms", "ms/token in", "ms/token"]
    rows = [("", _model(one)) for one in report.models]
    caption = "Latency laws are stated assumptions, unless their source says that they were fitted."
    return table([*heads, "spread", "mean s", "law stated by"], rows, caption)


def _way(way: WayLine, tiers: Sequence[str]) -> list[str]:
    late = [seconds(way.latency.mean_us), seconds(way.latency.p95_us)] if way.latency else ["", ""]
    note = f"<br><small>{escape(way.note)}</small>" if way.note else ""
    return [
        escape(way.name) + note,
        _shared(way.cost),
        _shared(way.relative),
        figure(way.recovered),
        percent(way.cost_save),
        *(f"{way.tiers.get(tier, 0):.0%}" for tier in tiers),
        f"{way.calls:.2f}",
        "" if way.sequential is None else f"{way.sequential:.2f}",
        *late,
    ]


def _slice(line: SliceLine) -> str:
    where = f"<small>{span(line.relative)}<br>cost {percent(line.cost)}</small>"
    words = f"{percent(line.relative.estimate)} {where}"
    return f"\1{words}" if line.beyond else words


def _model(one: ModelLine) -> list[str]:
    return [
        escape(one.name),
        escape(one.tier),
        figure(one.quality),
        f"{one.cost_usd * 1000:.4f}",
        "" if one.input_per_m is None else f"{one.input_per_m:g}",
        "" if one.output_per_m is None else f"{one.output_per_m:g}",
        f"{one.first_ms:g}",
        f"{one.input_token_ms:g}",
        f"{one.token_ms:g}",
        f"{one.spread:g}",
        seconds(one.latency.mean_us),
        f"\0{escape(one.law)}",
    ]


def table(heads: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], caption: str) -> str:
    """Cells are HTML. One that begins with NUL holds words, with SOH is marked."""
    top = "".join(f"<th>{head}</th>" for head in heads)
    body = "".join(f'<tr class="{style}">{"".join(map(_cell, cells))}</tr>' for style, cells in rows)
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(words: str) -> str:
    if words.startswith("\0"):
        return f'<td class="words">{words[1:]}</td>'
    return f'<td class="beyond">{words[1:]}</td>' if words.startswith("\1") else f"<td>{words}</td>"


def percent(value: float) -> str:
    return NONE if math.isnan(value) else f"{100 * value:.1f}%"


def figure(value: float) -> str:
    return NONE if math.isnan(value) else f"{value:.3f}"


def seconds(us: float) -> str:
    return f"{us / 1e6:.2f}"


def span(found: Interval) -> str:
    """An interval of shares: 45.2-54.0%."""
    return "" if math.isnan(found.low) else f"{100 * found.low:.1f}{TO}{100 * found.high:.1f}%"


def _shared(found: Interval) -> str:
    return NONE if math.isnan(found.estimate) else f"{percent(found.estimate)} <small>{span(found)}</small>"


def _ranged(found: Interval) -> str:
    if math.isnan(found.estimate):
        return NONE
    return f"{found.estimate:.3f} <small>{found.low:.3f}{TO}{found.high:.3f}</small>"


def _ahead(found: Interval) -> str:
    return f"{found.estimate:+.3f} <small>{found.low:+.3f} to {found.high:+.3f}</small>"
