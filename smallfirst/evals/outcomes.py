"""The outcome format: what models scored on the same queries.

Knows the tables of ../shared/data/outcomes and the same rows as JSONL, and their traps: repeated rows, the same prompt
under several ids and in several files. Does not know answers (models/recorded.py has those, without scores), prices or
policies. Only evals and learn see scores beside outcomes; this is where evals reads them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from smallfirst.errors import DataError, SetupError
from smallfirst.evals.statistics import Floats
from smallfirst.learn.outcomes import group_of
from smallfirst.models.recorded import prompt_key


_group_of = lru_cache(maxsize=20_000)(group_of)
"""A table names each prompt once for every model."""


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


class _Row(msgspec.Struct):
    """One line of JSONL or one row of a table, before it is checked."""

    query_id: str
    prompt: str
    model: str
    score: float | None = None
    benchmark: str | None = None
    category: str | None = None
    tier: str | None = None
    input_chars: float | None = None
    output_chars: float | None = None


class ScoreTable(msgspec.Struct, frozen=True):
    """Scores (n, m) and characters (n, m) of the same m models on the same n prompts; copies share a group."""

    models: tuple[str, ...]
    query_ids: tuple[str, ...]
    prompts: tuple[str, ...]
    groups: tuple[str, ...]
    benchmarks: tuple[str, ...]
    scores: Floats
    input_chars: Floats
    output_chars: Floats

    def rows(self, groups: Collection[str]) -> ScoreTable:
        """Only the rows of these groups, in the order they have here."""
        keep = [i for i, group in enumerate(self.groups) if group in groups]
        return ScoreTable(
            models=self.models,
            query_ids=tuple(self.query_ids[i] for i in keep),
            prompts=tuple(self.prompts[i] for i in keep),
            groups=tuple(self.groups[i] for i in keep),
            benchmarks=tuple(self.benchmarks[i] for i in keep),
            scores=self.scores[keep],
            input_chars=self.input_chars[keep],
            output_chars=self.output_chars[keep],
        )

    def column(self, model: str) -> int:
        """Where a model stands. Raises DataError for one that is not here."""
        if model not in self.models:
            raise DataError(f"no scores of {model!r} here; there are: {', '.join(self.models)}")
        return self.models.index(model)


def read_outcomes(path: Path, *, models: Collection[str] | None = None, score: str = "score") -> list[Scored]:
    """Every row of a .parquet or .jsonl file of outcomes (of these models), checked; identical copies once.

    `score` names the column, where a table has two. Raises DataError that names file, line and field: a score that is
    missing or outside 0..1, or two rows for one query and model that disagree. SetupError without pyarrow.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    numbered = _parquet_rows(path, models, score) if path.suffix == ".parquet" else _jsonl_rows(path)
    kept: dict[tuple[str, str, str], Scored] = {}
    for line, row in numbered:
        if models is not None and row.model not in models:
            continue
        scored = _checked(row, f"{path.name}, line {line}")
        before = kept.setdefault((scored.benchmark, scored.query_id, scored.model), scored)
        if (before.score, before.prompt) != (scored.score, scored.prompt):
            raise DataError(
                f"{path.name}, line {line}: a second row for query_id {scored.query_id!r} and model {scored.model!r} "
                "has another score or prompt"
            )
    return list(kept.values())


def _checked(row: _Row, where: str) -> Scored:
    if row.score is None or np.isnan(row.score):
        raise DataError(f"{where}: score is missing (query_id {row.query_id!r}, model {row.model!r})")
    if not 0 <= row.score <= 1:
        raise DataError(f"{where}: score must be in 0..1, not {row.score}")
    return Scored(
        query_id=row.query_id,
        prompt=row.prompt,
        model=row.model,
        score=row.score,
        group=_group_of(row.prompt),
        benchmark=row.benchmark or "",
        category=row.category or "",
        tier=row.tier or "",
        input_chars=len(row.prompt) if row.input_chars is None else int(row.input_chars),
        output_chars=0 if row.output_chars is None else int(row.output_chars),
    )


def _jsonl_rows(path: Path) -> Iterable[tuple[int, _Row]]:
    decoder = msgspec.json.Decoder(_Row)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield number, decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(f"{path.name}, line {number}: {error}") from None


def _parquet_rows(path: Path, models: Collection[str] | None, score: str) -> Iterable[tuple[int, _Row]]:
    try:
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra; the gateway never needs it
    except ImportError as error:
        raise SetupError("reading outcome tables needs pyarrow: pip install 'smallfirst[evals]'") from error
    present = set(pq.read_schema(path).names)
    if missing := {"query_id", "prompt", "model", score} - present:
        raise DataError(f"{path.name}: column {sorted(missing)[0]!r} is missing")
    optional = [name for name in ("benchmark", "category", "tier", "input_chars", "output_chars") if name in present]
    filters = None if models is None else [("model", "in", sorted(models))]
    columns = ["query_id", "prompt", "model", score, *optional]
    table = pq.read_table(path, columns=columns, filters=filters).to_pydict()
    names = ["score" if name == score else name for name in columns]
    for number, values in enumerate(zip(*(table[name] for name in columns), strict=True), 1):
        yield number, _Row(**dict(zip(names, values, strict=True)))


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
    for row in rows:
        query = (row.benchmark, row.query_id)
        if first.setdefault(prompt_key(row.prompt), query) == query:
            cells.setdefault(query, {})[row.model] = row
    complete = [cells[query] for query in first.values() if all(model in cells[query] for model in models)]
    if not complete:
        raise DataError(f"no prompt was answered by all of: {', '.join(models)}")
    lead = [cell[models[0]] for cell in complete]
    return ScoreTable(
        models=tuple(models),
        query_ids=tuple(row.query_id for row in lead),
        prompts=tuple(row.prompt for row in lead),
        groups=tuple(row.group for row in lead),
        benchmarks=tuple(row.benchmark for row in lead),
        scores=np.array([[cell[model].score for model in models] for cell in complete]),
        input_chars=np.array([[cell[model].input_chars for model in models] for cell in complete], dtype=np.float64),
        output_chars=np.array([[cell[model].output_chars for model in models] for cell in complete], dtype=np.float64),
    )
