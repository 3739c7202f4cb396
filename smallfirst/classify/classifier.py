"""A query -> how likely the lowest tier will not do, what kind it is, and each probed model's chance.

Knows look-up tables and a probe's counts. Does not know models, prices or policies, and never sees a score: it reads
the user's own words and what the request needs. One dictionary look-up a word, pair of words and symbol of a capped
sample (sample.py); each of them counts once, and what one segment can add is bounded by `clip`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise, repeat
from math import exp

from smallfirst.classify.probes import Probe, p_correct_at
from smallfirst.classify.sample import SYMBOLS, WORDS, length_class, sample, units
from smallfirst.classify.weights import (
    FIELD_MASK,
    KINDS,
    NEUTRAL,
    ZERO,
    Provenance,
    Weights,
    decode,
    fields_of,
    pack_intercepts,
    unpack_points,
    unpack_rows,
)
from smallfirst.core import Kind, Query, Score

MOSTLY_UNKNOWN = 0.7
"""Share of unknown words above which the kind is not guessed but `other`."""

_NEUTRAL = repeat(NEUTRAL)


class Classifier:
    """Tables built once from weights; `score` is a pure function of its arguments and safe to share."""

    def __init__(self, weights: Weights) -> None:
        words = [word.encode() for word in weights.words]
        shared = {word: word for word in words}  # so that a pair holds the very bytes of its words
        pairs = [tuple(shared.get(word, word) for word in pair.encode().split(b" ")) for pair in weights.pairs]
        others = unpack_rows(weights.other_rows)
        self.words: dict[bytes, int] = dict(zip(words, unpack_rows(weights.word_rows), strict=True))
        self.pairs: dict[tuple[bytes, ...], float] = dict(zip(pairs, unpack_points(weights.pair_points), strict=True))
        self.symbols: dict[int, int] = dict(zip(SYMBOLS, others[: len(SYMBOLS)], strict=True))
        self._lengths = others[len(SYMBOLS) :]
        self._weights = weights
        # in steps of the table, so that the hot path multiplies once
        self._clip = weights.clip / weights.step
        self._slope = weights.step * weights.slope
        self._base = weights.intercept * weights.slope + weights.offset
        self._familiar = weights.familiar
        self._caution = weights.unfamiliar_logit / (1.0 - weights.familiar)
        self._start = pack_intercepts(weights.kind_intercepts, weights.kind_step)

    @classmethod
    def from_bytes(cls, data: bytes) -> Classifier:
        """From the weights file's bytes. Raises DataError."""
        return cls(decode(data))

    @property
    def provenance(self) -> Provenance:
        """What the weights were fitted on."""
        return self._weights.provenance

    def score(self, query: Query, probes: Mapping[str, Probe | None]) -> Score:
        """Complexity, kind, and p_correct for each entry of `probes` (None where it was never probed).

        `why` stays empty here; `explain` fills it in.
        """
        logit, kind = self.rate_logit(query.text)
        if query.needs.tools:
            kind = "tools"
        chances = {
            model: None if probe is None else p_correct_at(probe, kind, logit) for model, probe in probes.items()
        }
        return Score(1.0 / (1.0 + exp(-logit)), kind, chances)

    def rate(self, text: str) -> tuple[float, Kind]:
        """(complexity 0..1, kind by the text alone)."""
        logit, kind = self.rate_logit(text)
        return 1.0 / (1.0 + exp(-logit)), kind

    def rate_logit(self, text: str) -> tuple[float, Kind]:
        """(log-odds of complexity, kind by the text alone): the hot path.

        A word counts once, in the segment that shows it first; a pair once in a segment; a segment adds at most `clip`.
        """
        segments, symbols = sample(text)
        word, pair, clip = self.words.get, self.pairs.get, self._clip
        part = sum(map(self.symbols.__getitem__, symbols), self._lengths[length_class(text)])
        total = self._start + part
        points: float = (part & FIELD_MASK) - ZERO * (len(symbols) + 1)
        seen: set[bytes] = set()
        for segment in segments:
            words = set(segment)
            words -= seen
            seen |= words
            part = sum(map(word, words, _NEUTRAL))
            total += part
            pairs = set(map(pair, zip(segment, segment[1:])))  # noqa: B905, RUF007 - 1 us faster than pairwise
            pairs.discard(None)
            gained = (part & FIELD_MASK) - ZERO * len(words) + sum(pairs)  # type: ignore[arg-type]
            limit = clip if len(segment) <= WORDS else clip * units(segment)
            points += limit if gained > limit else -limit if gained < -limit else gained
        fields = fields_of(total)
        logit = self._base + self._slope * points
        strange = 1.0 - fields[1] / len(seen) if seen else 1.0
        if strange > self._familiar:
            logit += self._caution * (strange - self._familiar)
            if strange > MOSTLY_UNKNOWN:
                return logit, "other"
        kinds = fields[2:]
        return logit, KINDS[kinds.index(max(kinds))]

    def explain(self, query: Query, most: int = 5) -> tuple[str, ...]:
        """A few words a person can read: what moved the complexity most, strongest first. Not for the hot path."""
        segments, symbols = sample(query.text)
        points: dict[str, float] = {f"symbol {chr(symbol)!r}": _points(self.symbols[symbol]) for symbol in symbols}
        points[f"length {len(query.text)}"] = _points(self._lengths[length_class(query.text)])
        for segment in segments:
            points.update({f"'{word.decode()}'": _points(self.words[word]) for word in segment if word in self.words})
            points.update(
                {
                    f"'{left.decode()} {right.decode()}'": self.pairs[left, right]
                    for left, right in pairwise(segment)
                    if (left, right) in self.pairs
                }
            )
        moved = {name: self._slope * steps for name, steps in points.items()}
        strongest = sorted(moved, key=lambda name: (-abs(moved[name]), name))[:most]
        words = {word for segment in segments for word in segment}
        strange = sum(word not in self.words for word in words) / len(words) if words else 1.0
        lines = [f"{name}: {'harder' if moved[name] > 0 else 'easier'} by {abs(moved[name]):.2f}" for name in strongest]
        if strange > self._familiar:
            caution = self._caution * (strange - self._familiar)
            lines.insert(0, f"{strange:.0%} of its words are unfamiliar: harder by {caution:.2f}")
        return tuple(lines)


def _points(row: int) -> int:
    return (row & FIELD_MASK) - ZERO
