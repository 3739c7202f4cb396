"""Heads of the chain, written down outside the database: whoever can edit the database can't edit these as well.

Knows three kinds of places: standard output (for a log collector), a file, another SQLite database. Does not know what
stands in the chain. An anchor is one line of JSON: writer, seq, hash, at (UTC microseconds).
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from smallfirst.errors import DataError
from smallfirst.ledger.chain import Chain
from smallfirst.store.sqlite import SCHEME, open_database, sqlite_path

log = logging.getLogger(__name__)

_TABLE = "CREATE TABLE IF NOT EXISTS anchor (writer TEXT, seq BIGINT, hash TEXT, at BIGINT)"


class Anchor(msgspec.Struct, frozen=True):
    """The chain of `writer` had `hash` at `seq`."""

    writer: str
    seq: int
    hash: str
    at: int


class Anchors:
    """Keeps the head now and then. A place that can't be written is logged, and tried again next time."""

    def __init__(self, place: str | None, every_s: float) -> None:
        self._place, self._every_s, self._next = place, every_s, 0.0

    def keep(self, chain: Chain) -> None:
        """Write the head down, where that is wanted and due."""
        if self._place is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every_s
        anchor = Anchor(chain.writer, chain.seq, chain.head, time.time_ns() // 1000)
        try:
            write_anchor(self._place, anchor)
        except (OSError, sqlite3.Error) as fault:
            log.error("the audit chain could not be anchored at %s: %s", self._place, fault)


def write_anchor(place: str, anchor: Anchor) -> None:
    line = msgspec.json.encode(anchor).decode()
    if place == "stdout":
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    elif place.startswith(SCHEME):
        conn = open_database(sqlite_path(place))
        try:
            conn.execute(_TABLE)
            conn.execute("INSERT INTO anchor VALUES (?, ?, ?, ?)", msgspec.structs.astuple(anchor))
        finally:
            conn.close()
    else:
        with Path(place).expanduser().open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def read_anchors(place: str) -> Iterator[Anchor]:
    """The anchors of a file or a database. Raises DataError that names the line."""
    if place.startswith(SCHEME):
        conn = open_database(sqlite_path(place))
        try:
            conn.execute(_TABLE)
            yield from (Anchor(*row) for row in conn.execute("SELECT writer, seq, hash, at FROM anchor"))
        finally:
            conn.close()
        return
    try:
        lines = Path(place).expanduser().read_bytes().splitlines()
    except OSError as fault:
        raise DataError(f"{place}: can't be read: {fault.strerror}") from fault
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield msgspec.json.decode(line, type=Anchor)
            except msgspec.DecodeError as fault:
                raise DataError(f"{place}:{number}: not an anchor: {fault}") from fault
