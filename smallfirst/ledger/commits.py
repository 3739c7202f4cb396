"""One transaction each: a batch of entries, a group of intents.

Knows SQL and what a failed transaction means. Does not know queues, threads or when to try again.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence

from smallfirst.errors import LedgerError
from smallfirst.ledger.chain import CHAIN_COLUMNS
from smallfirst.ledger.rollups import add
from smallfirst.ledger.rows import ATTEMPT_COLUMNS, INTENT_COLUMNS, REQUEST_COLUMNS, Row, Rows, flat, insert

log = logging.getLogger(__name__)

AT_ONCE = 64
"""Rows in one INSERT. The interpreter lock is let go once a statement, and a busy event loop is slow to give it back:
executemany, which does so once a row, writes a third of this beside one."""

_INSERTS = {
    (table, n): insert(table, columns, n)
    for table, columns in (
        ("request", REQUEST_COLUMNS),
        ("attempt", ATTEMPT_COLUMNS),
        ("intent", INTENT_COLUMNS),
        ("chain", CHAIN_COLUMNS),
        ("salt", 2),
    )
    for n in (1, AT_ONCE)
}


class Unwritten(LedgerError):
    """The database took nothing, for a reason that may pass: full, locked, read-only, broken. Try again."""


class NotARow(LedgerError):
    """A value that no database takes; trying again would not help."""


def write_entries(conn: sqlite3.Connection, batch: Sequence[Rows]) -> int:
    """Commit a batch; returns how many entries are in the database now.

    An entry that no database takes (an id twice, a number beyond 64 bits) is logged and left out, the others are
    written. Survives a kill of the process; not, for the last moments, a loss of power. Raises Unwritten.
    """
    try:
        _commit(conn, "NORMAL", batch, ())
    except NotARow:
        return sum(_write_alone(conn, rows) for rows in batch)
    return len(batch)


def _write_alone(conn: sqlite3.Connection, rows: Rows) -> int:
    try:
        _commit(conn, "NORMAL", (rows,), ())
    except NotARow as fault:
        log.error("the ledger dropped entry %s: %s", rows[1][0], fault)
        return 0
    return 1


def write_intents(
    conn: sqlite3.Connection, rows: Sequence[Row], chain: Sequence[Row] = (), salts: Sequence[Row] = ()
) -> None:
    """Commit intents with their links and salts, and return when they are on the disk. All or none.

    Raises Unwritten or NotARow.
    """
    _commit(conn, "FULL", (), rows, chain, salts)


def write_chain(conn: sqlite3.Connection, chain: Sequence[Row]) -> None:
    """Commit links that nobody waits for. Raises Unwritten or NotARow."""
    _commit(conn, "NORMAL", (), (), chain)


def _commit(
    conn: sqlite3.Connection,
    synchronous: str,
    entries: Sequence[Rows],
    intents: Sequence[Row],
    chain: Sequence[Row] = (),
    salts: Sequence[Row] = (),
) -> None:
    try:
        conn.execute(f"PRAGMA synchronous = {synchronous}")
        conn.execute("BEGIN IMMEDIATE")
        _insert(conn, "request", [request for _, request, _ in entries])
        add(conn, [request for _, request, _ in entries])
        _insert(conn, "attempt", [attempt for _, _, attempts in entries for attempt in attempts])
        _insert(conn, "intent", intents)
        _insert(conn, "chain", chain)
        _insert(conn, "salt", salts)
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


def _insert(conn: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    whole = len(rows) - len(rows) % AT_ONCE
    for start in range(0, whole, AT_ONCE):
        conn.execute(_INSERTS[table, AT_ONCE], flat(rows[start : start + AT_ONCE]))
    conn.executemany(_INSERTS[table, 1], rows[whole:])


def _roll_back(conn: sqlite3.Connection) -> None:
    """Leave no transaction open after a fault; a full disk may have ended it already."""
    try:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
    except sqlite3.Error as fault:
        log.error("the ledger could not roll back: %s", fault)
