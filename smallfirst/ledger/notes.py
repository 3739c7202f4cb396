"""What is written beside the requests: grades, feedback, audits, certificates in use, the state of detectors.

Knows each note's row and the statement that keeps it. Does not know who makes notes or what they lead to. Unlike
entries these are few; they are written one after the other in a transaction, and one that says something new of
the same thing (a detector's state, a caller's second thought) replaces the one before.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from smallfirst.core import DataClass, Feedback, Grade
from smallfirst.errors import LedgerError
from smallfirst.ledger.commits import NotARow, Unwritten
from smallfirst.ledger.rows import NAME_CHARS, Row
from smallfirst.store.connection import Connection

log = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Notes held while the disk takes none; more are dropped and logged."""


class Audit(msgspec.Struct, frozen=True):
    """One request that the coin chose: what the baseline said to it, and how the two answers compare.

    Scores are 0..1 and None until somebody has graded them. Money in nano-dollars. No text.
    """

    request_id: str
    at_us: int
    policy: str
    certificate_id: str | None
    in_certificate: bool
    slice: str
    rate: float  # the probability with which it was chosen
    served_model: str | None
    baseline_model: str
    status: str  # ok; how the shadow call failed; or why there was none: no_permit, budget
    calls: int = 0  # shadow calls made
    cost: int = 0  # of these
    judge_cost: int = 0
    agreement: str | None = None  # same, alike, unclear, different; None: one of the two answers is missing
    served_score: float | None = None
    baseline_score: float | None = None
    grader: str | None = None
    kept: bool = False  # its texts are in the file of audited answers


class CertificateInUse(msgspec.Struct, frozen=True):
    """A certificate that a gateway has served under; `doc` is the document as it was read."""

    id: str
    policy: str
    digest: str
    doc: str
    max_quality_loss: float
    confidence: float
    issued_us: int
    first_used_us: int


class Detector(msgspec.Struct, frozen=True):
    """The state of one slice's detector, as JSON; `alarmed_us` None: no alarm."""

    certificate_id: str
    slice: str
    n: int
    state: str
    alarmed_us: int | None
    at_us: int


Note = Grade | Feedback | Audit | CertificateInUse | Detector

_GRADE = """
    INSERT INTO grade (request_id, model, grader, score, sample_prob, blind, at) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (request_id, model, grader) DO UPDATE SET
        score = excluded.score, sample_prob = excluded.sample_prob, blind = excluded.blind, at = excluded.at
"""
_FEEDBACK = """
    INSERT INTO feedback (request_id, key_id, value, at) VALUES (?, ?, ?, ?)
    ON CONFLICT (request_id, key_id) DO UPDATE SET value = excluded.value, at = excluded.at
"""
_AUDIT = """
    INSERT INTO audit (request_id, at, policy, certificate_id, in_certificate, slice, rate, served_model,
        baseline_model, status, calls, cost, judge_cost, agreement, served_score, baseline_score, grader, kept)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING
"""
_CERTIFICATE = """
    INSERT INTO certificate (id, policy, digest, doc, max_quality_loss, confidence, issued_at, first_used_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING
"""
_DETECTOR = """
    INSERT INTO monitor (certificate_id, slice, n, state, alarmed_at, at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (certificate_id, slice) DO UPDATE SET
        n = excluded.n, state = excluded.state, at = excluded.at,
        alarmed_at = coalesce(monitor.alarmed_at, excluded.alarmed_at)
"""


def statement(note: Note) -> tuple[str, Row]:
    """The SQL that keeps `note`, and its values. An alarm, once written, is never taken back."""
    match note:
        case Grade():
            row: Row = (
                note.query_id, note.model, note.grader[:NAME_CHARS], note.score, note.sample_prob, int(note.blind),
                note.at_us,
            )  # fmt: skip
            return _GRADE, row
        case Feedback():
            return _FEEDBACK, (note.request_id, note.key_id or "", note.value, note.at_us)
        case Audit():
            values = msgspec.structs.astuple(note)
            return _AUDIT, tuple(int(value) if isinstance(value, bool) else value for value in values)
        case CertificateInUse():
            return _CERTIFICATE, msgspec.structs.astuple(note)
        case Detector():
            return _DETECTOR, msgspec.structs.astuple(note)


