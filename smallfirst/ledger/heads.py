"""The heads of all chains in a database, for the first entry of a new one.

Knows the table `chain`. Does not know how entries are linked (chain.py).
"""

from __future__ import annotations

import time

import msgspec

from smallfirst.ledger.chain import NO_HASH, Draft
from smallfirst.store.connection import Connection

_HEADS = """
    SELECT c.writer, c.seq, c.hash FROM (SELECT writer, max(seq) AS seq FROM chain GROUP BY writer) AS top
    JOIN chain AS c ON c.writer = top.writer AND c.seq = top.seq ORDER BY c.writer
"""


def heads(conn: Connection) -> list[tuple[str, int, str]]:
    """(writer, sequence number, hash) of the last entry of each chain."""
    return [(writer, seq, hash_) for writer, seq, hash_ in conn.execute(_HEADS)]


def head(conn: Connection, writer: str) -> tuple[int, str]:
    """(sequence number, hash) of the last entry of a chain; (0, NO_HASH) where there is none. Raises sqlite3.Error."""
    query = "SELECT seq, hash FROM chain WHERE writer = ? ORDER BY seq DESC LIMIT 1"
    found = conn.execute(query, (writer,)).fetchone()
    return (0, NO_HASH) if found is None else (found[0], found[1])


def start_draft(conn: Connection) -> Draft:
    """A new chain's first entry: it names the others' heads, so that none of them can be cut or vanish unseen."""
    detail = msgspec.json.encode({"heads": heads(conn)}).decode()
    return Draft(time.time_ns() // 1000, "start", detail=detail)
