"""Bringing a database to the version that this code knows, step by step.

Knows an ordered list of SQL steps for each room, and the table `schema_version` that counts the steps taken. Does not
know what the steps say.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from smallfirst.errors import LedgerError

Step = tuple[str, ...]
"""The statements of one step; they are taken together or not at all. A step that was released is never edited."""

_VERSIONS = "CREATE TABLE IF NOT EXISTS schema_version (room TEXT PRIMARY KEY, version INTEGER NOT NULL)"


def version(conn: sqlite3.Connection, room: str) -> int:
    """How many steps of `room` the database has taken; 0 for a new one."""
    if conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone() is None:
        return 0
    row = conn.execute("SELECT version FROM schema_version WHERE room = ?", (room,)).fetchone()
    return int(row[0]) if row else 0


def migrate(conn: sqlite3.Connection, room: str, steps: Sequence[Step]) -> None:
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


def _take_next(conn: sqlite3.Connection, room: str, steps: Sequence[Step]) -> None:
    conn.execute(_VERSIONS)
    done = version(conn, room)  # again, now that nobody else can write
    refuse_newer(done, room, steps)
    if done == len(steps):
        return
    for statement in steps[done]:
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


def check(conn: sqlite3.Connection, room: str, steps: Sequence[Step]) -> None:
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