def write_notes(conn: Connection, notes: Iterable[Note]) -> None:
    """Commit notes, all or none. Raises Unwritten (try again) or NotARow (it never will be one)."""
    try:
        conn.execute("PRAGMA synchronous = NORMAL")
        conn.execute("BEGIN IMMEDIATE")
        for note in notes:
            conn.execute(*statement(note))
        conn.execute("COMMIT")
    except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError, OverflowError) as fault:
        raise NotARow(str(fault)) from fault
    except sqlite3.Error as fault:
        raise Unwritten(str(fault)) from fault
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")


class NoteQueue:
    """Notes on their way to the disk. `put` is for any thread, `write` for the writer's."""

    def __init__(self) -> None:
        self._waiting: deque[Note] = deque(maxlen=MOST_WAITING)
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, note: Note) -> None:
        """Keep `note` until it is written; the oldest gives way when too many wait."""
        if len(self._waiting) == MOST_WAITING:
            self._dropped += 1
            log.error("the ledger has dropped %d notes (grades, audits, feedback): the disk takes none", self._dropped)
        self._waiting.append(note)

    def write(self, conn: Connection) -> None:
        """Write all that wait. Raises Unwritten, and then they wait on; one that is no row is logged and left out."""
        notes = list(self._waiting)
        if not notes:
            return
        try:
            write_notes(conn, notes)
        except NotARow:
            for note in notes:
                try:
                    write_notes(conn, (note,))
                except NotARow as fault:
                    log.error("the ledger dropped a note (%s): %s", type(note).__name__, fault)
        for note in notes:
            if self._waiting and self._waiting[0] is note:  # it may have given way meanwhile
                self._waiting.popleft()


_GRADES = """
    SELECT request_id, model, score, grader, sample_prob, blind, at FROM grade
    WHERE at >= ? ORDER BY at, request_id, model
"""
_DETECTORS = "SELECT certificate_id, slice, n, state, alarmed_at, at FROM monitor WHERE certificate_id = ?"
_AUDITS = """
    SELECT request_id, at, policy, certificate_id, in_certificate, slice, rate, served_model, baseline_model, status,
        calls, cost, judge_cost, agreement, served_score, baseline_score, grader, kept
    FROM audit WHERE at >= ? ORDER BY rowid
"""
"""In the order in which they were written, which is the order in which detectors are fed."""


def read_grades(conn: Connection, since_us: int = 0) -> list[Grade]:
    """Every grade since then, oldest first. Raises LedgerError."""
    found = _all(conn, _GRADES, (since_us,))
    return [Grade(q, model, score, who, prob, bool(blind), at) for q, model, score, who, prob, blind, at in found]


def read_detectors(conn: Connection, certificate_id: str) -> list[Detector]:
    """What the detectors of a certificate had come to. Raises LedgerError."""
    return [Detector(*row) for row in _all(conn, _DETECTORS, (certificate_id,))]


def read_audits(conn: Connection, since_us: int = 0) -> list[Audit]:
    """Every audit since then, in the order in which they were written. Raises LedgerError."""
    fields = Audit.__struct_fields__
    rows = (dict(zip(fields, row, strict=True)) for row in _all(conn, _AUDITS, (since_us,)))
    return [msgspec.convert(row, Audit, strict=False) for row in rows]


def spent_on_audits(conn: Connection, since_us: int) -> int:
    """Nano-dollars that shadow calls and judges have cost since then. Raises LedgerError."""
    ((spent,),) = _all(conn, "SELECT coalesce(sum(cost + judge_cost), 0) FROM audit WHERE at >= ?", (since_us,))
    return int(spent)


def data_classes(conn: Connection, request_ids: Sequence[str]) -> dict[str, DataClass]:
    """The data class of each of these requests that the ledger knows. Raises LedgerError."""
    found: dict[str, DataClass] = {}
    for start in range(0, len(request_ids), 500):
        some = request_ids[start : start + 500]
        marks = ", ".join("?" * len(some))
        query = f"SELECT id, data_class FROM request WHERE id IN ({marks})"  # noqa: S608 - question marks
        found.update({id: DataClass(value) for id, value in _all(conn, query, tuple(some))})
    return found


def _all(conn: Connection, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
    try:
        return conn.execute(query, tuple(values)).fetchall()
    except sqlite3.Error as fault:
        raise LedgerError(f"the ledger can't be read: {fault}") from fault
