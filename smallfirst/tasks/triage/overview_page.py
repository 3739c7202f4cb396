"""An overview of triage as one HTML page: facts, coverage, confusion, other models. It fetches nothing.

Knows the overview and how it is laid out. Every word that comes from the data is escaped.
"""

from __future__ import annotations

import importlib.resources
from html import escape

from smallfirst.evals.page_tables import NONE, percent, table
from smallfirst.evals.svg import Plot
from smallfirst.tasks.certify import Certified
from smallfirst.tasks.triage.overview import Overview
from smallfirst.tasks.triage.report import Share

MOST_SQUARE = 24
"""Labels up to which the confusion matrix is shown whole; of more, the commonest mistakes."""

MOST_MISTAKES = 40
CURVE = "Triage alone, on the texts that it is surest of; the square is what it kept."


def page(name: str, found: Overview, certified: Certified | None = None) -> str:
    """The whole document; `name` says which data."""
    style = (importlib.resources.files("smallfirst.evals") / "data" / "evaluation.css").read_text("utf-8")
    parts = [
        f"<h1>Triage: {escape(name)}</h1>",
        f'<p class="soft">{escape(_about(found, certified))}</p>',
        _facts(found),
        '<div class="figures"><figure class="wide-figure"><h3>Accuracy at coverage</h3>'
        f"<figcaption>{CURVE}</figcaption>{_coverage(found)}</figure></div>",
        "<h2>Other models</h2>" + _beside(found) if found.beside else "",
        "<h2>Who answered</h2>" + _by(found.by_model, "answered by"),
        "<h2>Confusion</h2>" + (_matrix(found) if len(_names(found)) <= MOST_SQUARE else _mistakes(found)),
        "<h2>Labels</h2>" + _by(found.by_label, "true label"),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Triage: {escape(name)}</title><style>{style}</style></head>"
        f"<body><main>{''.join(parts)}{_foot()}</main></body></html>\n"
    )


def _about(found: Overview, certified: Certified | None) -> str:
    unread = f", {found.unread:,} more could not be read" if found.unread else ""
    words = f"{found.texts:,} texts with a known label{unread}."
    return f"{words} Certified: {certified.explain()}." if certified is not None else f"{words} Nothing is certified."


def _facts(found: Overview) -> str:
    boxes = [
        (percent(found.total.value), "right in all", span(found.total)),
        (percent(found.kept.n / found.texts), "kept by triage", _of_them(found.kept)),
        (percent(found.handed.n / found.texts), "handed up", _of_them(found.handed)),
        (f"{found.local_ms:.1f} ms", "triage, median a text", f"{found.ms:.1f} ms mean in all"),
    ]
    if found.unsure.n:
        share = percent(found.unsure.n / found.texts)
        boxes.insert(3, (share, "served though not sure", _of_them(found.unsure)))
    if found.cost_all_up_usd is not None:
        saved = f"${found.cost_all_up_usd:.4f} if all were handed up (mean call, estimated)"
        boxes.append((f"${found.cost_usd:.4f}", "paid", saved))
    if found.handed_ms is not None and found.ms > 0:
        faster = f"{found.handed_ms / found.ms:.1f} times faster than handing all up"
        boxes.append((f"{found.handed_ms:.0f} ms", "a call above, mean", faster))
    shown = "".join(
        f'<div class="fact"><span>{escape(label)}</span><b>{big}</b><span>{escape(small)}</span></div>'
        for big, label, small in boxes
    )
    return f'<div class="facts">{shown}</div>'


def _of_them(share: Share) -> str:
    return f"{percent(share.value)} of them right" if share.n else "none"


def span(share: Share) -> str:
    """`95% interval 88.1% .. 93.0%`."""
    return f"95% interval {100 * share.low:.1f}% .. {100 * share.high:.1f}%"


def _coverage(found: Overview) -> str:
    points = sorted((float(name.rstrip("%")) / 100, accuracy) for name, accuracy in found.at_coverage.items())
    low = min(accuracy for _, accuracy in points)
    plot = Plot(
        (points[0][0], 1.0),
        (max(0.0, low - 0.02) if low < 1 else 0.9, 1.0),
        x_label="share of texts kept",
        y_label="accuracy",
        title="Accuracy at coverage",
        x_text="{:.0%}".format,
        y_text="{:.1%}".format,
        width=1160,
        height=320,
        left=66,
    )
    plot.line(points, "s0", "triage alone")
    kept = found.kept.n / found.texts
    if kept > points[0][0]:
        plot.mark((kept, found.kept.value), "square", "s1", f"kept: {kept:.1%}, {found.kept.value:.1%} right")
    return plot.svg()


def _beside(found: Overview) -> str:
    heads = [
        "model",
        "asked of all",
        "with triage before it",
        "calls",
        "mean s",
        "with triage",
        "cost $",
        "with triage",
    ]
    rows = [
        ("", [
            escape(one.model), _shown(one.alone), _shown(one.together), percent(one.calls),
            _figure(one.seconds), _figure(one.seconds_together), _figure(one.cost_usd), _figure(one.cost_together_usd),
        ])
        for one in found.beside
    ]  # fmt: skip
    words = "Recorded answers of other models to the same texts: alone, and asked only where triage is not sure."
    return table(heads, rows, words)


def _by(shares: dict[str, Share], head: str) -> str:
    rows = [("", [escape(name), _shown(share), f"{share.n:,}"]) for name, share in shares.items()]
    return table([head, "right", "texts"], rows, "Of the answers that were served.")


def _names(found: Overview) -> list[str]:
    said = {name for row in found.confusion.values() for name in row}
    return sorted(said | set(found.confusion))


def _matrix(found: Overview) -> str:
    """True labels down, served ones across; mistakes are marked."""
    names = _names(found)
    rows = []
    for meant in names:
        row = found.confusion.get(meant, {})
        cells = [_cell(row.get(said, 0), right=said == meant) for said in names]
        rows.append(("", [escape(meant), *cells]))
    return table(["is \\ was called", *map(escape, names)], rows, "How many texts of a label (down) were called what.")


def _cell(count: int, *, right: bool) -> str:
    if not count:
        return ""
    return f"{count:,}" if right else f"\1{count:,}"


def _mistakes(found: Overview) -> str:
    wrong = [
        (count, meant, said)
        for meant, row in found.confusion.items()
        for said, count in row.items()
        if said != meant
    ]  # fmt: skip
    wrong.sort(key=lambda one: (-one[0], one[1:]))
    rows = [("", [escape(meant), f"\0{escape(said)}", str(count)]) for count, meant, said in wrong[:MOST_MISTAKES]]
    return table(["is", "was called", "texts"], rows, f"The commonest of {sum(c for c, *_ in wrong):,} mistakes.")


def _shown(share: Share) -> str:
    return f"{percent(share.value)} <small>{100 * share.low:.1f}{NONE}{100 * share.high:.1f}%</small>"


def _figure(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"


def _foot() -> str:
    terms = {
        "right": "the served set of labels is exactly the true one; Wilson's 95% interval (1927)",
        "kept": "triage's confidence reached its threshold; certified is what was proved on other texts",
        "handed up": "a larger model gave the label, constrained to the label set",
        "if all were handed up": "the mean cost of the calls that were made, times all texts: an estimate, since "
        "what is handed up may be longer than the rest",
    }
    said = "".join(f"<dt>{escape(term)}</dt><dd>{escape(words)}</dd>" for term, words in terms.items())
    return f"<footer><h3>Definitions</h3><dl>{said}</dl></footer>"
