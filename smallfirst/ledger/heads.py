"""The heads of all chains in a database, for the first entry of a new one.

Knows the table `chain`. Does not know how entries are linked (chain.py).
"""

from __future__ import annotations

import sqlite3
import time

import msgspec

from smallfirst.ledger.chain import Draft

_HEADS = """
    SELECT writer, seq, hash FROM chain AS c
    WHERE seq = (SELECT max(seq) FROM chain WHERE writer = c.writer) ORDER BY writer
"""


def heads(conn: sqlite3.Connection) -> list[tuple[str, int, str]]:
    """(writer, sequence number, hash) of the last entry of each chain."""
    return [(writer, seq, hash_) for writer, seq, hash_ in conn.execute(_HEADS)]


def start_draft(conn: sqlite3.Connection) -> Draft:
    """A new chain's first entry: it names the others' heads, so that none of them can be cut or vanish unseen."""
    detail = msgspec.json.encode({"heads": heads(conn)}).decode()
    return Draft(time.time_ns() // 1000, "start", detail=detail)
