"""Per model: how likely it answers a query right, from the query's words alone.

Knows factors (a few numbers that a text adds up to, word by word) and heads (a model's intercept and one slope for each
factor). Does not know how either was fitted, nor prices or policies. A text is read once for any number of models. What
one segment adds (the first one with the symbols and the length) is held inside a ball of radius `clip`, so that no
suffix moves a model by more than the clip times the length of its slopes. The more of a text is unfamiliar, the lower
every chance: what is unknown goes up.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from operator import add, mul

import msgspec

from smallfirst.classify.tables import OTHERS, Tables
from smallfirst.errors import DataError

FORMAT = 1
FACTORS = 16
"""At most so many numbers describe a text."""


class Head(msgspec.Struct, frozen=True):
    """One model: log-odds of a right answer = intercept + slopes . factors. `level`: log-odds of its mean score."""

    model: str
    intercept: float
    slopes: list[float]
    level: float
    rows: int  # labelled queries behind it


class Prior(msgspec.Struct, frozen=True):
    """How heads differ between models: what a new model's (intercept, slopes) is taken to be before it has labels."""

    mean: list[float]
    covariance: list[list[float]]


class Factors(msgspec.Struct, frozen=True):
    """The tables as they lie in a file. A row is: known (129 for a word, else 128), then one byte for each factor."""

    words: list[str]
    pairs: list[str]  # two words with a space between
    word_rows: bytes
    pair_rows: bytes
    other_rows: bytes
    count: int  # factors
    step: float  # log-odds of one step
    clip: float  # radius of a segment's factors, for each WORDS words of room
    familiar: float  # share of unknown words up to which a text counts as familiar
    unfamiliar_logit: float  # taken off when every word is unknown


class HeadsFile(msgspec.Struct, frozen=True):
    """Factors and the heads that were fitted with them."""

    format: int
    factors: Factors
    prior: Prior
    heads: list[Head]


class Heads:
    """Built once from a file; `logits` is a pure function of the text and safe to share."""

    def __init__(self, file: HeadsFile) -> None:
        factors = file.factors
        width = 1 + factors.count
        self.file = file
        self.models = tuple(head.model for head in file.heads)
        self.tables = Tables(
            factors.words, factors.pairs, factors.word_rows, factors.pair_rows, factors.other_rows, width
        )
        self._clip = (factors.clip / factors.step) ** 2
        self._heads = [steps_of(head, factors.step) for head in file.heads]

    @classmethod
    def from_bytes(cls, data: bytes) -> Heads:
        """From a file's bytes. Raises DataError."""
        return cls(decode_heads(data))

    def logits(self, text: str) -> list[float]:
        """Log-odds of a right answer, one for each of `models`."""
        factors, strange = self.read(text)
        return [chance_logit(head, factors, strange, self.file.factors.unfamiliar_logit) for head in self._heads]

    def read(self, text: str) -> tuple[list[float], float]:
        """(the text's factors in steps, how strange it is: 0 for a familiar text, 1 where every word is unknown)."""
        parts, room, _, words = self.tables.read(text)
        known = sum(part[0] for part in parts)
        return bounded(parts, room, 1, self._clip), unfamiliar(known, words, self.file.factors.familiar)


Steps = tuple[float, list[float], float]
"""A head for the hot path: intercept, slopes for a step of each factor, level."""


def steps_of(head: Head, step: float) -> Steps:
    """The head with its slopes for a step instead of a whole factor."""
    return head.intercept, [slope * step for slope in head.slopes], head.level


def bounded(parts: Sequence[tuple[int, ...]], room: Sequence[int], first: int, clip: float) -> list[float]:
    """The factors' sums from field `first` on, each segment shortened to the radius sqrt(clip) times its room."""
    factors: list[float] = []
    for part, width in zip(parts, room):  # noqa: B905 - strict takes 0.3 us
        added: Sequence[float] = part[first:]
        square = sum(map(mul, added, added))
        limit = clip * width * width
        if square > limit:
            shrink = sqrt(limit / square)
            added = [shrink * one for one in added]
        factors = list(map(add, factors, added)) if factors else list(added)
    return factors


def unfamiliar(known: int, words: int, familiar: float) -> float:
    """0 up to the share `familiar` of unknown words, then rising to 1 where every word is unknown or there is none."""
    return beyond(1.0 - known / words if words else 1.0, familiar)


def beyond(strange: float, familiar: float) -> float:
    """A share of unknown words as how strange the text is."""
    return (strange - familiar) / (1.0 - familiar) if strange > familiar else 0.0


def chance_logit(head: Steps, factors: Sequence[float], strange: float, caution: float) -> float:
    """Log-odds of a right answer. A strange text is drawn down to the model's level, never up to it, and below it."""
    intercept, slopes, level = head
    logit: float = intercept + sum(map(mul, slopes, factors))
    if strange > 0.0:
        logit = logit if logit < level else logit + strange * (level - logit)
        logit -= caution * strange
    return logit


def encode_heads(file: HeadsFile) -> bytes:
    """The file's bytes."""
    return msgspec.msgpack.encode(file)


def decode_heads(data: bytes) -> HeadsFile:
    """Read what encode_heads wrote. Raises DataError when it is something else or does not fit together."""
    try:
        file = msgspec.msgpack.decode(data, type=HeadsFile)
    except msgspec.DecodeError as error:
        raise DataError(f"heads: {error}") from error
    factors, width = file.factors, 1 + file.factors.count
    sizes = (len(factors.word_rows), len(factors.pair_rows), len(factors.other_rows))
    right = (len(factors.words) * width, len(factors.pairs) * width, OTHERS * width)
    if file.format != FORMAT or sizes != right or any(len(head.slopes) != factors.count for head in file.heads):
        raise DataError(f"heads: not format {FORMAT} or cut short; fit them again")
    return file
