"""A chain of entries, each of which holds the hash of the one before: what was edited, removed or moved shows.

Knows the columns of the table `chain` and their hash. Does not know SQL or when entries are written (writer.py). One
chain for each writer; a new one names the heads of the chains that were there before, so that a whole chain can't
vanish either. The hash is over the very columns that are queried: an edited column is an edited entry.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from hashlib import blake2b, sha256

import msgspec

from smallfirst.core import DataClass, Entry, Intent
from smallfirst.ledger.rows import Row, Value

NO_HASH = "0" * 64
"""What stands before the first entry."""
SALT_BYTES = 16

_encode = msgspec.json.Encoder().encode


class Draft(msgspec.Struct, frozen=True):
    """An entry before it has a place in the chain. Lists are JSON, as they will stand in the table."""

    at_us: int
    kind: str  # start | intent | decision | shadow | erasure
    request_id: str = ""
    data_class: int = 0
    rule: str = ""
    models: str = "[]"
    locations: str = "[]"
    detail: str = "{}"
    content: str = ""  # salted digest of what was asked; the salt lies elsewhere and can be destroyed
    salt: bytes = b""  # to be kept in the table salt beside it; no column of the chain


class Chain:
    """The head of one writer's chain. `link` gives rows; `advance` once they are committed."""

    def __init__(self, writer: str) -> None:
        self.writer, self.seq, self.head = writer, 0, NO_HASH

    def link(self, drafts: Sequence[Draft]) -> list[Row]:
        """The rows of these drafts, behind the head; the head stays where it is until `advance`."""
        rows: list[Row] = []
        seq, head = self.seq, self.head
        for one in drafts:
            seq += 1
            columns: Row = (
                self.writer, seq, one.at_us, one.kind, one.request_id, one.data_class, one.rule, one.models,
                one.locations, one.detail, one.content, head,
            )  # fmt: skip
            head = digest(columns)
            rows.append((*columns, head))
        return rows

    def advance(self, rows: Sequence[Row]) -> None:
        """These rows are in the database."""
        if rows:
            self.stand(int(rows[-1][1] or 0), str(rows[-1][-1]))

    def stand(self, seq: int, head: str) -> None:
        """The last entry in the database is this one."""
        self.seq, self.head = seq, head


def digest(columns: Sequence[Value]) -> str:
    """SHA-256, in hex, of a row's columns but its own hash: as JSON, in their order, without spaces."""
    return sha256(_encode(columns)).hexdigest()


def intent_draft(intent: Intent) -> Draft:
    """What is about to be sent where: every model and location that the permit covers."""
    return Draft(
        intent.at_us,
        "intent",
        intent.request_id,
        intent.data_class.value,
        intent.rule,
        _encode(intent.models).decode(),
        _encode(intent.locations).decode(),
        content=intent.content,
        salt=intent.salt,
    )


def decision_draft(entry: Entry) -> Draft:
    """What was really sent where, try by try, and how it ended. Whose key it was is told by a salted digest alone."""
    salt = entry.salt or (secrets.token_bytes(SALT_BYTES) if entry.key_id is not None else b"")
    detail = {
        "policy": entry.policy,
        "reason": entry.reason.value,
        "status": entry.status,
        "why": entry.class_why,
        "key": None if entry.key_id is None else key_digest(entry.key_id, salt),
        "redacted": sorted({model for model, _, _, redacted in entry.reached if redacted}),
    }
    return Draft(
        entry.at_us,
        "decision",
        entry.id,
        entry.data_class.value,
        "",
        _encode(sorted({model for model, _, _, _ in entry.reached})).decode(),
        _encode(sorted({location for _, _, location, _ in entry.reached})).decode(),
        _encode(detail).decode(),
        salt=b"" if entry.salt else salt,
    )


class Shadowed(msgspec.Struct, frozen=True):
    """What a request was sent to after it was served: by the monitor, to learn. `reached` as in core.Entry."""

    request_id: str
    at_us: int
    data_class: DataClass
    rule: str
    reached: tuple[tuple[str, str, str, bool], ...]


def shadow_draft(shadowed: Shadowed) -> Draft:
    return Draft(
        shadowed.at_us,
        "shadow",
        shadowed.request_id,
        shadowed.data_class.value,
        shadowed.rule,
        _encode(sorted({model for model, _, _, _ in shadowed.reached})).decode(),
        _encode(sorted({location for _, _, location, _ in shadowed.reached})).decode(),
    )


def salted(content: Sequence[bytes]) -> tuple[str, bytes]:
    """(digest in hex, the salt that it takes to make it again)."""
    salt = secrets.token_bytes(SALT_BYTES)
    return digest_of(content, salt), salt


def key_digest(key_id: str, salt: bytes) -> str:
    """A client key's name under its request's salt: it can be checked while the salt is there, and then no more."""
    said = key_id.encode("utf-8", "surrogatepass")
    return blake2b(said, salt=salt, person=b"key", digest_size=32).hexdigest()


def digest_of(content: Sequence[bytes], salt: bytes) -> str:
    """The digest of a request's content under a salt: a proof that it was this, as long as the salt is kept."""
    made = blake2b(salt=salt, digest_size=32)
    for part in content:
        made.update(len(part).to_bytes(8, "little"))
        made.update(part)
    return made.hexdigest()


def class_name(value: int) -> str:
    return DataClass(value).name
