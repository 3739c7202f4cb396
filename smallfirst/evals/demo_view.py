"""How the demo looks: a quality-cost plot in Braille dots, bars of tier shares, counters, a table at the end.

Knows rich and the demo's numbers. Computes none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from smallfirst.core import NANO
from smallfirst.evals.demo import Point, Served

WIDEST, HEIGHT = 44, 12
"""Of the plot, in characters; each holds 2 x 4 dots."""

BESIDE = 48
"""Columns for everything that is not the plot."""

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
COLOURS: Mapping[str, str] = {"slm": "green", "mid": "cyan", "frontier": "magenta"}
BAR = 16


class Frame(msgspec.Struct, frozen=True):
    """All that one picture shows."""

    total: int
    served: Sequence[Served]
    path: Sequence[tuple[float, float]]
    marks: Sequence[Point]
    notes: Sequence[str]


class Canvas:
    """Braille dots in colours over `x` and `y` in 0..1; later colours win within a character."""

    def __init__(self, width: int, height: int, low: float) -> None:
        self._width, self._height, self._low = width, height, low
        self._dots = [[0] * width for _ in range(height)]
        self._style = [[""] * width for _ in range(height)]
        self._letters: dict[tuple[int, int], str] = {}

    def dot(self, x: float, y: float, style: str) -> None:
        column, row = self._at(x, y)
        self._dots[row // 4][column // 2] |= DOTS[row % 4][column % 2]
        self._style[row // 4][column // 2] = style

    def line(self, start: tuple[float, float], end: tuple[float, float], style: str, *, every: int = 1) -> None:
        (x0, y0), (x1, y1) = self._at(*start), self._at(*end)
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(0, steps + 1, every):
            share = step / steps
            self.dot(start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]), style)

    def letter(self, x: float, y: float, letter: str, style: str) -> None:
        column, row = self._at(x, y)
        self._letters[row // 4, column // 2] = letter
        self._style[row // 4][column // 2] = style

    def rows(self) -> list[Text]:
        rows = []
        for row in range(self._height):
            text = Text()
            for column in range(self._width):
                bits = self._dots[row][column]
                char = self._letters.get((row, column)) or (chr(0x2800 + bits) if bits else " ")
                text.append(char, self._style[row][column])
            rows.append(text)
        return rows

    def _at(self, x: float, y: float) -> tuple[int, int]:
        column = round(min(1.0, max(0.0, x)) * (self._width * 2 - 1))
        height = (min(1.0, max(self._low, y)) - self._low) / (1.0 - self._low)
        return column, round((1.0 - height) * (self._height * 4 - 1))


def picture(frame: Frame, width: int = 100) -> RenderableType:
    """The whole screen, `width` columns wide: plot on the left, bars and counters on the right, notes below."""
    grid = Table.grid(padding=(0, 2))
    grid.add_row(plot(frame, min(WIDEST, max(20, width - BESIDE))), Group(bars(frame), Text(), counters(frame)))
    notes = Group(*(Text(note, "dim") for note in frame.notes))
    return Padding(Group(grid, Text(), notes), (1, 1))


def plot(frame: Frame, width: int) -> RenderableType:
    """Quality over cost: the path so far, the single models as letters, chance mixes as a dotted line."""
    marks = {point.name: point for point in frame.marks}
    low = min(0.9, *(int(point.quality * 10) / 10 for point in frame.marks))
    canvas = Canvas(width, HEIGHT, low)
    slm, top = marks["always slm"], marks["always frontier"]
    canvas.line((slm.cost, slm.quality), (top.cost, top.quality), "bright_black", every=4)
    for start, end in zip(frame.path, frame.path[1:], strict=False):
        canvas.line(start, end, "green")
    for name, letter in (("always slm", "S"), ("always mid", "M"), ("always frontier", "F")):
        canvas.letter(marks[name].cost, marks[name].quality, letter, "bold")
    canvas.letter(*frame.path[-1], "●", "bold green")
    lines = [Text("quality, share of all-frontier", "dim")]
    for number, row in enumerate(canvas.rows()):
        label = "100%" if number == 0 else f"{low:4.0%}" if number == HEIGHT - 1 else "    "
        lines.append(Text.assemble((f"{label} ", "dim"), ("│", "dim"), row))
    lines.append(Text("     └" + "─" * width, "dim"))
    below = "cost, share of all-frontier" if width > 36 else "cost"
    lines.append(Text("      0%" + below.center(width - 6) + "100%", "dim"))
    return Group(*lines)


def bars(frame: Frame) -> RenderableType:
    """Who served how much."""
    table = Table.grid(padding=(0, 1))
    for tier, share in shares(frame.served).items():
        full = round(share * BAR)
        bar = Text("▇" * full, COLOURS[tier]) + Text("·" * (BAR - full), "bright_black")
        table.add_row(Text(tier, "bold"), bar, f"{share:4.0%}")
    return table


def counters(frame: Frame) -> RenderableType:
    """The figures so far."""
    served = frame.served
    cost, whole = sum(it.cost for it in served), sum(it.frontier_cost for it in served)
    table = Table.grid(padding=(0, 2))
    table.add_row(Text("served", "dim"), f"{len(served)} of {frame.total}")
    table.add_row(Text("cost", "dim"), Text(f"${cost / NANO:.5f}", "bold green"))
    table.add_row(Text("all-frontier", "dim"), f"${whole / NANO:.5f}")
    if served:
        saved = 1 - cost / max(1, whole)
        table.add_row(Text("saved", "dim"), Text(f"{saved:.1%}", "bold green"))
        table.add_row(Text("quality", "dim"), f"{sum(it.score for it in served) / len(served):.1%}")
        handed = sum(it.attempts > 1 for it in served)
        table.add_row(Text("tried small, handed up", "dim"), str(handed))
        overhead = sorted(it.overhead_us for it in served)[len(served) // 2]
        table.add_row(Text("gateway's own time, p50", "dim"), f"{overhead / 1000:.1f} ms")
    return table


def shares(served: Sequence[Served]) -> dict[str, float]:
    """Tier -> share of what was served, in the order of the tiers."""
    return {tier: sum(it.tier == tier for it in served) / max(1, len(served)) for tier in COLOURS}


def plain_line(frame: Frame) -> str:
    """The same in one line, for a log."""
    parts = [f"{len(frame.served):4d}/{frame.total}"]
    parts += [f"{tier} {share:.0%}" for tier, share in shares(frame.served).items()]
    cost, quality = frame.path[-1]
    parts.append(f"cost {cost:.0%} and quality {quality:.1%} of all-frontier (the rest still with the frontier)")
    return "  ".join(parts)


def result(routed: Point, others: Sequence[Point]) -> RenderableType:
    """What was served beside the baselines."""
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    table.add_column("")
    for name in ("quality", "95% interval", "cost", "saved"):
        table.add_column(name, justify="right")
    for point in (routed, *others):
        low, high = point.interval()
        exact = point.name in {"always frontier", "always mid"}
        interval = "assumed" if exact else f"{low:.1%} - {high:.1%}"
        style = "bold green" if point is routed else ""
        table.add_row(
            point.name, f"{point.quality:.1%}", interval, f"{point.cost:.1%}", f"{1 - point.cost:.1%}", style=style
        )
    doubt = Text(
        "Here always mid would do: it answers from gold. Real mid models are wrong at times: docs/benchmarks.md."
    )
    return Padding(Group(table, doubt), (0, 1))
