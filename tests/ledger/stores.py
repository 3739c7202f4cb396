"""Both places that a ledger can lie in, and how the tests look into either."""

from __future__ import annotations

import asyncio

from smallfirst.core import DataClass, Intent
from smallfirst.ledger.chain import salted
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.writer import Ledger
from smallfirst.store.connection import open_to_read, open_to_write
from tests.ledger.entries import entry as plain_entry

WORDS = [b'"my biopsy"']
MASTER_KEY = "ab" * 32
KEPT = {"content": "encrypted", "master_key": MASTER_KEY, "content_days": {"health": 3000, "personal": 2000}}


def entry(number, data_class=DataClass.health, location="premises", **more):
    model = {"premises": "gemma", "cloud/us": "best"}.get(location, "eu")
    reached = ((model, "p", location, False),)
    return plain_entry(number, id=f"sf-{number:04}", data_class=data_class, reached=reached, **more)


def intent(number, data_class=DataClass.health):
    content, salt = salted(WORDS)
    return Intent(f"sf-{number:04}", 1, data_class, ("gemma",), ("premises", "cloud/us"), "rule 1", content, salt)


def write(place, entries, intents=(), contents=None, **settings):
    """A gateway's life: intents, entries (with the content of some, by id), the end."""

    async def fill():
        await asyncio.gather(*(ledger.intent(one) for one in intents))
        salts = {one.request_id: one.salt for one in intents}
        for one in entries:
            ledger.record(_with_salt(one, salts.get(one.id, b"")), (contents or {}).get(one.id))
        assert await asyncio.to_thread(ledger.flush)

    ledger = Ledger.open(LedgerSettings(**settings), place)
    asyncio.run(fill())
    ledger.close()
    return ledger


def _with_salt(one, salt):
    import msgspec

    return msgspec.structs.replace(one, salt=salt)


def rows(place, query, values=()):
    conn = open_to_read(place)
    try:
        return [tuple(row) for row in conn.execute(query, values).fetchall()]
    finally:
        conn.close()


def change(place, *statements):
    """What whoever owns the database can do to it."""
    conn = open_to_write(place)
    for statement in statements:
        conn.execute(*statement) if isinstance(statement, tuple) else conn.execute(statement)
    conn.close()
