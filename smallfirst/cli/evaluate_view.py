"""An evaluation in the terminal, in 80 columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from smallfirst.evals.evaluation_report import Report, WayLine
from smallfirst.evals.statistics import Interval

MOST_TIERS = 4
"""Tiers whose shares fit into one column; with more, only the page shows them."""

NONE = "-"

PERCENT = ".1f"
"""The form in which a share is shown as percent, without the sign."""


def render_evaluation(report: Report, console: Console) -> None:
    """Print what an evaluation found: ways to route, the same at equal cost, curves, and slices that fall behind."""
    console.print(
        f"{report.data}: chosen on {report.fit.prompts:,} prompts, reported on {report.report.prompts:,} others "
        f"({report.report.groups:,} groups)",
        style="bold",
        markup=False,
    )
    console.print(
        f"baseline {report.baseline}, weak {report.weak}\n"
        f"seed {report.seed}, {report.draws:,} resamples, data {report.digest}\n",
        style="dim",
        markup=False,
    )
    _ways(report, console)
    _at_equal_cost(report, console)
    _curves(report, console)
    _estimates(report, console)
    _slices(report, console)
    for note in report.notes:
        console.print(f"note: {note}", style="yellow", markup=False)
    console.print(
        "cost, quality and latency relative to always the baseline; [95% interval] or its half after ±. Measured, not "
        "certified. Latency by stated laws, not measured.",
        style="dim",
        markup=False,
    )


def _ways(report: Report, console: Console) -> None:
    tiers = list(dict.fromkeys(tier for way in report.ways for tier in way.tiers))
    few = len(tiers) <= MOST_TIERS
    served = ["served %"] if few else []
    rows = []
    for way in report.ways:
        shares = ["/".join(f"{100 * way.tiers.get(tier, 0):.0f}" for tier in tiers)] if few else []
        rows.append([way.name, share(way.cost), share(way.relative), *shares, *_times(way)])
    styles = [{"policy": "bold", "single": "dim", "oracle": "dim"}.get(way.kind, "") for way in report.ways]
    _print(console, ["way to route", "cost %", "quality %", *served, "in row", "latency"], rows, styles)
    if few:
        console.print(
            f"served: share of {' / '.join(tiers)}; in row: calls on the critical path", style="dim", markup=False
        )


def _at_equal_cost(report: Report, console: Console) -> None:
    ways = [way for way in report.ways if way.beside]
    if ways:
        names = [one.name.removesuffix(" at equal cost") for one in ways[0].beside]
        rows = [[way.name, *(half(one.ahead, "+.3f") for one in way.beside)] for way in ways]
        console.print("\nmean score ahead of what the same money gives with", style="dim")
        _print(console, ["", *names], rows)


def _curves(report: Report, console: Console) -> None:
    lines = {one.name: one for one in report.curves}
    rows = []
    for one in report.deferrals:
        line = lines.get(one.name)
        rest = [half(line.aiq, ".3f"), half(line.cost_save, PERCENT)] if line else ["", ""]
        rows.append([one.name, half(one.apgr, ".3f"), half(one.cpt50, PERCENT), half(one.cpt80, PERCENT), *rest])
    console.print()
    _print(console, ["curve", "APGR", "CPT50 %", "CPT80 %", "AIQ", "CostSave %"], rows)


def _estimates(report: Report, console: Console) -> None:
    rows = [
        [one.name, *(half(found, ".3f") for found in (one.ece, one.brier, one.auroc, one.auroc_within))]
        for one in report.estimates
    ]
    if rows:
        console.print()
        _print(console, ["p_correct", "ECE", "Brier", "AUROC", "in category"], rows)


def _slices(report: Report, console: Console) -> None:
    """Those that lie beyond the target loss; the page and the JSON have all of them."""
    console.print()
    beyond = [line for line in report.slices if line.beyond]
    for line in beyond:
        console.print(
            f"{line.by} {line.name}: {line.way} {share(line.relative)}% of the quality, {line.prompts} prompts",
            markup=False,
            soft_wrap=True,
        )
    count = len({(line.by, line.name) for line in report.slices})
    words = "those above lie" if beyond else "none lies"
    if count:
        goal = 1 - report.target_loss
        console.print(f"{count} slices; {words} wholly below {goal:.0%} (--page shows all)\n", style="dim")


def _print(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] = ()) -> None:
    """A table without lines; only the first column may be cut."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for at, head in enumerate(heads):
        table.add_column(
            head, justify="right" if at else "left", no_wrap=True, min_width=None if at == 0 else len(head)
        )
    for at, row in enumerate(rows):
        cells = [cell.replace("[", r"\[") for cell in (_cut(row[0], 22 if len(row) < 6 else 18), *row[1:])]
        table.add_row(*cells, style=styles[at] if styles else "")
    console.print(table)


def _times(way: WayLine) -> tuple[str, str]:
    """Calls in a row, and mean latency relative to the baseline's."""
    row = NONE if way.sequential is None else f"{way.sequential:.2f}"
    return row, NONE if way.latency_ratio is None else f"{way.latency_ratio:.2f}x"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def share(found: Interval) -> str:
    """`49.7 [45.2, 54.0]`, percent; a dash where there is no figure."""
    if math.isnan(found.estimate):
        return NONE
    estimate, low, high = (f"{100 * v:.1f}" if v < 0.9995 else f"{100 * v:.0f}" for v in _ends(found))
    return f"{estimate} [{low}, {high}]"


def _ends(found: Interval) -> tuple[float, float, float]:
    return found.estimate, found.low, found.high


def half(found: Interval, form: str) -> str:
    """`0.674±0.054`: half of the interval's length; a dash where there is no figure."""
    if math.isnan(found.estimate):
        return NONE
    length = (found.high - found.low) / 2
    scale = 100 if form == PERCENT else 1
    return f"{scale * found.estimate:{form}}±{scale * length:{form.lstrip('+')}}"
