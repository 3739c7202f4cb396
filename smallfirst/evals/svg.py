"""Small plots as SVG text: axes with round numbers, lines, marks, bars, labels that keep clear of each other.

Knows coordinates. Does not know what is plotted, nor colours: every element has a class, and the page's style sheet
gives it its colour in light and in dark. Nothing is fetched; the text is complete in itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

Point = tuple[float, float]

LETTER = 6.1
"""Width of a letter at 11 px, about, to keep labels clear of each other."""


def nice_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    rough = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A coordinate with one decimal, without a superfluous zero."""
    return f"{value:.1f}".removesuffix(".0")


class Plot:
    """A plane with axes. x and y are in the data's units; `style` classes: axis, grid, s0..s9, muted, label."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        x_label: str,
        y_label: str,
        title: str,
        x_text: Callable[[float], str] = "{:g}".format,
        y_text: Callable[[float], str] = "{:g}".format,
        width: int = 560,
        height: int = 380,
        left: int = 54,
    ) -> None:
        self.x, self.y, self.width, self.height, self.title = x, y, width, height, title
        self.left, self.right, self.top, self.bottom = left, 16, 14, 46
        self._parts: list[str] = []
        self._boxes: list[tuple[float, float, float, float]] = []
        self._axes(x_label, y_label, x_text, y_text)

    def at(self, x: float, y: float) -> Point:
        """Where a point of the data lies on the picture; outside the axes it is moved to their edge."""
        (x0, x1), (y0, y1) = self.x, self.y
        across = (min(max(x, x0), x1) - x0) / (x1 - x0)
        up = (min(max(y, y0), y1) - y0) / (y1 - y0)
        return (
            self.left + across * (self.width - self.left - self.right),
            self.height - self.bottom - up * (self.height - self.top - self.bottom),
        )

    def line(self, points: Sequence[Point], style: str, title: str = "") -> None:
        """A line through points in order."""
        if len(points) < 2:
            return
        path = "M" + " L".join(f"{number(px)} {number(py)}" for px, py in (self.at(*point) for point in points))
        self._parts.append(f'<path class="line {style}" d="{path}">{_title(title)}</path>')

    def mark(self, point: Point, shape: str, style: str, title: str = "") -> None:
        """One mark: circle, square, diamond, cross or triangle."""
        px, py = self.at(*point)
        self._boxes.append((px - 6, py - 6, px + 6, py + 6))
        self._parts.append(_mark(px, py, shape, style, title))

    def dot(self, point: Point, radius: float, style: str, title: str = "") -> None:
        """A round mark whose size says something; labels need not keep clear of it."""
        px, py = self.at(*point)
        self._parts.append(
            f'<circle class="dot {style}" cx="{number(px)}" cy="{number(py)}" r="{number(radius)}">'
            f"{_title(title)}</circle>"
        )

    def row_name(self, y: float, text: str) -> None:
        """Words left of the axis, for rows that have names instead of numbers."""
        _, py = self.at(self.x[0], y)
        self._parts.append(_text(self.left - 10, py + 4, _short(text, 25), "label", "end"))

    def bar(self, low: Point, high: Point, style: str, title: str = "") -> None:
        """A box from one corner to the other."""
        (x0, y0), (x1, y1) = self.at(*low), self.at(*high)
        left, top, width, height = min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)
        self._parts.append(
            f'<rect class="{style}" x="{number(left)}" y="{number(top)}" width="{number(width)}" '
            f'height="{number(height)}">{_title(title)}</rect>'
        )

    def label(self, point: Point, text: str, style: str = "label") -> None:
        """Words beside a point, on the first side where they touch nothing that is there already; else left out."""
        px, py = self.at(*point)
        long = len(text) * LETTER
        for dx, dy, anchor in ((9, 4, "start"), (-9, 4, "end"), (0, -10, "middle"), (0, 18, "middle"), (9, -8, "start"),
                               (9, 16, "start"), (-9, -8, "end"), (-9, 16, "end")):  # fmt: skip
            begin = px + dx - {"start": 0.0, "middle": long / 2, "end": long}[anchor]
            box = (begin, py + dy - 10, begin + long, py + dy + 2)
            inside = (
                box[0] > self.left and box[2] < self.width - 2 and box[1] > 2 and box[3] < self.height - self.bottom
            )
            if inside and not any(_touch(box, other) for other in self._boxes):
                self._boxes.append(box)
                self._parts.append(_text(px + dx, py + dy, text, style, anchor))
                return

    def svg(self) -> str:
        """The whole picture."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(self.title)}">'
            f"{''.join(self._parts)}</svg>"
        )

    def _axes(self, x_label: str, y_label: str, x_text: Callable[[float], str], y_text: Callable[[float], str]) -> None:
        base, edge = self.height - self.bottom, self.width - self.right
        for tick in nice_ticks(*self.x):
            px, _ = self.at(tick, self.y[0])
            self._parts.append(_rule(px, self.top, px, base, "grid"))
            self._parts.append(_text(px, base + 17, x_text(tick), "tick", "middle"))
        for tick in nice_ticks(*self.y):
            _, py = self.at(self.x[0], tick)
            self._parts.append(_rule(self.left, py, edge, py, "grid"))
            self._parts.append(_text(self.left - 8, py + 4, y_text(tick), "tick", "end"))
        self._parts.append(_rule(self.left, base, edge, base, "axis"))
        self._parts.append(_text((self.left + edge) / 2, self.height - 8, x_label, "name", "middle"))
        middle = number((self.top + base) / 2)
        self._parts.append(
            f'<text class="name" text-anchor="middle" transform="translate(13 {middle}) rotate(-90)">'
            f"{escape(y_label)}</text>"
        )


