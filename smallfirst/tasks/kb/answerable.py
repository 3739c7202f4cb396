"""(question, what was found for it) -> how likely the answer stands there.

Knows the shipped weights and what they were fitted on. Does not know where the passages come from or what happens to a
question without an answer. With an embedder it reads meaning too; without one it goes by words, and is worse.

    answerable = Answerable.shipped(best_embedder())
    p = answerable("who built the old bridge", [Found(text, bm25, cosine), ...])
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from smallfirst.tasks.kb.answerable_evidence import Found, evidence
from smallfirst.tasks.kb.rarity import Rarity, general_rarity
from smallfirst.tasks.kb.weigh import Weights, read_weights
from smallfirst.text.embedder import Embedder

__all__ = ["Answerable", "Found"]


class Answerable:
    """The judge. Give `rarity` of the knowledge base's own passages where there are some hundreds; it is made once."""

    def __init__(self, weights: Weights, embedder: Embedder | None = None, rarity: Rarity | None = None) -> None:
        self.weights, self.embedder = weights, embedder
        self.rarity = rarity if rarity is not None else general_rarity()

    @classmethod
    def shipped(cls, embedder: Embedder | None = None, rarity: Rarity | None = None) -> Answerable:
        """With the weights that come with the package: one set for an embedder, one for words alone."""
        return cls(_shipped(embedder is not None), embedder, rarity)

    @property
    def threshold(self) -> float:
        """A p from which to answer; `weights.chosen_for` says what it was chosen for. Nothing is certified by it."""
        return self.weights.threshold

    def __call__(self, question: str, hits: Sequence[Found], before: str = "") -> float:
        """P(the passages hold the answer). `hits` best first, five at best; none gives 0. `before` is what the user
        asked before, in a conversation: the question that the passages were searched for together with this one."""
        if not hits:
            return 0.0
        return self.weights.p(self.evidence(question, hits, before))

    def evidence(self, question: str, hits: Sequence[Found], before: str = "") -> dict[str, float]:
        """What it goes by, for an explanation."""
        return evidence(question, hits, self.rarity, self.embedder, before)


@cache
def _shipped(with_vectors: bool) -> Weights:
    return read_weights("answerable" if with_vectors else "answerable_words")
