"""Undoes what hides characters: full-width and other digits, zero-width characters, look-alike separators, escapes.

Knows Unicode. Does not know what is looked for. A text of plain ASCII passes at the cost of one flag; of any other,
each odd character is replaced by one plain one, so that positions hold; only characters without a width are dropped,
and then the places of the rest are kept.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

ZERO_WIDTH = (
    "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff"
)
_DROPPED = re.compile(f"[{ZERO_WIDTH}]")
_ODD = re.compile(
    "[^\x00-\u024f\u0370-\u052f\u1e00-\u1eff\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]|[\u00a0\u00b2\u00b3\u00b9\u00ad]"
)
"""Anything outside Latin, Greek, Cyrillic, kana, common Han and Hangul: the only characters that can be disguises."""

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u02d7\ufe58\ufe63\uff0d"
_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\u2028\u2029"
_LOOKALIKES = {"\u2024": ".", "\u3002": ".", "\uff61": ".", "\ufe52": ".", "\ufe6b": "@", "\u2215": "/", "\u2044": "/"}
_RANGES = (
    (0x2070, 0x218A),
    (0x2460, 0x24EB),
    (0xFE50, 0xFE70),
    (0xFF00, 0xFFF0),
    (0x1D400, 0x1D800),
    (0x1F100, 0x1F16A),
)
_ZEROS = (
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20,
    0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0,
    0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0x104A0, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0,
    0x11650, 0x116C0, 0x11730, 0x118E0, 0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16B50, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
)  # fmt: skip
"""Where each script's digits begin (Unicode general category Nd)."""

_ESCAPE = re.compile(r"\\u00([2-7][0-9a-fA-F])")


@cache
def _plain() -> dict[int, str]:
    """Odd character -> the one plain character that it stands for."""
    table = {zero + digit: str(digit) for zero in _ZEROS for digit in range(10)}
    for first, last in _RANGES:
        for point in range(first, last):
            folded = unicodedata.normalize("NFKC", chr(point))
            if len(folded) == 1 and folded.isascii():
                table[point] = folded
    table.update(dict.fromkeys(map(ord, _DASHES), "-"))
    table.update(dict.fromkeys(map(ord, _SPACES), " "))
    table.update({ord(odd): plain for odd, plain in _LOOKALIKES.items()})
    return table


class Plain:
    """A text to look through, and where each of its characters stood (`places` None: where it stands now).

    `places` has one entry more than the text: where the original ends.
    """

    __slots__ = ("places", "text")

    def __init__(self, text: str, places: Sequence[int] | None = None) -> None:
        self.text, self.places = text, places

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the text as it came that `text[start:end]` covers; what was dropped inside it is covered too."""
        if self.places is None:
            return start, end
        return self.places[start], self.places[end]


def plain(text: str) -> Plain:
    """`text` without disguises. Linear in its length."""
    escaped = "\\u00" in text
    if text.isascii() and not escaped:
        return Plain(text)
    places: list[int] | None = None
    if not text.isascii() and _ODD.search(text) is not None:
        text = text.translate(_plain())
        if _DROPPED.search(text) is not None:
            places = [at for at, char in enumerate(text) if _DROPPED.match(char) is None]
            places.append(len(text))
            text = _DROPPED.sub("", text)
    if escaped:
        text, places = _unescaped(text, places)
    return Plain(text, places)


def _unescaped(text: str, places: list[int] | None) -> tuple[str, list[int]]:
    """JSON inside JSON (a tool call's arguments) may write `@` as \\u0040."""
    before: Sequence[int] = range(len(text) + 1) if places is None else places
    parts: list[str] = []
    after: list[int] = []
    at = 0
    for match in _ESCAPE.finditer(text):
        parts += [text[at : match.start()], chr(int(match[1], 16))]
        after += [*before[at : match.start()], before[match.start()]]
        at = match.end()
    parts.append(text[at:])
    after += before[at:]
    return "".join(parts), after
