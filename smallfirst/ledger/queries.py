"""What the ledger can be asked.

Knows the tables and how their sums are read. Does not know how a sum is shown (ledger/report.py, cli). A window is
answered from the sums by day and hour, and what is cut off at its edges from the rows, so that it takes the same time
however many requests there are.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from smallfirst.core import DataClass
from smallfirst.errors import LedgerError
from smallfirst.ledger.migrations import GRAINS, ROOM, STEPS
from smallfirst.ledger.promises import read_promises
from smallfirst.ledger.rollups import Latencies, Stretch, bucket, middle, read_latencies, stretch
from smallfirst.ledger.summary import Group, Percentiles, Summary, roll_up
from smallfirst.store.connection import Connection, Place, open_to_read, shown
from smallfirst.store.migrations import check

_EDGE = "FROM request WHERE at >= ? AND at < ?"
_BY = "served_tier, kind, reason, deferrals, baseline_method"

_GROUPS_OF_SPANS = {
    grain: f"""
        SELECT {_BY}, sum(n), sum(attempts), sum(unpriced), sum(would_escalate), sum(cost), sum(with_baseline),
            sum(baseline_cost), sum(compared_cost), sum(errors), min(first_us), max(last_us)
        FROM rollup_{grain} WHERE span >= ? AND span < ? GROUP BY {_BY}
    """  # noqa: S608 - constants
    for grain in GRAINS
}

_GROUPS_OF_ROWS = f"""
    SELECT {_BY},
           count(*), sum(attempts), sum(unpriced), sum(would_escalate), sum(cost),
           count(baseline_cost), coalesce(sum(baseline_cost), 0),
           coalesce(sum(CASE WHEN baseline_cost IS NOT NULL OR served_tier IS NULL THEN cost END), 0),
           sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END), min(at), max(at)
    {_EDGE} GROUP BY {_BY}
"""

_LATENCIES_OF_ROWS = f"SELECT served_tier, latency_us {_EDGE}"

_OPEN_INTENTS = """
    SELECT request_id, at, data_class, models, locations, rule FROM intent
    WHERE at < ? AND NOT EXISTS (SELECT 1 FROM request WHERE request.id = intent.request_id)
    ORDER BY at, writer, seq LIMIT ?
"""


class OpenIntent(msgspec.Struct, frozen=True):
    """An intent whose request has no entry: it is under way, or its process died before it was written."""

    request_id: str
    at_us: int
    data_class: DataClass
    models: tuple[str, ...]
    locations: tuple[str, ...]
    rule: str


def open_ledger(place: Place) -> Connection:
    """A read-only connection to a ledger of this version. Raises LedgerError; a running gateway is not disturbed."""
    conn = open_to_read(place)
    try:
        check(conn, ROOM, STEPS)
    except (LedgerError, sqlite3.Error) as fault:
        conn.close()
        raise LedgerError(f"{shown(place)}: {fault}") from fault
    return conn


def summary(conn: Connection, since_us: int, until_us: int) -> Summary:
    """What was recorded from `since_us` to before `until_us`, UTC microseconds since 1970. Raises LedgerError."""
    try:
        conn.execute("BEGIN")  # one moment for all the questions, while a gateway writes on
        part = stretch(conn, since_us, until_us)
        groups = _groups(conn, part)
        by_tier, overall = _percentiles(_latencies(conn, part))
        found = roll_up(groups, by_tier, overall, since_us, until_us)
        return msgspec.structs.replace(found, promises=read_promises(conn, part, since_us, until_us))
    except sqlite3.Error as fault:
        raise LedgerError(f"the ledger can't be read: {fault}") from fault
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")


def _groups(conn: Connection, part: Stretch) -> list[Group]:
    """One for each combination in each part of the window."""
    rows: list[tuple[Any, ...]] = []
    for grain, first, end in part.spans:
        rows += conn.execute(_GROUPS_OF_SPANS[grain], (first, end)).fetchall()
    for edge in part.edges:
        rows += conn.execute(_GROUPS_OF_ROWS, edge).fetchall()
    return [Group(tier or None, *rest) for tier, *rest in rows]


def _latencies(conn: Connection, part: Stretch) -> Latencies:
    found = read_latencies(conn, part)
    for edge in part.edges:
        for tier, latency in conn.execute(_LATENCIES_OF_ROWS, edge):
            found[tier or ""][bucket(latency)] += 1
    return found


def _percentiles(latencies: Latencies) -> tuple[dict[str, Percentiles], Percentiles]:
    """Of each tier that served, and of all."""
    everyone: Counter[int] = Counter()
    for counts in latencies.values():
        everyone.update(counts)
    by_tier = {tier: _of(counts) for tier, counts in latencies.items() if tier}
    return by_tier, _of(everyone)


def _of(counts: Mapping[int, int]) -> Percentiles:
    """By nearest rank: the middle of the bucket in which the 50th and the 95th of 100 stand."""
    size, seen, at = sum(counts.values()), 0, 0
    places = [-(-size * 50 // 100), -(-size * 95 // 100)]
    found: list[int] = []
    for at in sorted(counts):
        seen += counts[at]
        found += [middle(at) for place in places[len(found) :] if seen >= place]
    return Percentiles(*found) if found else Percentiles(0, 0)


def open_intents(conn: Connection, before_us: int, limit: int = 1000) -> list[OpenIntent]:
    """Intents from before `before_us` whose requests have no entry, oldest first.

    With `before_us` older than the longest request these are what a crash cut off: each may have been sent to the
    models and locations it names. Raises LedgerError.
    """
    try:
        rows = conn.execute(_OPEN_INTENTS, (before_us, limit)).fetchall()
    except sqlite3.Error as fault:
        raise LedgerError(f"the ledger can't be read: {fault}") from fault
    return [
        OpenIntent(request_id, at, DataClass(data_class), _names(models), _names(locations), rule)
        for request_id, at, data_class, models, locations, rule in rows
    ]


def _names(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])
