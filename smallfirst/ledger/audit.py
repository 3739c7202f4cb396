"""What the audit chain can be asked: whether it is whole, and what reached where.

Knows the table chain. Does not know how answers are shown (cli/audit_cmd.py). Reads row by row: memory does not grow
with the chain.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from smallfirst.core import DataClass
from smallfirst.errors import LedgerError
from smallfirst.ledger.anchors import Anchor
from smallfirst.ledger.chain import NO_HASH, digest
from smallfirst.privacy.locations import surely_lies_within

_COLUMNS = "writer, seq, at, kind, request_id, data_class, rule, models, locations, detail, content, prev, hash"
_ALL = f"SELECT {_COLUMNS} FROM chain ORDER BY writer, seq"  # noqa: S608 - our own names


class Damage(msgspec.Struct, frozen=True):
    """One place where a chain is not what it was."""

    writer: str
    seq: int
    what: str


class Verified(msgspec.Struct, frozen=True):
    """How a verification went. `anchored`: entries up to the last anchor of their chain."""

    entries: int
    writers: int
    anchors: int
    anchored: int
    damages: tuple[Damage, ...]

    @property
    def whole(self) -> bool:
        return not self.damages


class Line(msgspec.Struct, frozen=True):
    """One entry, as it is shown and exported."""

    at_us: int
    kind: str
    request_id: str
    data_class: str
    rule: str
    models: tuple[str, ...]
    locations: tuple[str, ...]
    detail: dict[str, Any]
    writer: str
    seq: int
    hash: str


def verify(conn: sqlite3.Connection, anchors: Iterable[Anchor] = (), most: int = 100) -> Verified:
    """Walk every chain: hash, link and sequence of each entry, the heads that later chains name, and the anchors.

    Finds any entry that was changed, removed or moved before the last anchor of its chain (or the next start of a
    writer), and says where. What was cut off after it can't be known. At most `most` damages are listed.
    """
    damages: list[Damage] = []
    wanted: dict[tuple[str, int], str] = {}
    last_anchor: dict[str, int] = {}
    count = 0
    for anchor in anchors:
        count += 1
        wanted[anchor.writer, anchor.seq] = anchor.hash
        last_anchor[anchor.writer] = max(anchor.seq, last_anchor.get(anchor.writer, 0))
    heads: dict[str, int] = {}
    entries = 0
    try:
        named = _named_heads(conn)
        wanted.update(named)
        entries = _walk(conn, wanted, heads, damages)
    except sqlite3.Error as fault:
        raise LedgerError(f"the audit chain can't be read: {fault}") from fault
    for (writer, seq), _ in wanted.items():
        damages.append(Damage(writer, seq, "an entry that was anchored, or named by a later chain, is missing"))
    anchored = sum(min(seq, heads.get(writer, 0)) for writer, seq in last_anchor.items())
    return Verified(entries, len(heads), count, anchored, tuple(damages[:most]))


def _named_heads(conn: sqlite3.Connection) -> dict[tuple[str, int], str]:
    """What the first entry of each chain says about the others."""
    found: dict[tuple[str, int], str] = {}
    for (detail,) in conn.execute("SELECT detail FROM chain WHERE kind = 'start'"):
        try:
            listed = msgspec.json.decode(detail, type=dict[str, list[tuple[str, int, str]]])
        except msgspec.DecodeError:
            continue  # an edited entry; the walk says so
        found.update({(writer, seq): hash_ for writer, seq, hash_ in listed.get("heads", [])})
    return found


def _walk(
    conn: sqlite3.Connection, wanted: dict[tuple[str, int], str], heads: dict[str, int], damages: list[Damage]
) -> int:
    """Every entry in order; `wanted` loses what was found as it should be, `heads` gets each chain's length."""
    entries, writer, seq, head = 0, "", 0, NO_HASH
    for row in conn.execute(_ALL):
        entries += 1
        if row[0] != writer:
            writer, seq, head = row[0], 0, NO_HASH
        if row[1] != seq + 1:
            damages.append(Damage(writer, seq + 1, f"entries {seq + 1} to {row[1] - 1} are missing"))
        elif row[11] != head:
            damages.append(Damage(writer, row[1], "it does not follow the entry before it"))
        if digest(row[:12]) != row[12]:
            damages.append(Damage(writer, row[1], "a column was changed after it was written"))
        seq, head = row[1], row[12]
        heads[writer] = seq
        if wanted and (expected := wanted.pop((writer, seq), None)) is not None and expected != head:
            damages.append(Damage(writer, seq, "it is not the entry that was anchored, or named by a later chain"))
    return entries


def reached(
    conn: sqlite3.Connection,
    classes: Sequence[DataClass],
    location: str | None,
    since_us: int,
    until_us: int,
) -> tuple[list[Line], list[Line]]:
    """(decisions and shadow calls that reached `location`, intents without a decision). None: anywhere.

    A request that no model received has no locations and is in neither.
    """
    marks = ", ".join("?" * len(classes))
    query = f"""
        SELECT {_COLUMNS} FROM chain AS c
        WHERE data_class IN ({marks}) AND at >= ? AND at < ? AND (kind IN ('decision', 'shadow') OR (kind = 'intent'
            AND NOT EXISTS (SELECT 1 FROM chain AS d WHERE d.request_id = c.request_id AND d.kind = 'decision')))
        ORDER BY at, writer, seq
    """  # noqa: S608 - the marks are question marks
    sent: list[Line] = []
    open_: list[Line] = []
    for line in _lines(conn, query, (*[of.value for of in classes], since_us, until_us)):
        if any(location is None or surely_lies_within(place, location) for place in line.locations):
            (open_ if line.kind == "intent" else sent).append(line)
    return sent, open_


def lines(conn: sqlite3.Connection, since_us: int, until_us: int) -> Iterator[Line]:
    """Every entry of a time, oldest first, for an export."""
    query = f"SELECT {_COLUMNS} FROM chain WHERE at >= ? AND at < ? ORDER BY at, writer, seq"  # noqa: S608 - our names
    return _lines(conn, query, (since_us, until_us))


def _lines(conn: sqlite3.Connection, query: str, values: Sequence[object]) -> Iterator[Line]:
    names, details = msgspec.json.Decoder(tuple[str, ...]).decode, msgspec.json.Decoder(dict[str, Any]).decode
    try:
        for row in conn.execute(query, tuple(values)):
            writer, seq, at, kind, request_id, data_class, rule, models, locations, detail, _, _, hash_ = row
            yield Line(
                at, kind, request_id, DataClass(data_class).name, rule, names(models), names(locations),
                details(detail), writer, seq, hash_,
            )  # fmt: skip
    except (sqlite3.Error, msgspec.DecodeError, ValueError) as fault:
        raise LedgerError(f"the audit chain can't be read ({fault}); `smallfirst audit verify` says where") from fault
