"""A capped sample of a text: four short segments, folded to words and symbols.

Knows where to look in a text and how to fold it. Does not know what any word means. The work is bounded by the cap,
never by the text's length: a long text is sliced before anything reads it.

A text that fits is read whole. Of a longer one: a segment at the start, one at the end, two spread between. Whatever is
appended or prepended, and however long it is, a segment of the text as it was stays in the sample, and no segment gives
more than WORDS words.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from itertools import pairwise

SEGMENTS = 4
WIDTH = 128  # characters in a segment
WORDS = 20  # words taken from a segment; the rest of it is left out
CAP = SEGMENTS * WIDTH
SYMBOLS = b"$\\{}()[]=+-*/<>^_\"'?!:;,.%&|#@~`\n\t"
"""Bytes whose mere presence is a feature; everything else that is not a letter or digit only parts words."""

LENGTHS = 17
"""Classes of length: the bit length of the number of characters, at most 16."""

_FOLD = bytes.maketrans(
    bytes(range(128)),
    "".join(
        c.lower() if c in string.ascii_letters else "0" if c in string.digits else " " for c in map(chr, range(128))
    ).encode(),
)
"""Lower case, every digit a 0, everything else that is ASCII a space. Non-ASCII bytes (UTF-8) stay as they are."""
_NOT_SYMBOLS = bytes(byte for byte in range(256) if byte not in SYMBOLS)

THIRDS = 3
Words = list[bytes]
Segments = list[Words]


def sample(text: str) -> tuple[Segments, set[int]]:
    """(words of each segment in reading order, the symbols that occur in the sample as byte values).

    A text of at most CAP characters and SEGMENTS * WORDS words is read whole, as one segment.
    """
    if len(text) <= CAP:
        raw = text.encode("utf-8", "replace")
        words = raw.translate(_FOLD).split()
        if len(words) <= SEGMENTS * WORDS:
            return [words], set(raw.translate(None, _NOT_SYMBOLS))
    return _spread(text)


Piece = tuple[Words, Words, set[int]]
"""A part's words, the word that follows them if there is one, the part's symbols."""


def thirds(text: str) -> list[Piece] | None:
    """A text that fits, in three parts of as many words; None for one of under six words."""
    raw = text.encode("utf-8", "replace")
    words = raw.translate(_FOLD).split()
    size, length = len(words), len(raw)
    if size < 2 * THIRDS:
        return None
    cuts = [(size * part // THIRDS, length * part // THIRDS) for part in range(THIRDS + 1)]
    return [
        (words[at:end], words[end : end + 1], set(raw[start:stop].translate(None, _NOT_SYMBOLS)))
        for (at, start), (end, stop) in pairwise(cuts)
    ]


def units(segment: Sequence[bytes]) -> int:
    """How many segments' worth of words these are: 1..SEGMENTS; what they may add is bounded in proportion."""
    return max(1, -(-len(segment) // WORDS))


def _spread(text: str) -> tuple[Segments, set[int]]:
    width = min(WIDTH, -(-len(text) // SEGMENTS))
    last = len(text) - width
    slices = [text[at : at + width].encode("utf-8", "replace") for at in (0, last // 3, 2 * last // 3, last)]
    segments = [piece.translate(_FOLD).split(None, WORDS)[:WORDS] for piece in slices]
    return segments, set(b"".join(slices).translate(None, _NOT_SYMBOLS))


def length_class(text: str) -> int:
    """0..LENGTHS-1."""
    return min(LENGTHS - 1, len(text).bit_length())
