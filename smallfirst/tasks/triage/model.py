"""A fitted triage model: texts -> labels, how likely they are right, and whether that is enough to keep them.

Knows a kernel (how alike two texts are, by meaning and by words), one row of answers for each text it was fitted on,
and the certified threshold. Does not know how it was fitted (fit.py), files, or who is asked where it is not sure.

A label's score is a kernel ridge regression (Saunders, Gammerman, Vovk 1998) of +1 for it and -1 for the others, with
k(x, y) = share * exp(gamma * (cosine - 1)) + (1 - share) * common words. Far from everything that was seen, all scores
are near 0: such a text is out of scope, not a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.calibrate.probability import Beta
from smallfirst.errors import DataError, SetupError
from smallfirst.tasks.certify import Certified
from smallfirst.tasks.triage.offer import MOST_OFFERED
from smallfirst.tasks.triage.terms import Index, Likeness
from smallfirst.text.embedder import Embedder, MiniLM

Floats = npt.NDArray[np.float32]

FORMAT = 1
SHARPNESS = 0.3
"""Scores are turned into shares by a softmax at this temperature; the order hardly depends on it (0.2 to 0.5)."""


class Recipe(msgspec.Struct, frozen=True):
    """The three numbers of the kernel regression; fit.py chooses them by leaving one out."""

    gamma: float  # how fast likeness in meaning fades
    share: float  # weight of meaning against words, 0..1; 0 without an embedder
    ridge: float


class Card(msgspec.Struct, frozen=True):
    """What the model was fitted on and what it reached, for whoever finds the file."""

    rows: int
    groups: int
    seed: int
    data_digest: str
    accuracy: float | None = None  # on the report part, everything kept
    kept: float | None = None  # share kept at the threshold
    kept_accuracy: float | None = None
    rare: tuple[str, ...] = ()  # labels that stand on a single text of the fit part


class TriageModel(msgspec.Struct, frozen=True):
    """The file (msgpack). `answers` is (n, k) float16, `vectors` (n, d) int8 in steps of 1/127, or empty."""

    format: int
    labels: list[str]
    several: bool  # a text may carry several labels
    out_of_scope: str | None  # what the training data call a text that belongs to none of the labels
    embedder: str | None
    recipe: Recipe
    index: Index
    vectors: bytes
    answers: bytes
    confidence: Beta  # softmax share -> chance that the answer is right
    scope: Beta | None  # softmax share -> chance that the text belongs to any label; None: nothing to learn it from
    threshold: float  # least confidence that is kept; above 1 nothing is
    certified: Certified | None
    card: Card


class Judged(msgspec.Struct, frozen=True):
    """What triage says of one text. `labels` is empty where none fits; `kept`: sure enough not to hand up."""

    labels: tuple[str, ...]
    confidence: float
    in_scope: float | None
    kept: bool
    second: str | None = None  # the runner-up, for whoever looks
    ranked: tuple[str, ...] = ()  # of a label set too large to be offered whole: the likeliest, in that order


class Triage:
    """A model at work. Build once; `judge` is safe to call from several threads."""

    def __init__(self, model: TriageModel, embedder: Embedder | None = None) -> None:
        """Raises SetupError where the model needs an embedder that is not here, or another one."""
        self.model = model
        count = model.index.texts
        self._answers = np.frombuffer(model.answers, dtype=np.float16).reshape(count, -1).astype(np.float32)
        self._vectors = None
        if model.embedder is not None:
            self._embedder = embedder or MiniLM()
            if self._embedder.name != model.embedder:
                raise SetupError(f"this model was fitted with vectors of {model.embedder}, not {self._embedder.name}")
            self._vectors = unpack(model.vectors, count)

    @cached_property
    def _likeness(self) -> Likeness:
        return Likeness(self.model.index)

    def judge(self, texts: Sequence[str], told: Callable[[int], None] | None = None) -> list[Judged]:
        """One Judged a text, in order. `told` hears how many are done."""
        vectors = None if self._vectors is None else pack_and_unpack(self._embedder.embed(texts, told))
        judged = []
        for n, text in enumerate(texts):
            scores = kernel_row(self.model.recipe, self._likeness(text), self._vectors, vectors, n) @ self._answers
            judged.append(self._judge(scores))
        return judged

    def _judge(self, scores: Floats) -> Judged:
        model = self.model
        share = certainty(scores[None, :], several=model.several)
        in_scope = None if model.scope is None else float(model.scope(share)[0])
        order = np.argsort(-scores)
        labels = self._labels(scores, order, in_scope)
        beyond = in_scope is not None and in_scope < 0.5
        confidence = 1 - in_scope if in_scope is not None and beyond else float(model.confidence(share)[0])
        second = model.labels[int(order[1])] if len(order) > 1 else None
        large = len(model.labels) > MOST_OFFERED
        ranked = tuple(model.labels[int(n)] for n in order[:MOST_OFFERED]) if large else ()
        return Judged(labels, confidence, in_scope, confidence >= model.threshold, second, ranked)

    def _labels(self, scores: Floats, order: npt.NDArray[np.intp], in_scope: float | None) -> tuple[str, ...]:
        if in_scope is not None and in_scope < 0.5:
            return ()
        if self.model.several:
            return tuple(self.model.labels[n] for n in np.flatnonzero(scores > 0))
        return (self.model.labels[int(order[0])],)


def kernel_row(recipe: Recipe, words: Floats, known: Floats | None, asked: Floats | None, n: int) -> Floats:
    """(n,) likeness of the nth asked text with all known ones."""
    row = np.float32(1 - recipe.share) * words
    if known is not None and asked is not None and recipe.share > 0:
        row += np.float32(recipe.share) * np.exp(np.float32(recipe.gamma) * (known @ asked[n] - np.float32(1)))
    return row


def certainty(scores: Floats, *, several: bool) -> npt.NDArray[np.float64]:
    """(n,) in 0..1: the first label's share by softmax; of several labels, that of the one nearest to the fence."""
    sharp = scores.astype(np.float64) / SHARPNESS
    if several:
        nearest: npt.NDArray[np.float64] = 1 / (1 + np.exp(-np.abs(sharp).min(1)))
        return nearest
    sharp -= sharp.max(1, keepdims=True)
    shares: npt.NDArray[np.float64] = 1 / np.exp(sharp).sum(1)
    return shares


def pack(vectors: Floats) -> bytes:
    """Unit rows as int8."""
    return np.rint(vectors * 127).astype(np.int8).tobytes()


def unpack(packed: bytes, count: int) -> Floats:
    """What `pack` kept, of length 1 again."""
    rows: Floats = np.frombuffer(packed, dtype=np.int8).reshape(count, -1).astype(np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    np.divide(rows, norms, out=rows, where=norms > 0)
    return rows


def pack_and_unpack(vectors: Floats) -> Floats:
    """Rounded as the file rounds them: what is fitted is what is served."""
    return unpack(pack(vectors), len(vectors)) if len(vectors) else vectors


def encode(model: TriageModel) -> bytes:
    """The file's bytes."""
    return msgspec.msgpack.encode(model)


def decode(data: bytes, name: str = "model") -> TriageModel:
    """Read what `encode` wrote. Raises DataError."""
    try:
        model = msgspec.msgpack.decode(data, type=TriageModel)
    except msgspec.DecodeError as error:
        raise DataError(f"{name}: not a triage model ({error}); make one with `smallfirst triage fit`") from error
    if model.format != FORMAT:
        raise DataError(f"{name}: format {model.format}; this version reads {FORMAT}: fit it again")
    return model
