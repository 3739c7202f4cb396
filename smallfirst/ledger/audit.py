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
from smallfirst.ledger.chain import NO_HASH, digest, key_digest
from smallfirst.privacy.locations import surely_lies_within
from smallfirst.store.connection import Connection, walk

_COLUMNS = "writer, seq, at, kind, request_id, data_class, rule, models, locations, detail, content, prev, hash"
_ALL = f"SELECT {_COLUMNS} FROM chain ORDER BY writer, seq"  # noqa: S608 - our own names


class Damage(msgspec.Struct, frozen=True):
    """One place where a chain is not what it was."""

    writer: str
    seq: int
    what: str


class Verified(msgspec.Struct, frozen=True):
    """How a verification went. `anchored`: entries up to the last anchor of their chain.

    `jumps`: entries that say they were made before the one they follow, because a clock was set back: (writer, seq,
    microseconds). A chain's order is that of its numbers, so that this is no damage; a question about a time may miss
    them.
    """

    entries: int
    writers: int
    anchors: int
    anchored: int
    damages: tuple[Damage, ...]
    jumps: tuple[tuple[str, int, int], ...] = ()

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
    content: str = ""
    prev: str = ""


def verify(conn: Connection, anchors: Iterable[Anchor] = (), most: int = 100) -> Verified:
    """Walk every chain: hash, link and sequence of each entry, the heads that later chains name, and the anchors; then
    compare the entries with the requests they are about.

    Finds any entry that was changed, removed or moved before the last anchor of its chain (or the next start of a
    writer), and says where. What was cut off after it can't be known. At most `most` damages are listed.
    """
    walk_ = Walk(anchors)
    try:
        for at, hash_ in _named_heads(conn).items():
            walk_.want(at, hash_, "named by a later chain")
        walk_.run(walk(conn, _ALL))
        walk_.damages += _other_requests(conn, most)
    except sqlite3.Error as fault:
        raise LedgerError(f"the audit chain can't be read: {fault}") from fault
    return walk_.end(most)


class Walk:
    """What has been seen of chains whose entries come in order, one writer after the other."""

    def __init__(self, anchors: Iterable[Anchor] = (), *, whole: bool = True) -> None:
        """`whole` False: a chain may begin anywhere, and what comes before is not asked for."""
        self.damages: list[Damage] = []
        self.wanted: dict[tuple[str, int], tuple[str, str]] = {}  # -> hash, and who says so
        self._whole = whole
        self._last_anchor: dict[str, int] = {}
        self._anchors = 0
        self._heads: dict[str, int] = {}
        self._jumps: list[tuple[str, int, int]] = []
        self._entries, self._writer, self._seq, self._head, self._at = 0, "", 0, NO_HASH, 0
        for anchor in anchors:
            self._anchors += 1
            self.want(
                (anchor.writer, anchor.seq), anchor.hash, (anchor.place and f"anchored at {anchor.place}") or "anchored"
            )
            self._last_anchor[anchor.writer] = max(anchor.seq, self._last_anchor.get(anchor.writer, 0))

    def want(self, at: tuple[str, int], hash_: str, who: str) -> None:
        """The entry `at` (writer, number) must be there and have this hash; `who` says so."""
        known = self.wanted.setdefault(at, (hash_, who))
        if known[0] != hash_:
            self.damages.append(Damage(*at, f"it is said to be two different ones: {known[1]}, and {who}"))

    def run(self, rows: Iterable[Sequence[Any]]) -> None:
        """The next entries: of each its columns, and its hash last. What is as it should be costs its hash."""
        wanted = self.wanted
        writer, seq, head, at, count = self._writer, self._seq, self._head, self._at, 0
        for row in rows:
            if (
                row[0] == writer
                and row[1] == seq + 1
                and row[11] == head
                and row[2] >= at
                and digest(row[:12]) == row[12]
                and not (wanted and (writer, row[1]) in wanted)
            ):
                seq, head, at = row[1], row[12], row[2]
                count += 1
                continue
            self._seq, self._head, self._at = seq, head, at
            self._step(row)
            writer, seq, head, at = self._writer, self._seq, self._head, self._at
        self._seq, self._head, self._at = seq, head, at
        self._entries += count
        if writer:
            self._heads[writer] = seq

    def _step(self, row: Sequence[Any]) -> None:
        """One entry that is the first of its chain, or not as it should be, or that somebody else speaks of."""
        self._entries += 1
        writer, seq, hash_ = row[0], row[1], row[12]
        if writer != self._writer:
            if self._writer:
                self._heads[self._writer] = self._seq
            self._writer, self._seq, self._head, self._at = writer, 0, NO_HASH, row[2]
            if not self._whole:
                self._seq, self._head = seq - 1, row[11]
        if seq != self._seq + 1:
            self.damages.append(Damage(writer, self._seq + 1, f"entries {self._seq + 1} to {seq - 1} are missing"))
        elif row[11] != self._head:
            self.damages.append(Damage(writer, seq, "it does not follow the entry before it"))
        if digest(row[:12]) != hash_:
            self.damages.append(Damage(writer, seq, "a column was changed after it was written"))
        if row[2] < self._at:
            self._jumps.append((writer, seq, self._at - row[2]))
        self._seq, self._head, self._at = seq, hash_, row[2]
        if self.wanted and (said := self.wanted.pop((writer, seq), None)) is not None and said[0] != hash_:
            self.damages.append(Damage(writer, seq, f"it is not the entry that was {said[1]}"))

    def end(self, most: int) -> Verified:
        """The result; what is still wanted is missing."""
        for (writer, seq), (_, who) in self.wanted.items():
            self.damages.append(Damage(writer, seq, f"an entry that was {who} is missing"))
        anchored = sum(min(seq, self._heads.get(writer, 0)) for writer, seq in self._last_anchor.items())
        return Verified(
            self._entries,
            len(self._heads),
            self._anchors,
            anchored,
            tuple(self.damages[:most]),
            tuple(self._jumps[:most]),
        )


