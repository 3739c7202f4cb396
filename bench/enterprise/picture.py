"""The path of the mix as a page: quality loss against cost, where it was certified and chosen, and who served what."""

from __future__ import annotations

import importlib.resources

from judge import Line

from smallfirst.evals.svg import Plot, key, stacked

MOST = 0.18
"""Loss at the edge of the plot."""


def page(lines: list[Line], path: dict[str, list[float]]) -> str:
    """One HTML page that fetches nothing. `path`: means of each setting on the report part."""
    style = (importlib.resources.files("smallfirst.evals") / "data" / "evaluation.css").read_text("utf-8")
    plot = Plot(
        (0, 1), (0, MOST), x_label="cost, of all-frontier", y_label="quality loss", title="Loss against cost",
        y_text="{:.0%}".format,
    )  # fmt: skip
    cost = [usd / path["usd"][0] for usd in path["usd"]]
    loss = [1 - score / path["score"][0] for score in path["score"]]
    plot.line([(x, max(y, 0)) for x, y in zip(cost, loss, strict=True) if y <= MOST], "s0", "the path")
    for n, line in enumerate(lines):
        if 0 <= line.loss <= MOST:
            point = (line.cost, line.loss)
            plot.mark(point, "square" if n < 2 else "circle", f"s{n % 8}", f"{line.way}: {line.loss:.2%}")
            plot.label(point, line.way)
    bars = []
    for line in lines[:2]:
        kinds = [("slm", "t0"), ("mid", "t1")]
        for name, one in line.sources.items():
            shares = [(one[tier], style, tier) for tier, style in kinds]
            shares.append((1 - one["slm"] - one["mid"], "t2", "frontier"))
            bars.append((f"{name}, {line.way.split(',')[0]}", shares))
    served = stacked(bars, "Who served, by source") + key(
        [("square", "t0", "SLM tier"), ("square", "t1", "mid"), ("square", "t2", "frontier")]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>The enterprise mix</title>'
        f"<style>{style}</style></head><body><main><h1>The enterprise mix</h1><figure><h3>The path</h3>{plot.svg()}"
        f"</figure><figure><h3>Who served</h3>{served}</figure></main></body></html>\n"
    )
