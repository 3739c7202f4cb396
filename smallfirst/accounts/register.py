"""Keys that are made while the gateway runs: created, listed, rotated, revoked, in the database.

Knows the table `api_key`. A secret exists in the answer of `create` and `rotate` and nowhere else: what is stored is
its SHA-256 and its first characters, so that a person can tell keys apart. Does not know the keys of the config.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from smallfirst.accounts.keys import Key, Terms, digest, make_key
from smallfirst.accounts.settings import TeamSettings
from smallfirst.config.nearest import hint
from smallfirst.errors import BadRequest, NotFound
from smallfirst.store.database import Database, Run

PREFIX = "sf-"
SECRET_BYTES = 32
SHOWN = 9
"""Characters of a key that are kept in clear."""
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$")

_COLUMNS = "id, name, shown, terms, created_at, expires_at, revoked_at, old_until, hash, old_hash"


class Record(msgspec.Struct, frozen=True, omit_defaults=False):
    """One stored key, without its hashes. Times are UTC seconds since 1970."""

    id: str
    name: str
    shown: str
    terms: Terms
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    old_until: int | None  # the key before the last rotation is good until then


class Register:
    """The stored keys. Every method is one transaction and raises StoreError for a fault of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, terms: Terms, now_s: int, expires_s: int | None = None) -> tuple[str, Record]:
        """A new key: its secret, told this once, and its record. Raises BadRequest."""
        if _NAME.match(name) is None:
            words = "a name has 1 to 64 letters, digits or `_ . @ -`, and begins with a letter or a digit"
            raise BadRequest(f"name: {words}", code="invalid_value", param="name")
        if expires_s is not None and expires_s <= now_s:
            raise BadRequest("expires: lies in the past", code="invalid_value", param="expires")
        secret = _new_secret()
        record = Record("k" + secrets.token_hex(6), name, secret[:SHOWN], terms, now_s, expires_s, None, None)
        with self._database.transaction() as run:
            if run("SELECT 1 FROM api_key WHERE name = ?", (name,)):
                raise BadRequest(f"there is a key called {name} already", code="name_taken", param="name")
            run(
                "INSERT INTO api_key (id, name, hash, shown, terms, created_at, expires_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (record.id, name, _hash(secret), record.shown, _json(terms), now_s, expires_s),
            )
            _note(run)
        return secret, record

    def all(self) -> list[Record]:
        """Every key that was ever created, the oldest first."""
        with self._database.transaction() as run:
            rows = run(f"SELECT {_COLUMNS} FROM api_key ORDER BY created_at, id", ())  # noqa: S608 - our own names
        return [_record(row) for row in rows]

    def find(self, name: str) -> Record:
        """Raises NotFound, with the nearest name."""
        with self._database.transaction() as run:
            return _record(_row(run, name))

    def change(self, name: str, terms: Terms, expires_s: int | None) -> Record:
        """Give a key other terms. Raises NotFound."""
        with self._database.transaction() as run:
            _row(run, name)
            run("UPDATE api_key SET terms = ?, expires_at = ? WHERE name = ?", (_json(terms), expires_s, name))
            _note(run)
            return _record(_row(run, name))

    def rotate(self, name: str, grace_s: int, now_s: int) -> tuple[str, Record]:
        """A new secret for the same key; the old one is good for `grace_s` more seconds.

        Raises NotFound, BadRequest.
        """
        secret = _new_secret()
        with self._database.transaction() as run:
            row = _row(run, name)
            if _record(row).revoked_at is not None:
                raise BadRequest(f"the key {name} was revoked; create another", code="key_revoked", param="name")
            run(
                "UPDATE api_key SET old_hash = ?, old_until = ?, hash = ?, shown = ? WHERE name = ?",
                (str(row[8]) if grace_s else None, now_s + grace_s if grace_s else None, _hash(secret),
                 secret[:SHOWN], name),
            )  # fmt: skip
            _note(run)
            return secret, _record(_row(run, name))

    def revoke(self, name: str, now_s: int) -> Record:
        """It is refused from now on, for good. Revoking twice changes nothing. Raises NotFound."""
        with self._database.transaction() as run:
            _row(run, name)
            revoke = "UPDATE api_key SET revoked_at = ?, old_hash = NULL, old_until = NULL WHERE name = ?"
            run(f"{revoke} AND revoked_at IS NULL", (now_s, name))
            _note(run)
            return _record(_row(run, name))

    def changes(self) -> int:
        """A number that grows with each change."""
        with self._database.transaction() as run:
            return int(run("SELECT max(n) FROM key_changes", ())[0][0])

    def load(self, teams: Mapping[str, TeamSettings]) -> tuple[dict[bytes, Key], bool]:
        """The keys that are good, by digest, and whether any was ever created.

        A key whose team is no longer in the config is good for nothing: nobody knows what it may do.
        """
        with self._database.transaction() as run:
            rows = run(f"SELECT {_COLUMNS} FROM api_key", ())  # noqa: S608 - our own names
        found: dict[bytes, Key] = {}
        for row in rows:
            record = _record(row)
            if record.revoked_at is not None or (record.terms.team is not None and record.terms.team not in teams):
                continue
            found[bytes.fromhex(str(row[8]))] = make_key(record.name, record.terms, teams, record.expires_at)
            if row[9] is not None and record.old_until is not None:
                ends = min(record.old_until, record.expires_at or record.old_until)
                found[bytes.fromhex(str(row[9]))] = make_key(record.name, record.terms, teams, ends)
        return found, bool(rows)


def _row(run: Run, name: str) -> tuple[Any, ...]:
    rows = run(f"SELECT {_COLUMNS} FROM api_key WHERE name = ?", (name,))  # noqa: S608 - our own names
    if not rows:
        known = [str(one) for (one,) in run("SELECT name FROM api_key", ())]
        raise NotFound(f"there is no key called {name[:64]!r}{hint(name, known)}", code="key_not_found", param="name")
    return rows[0]


def _record(row: tuple[Any, ...]) -> Record:
    terms = msgspec.json.decode(row[3], type=Terms)
    return Record(row[0], row[1], row[2], terms, row[4], row[5], row[6], row[7])


def _note(run: Run) -> None:
    run("UPDATE key_changes SET n = n + 1", ())


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def _hash(secret: str) -> str:
    return digest(secret).hex()


def _json(terms: Terms) -> str:
    return msgspec.json.encode(terms).decode()
