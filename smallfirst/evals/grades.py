"""The outcome format, its scores: grades beside answers, and the two joined. docs/outcomes.md explains every field.

Knows grades as JSONL and parquet, and what must not be missing before scores and answers may be compared. Does not
know who grades (grading.py) or what is fitted on the result. Answers are read by models/answers.py, without scores.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import msgspec

from smallfirst.core import Grade
from smallfirst.errors import DataError
from smallfirst.models.answers import AnswerRow, table_rows

UNNAMED = "file"
"""Grader of a table that names none: whoever made the file."""


class _Row(msgspec.Struct, frozen=True):
    query_id: str
    model: str
    score: float | None = None
    grader: str = UNNAMED
    sample_prob: float = 1.0
    blind: bool = True
    at_us: int = 0


class GradedQuery(msgspec.Struct, frozen=True):
    """One query, answered and scored by the same models; `scores` are in the order of `answers`."""

    query_id: str
    prompt: str
    answers: tuple[AnswerRow, ...]
    scores: tuple[float, ...]
    sample_prob: float  # with which the query came to be both kept and graded


class ScoredAnswer(AnswerRow, frozen=True, omit_defaults=True):
    """A row with its score beside it: one table, as `smallfirst evaluate` takes it."""

    score: float = -1.0  # always given; 0 must be written


def read_grades(path: Path) -> list[Grade]:
    """Every grade of a .jsonl or .parquet file; a table of answers with a `score` column is one too.

    Raises DataError that names file, line and field: a score that is missing or outside 0..1, a probability that is
    none, two grades of one answer by one grader.
    """
    kept: dict[tuple[str, str, str], Grade] = {}
    for line, raw in table_rows(path):
        where = f"{path.name}, line {line}"
        named = {name: value for name, value in raw.items() if name in _Row.__struct_fields__ and value is not None}
        try:
            row = msgspec.convert(named, _Row, strict=False)
        except msgspec.ValidationError as error:
            raise DataError(f"{where}: {error}") from None
        grade = _checked(row, where)
        before = kept.setdefault((grade.query_id, grade.model, grade.grader), grade)
        if before is not grade:
            raise DataError(
                f"{where}: a second score of {grade.model!r} on query_id {grade.query_id!r} by {grade.grader} "
                f"({grade.score:g}, before {before.score:g}); keep one of them"
            )
    if not kept:
        raise DataError(f"{path.name}: no grades in it; docs/outcomes.md shows what a row looks like")
    return list(kept.values())


def _checked(row: _Row, where: str) -> Grade:
    if row.score is None or math.isnan(row.score):
        raise DataError(
            f"{where}: score is missing (query_id {row.query_id!r}, model {row.model!r}); grade it or cut it"
        )
    if not 0 <= row.score <= 1:
        raise DataError(f"{where}: score must be in 0..1, not {row.score:g}; divide by the highest there can be")
    if not 0 < row.sample_prob <= 1:
        raise DataError(f"{where}: sample_prob must be above 0 and at most 1, not {row.sample_prob:g}")
    return Grade(row.query_id, row.model, row.score, row.grader, row.sample_prob, row.blind, row.at_us)


def join(
    answers: Sequence[AnswerRow],
    grades: Iterable[Grade],
    models: Sequence[str] | None = None,
    *,
    grader: str | None = None,
) -> list[GradedQuery]:
    """Queries that every one of `models` answered and that were graded for each, in order of first appearance.

    Queries without any grade are left out (they were not chosen); one with grades for some of its answers is refused:
    leaving it out would choose by who was graded. A call that failed (no answer) scores 0 where nobody graded it.
    Raises DataError that says what to do.
    """
    chosen = list(models) if models is not None else list(dict.fromkeys(row.model for row in answers))
    if len(chosen) < 2:
        only = chosen[0] if chosen else "none"
        raise DataError(f"outcomes of one model only ({only}): a promise compares a cheaper model with a baseline")
    scores = _scores(grades, grader)
    cells: dict[str, dict[str, AnswerRow]] = {}
    for row in answers:
        cells.setdefault(row.query_id, {})[row.model] = row
    if unknown := [model for model in chosen if not any(model in cell for cell in cells.values())]:
        there = ", ".join(sorted({row.model for row in answers}))
        raise DataError(f"no outcomes of {unknown[0]!r}; the file has: {there}")
    found = []
    for query_id, cell in cells.items():
        if all(model in cell for model in chosen):
            graded = _graded(query_id, [cell[model] for model in chosen], scores)
            if graded is not None:
                found.append(graded)
    if not found:
        raise DataError(
            f"no query was both answered and graded for all of: {', '.join(chosen)}; "
            "`smallfirst outcomes check` shows what is missing"
        )
    return found


def _graded(query_id: str, rows: list[AnswerRow], scores: dict[tuple[str, str], Grade]) -> GradedQuery | None:
    grades = [scores.get((query_id, row.model)) for row in rows]
    if not any(grades):
        return None
    values, prob = [], 1.0
    for row, grade in zip(rows, grades, strict=True):
        failed = row.answer is None and not row.tool_calls
        if grade is None and not failed:
            raise DataError(
                f"query_id {query_id!r}: the score of {row.model!r} is missing while other answers to it are graded; "
                "grade it (`smallfirst grade` goes on where it stopped), or cut the query"
            )
        values.append(0.0 if grade is None else grade.score)
        prob = prob if grade is None else grade.sample_prob
    chance = prob * rows[0].sample_prob
    return GradedQuery(query_id, rows[0].prompt, tuple(rows), tuple(values), chance)


def _scores(grades: Iterable[Grade], grader: str | None) -> dict[tuple[str, str], Grade]:
    listed = list(grades)
    names = graders_of(listed)
    if grader is None and len(names) > 1:
        raise DataError(f"several graders speak ({', '.join(names)}); a promise is about one of them: --grader NAME")
    if grader is not None and grader not in names:
        raise DataError(f"no grades by {grader!r}; there are: {', '.join(names)}")
    return {(g.query_id, g.model): g for g in listed if grader in (None, g.grader)}


def scored_rows(queries: Iterable[GradedQuery]) -> list[ScoredAnswer]:
    """One table of what was joined."""
    return [
        ScoredAnswer(**msgspec.structs.asdict(row), score=score)
        for query in queries
        for row, score in zip(query.answers, query.scores, strict=True)
    ]


def graders_of(grades: Collection[Grade]) -> list[str]:
    """Who graded, the one with most grades first."""
    counts: dict[str, int] = {}
    for grade in grades:
        counts[grade.grader] = counts.get(grade.grader, 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name))
