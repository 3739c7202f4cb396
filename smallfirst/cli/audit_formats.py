"""The audit trail as an auditor reads it: JSON lines, CSV, HTML.

Knows formats. Does not know which entries are asked for.
"""

from __future__ import annotations

import csv
import datetime as dt
import html
import io
from collections.abc import Callable, Iterable, Mapping

import msgspec

from smallfirst.ledger.audit import Line
from smallfirst.ledger.exported import write_export

_HEAD = (
    "at", "kind", "request_id", "data_class", "rule", "models", "locations", "detail", "writer", "seq", "content",
    "prev", "hash",
)  # fmt: skip


def iso(us: int) -> str:
    """UTC, to the second."""
    return dt.datetime.fromtimestamp(us / 1_000_000, dt.UTC).isoformat(timespec="seconds")


def _jsonl(entries: Iterable[Line]) -> Iterable[str]:
    return (line.decode() for line in write_export(entries))


def _cells(line: Line) -> list[str]:
    detail = msgspec.json.encode(line.detail).decode()
    return [
        iso(line.at_us), line.kind, line.request_id, line.data_class, line.rule, " ".join(line.models),
        " ".join(line.locations), detail, line.writer, str(line.seq), line.content, line.prev, line.hash,
    ]  # fmt: skip


def _csv(entries: Iterable[Line]) -> Iterable[str]:
    for cells in (_HEAD, *map(_cells, entries)):
        row = io.StringIO()
        csv.writer(row).writerow([f"'{cell}" if cell[:1] in "=+-@" else cell for cell in cells])  # no formulas
        yield row.getvalue()


def _html(entries: Iterable[Line]) -> Iterable[str]:
    yield "<!doctype html><meta charset=utf-8><title>Audit trail</title>\n"
    yield f"<table><tr>{''.join(f'<th>{name}' for name in _HEAD)}\n"
    for line in entries:
        yield f"<tr>{''.join(f'<td>{html.escape(cell)}' for cell in _cells(line))}\n"
    yield "</table>\n"


FORMATS: Mapping[str, Callable[[Iterable[Line]], Iterable[str]]] = {"jsonl": _jsonl, "csv": _csv, "html": _html}
