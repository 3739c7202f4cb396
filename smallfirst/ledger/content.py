"""Requests and answers, sealed: what `ledger.content: encrypted` keeps, for how long, and under which keys.

Knows the tables subject, tenant_key, item_key and content. Does not know when entries are written (writer.py) or
erased (erasure.py). A tenant is a client key in its team. Nothing is held in the clear but in memory, until its entry
is written; what can't be sealed is not kept.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import time
from collections.abc import Mapping, Sequence

import msgspec

from smallfirst.core import DataClass
from smallfirst.errors import LedgerError
from smallfirst.ledger.pseudonyms import Pseudonyms
from smallfirst.ledger.rows import NAME_CHARS, Row
from smallfirst.ledger.sealing import Lock, Master, new_key
from smallfirst.store.connection import Connection

log = logging.getLogger(__name__)

DAY_US = 86_400_000_000
MOST_BYTES = 64_000_000
"""Of content that waits for the disk; beyond it entries are kept without."""
MOST_TENANTS = 10_000
PURGE_S = 60.0
_PURGED_AT_ONCE = 500
_TOLD_EVERY = 1000

_KEY = "SELECT id, wrapped_key, master_id FROM tenant_key WHERE key_id = ? AND team = ?"
_NEW_KEY = """
    INSERT INTO tenant_key (id, key_id, team, master_id, wrapped_key, created_at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING
"""
_OTHER_MASTER = "SELECT master_id FROM tenant_key WHERE destroyed_at IS NULL AND master_id <> ? LIMIT 1"


class Content(msgspec.Struct, frozen=True):
    """What one request said and was told: (name, bytes) of each part."""

    request_id: str
    at_us: int
    data_class: DataClass
    key_id: str
    team: str
    parts: tuple[tuple[str, bytes], ...]


class Tenant(msgspec.Struct, frozen=True):
    """A tenant's key, open."""

    id: str
    lock: Lock


class Keeper:
    """What is written beside entries. `put` is for the event loop's thread, the rest for the writer's."""

    def __init__(self, names: Pseudonyms, master: Master | None = None, days: Mapping[str, int] | None = None) -> None:
        """`days`: data class -> how long content of that class is kept; of a class that is not there, none is."""
        self._names, self._master = names, master
        self._days = {DataClass[name]: kept for name, kept in (days or {}).items()} if master is not None else {}
        self._contents: dict[str, Content] = {}
        self._subjects: dict[str, str] = {}
        self._tenants: dict[tuple[str, str], Tenant] = {}
        self._bytes = 0
        self._next_purge = 0.0
        self.lost = 0

    def wants(self, data_class: DataClass) -> bool:
        """Whether content of this class is kept."""
        return data_class in self._days

    def put(self, request_id: str, subject: str | None, content: Content | None) -> None:
        """To be written with this request's entry."""
        if subject is not None:
            self._subjects[request_id] = subject
        if content is None or content.data_class not in self._days:
            return
        size = sum(len(said) for _, said in content.parts)
        if self._bytes + size > MOST_BYTES:
            self._lose(1, "too much of it waits for the disk")
            return
        self._bytes += size
        self._contents[request_id] = content

    def rows(self, conn: Connection, ids: Sequence[str]) -> Mapping[str, Sequence[Row]]:
        """As commits.Beside. A content that can't be sealed is counted and left out; its entry is written."""
        tables: dict[str, list[Row]] = {"subject": [], "item_key": [], "content": []}
        for one in ids:
            if (subject := self._subjects.get(one)) is not None:
                tables["subject"].append((one, self._names.of_subject(subject[:NAME_CHARS])))
        wanted = [content for one in ids if (content := self._contents.get(one)) is not None]
        looked: dict[tuple[str, str], Tenant | None] = {}
        for content in wanted:
            owner = (content.key_id, content.team)
            if owner not in looked:
                looked[owner] = self._tenant(conn, owner)
            if (tenant := looked[owner]) is not None:
                item, parts = seal(content, tenant, content.at_us + self._days[content.data_class] * DAY_US)
                tables["item_key"].append(item)
                tables["content"] += parts
            else:
                self._lose(1, "there is no key to seal it with")
        return tables

    def written(self, ids: Sequence[str]) -> None:
        """The entries are in the database, or never will be."""
        for one in ids:
            self._subjects.pop(one, None)
            content = self._contents.pop(one, None)
            if content is not None:
                self._bytes -= sum(len(said) for _, said in content.parts)

    def failed(self) -> None:
        """The transaction was not committed, nor a key that was made in it."""
        self._tenants.clear()

    def purge(self, conn: Connection) -> None:
        """Destroy what has expired, now and then. Raises sqlite3.Error."""
        if self._master is None or time.monotonic() < self._next_purge:
            return
        self._next_purge = time.monotonic() + PURGE_S
        expire(conn, time.time_ns() // 1000)

    def _tenant(self, conn: Connection, owner: tuple[str, str]) -> Tenant | None:
        """The tenant's key, made where there is none; None where there can be none. Raises sqlite3.Error."""
        master = self._master
        if master is None:
            return None
        found = conn.execute(_KEY, owner).fetchone()
        if found is None:
            if conn.execute(_OTHER_MASTER, (master.id,)).fetchone() is not None:
                log.error("the ledger's content keys are under another master key now; restart with that one")
                return None
            id_ = secrets.token_hex(8)
            wrapped = master.lock.wrap(new_key(), f"tenant key {id_}")
            conn.execute(_NEW_KEY, (id_, *owner, master.id, wrapped, time.time_ns() // 1000))
            found = conn.execute(_KEY, owner).fetchone()  # another process's, where that was quicker
        known = self._tenants.get(owner)
        if known is not None and known.id == found[0]:
            return known
        try:
            tenant = Tenant(found[0], Lock(master.lock.unwrap(bytes(found[1]), f"tenant key {found[0]}")))
        except LedgerError as fault:
            log.error("the ledger can't keep content: %s", fault)
            return None
        if len(self._tenants) >= MOST_TENANTS:
            self._tenants.clear()
        self._tenants[owner] = tenant
        return tenant

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        if self.lost == count or self.lost % _TOLD_EVERY < count:
            log.error("the ledger keeps an entry without its content: %s (%d since the start)", why, self.lost)


def seal(content: Content, tenant: Tenant, expires_us: int) -> tuple[Row, list[Row]]:
    """(the row of the item's own key, those of its parts)."""
    key, id_ = new_key(), content.request_id
    lock = Lock(key)
    parts: list[Row] = []
    for name, said in content.parts:
        nonce, sealed = lock.seal(said, f"{id_} {name}")
        parts.append((id_, name, tenant.id, nonce, sealed, expires_us))
    return (id_, tenant.id, tenant.lock.wrap(key, f"item key {id_}"), expires_us), parts


def expire(conn: Connection, now_us: int) -> int:
    """Destroy the keys and the content whose time is over; how many requests' that was. Raises sqlite3.Error."""
    gone = 0
    old = "SELECT request_id FROM item_key WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"
    while ids := [row[0] for row in conn.execute(old, (now_us, _PURGED_AT_ONCE)).fetchall()]:
        conn.execute("BEGIN IMMEDIATE")
        try:
            for table in ("content", "item_key"):
                conn.executemany(f"DELETE FROM {table} WHERE request_id = ?", [(one,) for one in ids])  # noqa: S608
            conn.execute("COMMIT")
        finally:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
        gone += len(ids)
    return gone


def require_master(conn: Connection, master: Master) -> None:
    """Raises LedgerError unless every living key of the ledger is under this master key."""
    found = conn.execute(_OTHER_MASTER, (master.id,)).fetchone()
    if found is not None:
        raise LedgerError(
            f"ledger.master_key: the ledger's content was sealed under another master key ({found[0]}; this one is "
            f"{master.id}). Set that one, or move the keys to this one with `smallfirst audit rekey`"
        )


_SEALED = """
    SELECT content.part, content.nonce, content.ciphertext, item_key.wrapped_key, item_key.tenant_key_id
    FROM content JOIN item_key ON item_key.request_id = content.request_id
    WHERE content.request_id = ? ORDER BY content.part
"""


class Reader:
    """Opens content again, for whoever has the master key."""

    def __init__(self, conn: Connection, master: Master) -> None:
        self._conn, self._master = conn, master
        self._tenants: dict[str, Lock | None] = {}

    def read(self, request_id: str) -> dict[str, bytes]:
        """The parts of a request; none where they were not kept, or their keys are destroyed. Raises LedgerError."""
        found: dict[str, bytes] = {}
        try:
            rows = self._conn.execute(_SEALED, (request_id,)).fetchall()
            for part, nonce, sealed, wrapped, tenant_id in rows:
                tenant = self._tenant(tenant_id)
                if tenant is not None:
                    item = Lock(tenant.unwrap(bytes(wrapped), f"item key {request_id}"))
                    found[part] = item.open(bytes(nonce), bytes(sealed), f"{request_id} {part}")
        except sqlite3.Error as fault:
            raise LedgerError(f"the ledger can't be read: {fault}") from fault
        return found

    def _tenant(self, id_: str) -> Lock | None:
        if id_ not in self._tenants:
            query = "SELECT wrapped_key FROM tenant_key WHERE id = ? AND destroyed_at IS NULL"
            row = self._conn.execute(query, (id_,)).fetchone()
            self._tenants[id_] = (
                None if row is None else Lock(self._master.lock.unwrap(bytes(row[0]), f"tenant key {id_}"))
            )
        return self._tenants[id_]
