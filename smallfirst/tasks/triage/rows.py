"""Labelled texts from a file, checked.

Knows CSV, JSONL and parquet, and what can't be fitted: an empty text, one label only, a label with a single text. Does
not know models. Files are read as UTF-8 (with or without a mark); anything else is refused with the line.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.errors import DataError, SetupError

FEW = 0.1
"""Share of the labels that may stand on a single row: among a thousand labels some always do."""

_NOISE = re.compile(r"[\W_]+")


class Labelled(msgspec.Struct, frozen=True):
    """One text and its labels; `where` is the file and line, for messages."""

    text: str
    labels: tuple[str, ...]
    where: str

    @property
    def group(self) -> str:
        """The same for all copies of a text."""
        return hashlib.sha256(_NOISE.sub(" ", self.text.lower()).strip().encode("utf-8", "replace")).hexdigest()[:16]


def read_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file and line, fields) of each record of a .csv, .jsonl or .parquet file. Raises DataError, SetupError."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: a file of records ends in {', '.join(readers)}")
    empty = True
    for number, record in reader(path):
        empty = False
        yield f"{path.name}, line {number}", record
    if empty:
        raise DataError(f"{path}: the file holds no records")


def read_labelled(
    path: Path, text: str, label: str, *, separator: str | None = None, where: tuple[str, str] | None = None
) -> list[Labelled]:
    """Rows of `path`. `separator`: splits several labels in one field. `where`: only records with this (field, value).

    Raises DataError that names file, line and field.
    """
    rows = []
    for at, record in read_records(path):
        for field in (text, label, *([where[0]] if where else [])):
            if field not in record:
                raise DataError(f"{at}: there is no field {field!r}; there are: {', '.join(map(str, record))}")
        if where is not None and str(record[where[0]]) != where[1]:
            continue
        said = record[text]
        if not isinstance(said, str) or not said.strip():
            raise DataError(f"{at}: {text} is empty")
        rows.append(Labelled(said, _labels(record[label], separator, f"{at}: {label}"), at))
    if not rows:
        raise DataError(f"{path}: no record has {where[0]} = {where[1]!r}" if where else f"{path}: no records")
    return rows


def pair_of(given: str | None) -> tuple[str, str] | None:
    """`split=train` as (field, value). Raises DataError."""
    if given is None:
        return None
    field, sign, value = given.partition("=")
    if not sign:
        raise DataError(f"{given!r}: FIELD=VALUE is needed, such as split=train")
    return field, value


def _labels(value: Any, separator: str | None, at: str) -> tuple[str, ...]:
    if isinstance(value, list):
        found = [str(one).strip() for one in value]
    elif separator is not None and isinstance(value, str):
        found = [one.strip() for one in value.split(separator)]
    else:
        found = [str(value).strip()] if value is not None else []
    found = [one for one in found if one]
    if not found and separator is None:
        raise DataError(f"{at} is empty")
    return tuple(dict.fromkeys(found))


def check_rows(rows: Sequence[Labelled], out_of_scope: str | None, *, several: bool) -> list[str]:
    """The labels, sorted. Raises DataError for what can't be told apart."""
    counts = Counter(label for row in rows for label in row.labels if label != out_of_scope)
    if len(counts) < 2:
        only = next(iter(counts), "nothing")
        raise DataError(f"every row is labelled {only!r}: triage needs at least two labels to tell apart")
    rare = rare_labels(rows)
    if len(rare) > FEW * len(counts):
        raise DataError(f"label {rare[0]!r} stands on a single row of the fit part; give it more, or merge it")
    twice = next((row for row in rows if len(row.labels) > 1), None)
    if twice is not None and not several:
        raise DataError(f"{twice.where}: several labels {twice.labels}; say --several if a text may have more than one")
    return sorted(counts)


def rare_labels(rows: Iterable[Labelled]) -> list[str]:
    """Labels that stand on a single row, sorted."""
    counts = Counter(label for row in rows for label in row.labels)
    return sorted(label for label, count in counts.items() if count < 2)


def digest_of(rows: Iterable[Labelled]) -> str:
    """sha256 over texts and labels in order, 16 hex digits."""
    hashed = hashlib.sha256()
    for row in rows:
        hashed.update(json.dumps([row.text, row.labels]).encode())
    return hashed.hexdigest()[:16]


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        try:
            for record in reader:
                if None in record:
                    raise DataError(f"{path.name}, line {reader.line_num}: more fields than the first line names")
                yield reader.line_num, dict(record)
        except UnicodeDecodeError as error:
            raise DataError(f"{path.name}, after line {reader.line_num}: not UTF-8 ({error.reason})") from None
        except csv.Error as error:
            raise DataError(f"{path.name}, line {reader.line_num}: {error}") from None


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    record = msgspec.json.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise DataError(f"{path.name}, line {number}: {error}") from None
                if not isinstance(record, dict):
                    raise DataError(f"{path.name}, line {number}: a JSON object is needed, one a line")
                yield number, record


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SetupError("reading parquet needs pyarrow: pip install 'smallfirst[evals]'") from error
    yield from enumerate(pq.read_table(path).to_pylist(), 1)
