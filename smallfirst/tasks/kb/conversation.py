"""A question and the turns before it -> the ways in which it is searched, without a model.

Knows the user's turns. Does not know the index. "And the second one?" says nothing by itself: the last question is
searched alone, with the user turn before it, and with the two before it, and the scores are added up. The question
alone keeps a change of subject findable; what was asked before brings back what a pronoun stands for.

Tried on MTRAG-UN and left out, because none of them found more (docs/log.md): earlier answers of the assistant, the
first turn, all turns, and leaning on the history only where the question has a pronoun or few words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from smallfirst.errors import BadRequest
from smallfirst.tasks.kb.search import Variant

WITH_ONE_BEFORE = 2.0
WITH_TWO_BEFORE = 1.0
"""Weights beside the question alone, which counts 1."""

LONGEST_TURN = 2_000
"""Characters of an earlier turn that are searched with; of a longer one its end."""


class Conversation(msgspec.Struct, frozen=True):
    """What the caller sent: instructions, the turns before as (role, text), and the question."""

    question: str
    earlier: tuple[tuple[str, str], ...] = ()
    instructions: tuple[str, ...] = ()

    @property
    def asked_before(self) -> tuple[str, ...]:
        return tuple(text for role, text in self.earlier if role == "user")

    @property
    def standalone(self) -> str:
        """The question with the one before it: what it is about, for whoever judges passages by it."""
        return " ".join((*self.asked_before[-1:], self.question))


def read_conversation(fields: Mapping[str, msgspec.Raw]) -> Conversation:
    """From the `messages` of a chat completion. Raises BadRequest where there is no text in the last user turn."""
    messages: list[dict[str, Any]] = msgspec.json.decode(fields["messages"])
    said = [(str(message.get("role")), _text(message.get("content"))) for message in messages]
    last = max((n for n, (role, _) in enumerate(said) if role == "user"), default=-1)
    if last < 0 or not said[last][1].strip():
        raise BadRequest("there is no text in the last user turn", code="empty_text", param="messages")
    earlier = tuple((role, text) for role, text in said[:last] if role in {"user", "assistant"} and text.strip())
    instructions = tuple(text for role, text in said if role in {"system", "developer"} and text.strip())
    return Conversation(said[last][1], earlier, instructions)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def variants(question: str, earlier: Sequence[str] = ()) -> list[Variant]:
    """`earlier`: the user's turns before, oldest first. The first variant is the question alone."""
    before = [turn[-LONGEST_TURN:] for turn in earlier if turn.strip()][-2:]
    found = [Variant(question)]
    if before:
        found.append(Variant(" ".join((before[-1], question)), WITH_ONE_BEFORE))
    if len(before) > 1:
        found.append(Variant(" ".join((*before, question)), WITH_TWO_BEFORE))
    return found
