"""After an erasure: no byte of what was erased is left in the database's own files.

Knows SQLite's files (the database and its log) and PostgreSQL's VACUUM. Does not know what was erased. Copies elsewhere
are out of reach: backups, snapshots of the file system, PostgreSQL's own archived log.
"""

from __future__ import annotations

import sqlite3
import time

from smallfirst.errors import LedgerError
from smallfirst.store.connection import Connection

_SMALL = ("tenant_key", "item_key", "content", "salt", "subject", "session", "feedback")
_LARGE = ("request",)
TRIES = 20
PAUSE_S = 0.25


def compact(conn: Connection) -> None:
    """Rewrite the files without what was deleted. Writers wait meanwhile, a second for some hundred megabytes.

    Raises LedgerError where others kept it from being finished: then nothing is lost, and it can be run again.
    """
    try:
        if isinstance(conn, sqlite3.Connection):
            _compact_file(conn)
        else:
            conn.execute("SET statement_timeout = 0")
            for table in _SMALL:
                conn.execute(f"VACUUM FULL {table}")
            for table in _LARGE:
                conn.execute(f"VACUUM {table}")
    except sqlite3.Error as fault:
        raise LedgerError(
            f"what was erased may still lie in the database's files, because they can't be compacted now: {fault}. "
            "Run `smallfirst audit compact`"
        ) from fault


def _compact_file(conn: sqlite3.Connection) -> None:
    """VACUUM writes every page anew; then the log, which has the old ones, is emptied. A long reader can prevent it."""
    conn.execute("VACUUM")
    for _ in range(TRIES):
        busy = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if not busy:
            return
        time.sleep(PAUSE_S)
    raise sqlite3.OperationalError("another process is reading the ledger's log")
