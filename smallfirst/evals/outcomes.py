"""The outcome format: what models scored on the same queries.

Knows the tables of ../shared/data/outcomes and the same rows as JSONL, and their traps: repeated rows, the same prompt
under several ids and in several files. Does not know answers (models/recorded.py has those, without scores), prices or
policies. Only evals and learn see scores beside outcomes; this is where evals reads them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from smallfirst.core import NANO
from smallfirst.errors import DataError
from smallfirst.evals.outcome_files import Row, numbered_rows
from smallfirst.evals.statistics import Floats
from smallfirst.learn.outcomes import group_of
from smallfirst.models.recorded import CHARACTERS_A_TOKEN, prompt_key


class Scored(msgspec.Struct, frozen=True):
    """What one model scored on one query. `score` is in 0..1; characters are what was really sent and received."""

    query_id: str
    prompt: str
    model: str
    score: float
    group: str = ""  # the same for all copies of a prompt, in every file
    benchmark: str = ""
    category: str = ""
    tier: str = ""
    input_chars: int = 0
    output_chars: int = 0
    slice: str = ""
    input_tokens: float | None = None  # where the file says; else characters / 4
    output_tokens: float | None = None
    cost: float | None = None  # nano-dollars, where the file says
    latency_us: float | None = None  # where the file says
    answer: str | None = None
    finish: str = "stop"


class ScoreTable(msgspec.Struct, frozen=True):
    """Scores (n, m) and lengths (n, m) of the same m models on the same n prompts; copies share a group.

    `costs` (nano-dollars) and `latency` (microseconds) are (n, m) with nan where the file does not say, or None where
    it never does.
    """

    models: tuple[str, ...]
    query_ids: tuple[str, ...]
    prompts: tuple[str, ...]
    groups: tuple[str, ...]
    benchmarks: tuple[str, ...]
    scores: Floats
    input_chars: Floats
    output_chars: Floats
    categories: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    input_tokens: Floats | None = None
    output_tokens: Floats | None = None
    costs: Floats | None = None
    latency: Floats | None = None

    def rows(self, groups: Collection[str]) -> ScoreTable:
        """Only the rows of these groups, in the order they have here."""
        keep = [i for i, group in enumerate(self.groups) if group in groups]
        return msgspec.structs.replace(
            self,
            **{name: tuple(value[i] for i in keep) for name in _BY_ROW if (value := getattr(self, name))},
            **{name: value[keep] for name in _BY_CELL if (value := getattr(self, name)) is not None},
        )

    def column(self, model: str) -> int:
        """Where a model stands. Raises DataError for one that is not here."""
        if model not in self.models:
            raise DataError(f"no scores of {model!r} here; there are: {', '.join(self.models)}")
        return self.models.index(model)


_BY_ROW = ("query_ids", "prompts", "groups", "benchmarks", "categories", "slices")
_BY_CELL = ("scores", "input_chars", "output_chars", "input_tokens", "output_tokens", "costs", "latency")


def read_outcomes(
    path: Path, *, models: Collection[str] | None = None, score: str = "score", once: bool = True
) -> list[Scored]:
    """Every row of a .parquet or .jsonl file of outcomes (of these models), checked.

    `score` names the column, where a table has two. `once`: identical copies of a row count once; False refuses them.
    Raises DataError that names file, line and field: a score that is missing or outside 0..1, or two rows for one
    query and model that disagree. SetupError without pyarrow.
    """
    kept: dict[tuple[str, str, str], tuple[Scored, int]] = {}
    groups: dict[str, str] = {}
    for line, row in numbered_rows(path, models, score):
        if models is not None and row.model not in models:
            continue
        scored = _checked(row, groups, path.name, line)
        before, first = kept.setdefault((scored.benchmark, scored.query_id, scored.model), (scored, line))
        if before is scored:
            continue
        second = f"{path.name}, line {line}: a second row for query_id {scored.query_id!r} and model {scored.model!r}"
        if (before.score, before.prompt) != (scored.score, scored.prompt):
            raise DataError(
                f"{second} has another score or prompt than line {first}; keep one of them, or give repeated queries "
                "ids of their own"
            )
        if not once:
            raise DataError(f"{second} says the same as line {first}; remove one of them")
    return [scored for scored, _ in kept.values()]


def _checked(row: Row, groups: dict[str, str], name: str, line: int) -> Scored:
    where = f"{name}, line {line}"
    if row.score is None or math.isnan(row.score):
        raise DataError(
            f"{where}: score is missing (query_id {row.query_id!r}, model {row.model!r}); grade it, or cut the query"
        )
    if not 0 <= row.score <= 1:
        raise DataError(f"{where}: score must be in 0..1, not {row.score}; divide by the highest there can be")
    group = groups.get(row.prompt)
    if group is None:
        group = groups[row.prompt] = group_of(row.prompt)
    sent = len(row.prompt) if row.input_chars is None else int(row.input_chars)
    answered = len(row.answer or "") if row.output_chars is None else int(row.output_chars)
    latency_ms = row.latency_ms if row.latency_s is None else row.latency_s * 1000
    return Scored(
        query_id=row.query_id,
        prompt=row.prompt,
        model=row.model,
        score=row.score,
        group=group,
        benchmark=row.benchmark or "",
        category=row.category or "",
        tier=row.tier or "",
        input_chars=sent,
        output_chars=answered,
        slice=row.slice or "",
        input_tokens=_amount(row.input_tokens, 1, f"{where}: input_tokens"),
        output_tokens=_amount(row.output_tokens, 1, f"{where}: output_tokens"),
        cost=_amount(row.cost_usd, NANO, f"{where}: cost_usd"),
        latency_us=_amount(latency_ms, 1000, f"{where}: latency"),
        answer=row.answer,
        finish=row.finish or "stop",
    )


def _amount(value: float | None, times: float, where: str) -> float | None:
    if value is None or math.isnan(value):
        return None
    if value < 0:
        raise DataError(f"{where} can't be negative: {value}")
    return value * times


def by_group(rows: Iterable[Scored]) -> dict[str, list[Scored]]:
    """Rows by prompt group, both in order of first appearance."""
    grouped: dict[str, list[Scored]] = {}
    for row in rows:
        grouped.setdefault(row.group, []).append(row)
    return grouped


def split(groups: Iterable[str], *, seed: int, fractions: Sequence[float]) -> tuple[frozenset[str], ...]:
    """Deal prompt groups at random into parts; each group falls into exactly one.

    `fractions` are each above 0 and add up to 1. The order in which the groups are given plays no part.
    """
    if not fractions or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise DataError(f"fractions must each be above 0 and add up to 1, not {list(fractions)}")
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    cuts = np.round(np.cumsum([0.0, *fractions]) * len(names)).astype(int)
    return tuple(frozenset(names[i] for i in order[a:b]) for a, b in pairwise(cuts))


def ensure_apart(parts: Mapping[str, Iterable[Scored]]) -> None:
    """Raises DataError when a prompt, or a copy of it, stands in two parts of a split."""
    seen: dict[str, tuple[str, str]] = {}
    for name, rows in parts.items():
        for row in rows:
            other, query_id = seen.setdefault(row.group, (name, row.query_id))
            if other != name:
                raise DataError(f"one prompt stands in two parts: {query_id!r} in {other}, {row.query_id!r} in {name}")


def score_table(rows: Sequence[Scored], models: Sequence[str]) -> ScoreTable:
    """Line the rows up: one row a prompt, every model present.

    Of a prompt that stands under several ids, the first in file order speaks, as in models/recorded.py. Prompts that
    some of the models did not answer are left out. Raises DataError when none is left.
    """
    first: dict[str, tuple[str, str]] = {}  # prompt -> (benchmark, query_id)
    cells: dict[tuple[str, str], dict[str, Scored]] = {}
    keys: dict[str, str] = {}
    for row in rows:
        query = (row.benchmark, row.query_id)
        key = keys.get(row.prompt)
        if key is None:
            key = keys[row.prompt] = prompt_key(row.prompt)
        if first.setdefault(key, query) == query:
            cells.setdefault(query, {})[row.model] = row
    complete = [cells[query] for query in first.values() if all(model in cells[query] for model in models)]
    if not complete:
        raise DataError(f"no prompt was answered by all of: {', '.join(models)}")
    return _line_up(complete, models)


def _line_up(complete: Sequence[Mapping[str, Scored]], models: Sequence[str]) -> ScoreTable:
    lead = [cell[models[0]] for cell in complete]

    def cells(field: str) -> Floats:
        return np.array([[getattr(cell[model], field) for model in models] for cell in complete], dtype=np.float64)

    def tokens(side: str) -> Floats:
        said = cells(f"{side}_tokens")
        return np.where(np.isnan(said), np.ceil(cells(f"{side}_chars") / CHARACTERS_A_TOKEN), said)

    costs, latency = cells("cost"), cells("latency_us")  # None becomes nan
    return ScoreTable(
        models=tuple(models),
        query_ids=tuple(row.query_id for row in lead),
        prompts=tuple(row.prompt for row in lead),
        groups=tuple(row.group for row in lead),
        benchmarks=tuple(row.benchmark for row in lead),
        scores=cells("score"),
        input_chars=cells("input_chars"),
        output_chars=cells("output_chars"),
        categories=tuple(row.category for row in lead),
        slices=tuple(row.slice for row in lead),
        input_tokens=tokens("input"),
        output_tokens=tokens("output"),
        costs=None if np.isnan(costs).all() else costs,
        latency=None if np.isnan(latency).all() else latency,
    )
