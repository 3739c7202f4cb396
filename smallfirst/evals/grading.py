"""Which answers to grade, in which order and with which known probability; and the checkers for checkable answers.

Knows canonical forms, references and a seed. Does not know judges' prompts (monitor/judge.py) or terminals. Where the
answers to a query differ, the query is graded; where all say the same, with a smaller probability that is written into
the grade, because those queries carry the level that a loss is relative to. Whether a query is chosen depends on its
id, the seed and this alone: never on who answered, nor on a score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from smallfirst.core import Grade
from smallfirst.errors import DataError
from smallfirst.evals import scorers
from smallfirst.models.answers import AnswerRow, outcome_of
from smallfirst.monitor.judge import show_answer
from smallfirst.verify.agreement import compare
from smallfirst.verify.canonical import canonical, canonical_text


class Pile(msgspec.Struct, frozen=True):
    """One query that was chosen: its answers, those that say the same counted as one, and the known probability."""

    query_id: str
    prompt: str
    rows: tuple[AnswerRow, ...]
    texts: tuple[str, ...]  # what is shown: each different answer once
    of: tuple[int, ...]  # for each row the text that stands for it
    differ: bool
    sample_prob: float

    @property
    def reference(self) -> str | None:
        return next((row.reference for row in self.rows if row.reference is not None), None)

    def grades(self, scores: Sequence[float], grader: str, at_us: int) -> list[Grade]:
        """A grade for every row, from the score of the text that stands for it."""
        return [
            Grade(self.query_id, row.model, scores[self.of[n]], grader, self.sample_prob, True, at_us)
            for n, row in enumerate(self.rows)
        ]


def choose(
    answers: Iterable[AnswerRow],
    *,
    agree_rate: float = 0.2,
    differ_rate: float = 1.0,
    seed: int = 0,
    done: Collection[str] = (),
) -> list[Pile]:
    """The queries to grade, those whose answers differ first. Raises DataError for rates that are none.

    `done`: query ids that need no more. A query with a single answered row is left out: there is nothing to compare.
    """
    for name, rate in (("--agree-rate", agree_rate), ("--differ-rate", differ_rate)):
        if not 0 < rate <= 1:
            raise DataError(
                f"{name} must be above 0 and at most 1, not {rate:g}: what can't be chosen can't be weighed"
            )
    by_query: dict[str, list[AnswerRow]] = {}
    for row in answers:
        by_query.setdefault(row.query_id, []).append(row)
    piles = []
    for query_id, rows in by_query.items():
        if query_id in done or len(rows) < 2:
            continue
        texts, of = _stacked(rows)
        differ = len(texts) > 1
        rate = differ_rate if differ else agree_rate
        if coin(query_id, seed) < rate:
            piles.append(Pile(query_id, rows[0].prompt, tuple(rows), texts, of, differ, rate))
    return sorted(piles, key=lambda pile: (not pile.differ, coin(pile.query_id, seed + 1)))


def coin(query_id: str, seed: int) -> float:
    """A number in 0..1 that is the same for this id and seed, and says nothing else about the query."""
    digest = hashlib.sha256(f"{seed}/{query_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _stacked(rows: Sequence[AnswerRow]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Answers that say the same in canonical form, or word for word, share a place."""
    texts: list[str] = []
    forms: list[str | None] = []
    of = []
    for row in rows:
        form, text = canonical(outcome_of(row)), show_answer(row.answer or "", row.tool_calls or ())
        place = next((n for n in range(len(texts)) if text == texts[n] or _same(form, forms[n])), len(texts))
        if place == len(texts):
            texts.append(text)
            forms.append(form)
        of.append(place)
    return tuple(texts), tuple(of)


def _same(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and compare(one, other, "", "") == "same"


Checker = Callable[[str, str], float]
"""(answer, reference) -> score in 0..1."""


def _canonical(answer: str, reference: str) -> float:
    said, meant = canonical_text(answer), canonical_text(reference)
    return float(_same(said, meant) or (meant is None and answer.split() == reference.split()))


def _number(answer: str, reference: str) -> float:
    try:
        value = float(reference.replace(",", ""))
    except ValueError:
        raise DataError(f"the checker `number` needs numbers as references, not {reference[:40]!r}") from None
    return scorers.number(scorers.clean(answer), reference, {"value": value}).value


CHECKERS: Mapping[str, Checker] = {
    "canonical": _canonical,
    "exact": lambda answer, reference: scorers.exact(scorers.clean(answer), reference, {}).value,
    "includes": lambda answer, reference: scorers.includes(scorers.clean(answer), reference, {}).value,
    "number": _number,
    "json": lambda answer, reference: scorers.json_value(scorers.clean(answer), reference, {}).value,
}
"""By name. `canonical`: the same short form as the reference; the others are those of evals/scorers.py."""


def check(pile: Pile, checker: str, at_us: int) -> list[Grade]:
    """Grade a pile against its reference. Raises DataError where there is none."""
    if checker not in CHECKERS:
        raise DataError(f"no checker {checker!r}; there are: {', '.join(CHECKERS)}")
    reference = pile.reference
    if reference is None:
        raise DataError(
            f"query_id {pile.query_id!r} has no `reference`, so there is nothing to check against; "
            "use --judge MODEL or --terminal"
        )
    scores = [CHECKERS[checker](text, reference) for text in pile.texts]
    return pile.grades(scores, f"checker:{checker}", at_us)
