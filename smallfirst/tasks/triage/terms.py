"""Texts as weighted terms: words, word pairs, and pieces of words that forgive spelling; and which texts share them.

Knows counts and an inverted index. Does not know labels. Every text is a vector of length 1, half of it words and half
pieces; the weight of a term is its rarity in the texts the index was made of (TF-IDF: Spaerck Jones 1972). A term that
none of them had weighs like the rarest, so that an unfamiliar text is like none of them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

LONGEST = 20_000
"""Characters of a text that are read; of a longer one the first and the last half of that."""

PIECES = (2, 3, 4, 5)
"""Lengths of the pieces of a word, its ends marked by blanks."""

_WORD = re.compile(r"\w+")


def count_terms(text: str) -> tuple[Counter[str], Counter[str]]:
    """(words and word pairs, pieces of words) of a text, with how often each occurs."""
    if len(text) > LONGEST:
        text = text[: LONGEST // 2] + " " + text[-LONGEST // 2 :]
    words = _WORD.findall(text.lower())
    whole = Counter(words)
    whole.update(map(" ".join, pairwise(words)))
    pieces: Counter[str] = Counter()
    for word, times in Counter(words).items():
        marked = f" {word[:60]} "
        for length in PIECES:
            for at in range(max(1, len(marked) - length + 1)):
                pieces["#" + marked[at : at + length]] += times
    return whole, pieces


class Index(msgspec.Struct, frozen=True):
    """Which of n texts hold a term, and with what weight. Arrays as bytes, so that it can be a file."""

    terms: list[str]
    texts: int
    unknown: float  # rarity of a term that is not here
    rarity: bytes  # (v,) float32
    starts: bytes  # (v + 1,) int64: where each term's row of postings begins
    rows: bytes  # int32: texts
    weights: bytes  # float16


def build_index(texts: Sequence[str], least: int = 2) -> Index:
    """Index every term that occurs in at least `least` texts."""
    counted = [count_terms(text) for text in texts]
    found: Counter[str] = Counter()
    for halves in counted:
        for half in halves:
            found.update(half.keys())
    terms = sorted(term for term, texts_with in found.items() if texts_with >= least)
    place = {term: n for n, term in enumerate(terms)}
    count = len(texts)
    rarity = {term: math.log((1 + count) / (1 + found[term])) + 1 for term in terms}
    unknown = math.log((1 + count) / 2) + 1
    postings: list[tuple[int, int, float]] = []
    for row, halves in enumerate(counted):
        postings += [(place[term], row, weight) for term, weight in weigh(halves, rarity, unknown) if term in place]
    postings.sort()
    columns = np.array([column for column, _, _ in postings], dtype=np.int64)
    return Index(
        terms=terms,
        texts=count,
        unknown=unknown,
        rarity=np.array([rarity[term] for term in terms], dtype=np.float32).tobytes(),
        starts=np.searchsorted(columns, np.arange(len(terms) + 1)).astype(np.int64).tobytes(),
        rows=np.array([row for _, row, _ in postings], dtype=np.int32).tobytes(),
        weights=np.array([weight for _, _, weight in postings], dtype=np.float16).tobytes(),
    )


def weigh(halves: Sequence[Counter[str]], rarity: dict[str, float], unknown: float) -> list[tuple[str, float]]:
    """Each term's weight in the text's vector of length 1 (each half of length 1 / sqrt 2)."""
    weighed: list[tuple[str, float]] = []
    for half in halves:
        raw = [(term, (1 + math.log(times)) * rarity.get(term, unknown)) for term, times in half.items()]
        length = math.sqrt(2 * sum(weight * weight for _, weight in raw))
        weighed += [(term, weight / length) for term, weight in raw]
    return weighed


class Likeness:
    """An Index, unpacked: answers how alike a text is to each of its texts."""

    def __init__(self, index: Index) -> None:
        self._place = {term: n for n, term in enumerate(index.terms)}
        rarity = np.frombuffer(index.rarity, dtype=np.float32)
        self._rarity = dict(zip(index.terms, rarity.tolist(), strict=True))
        self._unknown, self._texts = index.unknown, index.texts
        self._starts = np.frombuffer(index.starts, dtype=np.int64).tolist()
        self._rows = np.frombuffer(index.rows, dtype=np.int32)
        self._weights = np.frombuffer(index.weights, dtype=np.float16).astype(np.float32)

    def __call__(self, text: str) -> Floats:
        """(n,) cosines in 0..1 with the texts of the index."""
        rows: list[npt.NDArray[np.int32]] = []
        shares: list[Floats] = []
        for term, weight in weigh(count_terms(text), self._rarity, self._unknown):
            column = self._place.get(term)
            if column is not None:
                start, end = self._starts[column], self._starts[column + 1]
                rows.append(self._rows[start:end])
                shares.append(self._weights[start:end] * weight)
        if not rows:
            return np.zeros(self._texts, dtype=np.float32)
        summed = np.bincount(np.concatenate(rows), weights=np.concatenate(shares), minlength=self._texts)
        return summed.astype(np.float32)
