"""Removing what is about a person, and showing it to them, while the chain still verifies.

Knows which columns can name somebody: key, session, tags, and the salt that ties a request's digest to its words. Does
not know persons: whoever asks names a key, a session or a request. The chain keeps that something was sent where; it
holds no words, and without the salt its digest can't be tied to any.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from smallfirst.core import DataClass
from smallfirst.errors import LedgerError
from smallfirst.ledger.chain import Chain, Draft
from smallfirst.ledger.commits import write_chain
from smallfirst.ledger.heads import heads
from smallfirst.ledger.migrations import HOUR_US
from smallfirst.ledger.rollups import rebuild

Scope = Literal["request", "session", "key"]
_COLUMN: Mapping[Scope, str] = {"request": "id", "session": "session_id", "key": "key_id"}
ERASED = "(erased)"
DAY_US = 86_400_000_000
_HOURS = f"SELECT DISTINCT at / {HOUR_US} FROM request WHERE data_class = ? AND at < ?"  # noqa: S608 - a constant


def erase(conn: sqlite3.Connection, scope: Scope, name: str, writer: str) -> int:
    """GDPR Art. 17: destroy the salts and the names of these requests; an `erasure` entry says how many, not whose.

    `writer`: the name of the chain that the entry begins. Returns the number of requests. Raises LedgerError.
    """
    column = _COLUMN[scope]
    try:
        conn.execute("BEGIN IMMEDIATE")
        ids = [row[0] for row in conn.execute(f"SELECT id FROM request WHERE {column} = ?", (name,))]  # noqa: S608
        conn.executemany("DELETE FROM salt WHERE request_id = ?", [(one,) for one in ids])
        conn.executemany(
            "UPDATE request SET session_id = NULL, tags = '[]', key_id = ?, asked = ? WHERE id = ?",
            [(ERASED, ERASED, one) for one in ids],
        )
        conn.execute("COMMIT")
        _note(conn, writer, {"scope": scope, "requests": len(ids)})
    except sqlite3.Error as fault:
        raise LedgerError(f"nothing was erased: {fault}") from fault
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
    return len(ids)


def retain(conn: sqlite3.Connection, days: Mapping[str, int], now_us: int, writer: str) -> dict[str, int]:
    """Remove requests, attempts, intents and salts that are older than their class may be kept; the chain stays.

    Returns how many requests of each class went. Raises LedgerError.
    """
    gone: dict[str, int] = {}
    hours: set[int] = set()
    try:
        conn.execute("BEGIN IMMEDIATE")
        for name, kept in days.items():
            old = (DataClass[name].value, now_us - kept * DAY_US)
            which = "SELECT id FROM request WHERE data_class = ? AND at < ?"
            hours.update(row[0] for row in conn.execute(_HOURS, old))
            for table, column in (("salt", "request_id"), ("attempt", "request_id"), ("intent", "request_id")):
                conn.execute(f"DELETE FROM {table} WHERE {column} IN ({which})", old)  # noqa: S608 - our own names
            gone[name] = conn.execute("DELETE FROM request WHERE data_class = ? AND at < ?", old).rowcount
        rebuild(conn, sorted(hours))
        conn.execute("COMMIT")
        if any(gone.values()):
            _note(conn, writer, {"scope": "retention", "requests": gone})
    except sqlite3.Error as fault:
        raise LedgerError(f"nothing was removed: {fault}") from fault
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
    return gone


def access(conn: sqlite3.Connection, scope: Scope, name: str) -> list[dict[str, Any]]:
    """GDPR Art. 15: all that the ledger keeps of these requests, with the attempts of each. Raises LedgerError."""
    try:
        found = _dicts(conn.execute(f"SELECT * FROM request WHERE {_COLUMN[scope]} = ? ORDER BY at", (name,)))  # noqa: S608
        for one in found:
            one["calls"] = _dicts(conn.execute("SELECT * FROM attempt WHERE request_id = ? ORDER BY n", (one["id"],)))
            one["audit"] = _dicts(conn.execute("SELECT * FROM chain WHERE request_id = ? ORDER BY seq", (one["id"],)))
    except sqlite3.Error as fault:
        raise LedgerError(f"the ledger can't be read: {fault}") from fault
    return found


def _dicts(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _note(conn: sqlite3.Connection, writer: str, detail: Mapping[str, object]) -> None:
    """An entry of its own chain: the gateway that may be running owns its own."""
    now = time.time_ns() // 1000
    start = Draft(now, "start", detail=msgspec.json.encode({"heads": heads(conn)}).decode())
    note = Draft(now, "erasure", detail=msgspec.json.encode(detail).decode())
    write_chain(conn, Chain(writer).link([start, note]))
