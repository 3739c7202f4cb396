"""Sums by the hour and by the day, kept beside the rows, so that a report takes as long for a million as for a hundred.

Knows which sums are kept (rollup_hour, rollup_day, and the latencies of each), how a batch of rows adds to them, and
how a window falls into days, hours and what is cut off at its edges. Does not know what a report makes of them. They
are written in the transaction of the rows they sum, so after a kill either both are there or neither is.

Latencies are counted in buckets: whole microseconds up to 63, then 32 buckets for each doubling, so that a percentile
read from them is within 1.6% of the row's own. Counts of buckets add up exactly, in any order, which those of a
quantile sketch need not. Source: the log-linear buckets of HdrHistogram (hdrhistogram.org).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from smallfirst.ledger.migrations import FINE, GRAINS, HOUR_US, group_rows, latency_rows
from smallfirst.ledger.rows import Row
from smallfirst.store.connection import Connection

KEYS = (
    "span", "served_tier", "kind", "reason", "deferrals", "baseline_method", "policy", "data_class", "certificate_id",
    "in_certificate", "out_reason",
)  # fmt: skip
"""What the requests of one row have in common. Where a request has none, '' stands: NULLs would not meet."""
_SUMS = (
    "n", "attempts", "unpriced", "would_escalate", "cost", "with_baseline", "baseline_cost", "compared_cost", "errors",
)  # fmt: skip
_COLUMNS = len(KEYS) + len(_SUMS) + 2
_BELOW = 2 * FINE
"""Latencies below this have a bucket each."""
_DAY_HOURS = 24

Groups = dict[Row, list[Any]]
"""The keys without the span -> sums in the order of _SUMS, then the first and the last moment."""
Latencies = dict[str, dict[int, int]]
"""tier ('' for what none served) -> bucket -> requests."""

_sketch = msgspec.json.Decoder(dict[int, int])


def _add(table: str) -> str:
    """The statement that adds a row of sums to the one that is there."""
    return (
        f"INSERT INTO {table} VALUES ({', '.join('?' * _COLUMNS)}) ON CONFLICT ({', '.join(KEYS)}) DO UPDATE SET "  # noqa: S608 - our own names
        + ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in _SUMS)
        + f", first_us = CASE WHEN excluded.first_us < {table}.first_us THEN excluded.first_us"
        + f" ELSE {table}.first_us END"
        + f", last_us = CASE WHEN excluded.last_us > {table}.last_us THEN excluded.last_us ELSE {table}.last_us END"
    )


_ADD = {name: _add(f"rollup_{name}") for name in GRAINS}
_KEEP = {
    name: f"INSERT INTO latency_{name} VALUES (?, ?, ?) ON CONFLICT (span, served_tier) "  # noqa: S608 - our own names
    "DO UPDATE SET sketch = excluded.sketch"
    for name in GRAINS
}
_SKETCH = {name: f"SELECT sketch FROM latency_{name} WHERE span = ? AND served_tier = ?" for name in GRAINS}  # noqa: S608
_ENDS = "SELECT min(first_us), max(last_us) FROM rollup_hour WHERE span = ?"


class Stretch(NamedTuple):
    """A window in parts that do not overlap: (grain, first span, before which span), and edges in microseconds."""

    spans: tuple[tuple[str, int, int], ...]
    edges: tuple[tuple[int, int], ...]


def add(conn: Connection, requests: Iterable[Sequence[Any]]) -> None:
    """Add rows of the request table, in the transaction that is open. Raises what sqlite3 raises."""
    by_hour: dict[int, tuple[Groups, Latencies]] = {}
    for row in requests:
        _count(*by_hour.setdefault(row[1] // HOUR_US, ({}, {})), row)
    for hour, (groups, latencies) in by_hour.items():
        for name, size in GRAINS.items():
            span = hour * HOUR_US // size
            conn.executemany(_ADD[name], [(span, *key, *sums) for key, sums in groups.items()])
            for tier, counts in latencies.items():
                row = conn.execute(_SKETCH[name], (span, tier)).fetchone()
                total = _sketch.decode(row[0]) if row else {}
                for at, n in counts.items():
                    total[at] = total.get(at, 0) + n
                conn.execute(_KEEP[name], (span, tier, msgspec.json.encode(total).decode()))


def _count(groups: Groups, latencies: Latencies, request: Sequence[Any]) -> None:
    at, policy, data_class, kind, reason, status = (request[i] for i in (1, 5, 10, 11, 13, 14))
    tier, attempts, unpriced, cost, baseline, method, latency = request[17:24]
    would, deferrals, certificate, inside, why_out = request[26:31]
    tier = tier or ""
    key = (tier, kind, reason, deferrals, method, policy, data_class, certificate or "", inside, why_out or "")
    sums = groups.get(key)
    if sums is None:
        sums = groups[key] = [0, 0, 0, 0, 0, 0, 0, 0, 0, at, at]
    sums[0] += 1
    sums[1] += attempts
    sums[2] += unpriced
    sums[3] += would
    sums[4] += cost
    if baseline is not None:
        sums[5] += 1
        sums[6] += baseline
    if baseline is not None or not tier:
        sums[7] += cost
    if status >= 400:
        sums[8] += 1
    sums[9] = min(sums[9], at)
    sums[10] = max(sums[10], at)
    counts = latencies.get(tier)
    if counts is None:
        counts = latencies[tier] = defaultdict(int)
    counts[bucket(latency)] += 1


def bucket(latency_us: int) -> int:
    """The bucket of a latency; rises with it."""
    if latency_us < _BELOW:
        return latency_us
    shift = latency_us.bit_length() - _BELOW.bit_length() + 1
    return (latency_us >> shift) + FINE * shift


def middle(of: int) -> int:
    """The latency in the middle of a bucket, microseconds."""
    if of < _BELOW:
        return of
    shift = of // FINE - 1
    return ((of - FINE * shift) << shift) + (1 << shift) // 2


def rebuild(conn: Connection, hours: Iterable[int]) -> None:
    """Sum these hours, and the days they are of, again from the rows that are left; in the transaction that is open."""
    touched = list(hours)
    for name, size in GRAINS.items():
        for span in sorted({hour * HOUR_US // size for hour in touched}):
            for table in ("rollup", "latency"):
                conn.execute(f"DELETE FROM {table}_{name} WHERE span = ?", (span,))  # noqa: S608 - our own names
            for fill in (group_rows, latency_rows):
                conn.execute(fill(name, "WHERE at >= ? AND at < ?"), (span * size, (span + 1) * size))


def read_latencies(conn: Connection, part: Stretch) -> Latencies:
    """Of all whole spans of the window."""
    found: Latencies = defaultdict(lambda: defaultdict(int))
    for name, first, end in part.spans:
        query = f"SELECT served_tier, sketch FROM latency_{name} WHERE span >= ? AND span < ?"  # noqa: S608 - our own
        for tier, sketch in conn.execute(query, (first, end)):
            counts = found[tier]
            for at, n in _sketch.decode(sketch).items():
                counts[at] += n
    return found


def stretch(conn: Connection, since_us: int, until_us: int) -> Stretch:
    """How to read the window: an hour at its edge counts as whole when all that it holds lies inside."""
    if until_us <= since_us:
        return Stretch((), ())
    first, end = since_us // HOUR_US, -(-until_us // HOUR_US)
    cut = []
    for hour in sorted({first, end - 1}):
        oldest, newest = conn.execute(_ENDS, (hour,)).fetchone()
        if oldest is not None and (oldest < since_us or newest >= until_us):
            cut.append(hour)
    edges = tuple((max(since_us, hour * HOUR_US), min(until_us, (hour + 1) * HOUR_US)) for hour in cut)
    first, end = first + (first in cut), end - (end - 1 in cut)
    day, last = -(-first // _DAY_HOURS), end // _DAY_HOURS
    if day >= last:
        spans = [("hour", first, end)]
    else:
        spans = [("hour", first, day * _DAY_HOURS), ("day", day, last), ("hour", last * _DAY_HOURS, end)]
    return Stretch(tuple(span for span in spans if span[1] < span[2]), edges)
