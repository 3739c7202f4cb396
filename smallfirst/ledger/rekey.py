"""Moving all keys of a ledger from one master key to another. Content is not touched: only what wraps it changes.

Knows the table tenant_key. Does not know where master keys are kept.
"""

from __future__ import annotations

import sqlite3

from smallfirst.errors import LedgerError
from smallfirst.ledger.sealing import Master
from smallfirst.store.connection import Connection

_LIVING = "SELECT id, wrapped_key, master_id FROM tenant_key WHERE destroyed_at IS NULL"
_MOVE = "UPDATE tenant_key SET wrapped_key = ?, master_id = ? WHERE id = ?"


def rekey(conn: Connection, old: Master, new: Master) -> int:
    """Wrap every living key under `new`; returns how many were moved. All or none. Raises LedgerError.

    Keys that are under `new` already are left, so that a run that was interrupted, or that an old gateway outlived, can
    be repeated.
    """
    moved = 0
    try:
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute("BEGIN IMMEDIATE")
        for id_, wrapped, master_id in conn.execute(_LIVING).fetchall():
            if master_id == new.id:
                continue
            if master_id != old.id:
                raise LedgerError(f"a key of the ledger is under master key {master_id}; the old one given is {old.id}")
            place = f"tenant key {id_}"
            conn.execute(_MOVE, (new.lock.wrap(old.lock.unwrap(bytes(wrapped), place), place), new.id, id_))
            moved += 1
        conn.execute("COMMIT")
    except sqlite3.Error as fault:
        raise LedgerError(f"no key was moved: {fault}") from fault
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
    return moved
