"""Removing what is about a person, and showing it to them, while the chain still verifies.

Knows which columns can name somebody (key, session, tags, subject), the salts that tie digests to words and names, and
the keys under which content is sealed: an erasure destroys all three. Does not know persons: whoever asks names a key,
a team, a session, a request or a subject. The chain keeps that something was sent where; it holds no words and no name,
and without its salt a digest can't be tied to any. Once erased, the files are compacted (compact.py).
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from smallfirst.errors import LedgerError
from smallfirst.ledger.chain import Chain, Draft
from smallfirst.ledger.commits import insert_rows
from smallfirst.ledger.heads import start_draft
from smallfirst.ledger.pseudonyms import known_pseudonyms
from smallfirst.ledger.rows import NAME_CHARS
from smallfirst.store.connection import Connection, Cursor

Scope = Literal["request", "session", "key", "team", "subject"]
_COLUMN: Mapping[Scope, str] = {"request": "id", "session": "session_id", "key": "key_id"}
ERASED = "(erased)"
_GONE_WITH_IT = ("salt", "item_key", "content", "subject", "feedback")
"""Tables whose rows of an erased request are deleted."""


class Erased(msgspec.Struct, frozen=True):
    """What an erasure did. `receipt` is kept nowhere: who has it and the name can check the entry (`commitment`)."""

    requests: tuple[str, ...]
    contents: int
    keys: int  # tenants' keys that were destroyed
    writer: str
    receipt: str


def erase(conn: Connection, scope: Scope, name: str, writer: str) -> Erased:
    """GDPR Art. 17: destroy keys, salts and names. An `erasure` entry says how many; whose, to who has the receipt.

    `writer`: the name of the chain that the entry begins. All of it or nothing. Raises LedgerError.
    """
    names = known_pseudonyms(conn)
    receipt = secrets.token_hex(16)
    try:
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute("BEGIN IMMEDIATE")
        found = requests_of(conn, scope, name)
        ids = [request for request, _, _ in found]
        contents, keys = _shred(conn, scope, name, ids)
        talks = {names.of_session(key, session) for _, key, session in found if session is not None}
        conn.executemany("DELETE FROM session WHERE id = ?", [(one,) for one in talks])
        detail = {
            "scope": scope, "whose": commitment(scope, name, receipt), "requests": len(ids), "contents": contents,
            "keys": keys,
        }  # fmt: skip
        add_note(conn, writer, detail)
        conn.execute("COMMIT")
    except sqlite3.Error as fault:
        raise LedgerError(f"nothing was erased: {fault}") from fault
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
    return Erased(tuple(ids), contents, keys, writer, receipt)


def commitment(scope: Scope, name: str, receipt: str) -> str:
    """What an erasure entry says of whom it was: nothing, to anyone without the receipt."""
    said = f"{scope}\0{name}".encode("utf-8", "surrogatepass")
    return blake2b(said, key=receipt.encode(), digest_size=16).hexdigest()


def requests_of(conn: Connection, scope: Scope, name: str) -> list[tuple[str, str | None, str | None]]:
    """(id, key, session) of the requests, oldest first. Raises sqlite3.Error, LedgerError."""
    select = "SELECT request.id, request.key_id, request.session_id"
    if scope == "team":
        tag = f"team:{name}"[:NAME_CHARS]
        query = f"{select}, request.tags FROM request WHERE tags LIKE ? ORDER BY at"
        rows = conn.execute(query, ('%"team:%',)).fetchall()
        return [(id_, key, session) for id_, key, session, tags in rows if tag in msgspec.json.decode(tags)]
    if scope == "subject":
        whose = known_pseudonyms(conn).of_subject(name[:NAME_CHARS])
        query = f"{select} FROM subject JOIN request ON id = request_id WHERE subject = ? ORDER BY at"
        return [(row[0], row[1], row[2]) for row in conn.execute(query, (whose,)).fetchall()]
    query = f"{select} FROM request WHERE {_COLUMN[scope]} = ? ORDER BY at"
    return [(row[0], row[1], row[2]) for row in conn.execute(query, (name[:NAME_CHARS],)).fetchall()]


def _shred(conn: Connection, scope: Scope, name: str, ids: Sequence[str]) -> tuple[int, int]:
    """Inside a transaction: (requests whose content went, tenants' keys that were destroyed). Raises sqlite3.Error."""
    each = [(one,) for one in ids]
    contents = sum(_count(conn, "SELECT count(*) FROM item_key WHERE request_id = ?", one) for one in each)
    for table in _GONE_WITH_IT:
        conn.executemany(f"DELETE FROM {table} WHERE request_id = ?", each)  # noqa: S608 - our own names
    conn.executemany(
        "UPDATE request SET session_id = NULL, tags = '[]', key_id = ?, asked = ? WHERE id = ?",
        [(ERASED, ERASED, one) for one in ids],
    )
    if scope not in ("key", "team"):
        return contents, 0
    column = "key_id" if scope == "key" else "team"
    query = f"SELECT id FROM tenant_key WHERE {column} = ? AND destroyed_at IS NULL"  # noqa: S608 - our own names
    tenants = [row[0] for row in conn.execute(query, (name,)).fetchall()]
    for tenant in tenants:
        contents += _count(conn, "SELECT count(*) FROM item_key WHERE tenant_key_id = ?", (tenant,))
        for table in ("content", "item_key"):
            conn.execute(f"DELETE FROM {table} WHERE tenant_key_id = ?", (tenant,))  # noqa: S608 - our own names
        conn.execute(
            "UPDATE tenant_key SET wrapped_key = ?, key_id = id, team = '', destroyed_at = ? WHERE id = ?",
            (b"", time.time_ns() // 1000, tenant),
        )
    return contents, len(tenants)


def _count(conn: Connection, query: str, values: Sequence[object]) -> int:
    return int(conn.execute(query, values).fetchone()[0])


def access(
    conn: Connection, scope: Scope, name: str, read: Callable[[str], Mapping[str, bytes]] | None = None
) -> list[dict[str, Any]]:
    """GDPR Art. 15: all that the ledger keeps of these requests, with the attempts of each. Raises LedgerError.

    `read` opens a request's content (content.Reader); None: only how many parts of it there are is said.
    """
    found: list[dict[str, Any]] = []
    try:
        for id_, _, _ in requests_of(conn, scope, name):
            (one,) = _dicts(conn.execute("SELECT * FROM request WHERE id = ?", (id_,)))
            one["calls"] = _dicts(conn.execute("SELECT * FROM attempt WHERE request_id = ? ORDER BY n", (id_,)))
            one["audit"] = _dicts(conn.execute("SELECT * FROM chain WHERE request_id = ? ORDER BY writer, seq", (id_,)))
            one["feedback"] = _dicts(conn.execute("SELECT value, at FROM feedback WHERE request_id = ?", (id_,)))
            if read is not None:
                one["content"] = {part: _shown(said) for part, said in read(id_).items()}
            else:
                one["sealed_parts"] = _count(conn, "SELECT count(*) FROM content WHERE request_id = ?", (id_,))
            found.append(one)
    except sqlite3.Error as fault:
        raise LedgerError(f"the ledger can't be read: {fault}") from fault
    return found


def _shown(said: bytes) -> Any:
    """JSON where a part is JSON."""
    try:
        return msgspec.json.decode(said)
    except msgspec.DecodeError:
        return said.decode("utf-8", "replace")


def _dicts(cursor: Cursor) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def add_note(conn: Connection, writer: str, detail: Mapping[str, object]) -> None:
    """An entry of its own chain, inside the transaction: the gateway that may be running owns its own."""
    note = Draft(time.time_ns() // 1000, "erasure", detail=msgspec.json.encode(detail).decode())
    insert_rows(conn, "chain", Chain(writer).link([start_draft(conn), note]))
