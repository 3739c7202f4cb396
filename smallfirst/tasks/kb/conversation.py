"""A question and the turns before it -> the ways in which it is searched, without a model.

Knows the user's turns. Does not know the index. "And the second one?" says nothing by itself: the last question is
searched alone, with the user turn before it, and with the two before it, and the scores are added up. The question
alone keeps a change of subject findable; what was asked before brings back what a pronoun stands for.

Tried on MTRAG-UN and left out, because none of them found more (docs/log.md): earlier answers of the assistant, the
first turn, all turns, and leaning on the history only where the question has a pronoun or few words.
"""

from __future__ import annotations

from collections.abc import Sequence

from smallfirst.tasks.kb.search import Variant

WITH_ONE_BEFORE = 2.0
WITH_TWO_BEFORE = 1.0
"""Weights beside the question alone, which counts 1."""

LONGEST_TURN = 2_000
"""Characters of an earlier turn that are searched with; of a longer one its end."""


def variants(question: str, earlier: Sequence[str] = ()) -> list[Variant]:
    """`earlier`: the user's turns before, oldest first. The first variant is the question alone."""
    before = [turn[-LONGEST_TURN:] for turn in earlier if turn.strip()][-2:]
    found = [Variant(question)]
    if before:
        found.append(Variant(" ".join((before[-1], question)), WITH_ONE_BEFORE))
    if len(before) > 1:
        found.append(Variant(" ".join((*before, question)), WITH_TWO_BEFORE))
    return found
