"""Documents with the values that stand in them, from a file, checked.

    {"document": "the text", "fields": {"total": "9.00", "date": "25/12/2018"}, "group": "acme"}
    {"file": "scans/7.pdf", "fields": {"total": null}}

Knows records (.jsonl, .csv, .parquet; `fields` may be a string of JSON) and the schema. A field that a record leaves
out was not looked at, and is not learned from; null or an empty list says that the document holds no value of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.config.nearest import hint
from smallfirst.errors import DataError
from smallfirst.tasks.extract.normal import normalise
from smallfirst.tasks.extract.schema import Field, Schema
from smallfirst.tasks.triage.rows import read_records
from smallfirst.text.documents import read_document

_NOISE = re.compile(r"[\W_]+")


class Labelled(msgspec.Struct, frozen=True):
    """One document; `values` holds normal forms. `group`: documents that resemble each other more than others do."""

    text: str
    values: dict[str, tuple[str, ...]]
    group: str
    where: str  # file and line, for messages


class Columns(msgspec.Struct, frozen=True):
    """What the record calls its parts."""

    document: str = "document"
    fields: str = "fields"
    group: str = "group"


AS_WRITTEN = Columns()


def read_labelled(
    path: Path, schema: Schema, columns: Columns = AS_WRITTEN, where: tuple[str, str] | None = None
) -> tuple[list[Labelled], list[str]]:
    """(documents, what was left out and why: a value that can't be read as its type). Raises DataError."""
    rows: list[Labelled] = []
    left_out: list[str] = []
    for at, record in read_records(path):
        if where is not None and str(record.get(where[0])) != where[1]:
            continue
        text = _text(record, columns, at, path.parent)
        values, problems = _values(_fields(record, columns, at), schema, at)
        left_out += problems
        group = record.get(columns.group)
        rows.append(Labelled(text, values, str(group) if group else _copies(text), at))
    if not rows:
        raise DataError(f"{path}: no record has {where[0]} = {where[1]!r}" if where else f"{path}: no records")
    return rows, left_out


def _text(record: dict[str, Any], columns: Columns, at: str, folder: Path) -> str:
    if columns.document not in record and isinstance(record.get("file"), str):
        return read_document(folder / record["file"])
    said = record.get(columns.document)
    if not isinstance(said, str) or not said.strip():
        there = ", ".join(map(str, record))
        raise DataError(f"{at}: {columns.document} is missing or empty (a `file` would do); there are: {there}")
    return said


def _fields(record: dict[str, Any], columns: Columns, at: str) -> dict[str, Any]:
    said = record.get(columns.fields)
    if isinstance(said, str):
        try:
            said = msgspec.json.decode(said)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{at}: {columns.fields}: {error}") from None
    if not isinstance(said, dict):
        raise DataError(f'{at}: {columns.fields} must hold a value for each field, such as {{"total": "9.00"}}')
    return said


def _values(said: dict[str, Any], schema: Schema, at: str) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    names = [field.name for field in schema.fields]
    unknown = next((name for name in said if name not in names), None)
    if unknown is not None:
        raise DataError(f"{at}: the schema has no field {unknown!r}{hint(str(unknown), names)}")
    values, problems = {}, []
    for name, value in said.items():
        read = [_normal(schema[name], one) for one in _several(value)]
        if None in read:
            problems.append(f"{at}: {name}: {value!r} can't be read as {schema[name].type}")
        else:
            values[name] = tuple(dict.fromkeys(one for one in read if one is not None))
    return values, problems


def _normal(field: Field, value: Any) -> str | None:
    return normalise(field, str(value))


def _several(value: Any) -> list[Any]:
    found = value if isinstance(value, list) else [value]
    return [one for one in found if one is not None and str(one).strip()]


def _copies(text: str) -> str:
    """The same for all copies of a document."""
    return hashlib.sha256(_NOISE.sub(" ", text.lower()).strip().encode("utf-8", "replace")).hexdigest()[:16]


def digest_of(rows: Iterable[Labelled]) -> str:
    """sha256 over documents and values in order, 16 hex digits."""
    hashed = hashlib.sha256()
    for row in rows:
        hashed.update(json.dumps([row.text, row.values], sort_keys=True).encode())
    return hashed.hexdigest()[:16]
