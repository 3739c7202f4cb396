"""One transaction each: a batch of entries, a group of intents.

Knows SQL and what a failed transaction means. Does not know queues, threads or when to try again.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Protocol

from smallfirst.errors import LedgerError
from smallfirst.ledger.rollups import add
from smallfirst.ledger.rows import COLUMNS, Row, Rows, flat, insert
from smallfirst.store.connection import Connection, Server

log = logging.getLogger(__name__)

AT_ONCE = 64
"""Rows in one INSERT at most, else half as many, and so on. The interpreter lock is let go once a statement, and a busy
event loop is slow to give it back: executemany, which does so once a row, writes a third of this beside one, and makes
whoever waits for an intent wait for as many turns as there are rows."""

_SIZES = (AT_ONCE, 32, 16, 8, 4, 2, 1)
_INSERTS = {(table, n): insert(table, n) for table in COLUMNS for n in _SIZES}


class Beside(Protocol):
    """What belongs to entries and is written with them."""

    def rows(self, conn: Connection, ids: Sequence[str]) -> Mapping[str, Sequence[Row]]:
        """By table, for these requests, inside the transaction that writes their entries."""
        ...


class Unwritten(LedgerError):
    """The database took nothing, for a reason that may pass: full, locked, read-only, broken. Try again."""


class NotARow(LedgerError):
    """A value that no database takes; trying again would not help."""


def write_entries(conn: Connection, batch: Sequence[Rows], beside: Beside | None = None) -> int:
    """Commit a batch; returns how many entries are in the database now.

    An entry that no database takes (an id twice, a number beyond 64 bits) is logged and left out, the others are
    written. Survives a kill of the process; not, for the last moments, a loss of power. Raises Unwritten.
    """
    try:
        _commit_entries(conn, batch, beside)
    except NotARow:
        return sum(_write_alone(conn, rows, beside) for rows in batch)
    return len(batch)


def _write_alone(conn: Connection, rows: Rows, beside: Beside | None) -> int:
    try:
        _commit_entries(conn, (rows,), beside)
    except NotARow as fault:
        if _is_there(conn, rows[1]):  # a commit whose answer was lost
            return 1
        log.error("the ledger dropped entry %s: %s", rows[1][0], fault)
        return 0
    return 1


def _is_there(conn: Connection, request: Row) -> bool:
    """Whether this writer's entry of this number is in the database already."""
    names = COLUMNS["request"]
    mine = [request[names.index(name)] for name in ("id", "writer", "seq")]
    try:
        found = conn.execute("SELECT 1 FROM request WHERE id = ? AND writer = ? AND seq = ?", mine).fetchone()
    except (sqlite3.Error, OverflowError, ValueError):
        return False
    return found is not None


def _commit_entries(conn: Connection, batch: Sequence[Rows], beside: Beside | None) -> None:
    attempts = [attempt for _, _, attempts in batch for attempt in attempts]
    tables = {"request": [request for _, request, _ in batch], "attempt": attempts}
    _commit(conn, "NORMAL", tables, beside)


def write_intents(conn: Connection, rows: Sequence[Row], chain: Sequence[Row] = (), salts: Sequence[Row] = ()) -> None:
    """Commit intents with their links and salts, and return when they are on the disk. All or none.

    Raises Unwritten or NotARow.
    """
    _commit(conn, "FULL", {"intent": rows, "chain": chain, "salt": salts})


def write_chain(conn: Connection, chain: Sequence[Row], salts: Sequence[Row] = ()) -> None:
    """Commit links that nobody waits for. Raises Unwritten or NotARow."""
    _commit(conn, "NORMAL", {"chain": chain, "salt": salts})


def _commit(
    conn: Connection, synchronous: str, tables: Mapping[str, Sequence[Row]], beside: Beside | None = None
) -> None:
    try:
        conn.execute(f"PRAGMA synchronous = {synchronous}")
        conn.execute("BEGIN IMMEDIATE")
        for table, rows in tables.items():
            insert_rows(conn, table, rows)
        add(conn, tables.get("request", ()))
        if beside is not None:
            for table, rows in beside.rows(conn, [str(row[0]) for row in tables["request"]]).items():
                insert_rows(conn, table, rows)
        conn.execute("COMMIT")
    except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.DataError) as fault:
        raise NotARow(str(fault)) from fault
    except sqlite3.Error as fault:
        raise Unwritten(str(fault)) from fault
    except (
        OverflowError,
        TypeError,
        ValueError,
    ) as fault:  # an integer beyond 64 bits; a lone surrogate; its text is not shown
        raise NotARow(type(fault).__name__) from fault
    finally:
        _roll_back(conn)


def insert_rows(conn: Connection, table: str, rows: Sequence[Row]) -> None:
    """Insert into an open transaction. Raises sqlite3.Error, OverflowError, ValueError."""
    if isinstance(conn, Server):
        if rows:
            conn.copy(table, COLUMNS[table], rows)
        return
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            conn.execute(_INSERTS[table, size], flat(rows[start : start + size]))
            start += size


def _roll_back(conn: Connection) -> None:
    """Leave no transaction open after a fault; a full disk may have ended it already."""
    try:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
    except sqlite3.Error as fault:
        log.error("the ledger could not roll back: %s", fault)
