"""A document as lines and pieces: what stands beside what.

Knows line ends, columns (tabs, wide gaps), brackets and labels that end with a colon. Does not know what a piece means.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

_CUT = re.compile(
    r"\t+|[ \u00a0]{2,}|(?=[(\[])|(?<=[)\]])|(?<=[:;])(?![\d/])|[ ]\|[ ]|(?<=\s)(?=\d{5,8}-?[A-Z](?!\w))"
    r"|(?<=[\s,.])(?=(?:tel|phone|fax|h/p|mobile|e-?mail|www|gst|vat|tax)\b)"
    r"|(?<=[\s,.])(?=(?:co|company|reg|registration|roc)\b\.?\s?(?:no|reg|id|#|:))",
    re.IGNORECASE,
)
MOST_PIECES = 4000
"""Pieces of a document that are looked at; what follows has none."""


class Piece(msgspec.Struct, frozen=True):
    """document[start:end], without blanks around. `opens`, `closes`: the first and the last of its line."""

    start: int
    end: int
    line: int
    opens: bool
    closes: bool


class Layout(msgspec.Struct, frozen=True):
    """Lines are (start, end) without the line break; blank ones are left out of both."""

    lines: tuple[tuple[int, int], ...]
    pieces: tuple[Piece, ...]


@lru_cache(maxsize=2)  # the finders of a document's fields come one after the other
def read_layout(document: str) -> Layout:
    """The lines and pieces of `document`."""
    lines: list[tuple[int, int]] = []
    pieces: list[Piece] = []
    start = 0
    for raw in document.splitlines(keepends=True):
        begin, end = _stripped(document, start, start + len(raw))
        start += len(raw)
        if begin == end:
            continue
        if len(pieces) < MOST_PIECES:
            _cut(document, begin, end, len(lines), pieces)
        lines.append((begin, end))
    return Layout(tuple(lines), tuple(pieces))


def _cut(document: str, begin: int, end: int, line: int, pieces: list[Piece]) -> None:
    spans, at = [], begin
    for match in _CUT.finditer(document, begin, end):
        spans.append(_stripped(document, at, match.start()))
        at = match.end()
    spans.append(_stripped(document, at, end))
    spans = [span for span in spans if span[0] < span[1]]
    for n, (start, stop) in enumerate(spans):
        pieces.append(Piece(start, stop, line, n == 0, n == len(spans) - 1))


def _stripped(document: str, start: int, end: int) -> tuple[int, int]:
    while start < end and document[start].isspace():
        start += 1
    while end > start and document[end - 1].isspace():
        end -= 1
    return start, end


def line_at(layout: Layout, position: int) -> int:
    """The number of the line that holds `position`."""
    low, high = 0, len(layout.lines)
    while low < high:
        middle = (low + high) // 2
        if layout.lines[middle][1] < position:
            low = middle + 1
        else:
            high = middle
    return min(low, len(layout.lines) - 1)
