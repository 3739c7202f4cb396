"""A query -> how likely the lowest tier will not do, what kind it is, and each probed model's chance.

Knows look-up tables and a probe's counts. Does not know models, prices or policies, and never sees a score: it reads
the user's own words and what the request needs. One dictionary look-up a word, pair of words and symbol of a capped
sample (sample.py); each of them counts once, and what one segment can add is bounded by `clip`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, sqrt
from operator import add, mul

from smallfirst.classify.evenness import (
    CALM,
    LEEWAY,
    Part,
    excess,
    levelled_points,
    most_familiar,
)
from smallfirst.classify.heads import beyond, bounded, unfamiliar
from smallfirst.classify.probes import Probe, p_correct_at, p_correct_by_words
from smallfirst.classify.sample import WORDS
from smallfirst.classify.tables import Reading, Tables
from smallfirst.classify.weights import (
    COMPLEXITY,
    FIRST_FACTOR,
    FIRST_KIND,
    KINDS,
    KNOWN,
    Provenance,
    Weights,
    decode,
    intercept_steps,
    whole_pairs,
)
from smallfirst.core import Kind, Query, Score

MOSTLY_UNKNOWN = 0.7
"""Share of unknown words above which the kind is not guessed but `other`."""
LEAST_ROOM = 3
"""Words that a part is taken to have at least: what it may add grows with their root, as chance does."""

Read = tuple[float, Kind, float, Reading, list[float] | None]
"""Log-odds of complexity, kind, how strange, what was read; its factors, where parts had to be evened out."""


class Classifier:
    """Tables built once from weights; `score` is a pure function of its arguments and safe to share."""

    def __init__(self, weights: Weights, *, evens: bool = True) -> None:
        """`evens`: whether a part may make the whole look harder than its other parts do (evenness.py); for studies."""
        self.tables = Tables(
            weights.words, weights.pairs, weights.word_rows, whole_pairs(weights), weights.other_rows, weights.width
        )
        self._weights = weights
        # in steps of the table, so that the hot path multiplies once
        self._clip = weights.clip / weights.step
        self._slope = weights.step * weights.slope
        self._base = weights.intercept * weights.slope + weights.offset
        self._familiar = weights.familiar
        self._caution = weights.unfamiliar_logit
        self._kinds = intercept_steps(weights.kind_intercepts, weights.kind_step)
        self._ball = (weights.factor_clip / weights.factor_step) ** 2
        self._leeway = LEEWAY / self._slope
        self._usual = weights.prior.mean[2:]
        self.evens = evens

    @classmethod
    def from_bytes(cls, data: bytes) -> Classifier:
        """From the weights file's bytes. Raises DataError."""
        return cls(decode(data))

    @property
    def provenance(self) -> Provenance:
        """What the weights were fitted on."""
        return self._weights.provenance

    @property
    def heads(self) -> Mapping[str, Probe]:
        """The recorded models that came with the weights, by name."""
        return {head.model: head for head in self._weights.heads}

    def score(self, query: Query, probes: Mapping[str, Probe | None]) -> Score:
        """Complexity, kind, and p_correct for each entry of `probes` (None where it was never probed).

        `why` stays empty here; `explain` fills it in.
        """
        reading = self.tables.read(query.text)
        logit, kind, strange = self._judge(*reading)
        factors: list[float] | None = None
        if logit > CALM:
            logit, kind, strange, _, evened = self._even(query.text, reading, logit, kind, strange)
            factors = None if evened is None else [1.0, logit, *evened]
        if query.needs.tools:
            kind = "tools"
        chances: dict[str, float | None] = {}
        for model, probe in probes.items():
            if probe is None:
                chances[model] = None
            elif probe.head:
                if factors is None:
                    factors = [1.0, logit, *bounded(reading[0], reading[1], FIRST_FACTOR, self._ball)]
                chances[model] = p_correct_by_words(probe, kind, logit, factors, strange, self._caution)
            else:
                chances[model] = p_correct_at(probe, kind, logit)
        return Score(1.0 / (1.0 + exp(-logit)), kind, chances)

    def rate(self, text: str) -> tuple[float, Kind]:
        """(complexity 0..1, kind by the text alone)."""
        logit, kind = self.rate_logit(text)
        return 1.0 / (1.0 + exp(-logit)), kind

    def rate_logit(self, text: str) -> tuple[float, Kind]:
        """(log-odds of complexity, kind by the text alone)."""
        return self._read(text)[:2]

    def features(self, text: str) -> list[float]:
        """What a head is linear in: 1, the log-odds of complexity, then each factor in steps."""
        logit, _, _, reading, evened = self._read(text)
        return [1.0, logit, *(evened or bounded(reading[0], reading[1], FIRST_FACTOR, self._ball))]

    def _read(self, text: str) -> Read:
        reading = self.tables.read(text)
        return self._even(text, reading, *self._judge(*reading))

    def _even(self, text: str, reading: Reading, logit: float, kind: Kind, strange: float) -> Read:
        """What was read, and where one part makes it look much harder than the others do, less of that."""
        if logit <= CALM or not self.evens:
            return logit, kind, strange, reading, None
        apart = self._thirds(text) if len(reading[0]) == 1 else self._segments(reading)
        if apart is None:
            return logit, kind, strange, reading, None
        parts, rest, factors = apart
        strange = min(strange, beyond(most_familiar(parts), self._familiar))
        points = rest + levelled_points(parts, self._leeway)
        even = self._base + self._slope * points + self._caution * strange
        shares = excess(parts, self._usual)
        if shares is not None:
            found = list(factors) or [0.0] * len(self._usual)
            for part, share in zip(parts, shares, strict=True):
                held = bounded([part.factors], [part.room], 0, self._ball)
                found = [sofar + share * factor for sofar, factor in zip(found, held, strict=True)]
        return min(logit, even), kind, strange, reading, None if shares is None else found

    def _thirds(self, text: str) -> tuple[list[Part], float, Sequence[float]] | None:
        """A short text's parts, each with its symbols; points and factors of the length, which is nobody's part."""
        found = self.tables.read_thirds(text)
        if found is None:
            return None
        fields, sizes, length = found
        clip, parts = self._clip, []
        for one, words in zip(fields, sizes, strict=True):
            most = clip * sqrt(max(words, LEAST_ROOM) / WORDS)
            points = min(most, max(-most, one[COMPLEXITY]))
            parts.append(Part(points, one[FIRST_FACTOR:], one[KNOWN], words))
        return parts, length[COMPLEXITY], length[FIRST_FACTOR:]

    def _segments(self, reading: Reading) -> tuple[list[Part], float, Sequence[float]]:
        """A long text's parts as they were read: its symbols count for the whole, and in the first one's factors."""
        fields, room, bare, _ = reading
        clip, parts, first = self._clip, [], float(bare)
        for one, width in zip(fields, room, strict=True):
            most, points = clip * width, one[COMPLEXITY] - first
            points = min(most, max(-most, points))
            parts.append(Part(points, one[FIRST_FACTOR:], 0, 0, width))
            first = 0.0
        return parts, bare, ()

    def _judge(self, parts: list[tuple[int, ...]], room: list[int], bare: int, words: int) -> tuple[float, Kind, float]:
        """(log-odds of complexity, kind, how strange: 0..1). A segment's words add at most `clip` times its room."""
        clip, known, kinds, first = self._clip, 0, self._kinds, bare
        points: float = bare
        for part, width in zip(parts, room):  # noqa: B905 - strict takes 0.3 us
            gained, limit = part[COMPLEXITY] - first, clip * width
            points += limit if gained > limit else -limit if gained < -limit else gained
            known += part[KNOWN]
            kinds = list(map(add, kinds, part[FIRST_KIND:FIRST_FACTOR]))
            first = 0  # only the first segment holds the symbols and the length
        logit = self._base + self._slope * points
        strange = unfamiliar(known, words, self._familiar)
        if strange > 0.0:
            logit += self._caution * strange
            if known < (1.0 - MOSTLY_UNKNOWN) * words or not words:
                return logit, "other", strange
        return logit, KINDS[kinds.index(max(kinds))], strange

    def explain(self, query: Query, most: int = 5) -> tuple[str, ...]:
        """A few words a person can read: what moved the complexity most, strongest first. Not for the hot path."""
        moved = {name: self._slope * row[COMPLEXITY] for name, row in self.tables.found(query.text)}
        return self._caution_line(query.text) + _strongest(moved, most, ("harder", "easier"))

    def explain_model(self, query: Query, probe: Probe, most: int = 5) -> tuple[str, ...]:
        """The same for one model's chance: what moved it most, complexity beside each word's factors."""
        slopes = probe.head[1:]
        if not slopes:
            return ()
        moved = {}
        for name, row in self.tables.found(query.text):
            fields = (self._slope * row[COMPLEXITY], *row[FIRST_FACTOR:])
            moved[name] = sum(map(mul, slopes, fields))
        return _strongest(moved, most, ("better", "worse"))

    def _caution_line(self, text: str) -> tuple[str, ...]:
        strange, reading = self._read(text)[2:4]
        parts, _, _, words = reading
        if strange <= 0.0:
            return ()
        share = 1.0 - sum(part[KNOWN] for part in parts) / words if words else 1.0
        return (f"{share:.0%} of its words are unfamiliar: harder by {self._caution * strange:.2f}",)


def _strongest(moved: Mapping[str, float], most: int, names: tuple[str, str]) -> tuple[str, ...]:
    up, down = names
    order = sorted(moved, key=lambda name: (-abs(moved[name]), name))[:most]
    return tuple(f"{name}: {up if moved[name] > 0 else down} by {abs(moved[name]):.2f}" for name in order)
