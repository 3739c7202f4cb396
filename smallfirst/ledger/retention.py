"""Removing what is older than its class may be kept; the chain stays, and says that it was done.

Knows which tables hold something of a request. Does not know who asked (erasure.py) or when to run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from smallfirst.core import DataClass
from smallfirst.errors import LedgerError
from smallfirst.ledger.content import DAY_US, expire
from smallfirst.ledger.erasure import add_note
from smallfirst.ledger.migrations import HOUR_US
from smallfirst.ledger.rollups import rebuild
from smallfirst.store.connection import Connection

_HOURS = f"SELECT DISTINCT at / {HOUR_US} FROM request WHERE data_class = ? AND at < ?"  # noqa: S608 - a constant
_TABLES = ("salt", "attempt", "intent", "subject", "item_key", "content")


def retain(conn: Connection, days: Mapping[str, int], now_us: int, writer: str) -> dict[str, int]:
    """Remove requests, attempts, intents, salts and content that are older than their class may be kept.

    Content whose own time is over goes too. Returns how many requests of each class went. Raises LedgerError.
    """
    gone: dict[str, int] = {}
    hours: set[int] = set()
    try:
        expire(conn, now_us)
        conn.execute("DELETE FROM session WHERE expires_at <= ?", (now_us,))
        conn.execute("BEGIN IMMEDIATE")
        for name, kept in days.items():
            old = (DataClass[name].value, now_us - kept * DAY_US)
            which = "SELECT id FROM request WHERE data_class = ? AND at < ?"
            hours.update(row[0] for row in conn.execute(_HOURS, old).fetchall())
            for table in _TABLES:
                conn.execute(f"DELETE FROM {table} WHERE request_id IN ({which})", old)  # noqa: S608 - our own names
            gone[name] = conn.execute("DELETE FROM request WHERE data_class = ? AND at < ?", old).rowcount
        rebuild(conn, sorted(hours))
        if any(gone.values()):
            add_note(conn, writer, {"scope": "retention", "requests": gone})
        conn.execute("COMMIT")
    except sqlite3.Error as fault:
        raise LedgerError(f"nothing was removed: {fault}") from fault
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
    return gone
