"""A file of questions with what a good answer holds, and what a knowledge base's answers to them come to.

Knows JSON lines and three numbers. Does not know who answers. A line:

    {"question": "...", "answers": ["27 days", "27"], "document": "people/leave.md"}
    {"question": "...", "unanswerable": true}
    {"history": [["user", "..."], ["assistant", "..."]], "question": "And there?", "answers": ["8"]}

An answer is right where it holds one of `answers` (whole words, any case); without these, where it cites `document`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from smallfirst.errors import DataError
from smallfirst.evals.probe import wilson


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line."""

    question: str
    answers: tuple[str, ...] = ()
    document: str | None = None
    unanswerable: bool = False
    history: tuple[tuple[Literal["user", "assistant"], str], ...] = ()


class Given(msgspec.Struct, frozen=True):
    """What came back. `documents`: those that it cites; `by`: the model that answered."""

    answered: bool
    text: str = ""
    documents: tuple[str, ...] = ()
    by: str = ""
    tier: str = ""
    cost_usd: float = 0.0


class Share(msgspec.Struct, frozen=True):
    """A share with its 95% interval (Wilson 1927). Of nothing there is none."""

    value: float | None
    low: float
    high: float
    of: int


class KbReport(msgspec.Struct, frozen=True):
    """The three numbers that belong together, and who answered."""

    answered: Share  # of the questions that have an answer
    wrong: Share  # of the answers that were given
    missed: Share  # of the questions that should have gone to a person: those answered all the same
    by_tier: dict[str, int]
    cost_usd: float
    mistakes: tuple[tuple[str, str], ...]  # (question, answer) of the wrong ones


def read_questions(path: Path) -> list[Asked]:
    """Raises DataError naming the line."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    asked = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            one = msgspec.json.decode(line, type=Asked)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path}, line {number}: {error}") from None
        if not one.unanswerable and not one.answers and one.document is None:
            words = "needs `answers`, `document`, or `unanswerable: true`"
            raise DataError(f"{path}, line {number}: a question {words}")
        asked.append(one)
    if not asked:
        raise DataError(f"{path}: there are no questions in it")
    return asked


def is_right(asked: Asked, given: Given) -> bool:
    """Whether an answer that was given is right."""
    if asked.unanswerable or not given.answered:
        return False
    if not asked.answers:
        return asked.document in given.documents
    said = _plain(given.text)
    return any(f" {_plain(answer)} " in f" {said} " for answer in asked.answers)


def report(asked: Sequence[Asked], given: Sequence[Given]) -> KbReport:
    """Both in the same order."""
    pairs = list(zip(asked, given, strict=True))
    right = [is_right(question, answer) for question, answer in pairs]
    answered = [answer.answered for answer in given]
    astray = [was and not ok for was, ok in zip(answered, right, strict=True)]
    due = [question.unanswerable or wrong for (question, _), wrong in zip(pairs, astray, strict=True)]
    tiers: dict[str, int] = {}
    for answer in given:
        where = answer.tier if answer.answered else "nobody"
        tiers[where] = tiers.get(where, 0) + 1
    return KbReport(
        answered=_share([answer.answered for question, answer in pairs if not question.unanswerable]),
        wrong=_share([not ok for was, ok in zip(answered, right, strict=True) if was]),
        missed=_share([was for was, goes in zip(answered, due, strict=True) if goes]),
        by_tier=tiers,
        cost_usd=sum(answer.cost_usd for answer in given),
        mistakes=tuple((q.question, g.text) for (q, g), wrong in zip(pairs, astray, strict=True) if wrong),
    )


def _share(flags: Sequence[bool]) -> Share:
    if not flags:
        return Share(None, 0.0, 1.0, 0)
    low, high = wilson(sum(flags), len(flags))
    return Share(sum(flags) / len(flags), low, high, len(flags))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