def key(entries: Sequence[tuple[str, str, str]]) -> str:
    """A legend as HTML: (shape or "line", style, words) each."""
    items = []
    for shape, style, words in entries:
        drawn = f'<path class="line {style}" d="M1 7 L21 7"/>' if shape == "line" else _mark(11, 7, shape, style, "")
        items.append(f'<li><svg viewBox="0 0 22 14" aria-hidden="true">{drawn}</svg>{escape(words)}</li>')
    return f'<ul class="key">{"".join(items)}</ul>'


def stacked(rows: Sequence[tuple[str, Sequence[tuple[float, str, str]]]], title: str, width: int = 560) -> str:
    """Horizontal stacked bars: (name, [(share 0..1, style, words)]) a row."""
    name_width, step = 170, 26
    parts = []
    for row, (name, shares) in enumerate(rows):
        top = row * step + 4
        parts.append(_text(name_width - 10, top + 14, _short(name, 25), "label", "end"))
        begun = float(name_width)
        for share, style, words in shares:
            long = share * (width - name_width - 4)
            if long <= 0:
                continue
            parts.append(
                f'<rect class="fill {style}" x="{number(begun)}" y="{top}" width="{number(max(long - 1, 0.5))}" '
                f'height="18"><title>{escape(f"{name}: {words} {share:.1%}")}</title></rect>'
            )
            if long > 34:
                parts.append(_text(begun + long / 2, top + 13, f"{share:.0%}", "inbar", "middle"))
            begun += long
    height = len(rows) * step + 6
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""


def _rule(x0: float, y0: float, x1: float, y1: float, style: str) -> str:
    return f'<line class="{style}" x1="{number(x0)}" y1="{number(y0)}" x2="{number(x1)}" y2="{number(y1)}"/>'


def _text(x: float, y: float, text: str, style: str, anchor: str) -> str:
    return f'<text class="{style}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">{escape(text)}</text>'


def _touch(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _mark(px: float, py: float, shape: str, style: str, title: str) -> str:
    if shape == "circle":
        return f'<circle class="mark {style}" cx="{number(px)}" cy="{number(py)}" r="4">{_title(title)}</circle>'
    corners = {
        "square": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
        "diamond": ((0, -6), (6, 0), (0, 6), (-6, 0)),
        "triangle": ((0, -5.5), (5.5, 4.5), (-5.5, 4.5)),
    }[shape]
    path = "M" + " L".join(f"{number(px + dx)} {number(py + dy)}" for dx, dy in corners) + "Z"
    return f'<path class="mark {style}" d="{path}">{_title(title)}</path>'
