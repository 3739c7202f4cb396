"""Rows of outcome files as they stand there, one at a time with their line: .jsonl, and .parquet where pyarrow is.

Knows the columns' names. Checks nothing but that a row can be read; outcomes.py says what a row must be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.errors import DataError, SetupError

NEEDED = ("query_id", "prompt", "model")


class Row(msgspec.Struct):
    """One line of JSONL or one row of a table, before it is checked. docs/evaluation.md explains every field."""

    query_id: str
    prompt: str
    model: str
    score: float | None = None
    benchmark: str | None = None
    category: str | None = None
    slice: str | None = None
    tier: str | None = None
    input_chars: float | None = None
    output_chars: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None
    latency_s: float | None = None
    answer: str | None = None
    finish: str | None = None


OPTIONAL = tuple(name for name in Row.__struct_fields__ if name not in (*NEEDED, "score"))


def numbered_rows(path: Path, models: Collection[str] | None, score: str) -> Iterator[tuple[int, Row]]:
    """(line from 1, row). `score` names the column of a table. Raises DataError, SetupError without pyarrow."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix == ".parquet":
        yield from _parquet_rows(path, models, score)
    elif path.suffix in (".jsonl", ".ndjson", ".json"):
        yield from _jsonl_rows(path)
    else:
        raise DataError(f"{path.name}: outcome files end in .jsonl or .parquet")


def _jsonl_rows(path: Path) -> Iterable[tuple[int, Row]]:
    decoder = msgspec.json.Decoder(Row)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield number, decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(f"{path.name}, line {number}: {error}") from None


def _parquet_rows(path: Path, models: Collection[str] | None, score: str) -> Iterable[tuple[int, Row]]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra; the gateway never needs it
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above
    except ImportError as error:
        raise SetupError("reading outcome tables needs pyarrow: pip install 'smallfirst[evals]'") from error
    try:
        schema = pq.read_schema(path)
        present = set(schema.names)
        if missing := [name for name in (*NEEDED, score) if name not in present]:
            raise DataError(f"{path.name}: column {missing[0]!r} is missing")
        filters = None if models is None else [("model", "in", sorted(models))]
        columns = [*NEEDED, score, *(name for name in OPTIONAL if name in present)]
        table: dict[str, list[Any]] = pq.read_table(path, columns=columns, filters=filters).to_pydict()
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path.name}: not a parquet table: {error}") from None
    names = ["score" if name == score else name for name in columns]
    for number, values in enumerate(zip(*(table[name] for name in columns), strict=True), 1):
        yield number, Row(**dict(zip(names, values, strict=True)))
