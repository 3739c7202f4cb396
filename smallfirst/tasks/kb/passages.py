"""A document's text -> passages: short stretches of it, each with the headings it stands under and where it is.

Knows Markdown headings, paragraphs and sentences. Does not know formats (text/documents.py), files or the store.

`text[start:end]` is a passage word for word: a citation can be looked up in the document. A passage ends where a
paragraph ends if it can, else where a sentence does, and begins with the last sentence of the one before, so that what
two sentences say together is found together. It never crosses a heading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

LONG = 1000
"""Characters that a passage has at most: two windows of the sentence encoder, and short enough to quote."""

OVERLAP = 200
"""The last sentence of the passage before is repeated where it is no longer than this."""

LONGEST_TITLE = 200

WINDOW = 480
"""Characters that are embedded at once, title included: about what the encoder reads in one go (126 tokens)."""

TITLE_SHARE = 120
"""Of a window, at most so many characters are the title."""

_HEADING = re.compile(r"^[ ]{0,3}(#{1,6})[ \t]+(\S.*?)[ \t]*#*[ \t]*$")
_FENCE = re.compile(r"^[ ]{0,3}(```|~~~)")
_GAP = re.compile(r"[ \t\r]*\n[ \t\r]*\n")
_STOP = re.compile(r"""[.!?]["')\]]*\s+|\n\s*""")


class Piece(msgspec.Struct, frozen=True):
    """One passage of a document; `title` holds the document's title and the headings above, joined by ` > `."""

    title: str
    text: str
    start: int
    end: int


class _Section(msgspec.Struct):
    """What stands between two headings."""

    headings: tuple[str, ...]
    start: int
    end: int


def split(text: str, name: str) -> list[Piece]:
    """The passages of a document, in order. `name` is its title where it has no heading of its own."""
    pieces = []
    for section in _sections(text):
        title = " > ".join(dict.fromkeys(section.headings or (name,)))[:LONGEST_TITLE]
        pieces += [Piece(title, text[start:end], start, end) for start, end in _cut(text, section.start, section.end)]
    return pieces


def windows(title: str, text: str) -> list[str]:
    """What is embedded of a passage: whole sentences up to WINDOW characters at a time, each time under the title.

    A question is as near to a passage as to the nearest of these: a vector of all of a long passage is near to nothing.
    """
    head = f"{title[-TITLE_SHARE:]}\n" if title else ""
    room = WINDOW - len(head)
    found: list[str] = []
    start = stop = 0
    for unit_start, unit_end in _units(text, 0, len(text), room):
        if unit_end - start > room and stop > start:
            found.append(head + text[start:stop])
            start = unit_start
        stop = unit_end
    return [*found, head + text[start:stop]]


def _sections(text: str) -> Iterator[_Section]:
    """Stretches between headings; those without a word are left out."""
    above: list[tuple[int, str]] = []
    start = at = 0
    fenced = False
    for line in text.splitlines(keepends=True):
        fenced ^= bool(_FENCE.match(line))
        found = None if fenced else _HEADING.match(line.rstrip("\r\n"))
        if found:
            yield _Section(tuple(title for _, title in above), start, at)
            level = len(found[1])
            above = [*((depth, title) for depth, title in above if depth < level), (level, found[2])]
            start = at + len(line)
        at += len(line)
    yield _Section(tuple(title for _, title in above), start, at)


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the passages between two places, blanks at both ends left out."""
    units = list(_units(text, start, end, LONG))
    first = 0
    while first < len(units):
        last = first
        while last + 1 < len(units) and units[last + 1][1] - units[first][0] <= LONG:
            last += 1
        last = _at_paragraph(text, units, first, last)
        yield units[first][0], units[last][1]
        if last + 1 == len(units):
            return
        again = last > first and units[last][1] - units[last][0] <= OVERLAP and _fits(units, last)
        first = last if again else last + 1


def _fits(units: list[tuple[int, int]], last: int) -> bool:
    """Whether the sentence to repeat leaves room for the one after it."""
    return units[last + 1][1] - units[last][0] <= LONG


def _at_paragraph(text: str, units: list[tuple[int, int]], first: int, last: int) -> int:
    """The last unit that ends a paragraph, where that leaves the passage at least half as long as it may be."""
    if last + 1 == len(units):
        return last
    for unit in range(last, first, -1):
        if units[unit][1] - units[first][0] < LONG // 2:
            break
        if _GAP.match(text, units[unit][1]):
            return unit
    return last


def _units(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """Sentences and lines without the blanks around them; a longer one in parts of at most `most`, at blanks if any."""
    at = start
    while at < end:
        stop = _STOP.search(text, at, end)
        after = stop.end() if stop else end
        yield from _parts(text, at, after, most)
        at = after


def _parts(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    while True:
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        if start == end:
            return
        if end - start <= most:
            yield start, end
            return
        least, last = start + most // 2, start + most
        blank = max(text.rfind(" ", least, last), text.rfind("\n", least, last))
        cut = blank if blank > 0 else last
        yield start, cut
        start = cut
