"""Texts -> the rows of a design matrix, with the very sample that the classifier will take.

Knows classify's sample and keys. Does not know targets. A vocabulary, no hashing: a table of words can be read,
explained and pruned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smallfirst.classify.sample import LENGTHS, SYMBOLS, length_class, sample

Pair = tuple[bytes, bytes]


class Features(msgspec.Struct, frozen=True):
    """What one text shows: the words of its sample by segment, its symbols, its class of length."""

    segments: tuple[tuple[bytes, ...], ...]
    symbols: frozenset[int]
    length: int

    @property
    def words(self) -> set[bytes]:
        return {word for segment in self.segments for word in segment}

    @property
    def pairs(self) -> set[Pair]:
        return {pair for segment in self.segments for pair in pairwise(segment)}


def features_of(text: str) -> Features:
    """The features of one text."""
    segments, symbols = sample(text)
    return Features(tuple(map(tuple, segments)), frozenset(symbols), length_class(text))


class Vocabulary(msgspec.Struct, frozen=True):
    """Columns of the matrix, in the order of the weights file: words, pairs, symbols, lengths."""

    words: dict[bytes, int]
    pairs: dict[Pair, int]

    @property
    def width(self) -> int:
        return len(self.words) + len(self.pairs) + len(SYMBOLS) + LENGTHS

    @property
    def alone(self) -> NDArray[np.int64]:
        """Every column but the pairs'."""
        columns: NDArray[np.int64] = np.arange(self.width)
        return columns[(columns < len(self.words)) | (columns >= len(self.words) + len(self.pairs))]

    def segments(self, shown: Features) -> list[list[int]]:
        """Columns of each segment, as the classifier adds them: a word once in a text, a pair once in a segment."""
        seen: set[bytes] = set()
        parts = []
        for segment in shown.segments:
            words = set(segment) - seen
            seen |= words
            part = [self.words[word] for word in words if word in self.words]
            part.extend(self.pairs[pair] for pair in set(pairwise(segment)) if pair in self.pairs)
            parts.append(sorted(part))
        return parts

    def rest(self, shown: Features) -> list[int]:
        """Columns of the symbols and of the length."""
        base = len(self.words) + len(self.pairs)
        return [*(base + SYMBOLS.index(symbol) for symbol in shown.symbols), base + len(SYMBOLS) + shown.length]

    def unknown(self, shown: Features) -> float:
        """Share of a sample's distinct words that the vocabulary lacks; 1 for a text without words."""
        words = shown.words
        return sum(word not in self.words for word in words) / len(words) if words else 1.0


def make_vocabulary(
    shown: Iterable[Features], *, least_words: int, least_pairs: int, always: Iterable[Features] = ()
) -> Vocabulary:
    """Words in at least `least_words` texts, pairs in at least `least_pairs`; in `always`, two texts are enough.

    Sorted, so that the same texts give the same columns. Bytes that are not UTF-8 (a cut character) are left out.
    """
    words: Counter[bytes] = Counter()
    pairs: Counter[Pair] = Counter()
    for one in shown:
        words.update(one.words)
        pairs.update(one.pairs)
    own_words: Counter[bytes] = Counter()
    own_pairs: Counter[Pair] = Counter()
    for one in always:
        own_words.update(one.words)
        own_pairs.update(one.pairs)
    kept = sorted(
        word for word in words.keys() | own_words.keys() if words[word] >= least_words or own_words[word] >= 2
    )
    kept_pairs = sorted(
        pair for pair in pairs.keys() | own_pairs.keys() if pairs[pair] >= least_pairs or own_pairs[pair] >= least_pairs
    )
    return Vocabulary(
        words={word: at for at, word in enumerate(kept)},
        pairs={pair: at + len(kept) for at, pair in enumerate(kept_pairs)},
    )


def matrix(vocabulary: Vocabulary, shown: Sequence[Features]) -> Any:
    """scipy CSR matrix, one row a text; a pair in two segments counts twice."""
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]  # noqa: PLC0415 - comes with the learn extra; the gateway never needs it

    columns = [[*chain(*vocabulary.segments(one)), *vocabulary.rest(one)] for one in shown]
    ends = np.cumsum([0] + [len(row) for row in columns])
    flat: NDArray[np.int64] = np.fromiter((column for row in columns for column in row), dtype=np.int64)
    made = csr_matrix((np.ones(len(flat)), flat, ends), shape=(len(columns), vocabulary.width))
    made.sum_duplicates()
    return made
