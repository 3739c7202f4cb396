"""Passages and a conversation -> the messages that a model is asked with, and how it says that they hold no answer.

Knows words for models. Does not know which model, or whether what comes back is true (grounded.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from smallfirst.tasks.kb.conversation import Conversation
from smallfirst.tasks.kb.store import Passage

TURNS = 6
"""Earlier turns that are sent along; of a longer one its first LONGEST_TURN characters."""

LONGEST_TURN = 1_500

LONGEST_PASSAGE = 2_000

ABSENT = "NOT IN THE PASSAGES"
"""What a model is told to say."""

_RULES = f"""You answer questions from numbered passages of a knowledge base, and from nothing else.
- Say only what the passages say. Do not add what you know from elsewhere, and do not guess.
- After each statement name the passage it comes from, as [1] or [2].
- Be brief: one to four sentences, in the language of the question.
- If the passages do not hold the answer, reply with exactly: {ABSENT}"""

ADDED = len(_RULES) + 200
"""Characters that are added to a request, without passages."""

_DECLINES = re.compile(
    r"not in the (?:given |provided )?(?:passages|context|knowledge base|documents?)"
    r"|(?:passages?|context|documents?|text) (?:do(?:es)?(?: not|n't)|did(?: not|n't)) "
    r"(?:\w+ ){0,3}?(?:contain|mention|say|state|provide|hold|include|specify|answer)"
    r"|no information (?:about|on|regarding|in the)"
    r"|(?:cannot|can't|can not|could not|couldn't) (?:be )?(?:find|found|answer|answered|determine|determined)"
    r"|i (?:do not|don't) know",
    re.IGNORECASE,
)
_SENTENCES_OF_A_REFUSAL = 2


def messages(talk: Conversation, passages: Sequence[Passage]) -> list[dict[str, str]]:
    """In order: rules (with the caller's own instructions), earlier turns, passages and question."""
    rules = "\n\n".join((*talk.instructions, _RULES))
    before = [{"role": role, "content": text[:LONGEST_TURN]} for role, text in talk.earlier[-TURNS:]]
    shown = "\n\n".join(f"[{n}] {one.title}\n{one.text[:LONGEST_PASSAGE]}" for n, one in enumerate(passages, 1))
    asked = {"role": "user", "content": f"Passages:\n\n{shown}\n\nQuestion: {talk.question}"}
    return [{"role": "system", "content": rules}, *before, asked]


def declines(answer: str) -> bool:
    """Whether an answer only says that there is none: it says so, and little else."""
    said = answer.strip()
    if not said:
        return True
    found = _DECLINES.search(said)
    return found is not None and len(re.split(r"[.!?]\s", said)) <= _SENTENCES_OF_A_REFUSAL