_OTHER_CLASS = """
    SELECT chain.writer, chain.seq FROM chain JOIN request ON request.id = chain.request_id
    WHERE chain.kind = 'decision' AND chain.data_class <> request.data_class LIMIT ?
"""
_KEYS = """
    SELECT chain.writer, chain.seq, chain.detail, request.key_id, salt.salt
    FROM salt JOIN request ON request.id = salt.request_id JOIN chain ON chain.request_id = salt.request_id
    WHERE chain.kind = 'decision' AND request.key_id IS NOT NULL
"""


class _Keyed(msgspec.Struct):
    key: str | None = None


_keyed = msgspec.json.Decoder(_Keyed).decode


def _other_requests(conn: Connection, most: int) -> list[Damage]:
    """Entries whose request, in the table beside the chain, now says another class or another key."""
    found = [
        Damage(writer, seq, "its request says another data class, which was changed after it was written")
        for writer, seq in conn.execute(_OTHER_CLASS, (most,)).fetchall()
    ]
    for writer, seq, detail, key_id, salt in walk(conn, _KEYS):
        try:
            said = _keyed(detail).key
        except msgspec.MsgspecError:
            continue  # an edited entry; the walk says so
        if said is not None and said != key_digest(key_id, bytes.fromhex(salt)):
            found.append(Damage(writer, seq, "its request names another key, which was changed after it was written"))
    return found


def _named_heads(conn: Connection) -> dict[tuple[str, int], str]:
    """What the first entry of each chain says about the others."""
    found: dict[tuple[str, int], str] = {}
    for (detail,) in conn.execute("SELECT detail FROM chain WHERE kind = 'start'"):
        try:
            listed = msgspec.json.decode(detail, type=dict[str, list[tuple[str, int, str]]])
        except msgspec.DecodeError:
            continue  # an edited entry; the walk says so
        found.update({(writer, seq): hash_ for writer, seq, hash_ in listed.get("heads", [])})
    return found


def reached(
    conn: Connection,
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


def lines(conn: Connection, since_us: int, until_us: int) -> Iterator[Line]:
    """Every entry of a time, oldest first, for an export."""
    query = f"SELECT {_COLUMNS} FROM chain WHERE at >= ? AND at < ? ORDER BY at, writer, seq"  # noqa: S608 - our names
    return _lines(conn, query, (since_us, until_us))


def erasures(conn: Connection, whose: str) -> list[Line]:
    """The erasure entries that speak of `whose` (erasure.commitment)."""
    query = f"SELECT {_COLUMNS} FROM chain WHERE kind = 'erasure' ORDER BY at, writer, seq"  # noqa: S608 - our names
    return [line for line in _lines(conn, query, ()) if line.detail.get("whose") == whose]


def _lines(conn: Connection, query: str, values: Sequence[object]) -> Iterator[Line]:
    names, details = msgspec.json.Decoder(tuple[str, ...]).decode, msgspec.json.Decoder(dict[str, Any]).decode
    try:
        for row in walk(conn, query, tuple(values)):
            writer, seq, at, kind, request_id, data_class, rule, models, locations, detail, content, prev, hash_ = row
            yield Line(
                at, kind, request_id, DataClass(data_class).name, rule, names(models), names(locations),
                details(detail), writer, seq, hash_, content, prev,
            )  # fmt: skip
    except (sqlite3.Error, msgspec.DecodeError, ValueError) as fault:
        raise LedgerError(f"the audit chain can't be read ({fault}); `smallfirst audit verify` says where") from fault
