"""Heads of the chain, written down outside the database: whoever can edit the database can't edit these as well.

Knows three kinds of places: standard output (for a log collector), a file, another database. Does not know what stands
in the chain. An anchor is one line of JSON: writer, seq, hash, at (UTC microseconds).
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from smallfirst.errors import DataError, LedgerError, SetupError
from smallfirst.ledger.chain import Chain
from smallfirst.store.connection import Connection, is_postgres, open_to_write
from smallfirst.store.sqlite import SCHEME, sqlite_path

log = logging.getLogger(__name__)

_TABLE = "CREATE TABLE IF NOT EXISTS anchor (writer TEXT, seq BIGINT, hash TEXT, at BIGINT)"


class Anchor(msgspec.Struct, frozen=True):
    """The chain of `writer` had `hash` at `seq`."""

    writer: str
    seq: int
    hash: str
    at: int
    place: str = ""  # where it was read: a file and its line


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
        except (OSError, sqlite3.Error, LedgerError, SetupError) as fault:
            log.error("the audit chain could not be anchored at %s: %s", self._place, fault)


def write_anchor(place: str, anchor: Anchor) -> None:
    """Raises OSError, sqlite3.Error, LedgerError, SetupError."""
    line = msgspec.json.encode({"writer": anchor.writer, "seq": anchor.seq, "hash": anchor.hash, "at": anchor.at})
    if place == "stdout":
        sys.stdout.write(f"{line.decode()}\n")
        sys.stdout.flush()
    elif is_database(place):
        conn = _open(place)
        try:
            conn.execute(_TABLE)
            values = (anchor.writer, anchor.seq, anchor.hash, anchor.at)
            conn.execute("INSERT INTO anchor (writer, seq, hash, at) VALUES (?, ?, ?, ?)", values)
        finally:
            conn.close()
    else:
        with Path(place).expanduser().open("ab") as file:
            file.write(line + b"\n")


def is_database(place: str) -> bool:
    return place.startswith(SCHEME) or is_postgres(place)


def anchor_problem(place: str) -> str | None:
    """What is wrong with `ledger.anchor`; None: nothing."""
    if "://" in place and not is_database(place):
        return "must be stdout, a file, sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"
    return None


def _open(place: str) -> Connection:
    return open_to_write(place if is_postgres(place) else sqlite_path(place))


def read_anchors(place: str) -> Iterator[Anchor]:
    """The anchors of a file or a database. Raises DataError that names the line, LedgerError."""
    if is_database(place):
        yield from _in_database(place)
        return
    try:
        data = Path(place).expanduser().read_bytes()
    except OSError as fault:
        raise DataError(f"{place}: can't be read: {fault.strerror}") from fault
    seen: dict[str, tuple[int, int]] = {}
    lines = data.splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        at = f"{place}:{number}"
        try:
            anchor = msgspec.json.decode(line, type=Anchor)
        except msgspec.MsgspecError as fault:
            cut = number == len(lines) and not data.endswith(b"\n")
            words = "the file was cut off in this line" if cut else f"not an anchor: {fault}"
            raise DataError(f"{at}: {words}") from fault
        before, there = seen.get(anchor.writer, (0, 0))
        if anchor.seq < before:
            words = f"entry {anchor.seq} after {before} (line {there}): anchors only grow; the file was edited"
            raise DataError(f"{at}: {words}")
        seen[anchor.writer] = (anchor.seq, number)
        yield msgspec.structs.replace(anchor, place=at)


def _in_database(place: str) -> Iterator[Anchor]:
    if not is_postgres(place) and not sqlite_path(place).is_file():
        raise DataError(f"there are no anchors at {place}")
    conn = _open(place)
    try:
        conn.execute(_TABLE)
        yield from (Anchor(*row) for row in conn.execute("SELECT writer, seq, hash, at FROM anchor").fetchall())
    except sqlite3.Error as fault:
        raise DataError(f"the anchors can't be read: {fault}") from fault
    finally:
        conn.close()
