"""Words, pairs of words, symbols and lengths -> packed rows of small weights, and a text's sums of them.

Knows how a row of bytes becomes one integer, so that one addition adds every field at once. Does not know what a field
means: the classifier and the heads do. A byte stands for a whole number of steps, 128 for none. In memory a field has
16 bits; sums come out signed.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise, repeat

from smallfirst.classify.sample import (
    LENGTHS,
    SEGMENTS,
    SYMBOLS,
    WORDS,
    length_class,
    sample,
    thirds,
    units,
)

ZERO = 128
FIELD_BITS = 16
OTHERS = len(SYMBOLS) + LENGTHS
"""Rows beside those of words and pairs: the symbols in the order of SYMBOLS, then the classes of length."""

_SIGN = 1 << (FIELD_BITS - 1)
_MASK = (1 << FIELD_BITS) - 1
_ABOVE = 8  # bytes above the last field, where pairs carry their numbers

MOST_ROWS = 2 * SEGMENTS * WORDS + len(SYMBOLS) + 1
"""Rows that one sum may have: the words and the pairs of every segment, the symbols, a length."""

assert MOST_ROWS * ZERO < _SIGN  # noqa: S101 - checked once, at import: a sum fits into its field


class Packing:
    """Rows of `width` fields: bytes to integers, sums of integers back to fields."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._fields = struct.Struct(f"<{width}h")
        ones = int.from_bytes(struct.pack(f"<{width}H", *[1] * width), "little")
        self.neutral = ones * ZERO
        self._signs = ones * _SIGN
        self._lifts = [ones * (_SIGN - ZERO * rows) for rows in range(MOST_ROWS + 1)]
        self._room = self._fields.size + _ABOVE

    def rows(self, table: bytes) -> list[int]:
        """One integer for each row of `table`."""
        spread = bytearray(2 * len(table))
        spread[::2] = table  # a byte becomes a 16-bit field, little-endian
        size = self._fields.size
        return [int.from_bytes(spread[at : at + size], "little") for at in range(0, len(spread), size)]

    def sums(self, total: int, rows: int) -> tuple[int, ...]:
        """Each field's sum in signed steps, of `rows` added rows. What lies above the last field is left out."""
        lifted = (total + self._lifts[rows]) ^ self._signs  # every field now holds its sum, in two's complement
        return self._fields.unpack_from(lifted.to_bytes(self._room, "little"))


Fields = tuple[int, ...]
Reading = tuple[list[Fields], list[int], int, int]
"""What a text adds up to: each segment's sums by field (words and pairs, and in the first also symbols and length); the
room of each, in segments; field 0 of the symbols and the length alone; how many distinct words there are."""


class Tables:
    """Look-up tables, built once. `word_rows` and the like hold `width` bytes a row.

    A pair's integer carries its number above the last field, so that all differ and a set of them holds each once.
    """

    def __init__(
        self,
        words: Sequence[str],
        pairs: Sequence[str],
        word_rows: bytes,
        pair_rows: bytes,
        other_rows: bytes,
        width: int,
    ) -> None:
        self.packing = packing = Packing(width)
        names = [word.encode() for word in words]
        shared = {word: word for word in names}  # so that a pair holds the very bytes of its words
        twos = [tuple(shared.get(word, word) for word in pair.encode().split(b" ")) for pair in pairs]
        others = packing.rows(other_rows)
        top = FIELD_BITS * width
        numbered = [row + (at << top) for at, row in enumerate(packing.rows(pair_rows))]
        self.words: dict[bytes, int] = dict(zip(names, packing.rows(word_rows), strict=True))
        self.pairs: dict[tuple[bytes, ...], int] = dict(zip(twos, numbered, strict=True))
        self.symbols: dict[int, int] = dict(zip(SYMBOLS, others[: len(SYMBOLS)], strict=True))
        self.lengths = others[len(SYMBOLS) :]
        self._neutral = repeat(packing.neutral)

    def read(self, text: str) -> Reading:
        """The hot path: one look-up for each word, pair and symbol of the text's sample.

        A word counts once, in the segment that shows it first; a pair once in a segment.
        """
        segments, symbols = sample(text)
        word, pair, sums, neutral = self.words.get, self.pairs.get, self.packing.sums, self._neutral
        total, rows = sum(map(self.symbols.__getitem__, symbols), self.lengths[length_class(text)]), len(symbols) + 1
        bare = (total & _MASK) - ZERO * rows
        parts, room = [], []
        seen: set[bytes] = set()
        for segment in segments:
            words = set(segment)
            if seen:
                words -= seen
                seen |= words
            else:
                seen = words
            pairs = set(map(pair, zip(segment, segment[1:])))  # noqa: B905, RUF007 - 1 us faster than pairwise
            pairs.discard(None)
            total = sum(pairs, sum(map(word, words, neutral), total))  # type: ignore[arg-type]
            parts.append(sums(total, rows + len(words) + len(pairs)))
            room.append(1 if len(segment) <= WORDS else units(segment))
            total = rows = 0
        return parts, room, bare, len(seen)

    def read_thirds(self, text: str) -> tuple[list[Fields], list[int], Fields] | None:
        """Of a text that fits: each third's sums with its own symbols, the words that are new in it, and the sums of
        the length alone. None where it is too short."""
        pieces = thirds(text)
        if pieces is None:
            return None
        word, pair, sums, neutral = self.words.get, self.pairs.get, self.packing.sums, self._neutral
        parts, sizes = [], []
        seen: set[bytes] = set()
        noticed: set[int] = set()
        for words, last, symbols in pieces:
            new, marks = set(words) - seen, symbols - noticed
            seen |= new
            noticed |= marks
            pairs = set(map(pair, zip(words, [*words[1:], *last])))  # noqa: B905 - the last word has no next one
            pairs.discard(None)
            total = sum(pairs, sum(map(word, new, neutral), sum(map(self.symbols.__getitem__, marks))))  # type: ignore[arg-type]
            parts.append(sums(total, len(new) + len(pairs) + len(marks)))
            sizes.append(len(new))
        return parts, sizes, sums(self.lengths[length_class(text)], 1)

    def row(self, packed: int) -> tuple[int, ...]:
        """The fields of one row."""
        return self.packing.sums(packed, 1)

    def found(self, text: str) -> list[tuple[str, tuple[int, ...]]]:
        """(what a person can read, its fields) for all of the text that stands in a table. Not for the hot path."""
        segments, symbols = sample(text)
        found = {f"symbol {chr(symbol)!r}": self.symbols[symbol] for symbol in sorted(symbols)}
        found[f"length {len(text)}"] = self.lengths[length_class(text)]
        for segment in segments:
            found.update({f"'{word.decode()}'": self.words[word] for word in segment if word in self.words})
            found.update(_pairs(segment, self.pairs))
        return [(name, self.row(packed)) for name, packed in found.items()]


def _pairs(segment: list[bytes], pairs: dict[tuple[bytes, ...], int]) -> dict[str, int]:
    twos = pairwise(segment)
    return {f"'{left.decode()} {right.decode()}'": pairs[left, right] for left, right in twos if (left, right) in pairs}
