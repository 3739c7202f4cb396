"""A gateway's own records as outcomes: kept texts, the ledger's figures, the grades of its grade table.

Knows the file of audited answers and the ledger. Does not know how either came to be, and writes nothing.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.core import NANO, Grade
from smallfirst.errors import LedgerError
from smallfirst.ledger.notes import read_grades
from smallfirst.models.answers import AnswerRow, read_answers
from smallfirst.store.connection import Connection

_FIGURES = """
    SELECT request.id, attempt.model, request.kind, attempt.in_tokens, attempt.out_tokens, attempt.cost,
        attempt.latency_us, attempt.ttft_us
    FROM request JOIN attempt ON attempt.request_id = request.id
    WHERE request.at >= ? AND attempt.status = 'ok'
"""


class Exported(msgspec.Struct, frozen=True):
    """Answers with their texts, and the grades of these queries. `without_text`: graded requests that have none."""

    answers: list[AnswerRow]
    grades: list[Grade]
    queries: int
    without_text: int


def export_outcomes(conn: Connection, audits: Path, since_us: int = 0) -> Exported:
    """Everything since then. Raises DataError for a file that can't be read, LedgerError for a ledger that can't."""
    try:
        figures = {(row[0], row[1]): row for row in conn.execute(_FIGURES, (since_us,))}
    except sqlite3.Error as fault:
        raise LedgerError(f"the ledger can't be read: {fault}") from fault
    rows = [_completed(row, figures) for row in read_answers(audits) if row.at_us >= since_us]
    ids = {row.query_id for row in rows}
    graded = read_grades(conn)
    grades = [grade for grade in graded if grade.query_id in ids]
    known = {row[0] for row in figures.values()}
    textless = {grade.query_id for grade in graded} & known - ids
    return Exported(rows, grades, len(ids), len(textless))


def _completed(row: AnswerRow, figures: dict[tuple[str, str], tuple[Any, ...]]) -> AnswerRow:
    """The ledger's figures stand where the row was made by the request itself; a shadow call has its own."""
    found = figures.get((row.query_id, row.model))
    if found is None:
        return row
    _, _, kind, given, written, cost, latency, ttft = found
    return msgspec.structs.replace(
        row,
        category=row.category or kind,
        input_tokens=given,
        output_tokens=written,
        cost_usd=row.cost_usd if cost is None else cost / NANO,
        latency_ms=latency / 1000,
        ttft_ms=None if ttft is None else ttft / 1000,
    )
