"""Bringing a database to the version that this code knows, step by step.

Knows an ordered list of SQL steps for each room, and the table `schema_version` that counts the steps taken. Does not
know what the steps say.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from smallfirst.errors import LedgerError
from smallfirst.store.connection import Connection


class OnServer(str):
    """A statement that only PostgreSQL needs: SQLite has what it makes by itself."""

    __slots__ = ()


Step = tuple[str, ...]
"""The statements of one step; they are taken together or not at all. A step that was released is never edited."""
MIGRATING = 0x5F1257
"""The advisory lock under which processes that start together on PostgreSQL take turns."""

_VERSIONS = "CREATE TABLE IF NOT EXISTS schema_version (room TEXT PRIMARY KEY, version INTEGER NOT NULL)"

_KNOWN = {
    True: "SELECT 1 FROM sqlite_master WHERE name = 'schema_version'",
    False: "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_version'",
}


def _is_file(conn: Connection) -> bool:
    return isinstance(conn, sqlite3.Connection)


def version(conn: Connection, room: str) -> int:
    """How many steps of `room` the database has taken; 0 for a new one."""
    if conn.execute(_KNOWN[_is_file(conn)]).fetchone() is None:
        return 0
    row = conn.execute("SELECT version FROM schema_version WHERE room = ?", (room,)).fetchone()
    return int(row[0]) if row else 0


def migrate(conn: Connection, room: str, steps: Sequence[Step]) -> None:
    """Take the steps that are missing, each in its own transaction; processes that start together take turns.

    Raises LedgerError if the database is of a newer version, or a step fails (the database then stays as it was
    before that step).
    """
    try:
        while version(conn, room) != len(steps):
            conn.execute("BEGIN IMMEDIATE")
            _take_next(conn, room, steps)
            conn.execute("COMMIT")
    except sqlite3.Error as fault:
        raise LedgerError(f"the tables of {room} can't be brought up to date: {fault}") from fault
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")


def _take_next(conn: Connection, room: str, steps: Sequence[Step]) -> None:
    if not _is_file(conn):
        conn.execute("SELECT pg_advisory_xact_lock(?)", (MIGRATING,))
    conn.execute(_VERSIONS)
    done = version(conn, room)  # again, now that nobody else can write
    refuse_newer(done, room, steps)
    if done == len(steps):
        return
    for statement in steps[done]:
        if not (isinstance(statement, OnServer) and _is_file(conn)):
            conn.execute(statement)
    conn.execute(
        "INSERT INTO schema_version VALUES (?, ?) ON CONFLICT (room) DO UPDATE SET version = excluded.version",
        (room, done + 1),
    )


def refuse_newer(found: int, room: str, steps: Sequence[Step]) -> None:
    """Raises LedgerError if the database has taken more steps than this code knows."""
    if found > len(steps):
        raise LedgerError(
            f"the database is of a newer version ({room} {found}) than this smallfirst knows ({room} {len(steps)}); "
            "upgrade smallfirst, or name another ledger"
        )


def check(conn: Connection, room: str, steps: Sequence[Step]) -> None:
    """For readers, who change nothing: raises LedgerError unless the database is of exactly this version."""
    found = version(conn, room)
    refuse_newer(found, room, steps)
    if found == 0:
        raise LedgerError(f"the database holds no tables of {room}")
    if found < len(steps):
        raise LedgerError(
            f"the database is of an older version ({room} {found} of {len(steps)}); "
            "start `smallfirst serve` on it once, which brings it up to date"
        )
