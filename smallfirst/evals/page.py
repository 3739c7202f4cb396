"""An evaluation as one HTML page: plots, tables, definitions. It fetches nothing, runs no script, works from a file.

Knows the report and how it is laid out. Every word that comes from the data is escaped.
"""

from __future__ import annotations

import importlib.resources
from html import escape

from smallfirst.evals import page_tables, plots
from smallfirst.evals.evaluation_report import Report
from smallfirst.evals.page_tables import percent, seconds, span

DEFINITIONS = {
    "cost": "dollars of every attempt, the whole panel and stopped calls in full, over those of always the baseline",
    "quality": "mean score over the baseline's mean score on the same prompts; 95% bootstrap over prompt groups",
    "PGR, APGR, CPT": "share of the gap between the weak and the strong model that is recovered; its mean over all "
    "shares of strong calls; the least share with which half, or four fifths, is recovered (RouteLLM, Ong et al. 2024, "
    "section 2.2). A coin has APGR 0.5.",
    "AIQ": "mean height of the non-decreasing hull in the quality-cost plane, from the cheapest to the dearest single "
    "model (RouterBench, Hu et al. 2024, section 3.2)",
    "CostSave": "cost saved at no lower a mean score than the best single model's (LLMRouterBench, Li et al. 2026); a "
    "dash where that score is not reached",
    "ECE, Brier, AUROC": "expected calibration error over 15 bins of equal width (Guo et al. 2017); Brier 1950; the "
    "chance that a right answer was given more than a wrong one, over all rows and inside each category",
    "oracle": "for each query the cheapest model that was right; it knows the scores, so it is a bound and no router",
    "latency": "stated laws, see the table of models: assumptions, not measurements",
    "calls in a row": "calls on the critical path; a panel asked side by side counts as one",
}


def page(report: Report) -> str:
    """The whole document."""
    style = (importlib.resources.files("smallfirst.evals") / "data" / "evaluation.css").read_text("utf-8")
    tables = (
        ("Ways to route", page_tables.ways(report)),
        ("At equal cost", page_tables.beside(report)),
        ("Categories and slices", page_tables.slices(report)),
        ("Curves", page_tables.curves(report)),
        ("Probabilities", page_tables.estimates(report)),
        ("Models, prices, latency laws", page_tables.models(report)),
    )
    body = [_head(report), _facts(report), _notes(report), _figures(report)]
    body += [f"<h2>{title}</h2>{table}" for title, table in tables if table]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Evaluation: {escape(report.data)}</title><style>{style}</style></head>"
        f"<body><main>{''.join(body)}{_foot()}</main></body></html>\n"
    )


def _head(report: Report) -> str:
    split = (
        f"chosen on {report.fit.prompts:,} prompts ({report.fit.groups:,} groups), "
        f"reported on {report.report.prompts:,} others ({report.report.groups:,} groups)"
    )
    return (
        f"<h1>Evaluation: {escape(report.data)}</h1>"
        f'<p class="soft">{split}; baseline <b>{escape(report.baseline)}</b>; seed {report.seed}, {report.draws:,} '
        f"resamples; data <code>{report.digest}</code>; smallfirst {escape(report.smallfirst)}</p>"
    )


def _facts(report: Report) -> str:
    """What the first way does: the default policy, else the agreement rule, else a query router."""
    way = report.ways[0]
    facts = [
        (percent(way.cost.estimate), f"of the cost of always {report.baseline}", span(way.cost)),
        (percent(way.relative.estimate), "of its quality", span(way.relative)),
    ]
    if way.latency and way.latency_ratio is not None:
        mean = f"{seconds(way.latency.mean_us)} s, p95 {seconds(way.latency.p95_us)} s"
        facts.append((percent(way.latency_ratio), "of its mean latency, by stated law", mean))
    if way.sequential is not None:
        facts.append((f"{way.sequential:.2f}", "calls in a row, mean", f"{way.calls:.2f} calls in all"))
    boxes = "".join(
        f'<div class="fact"><span>{escape(label)}</span><b>{big}</b><span>{small}</span></div>'
        for big, label, small in facts
    )
    words = " ".join(part for part in (escape(way.note), "Measured, not certified.") if part)
    return f'<h2>{escape(way.name)}</h2><p class="soft">{words}</p><div class="facts">{boxes}</div>'


def _notes(report: Report) -> str:
    if not report.notes:
        return ""
    return f'<div class="notes"><ul>{"".join(f"<li>{escape(note)}</li>" for note in report.notes)}</ul></div>'


def _figures(report: Report) -> str:
    pair = f"from {report.weak} to {report.baseline}"
    drawn = (
        ("Quality and cost", "Up and to the left is better. Lines are hulls: what a coin between settings reaches."),
        ("Deferral", f"Quality as more queries go {pair}. Higher and earlier is better.{_more_models(report)}"),
        ("Calibration", "On the diagonal, what is said comes true. The size of a mark is its share of the rows."),
        ("Who served", "Share of queries for which each tier's answer was served."),
        ("Latency", "Time to the whole answer, by the stated laws."),
    )
    pictures = (
        plots.quality_cost(report),
        plots.deferral(report),
        plots.calibration(report) if report.estimates else "",
        plots.tier_shares(report),
        plots.latencies(report),
    )
    figures = [
        f'<figure class="{"wide-figure" if at == 0 else "half"}"><h3>{title}</h3>'
        f"<figcaption>{escape(words)}</figcaption>{picture}</figure>"
        for at, ((title, words), picture) in enumerate(zip(drawn, pictures, strict=True))
        if picture
    ]
    return f'<h2>Plots</h2><div class="figures">{"".join(figures)}</div>'


def _more_models(report: Report) -> str:
    """What has to be said where a curve has more than the two models."""
    ours = {"kNN", "k-means table", "query-only", "random", "oracle"}
    others = [one.name for one in report.deferrals if one.name not in ours]
    words = f" {', '.join(others)} asks other models too, and may pass the dotted line, which has only two."
    return words if others else ""


def _foot() -> str:
    terms = "".join(f"<dt>{escape(term)}</dt><dd>{escape(words)}</dd>" for term, words in DEFINITIONS.items())
    return f"<footer><h3>Definitions</h3><dl>{terms}</dl></footer>"
