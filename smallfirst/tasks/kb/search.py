"""A question -> the passages that most likely answer it: words and meaning, fused.

Knows one store, one encoder and how both scores are mixed (ranker.py). Does not know conversations: several variants of
a question, each with a weight, are searched together (conversation.py makes them).

Words: BM25 (Robertson, Zaragoza 2009) by SQLite's FTS5 over stems, the title weighing more. Meaning: the cosine of the
question with the nearest window of the passage, against all windows, exactly: there is no index to miss one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.errors import SetupError
from smallfirst.tasks.kb.store import Floats, Passage, Store
from smallfirst.tasks.kb.words import any_of, content_words
from smallfirst.text.embedder import Embedder, best_embedder

Scores = npt.NDArray[np.float32]

DEEP = 200
"""Passages that the words of a question bring in; the others count as having none of them."""

TITLE_WEIGHT = 2.0
MEANING = 2.0
"""Weight of meaning against words, each on its own scale of 0..1 within a question."""

EASY_UP_TO = 100_000
"""Passages; more are searched just as exactly and take as much longer (docs/knowledge-base.md has the times)."""


class Variant(msgspec.Struct, frozen=True):
    """One way to put a question, and how much it counts."""

    text: str
    weight: float = 1.0


class Hit(msgspec.Struct, frozen=True):
    """A passage that was found. `score` orders the hits of one question; the others can be compared between questions:
    they are those of the variant that counts most."""

    passage: Passage
    score: float
    bm25: float
    cosine: float  # with the nearest window
    whole: float = 0.0  # with the mean of all windows


class Index:
    """A knowledge base that can be searched, from any thread; it follows later builds by itself."""

    def __init__(self, folder: Path, embedder: Embedder | None = None) -> None:
        """Raises DataError where there is no knowledge base, SetupError where its encoder is not here."""
        self.store = Store(folder)
        self.embedder = _encoder(folder, self.store.said("embedder"), embedder)
        self._lock = threading.Lock()
        self._table = _Table.of(self.store)

    def search(self, asked: str | Sequence[Variant], k: int = 5) -> list[Hit]:
        """The `k` best passages, best first; fewer where fewer share a word or a meaning with the question."""
        variants = [Variant(asked)] if isinstance(asked, str) else list(asked)
        table = self._current()
        looked = [self._look(table, variant.text) for variant in variants]
        score = np.zeros(len(table.ids), dtype=np.float32)
        for variant, one in zip(variants, looked, strict=True):
            score += np.float32(variant.weight) * fuse(one.words, one.meaning)
        best = [place for place in np.argsort(-score, kind="stable")[: 2 * k] if score[place] > 0]
        found = self.store.passages([int(table.ids[place]) for place in best])
        main = max(zip(variants, looked, strict=True), key=lambda pair: pair[0].weight)[1]
        hits = []
        for place in best:
            passage = found.get(int(table.ids[place]))  # a build that runs may have taken it away
            if passage is not None:
                words, meaning = float(main.words[place]), float(main.meaning[place])
                hits.append(Hit(passage, float(score[place]), words, meaning, table.whole(int(place), main.vector)))
        return hits[:k]

    def look(self, text: str) -> Looked:
        """Both scores of every passage, for whoever fuses them otherwise."""
        return self._look(self._current(), text)

    def _current(self) -> _Table:
        with self._lock:
            if self._table.stamp != self.store.stamp():
                self._table = _Table.of(self.store)
            return self._table

    def _look(self, table: _Table, text: str) -> Looked:
        words = np.zeros(len(table.ids), dtype=np.float32)
        wanted = content_words(text)
        if wanted:
            matching = self.store.matching(any_of(wanted), DEEP, TITLE_WEIGHT)
            places = table.places([id for id, _ in matching])
            for place, (_, score) in zip(places, matching, strict=True):
                if place >= 0:
                    words[place] = score
        if self.embedder is None or not len(table.vectors):
            return Looked(table.ids, words, np.zeros(len(table.ids), dtype=np.float32))
        vector = self.embedder.embed([text])[0]
        return Looked(table.ids, words, table.nearest(vector), vector)


class Looked(msgspec.Struct, frozen=True):
    """(n,) ids of all passages, ascending, and their scores for one variant."""

    ids: npt.NDArray[np.int64]
    words: Scores
    meaning: Scores
    vector: Floats | None = None  # (d,) of the question


class _Table(msgspec.Struct, frozen=True):
    """What is held in memory of a build: passages by id, and the rows of `vectors` that belong to each."""

    stamp: str
    ids: npt.NDArray[np.int64]  # (n,) ascending
    vectors: Floats  # (windows, d)
    owners: npt.NDArray[np.int64]  # (m,) places of the passages that have vectors
    first: npt.NDArray[np.int64]  # (m,) where their rows begin

    @classmethod
    def of(cls, store: Store) -> _Table:
        stamp, ids = store.stamp(), store.ids()
        rows, vectors = store.matrix()
        with_vectors, first = np.unique(rows, return_index=True)
        return cls(stamp, ids, vectors, np.searchsorted(ids, with_vectors), first)

    def places(self, ids: Sequence[int]) -> list[int]:
        """Where each id stands; -1 for one that came after this table was read."""
        wanted = np.array(ids, dtype=np.int64)
        places = np.searchsorted(self.ids, wanted)
        known = np.append(self.ids, -1)[places] == wanted
        return [int(place) if there else -1 for place, there in zip(places, known, strict=True)]

    def nearest(self, vector: Floats) -> Scores:
        """(n,) the cosine with the nearest window of each passage; 0 where none has been embedded."""
        meaning = np.zeros(len(self.ids), dtype=np.float32)
        meaning[self.owners] = np.maximum.reduceat(self.vectors @ vector, self.first)
        return meaning

    def whole(self, place: int, vector: Floats | None) -> float:
        """The cosine with the mean of a passage's windows; 0 where it has none."""
        row = int(np.searchsorted(self.owners, place))
        if vector is None or row == len(self.owners) or self.owners[row] != place:
            return 0.0
        end = self.first[row + 1] if row + 1 < len(self.first) else len(self.vectors)
        mean = self.vectors[self.first[row] : end].mean(0)
        return float(mean @ vector / (np.linalg.norm(mean) or 1.0))


def fuse(words: Scores, meaning: Scores, weight: float = MEANING) -> Scores:
    """(n,) both on a scale of 0..1 within the question, meaning weighing `weight` times as much as words.

    Ranks alone (reciprocal rank fusion: Cormack, Clarke, Buettcher 2009) throw away by how much one passage is ahead.
    """
    return scaled(words) + np.float32(weight) * scaled(meaning)


def scaled(scores: Scores) -> Scores:
    """From the least (0) to the most (1)."""
    least, most = scores.min(initial=0.0), scores.max(initial=0.0)
    return (scores - least) / (most - least) if most > least else np.zeros_like(scores)


def _encoder(folder: Path, wanted: str | None, given: Embedder | None) -> Embedder | None:
    """The encoder that the store was built with; None where it was built without."""
    if wanted is None:
        return None
    found = given or best_embedder()
    if found is None or found.name != wanted:
        have = "none is here" if found is None else f"here is {found.name}"
        raise SetupError(f"{folder} was built with vectors of {wanted}; {have}: pip install 'smallfirst[tasks]'")
    return found
