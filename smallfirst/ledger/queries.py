"""What the ledger can be asked.

Knows the tables and how their sums are read. Does not know how a sum is shown (ledger/report.py, cli). Sums are made
by the database; what comes into memory is one row for each combination of tier, kind, reason and the like, however
many requests there are.
"""

from __future__ import annotations

import sqlite3
from collections import Counter

import msgspec

from smallfirst.core import DataClass
from smallfirst.errors import LedgerError
from smallfirst.ledger.migrations import ROOM, STEPS
from smallfirst.ledger.promises import read_promises
from smallfirst.ledger.summary import Group, Percentiles, Summary, roll_up
from smallfirst.store.connection import Connection, Place, open_to_read, shown
from smallfirst.store.migrations import check

_WINDOW = "at >= :since AND at < :until"

_GROUPS = f"""
    SELECT served_tier, kind, reason, deferrals, baseline_method,
           count(*), sum(attempts), sum(unpriced), sum(would_escalate), sum(cost),
           count(baseline_cost), coalesce(sum(baseline_cost), 0),
           coalesce(sum(CASE WHEN baseline_cost IS NOT NULL OR served_tier IS NULL THEN cost END), 0),
           sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END), min(at), max(at)
    FROM request WHERE {_WINDOW}
    GROUP BY served_tier, kind, reason, deferrals, baseline_method
"""  # noqa: S608 - a constant of this file

_BY_LATENCY = f"""
    SELECT served_tier, latency_us FROM request WHERE {_WINDOW} ORDER BY latency_us
"""  # noqa: S608 - a constant of this file; the database sorts, on disk where memory is short

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
    window = {"since": since_us, "until": until_us}
    try:
        conn.execute("BEGIN")  # one moment for all the questions, while a gateway writes on
        groups = [Group(*row) for row in conn.execute(_GROUPS, window)]
        sizes: Counter[str | None] = Counter()
        for group in groups:
            sizes[group.tier] += group.requests
        by_tier, overall = _percentiles(conn, window, sizes)
        found = roll_up(groups, by_tier, overall, since_us, until_us)
        return msgspec.structs.replace(found, promises=read_promises(conn, window))
    except sqlite3.Error as fault:
        raise LedgerError(f"the ledger can't be read: {fault}") from fault
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")


def _percentiles(
    conn: Connection, window: dict[str, int], sizes: Counter[str | None]
) -> tuple[dict[str, Percentiles], Percentiles]:
    """Of each tier and of all: exact, by nearest rank, in one walk up the sorted latencies.

    `sizes` has the number of requests by tier; None stands for those that none served.
    """
    places = {tier: _places(size) for tier, size in sizes.items()}
    everyone, seen = _places(sizes.total()), Counter[str | None]()
    found: dict[str | None, list[int]] = {tier: [] for tier in sizes}
    overall: list[int] = []
    for place, (tier, latency) in enumerate(conn.execute(_BY_LATENCY, window), 1):
        seen[tier] += 1
        if seen[tier] in places[tier]:
            found[tier] += [latency] * places[tier].count(seen[tier])
        if place in everyone:
            overall += [latency] * everyone.count(place)
    by_tier = {tier: Percentiles(*pair) for tier, pair in found.items() if tier is not None}
    return by_tier, Percentiles(*overall) if overall else Percentiles(0, 0)


def _places(count: int) -> tuple[int, int]:
    """The ranks, from 1, of the 50th and the 95th percentile of `count` values."""
    return -(-count * 50 // 100), -(-count * 95 // 100)


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
