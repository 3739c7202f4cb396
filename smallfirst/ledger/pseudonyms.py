"""Names that the ledger must find again and should not hold: a session's, a person's, as keyed digests.

Knows the table ledger_secret: one secret for each ledger, shared by all processes that write to it. It keeps digests
from being looked up in another ledger or in a list made beforehand; whoever has this ledger can test a name he knows.
"""

from __future__ import annotations

import secrets
import sqlite3
from hashlib import blake2b

from smallfirst.errors import LedgerError
from smallfirst.store.connection import Connection

_READ = "SELECT value FROM ledger_secret WHERE name = 'names'"
_MAKE = "INSERT INTO ledger_secret (name, value) VALUES ('names', ?) ON CONFLICT DO NOTHING"


class Pseudonyms:
    """What names become in one ledger."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def of_session(self, key_id: str | None, session: str) -> str:
        """Of a session within its key: nobody can reach another's."""
        return self._digest("session", f"{key_id or ''}\0{session}")

    def of_subject(self, subject: str) -> str:
        """Of the person whom a request is about."""
        return self._digest("subject", subject)

    def _digest(self, kind: str, name: str) -> str:
        said = f"{kind}\0{name}".encode("utf-8", "surrogatepass")
        return blake2b(said, key=self._secret, digest_size=16).hexdigest()


def pseudonyms(conn: Connection) -> Pseudonyms:
    """The ledger's, for whoever may write it: the secret is made where there is none. Raises LedgerError."""
    try:
        found = conn.execute(_READ).fetchone()
        if found is None:
            conn.execute(_MAKE, (secrets.token_hex(32),))
            found = conn.execute(_READ).fetchone()
    except sqlite3.Error as fault:
        raise LedgerError(f"the ledger's secret can't be read: {fault}") from fault
    return Pseudonyms(bytes.fromhex(found[0]))


def known_pseudonyms(conn: Connection) -> Pseudonyms:
    """The same, for a reader. Raises LedgerError."""
    try:
        found = conn.execute(_READ).fetchone()
    except sqlite3.Error as fault:
        raise LedgerError(f"the ledger's secret can't be read: {fault}") from fault
    return Pseudonyms(bytes.fromhex(found[0]) if found is not None else b"none")
