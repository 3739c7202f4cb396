"""(answer, passages) -> how likely everything it says stands there, and which parts do not.

Knows claims (sentences), the shipped weights, and the words that stand nowhere. Does not know whether the passages are
right, or whether the answer answers the question. A claim that follows from the passages only by reasoning counts as
unsupported as often as not.

    grounding = grounded("The bridge was built in 1871.", passages)
    grounding.p, [answer[span.start:span.end] for span in grounding.unsupported]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from math import log

import msgspec

from smallfirst.tasks.kb.facts import names, numbers
from smallfirst.tasks.kb.grounded_evidence import Source, evidence
from smallfirst.tasks.kb.rarity import Rarity, general_rarity
from smallfirst.tasks.kb.sentences import Sentence, content, split_sentences
from smallfirst.tasks.kb.weigh import Weights, read_weights
from smallfirst.text.embedder import Embedder
from smallfirst.verify.combiner import logistic


class Claim(msgspec.Struct, frozen=True):
    """A sentence of the answer, answer[start:end], and how likely the passages say so."""

    start: int
    end: int
    p: float


class Span(msgspec.Struct, frozen=True):
    """A part of the answer that is not supported, answer[start:end], and why in a word: number, name or claim."""

    start: int
    end: int
    why: str


class Grounding(msgspec.Struct, frozen=True):
    """`p`: that no claim is unsupported. Spans in order, none overlapping."""

    p: float
    claims: tuple[Claim, ...]
    unsupported: tuple[Span, ...]


class Grounder:
    """Judges answers; keeps the weights and whatever the embedder keeps."""

    def __init__(self, weights: Weights, embedder: Embedder | None = None, rarity: Rarity | None = None) -> None:
        self.weights, self.embedder = weights, embedder
        self.rarity = rarity if rarity is not None else general_rarity()

    @classmethod
    def shipped(cls, embedder: Embedder | None = None, rarity: Rarity | None = None) -> Grounder:
        """With the weights that come with the package: one set for an embedder, one for words alone."""
        return cls(_shipped(embedder is not None), embedder, rarity)

    @property
    def threshold(self) -> float:
        """A p from which to serve an answer; `weights.chosen_for` says what it was chosen for."""
        return self.weights.threshold

    def __call__(self, answer: str, passages: Sequence[str]) -> Grounding:
        """See the module. An answer that claims nothing (see claims_of) is not grounded: p = 0."""
        source = Source(passages, self.embedder)
        claims, unsupported = [], []
        for sentence in claims_of(answer):
            p = self.weights.p(evidence(sentence.text, source, self.rarity))
            claims.append(Claim(sentence.start, sentence.end, p))
            if p < self.threshold:
                unsupported += _spans(sentence.text, sentence.start, source)
        return Grounding(together([claim.p for claim in claims]), tuple(claims), tuple(unsupported))


_SPEECH = re.compile(
    r"^\W*(?:i(?:['\u2019]m| am)? (?:sorry|afraid|unable|apologi[sz]e|hope|do not|don['\u2019]t|can(?:no|['\u2019])t)\b"
    r"|apologi[sz]e|sorry\b|unfortunately,? i\b|thank|please let me|you(?:['\u2019]re| are) welcome|let me know)",
    re.IGNORECASE,
)


def claims_of(answer: str) -> list[Sentence]:
    """The sentences that say something of the world: no questions back, thanks, apologies, or 'Yes.'."""
    return [
        sentence
        for sentence in split_sentences(answer)
        if content(sentence.text) and not sentence.text.endswith("?") and not _SPEECH.match(sentence.text)
    ]


def together(chances: Sequence[float]) -> float:
    """P(all claims hold): the least of them, and a little less for every other doubtful one. 0 for none."""
    if not chances:
        return 0.0
    least, *others = sorted(min(max(p, 1e-6), 1 - 1e-6) for p in chances)
    doubt = sum(log(max(p, 0.05)) for p in others if p < 0.5)
    return logistic(log(least / (1 - least)) + 0.25 * doubt)


def _spans(claim: str, start: int, source: Source) -> list[Span]:
    """The numbers and names of a claim that stand in no passage; the whole claim if none can be blamed."""
    missing = [
        Span(start + fact.start, start + fact.end, fact.kind)
        for fact in sorted((*numbers(claim), *names(claim)), key=lambda fact: (fact.start, -fact.end))
        if (
            fact.normal not in source.numbers if fact.kind == "number" else not set(fact.normal.split()) <= source.stems
        )
    ]
    apart: list[Span] = []
    for span in missing:
        if not apart or span.start >= apart[-1].end:
            apart.append(span)
    return apart or [Span(start, start + len(claim), "claim")]


def grounded(
    answer: str, passages: Sequence[str], embedder: Embedder | None = None, rarity: Rarity | None = None
) -> Grounding:
    """One answer, judged with the shipped weights. For many answers keep a Grounder."""
    return Grounder.shipped(embedder, rarity)(answer, passages)


@cache
def _shipped(with_vectors: bool) -> Weights:
    return read_weights("grounded" if with_vectors else "grounded_words")
