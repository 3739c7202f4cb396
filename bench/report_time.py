"""How long `smallfirst report` takes on ledgers of 10^4, 10^5 and 10^6 requests, from its sums by hour and day.

    python bench/report_time.py [--rows 10000 100000 1000000] [--days 30] [--rounds 9]

Each ledger spans the same days, so that only the number of requests differs. Three windows: everything; since a moment
in the midst of an hour, so that what is cut off is read from rows; the same sums made from all rows, which is what a
report took before. Beside it: what writing costs with and without the sums. Prints a table and writes
bench/out/report_time.json; exit status 1 if a report on the largest ledger takes more than twice the smallest's.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import harness
from rich.console import Console
from rich.table import Table

from smallfirst.core import Attempt, DataClass, Entry, Outcome, Reason, Status, Usage
from smallfirst.ledger import commits
from smallfirst.ledger.migrations import HOUR_US, ROOM, STEPS, group_rows
from smallfirst.ledger.queries import open_ledger, summary
from smallfirst.ledger.report import make_report
from smallfirst.ledger.rows import Rows, entry_rows
from smallfirst.store.migrations import migrate
from smallfirst.store.sqlite import open_database

NOW = 1_790_000_000_000_000
BATCH = 1000
SEED = 5
KINDS = ("faq", "label", "extraction", "code", "mathematics", "other")


def an_entry(i: int, at_us: int, rng: random.Random) -> Entry:
    """A request as gateways record them: six of ten served by the lowest tier, the others handed up."""
    draw = rng.random()
    tier = "slm" if draw < 0.6 else "mid" if draw < 0.9 else "frontier"
    outcome = Outcome(
        model=tier, status=Status.ok, usage=Usage(input_tokens=90, output_tokens=40), started_us=at_us,
        latency_us=int(rng.lognormvariate(13, 0.8)), cost=2_000,
    )  # fmt: skip
    return Entry(
        id=f"req_{i:020x}", at_us=at_us, asked="auto", policy="auto", key_id="k", tags=(), session=None,
        data_class=DataClass.internal, kind=rng.choice(KINDS), complexity=draw,
        reason=Reason.accepted if tier != "frontier" else Reason.top_tier, status=200, served_model=tier,
        served_tier=tier, attempts=(Attempt(0, "answer", outcome),), cost=2_000, baseline_cost=90_000,
        baseline_method="served", latency_us=outcome.latency_us, overhead_us=300, stream=False, would_escalate=False,
        deferrals=() if tier == "slm" else (rng.choice(("low_confidence", "predicted_low")),),
    )  # fmt: skip


def fill(path: Path, rows: int, days: int) -> dict[str, float]:
    """Make a ledger; microseconds of CPU an entry, with the sums and for as many entries without."""
    rng = random.Random(SEED)
    conn = open_database(path)
    migrate(conn, ROOM, STEPS)
    step = days * 24 * HOUR_US // rows
    spent = 0.0
    for start in range(0, rows, BATCH):
        batch = [
            entry_rows(an_entry(i, NOW + i * step, rng), "w", i + 1) for i in range(start, min(rows, start + BATCH))
        ]
        began = time.process_time()
        commits.write_entries(conn, batch)
        spent += time.process_time() - began
    conn.close()
    return {"cpu_us_an_entry": spent / rows * 1e6}


def live_cost(folder: Path, rounds: int) -> dict[str, float]:
    """CPU of writing a thousand entries of one moment, as a running gateway does, with the sums and without."""
    rng = random.Random(SEED)
    found: dict[str, list[float]] = {"with": [], "without": []}
    add = commits.add
    conns = {}
    for name in found:
        conns[name] = open_database(folder / f"live-{name}.db")
        migrate(conns[name], ROOM, STEPS)
    try:
        for n in range(rounds * 5):
            batch: list[Rows] = [
                entry_rows(an_entry(n * BATCH + i, NOW + n * BATCH + i, rng), "w", i + 1) for i in range(BATCH)
            ]
            for name, conn in conns.items():
                commits.add = add if name == "with" else lambda *_: None
                began = time.process_time()
                commits.write_entries(conn, batch)
                found[name].append((time.process_time() - began) / BATCH * 1e6)
    finally:
        commits.add = add
        for conn in conns.values():
            conn.close()
    return {name: statistics.median(values) for name, values in found.items()}


def timed(work: Callable[[], object], rounds: int) -> float:
    """Milliseconds, the median."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1e3)
    return statistics.median(taken)


def reports(path: Path, rounds: int, days: int) -> dict[str, float]:
    conn = open_ledger(path)
    end = NOW + days * 24 * HOUR_US
    midst = NOW // HOUR_US * HOUR_US + HOUR_US * 24 * (days - 7) + HOUR_US // 2
    every = "SELECT" + group_rows("day").split("SELECT", 1)[1]
    try:
        found = summary(conn, 0, end + 1)
        return {
            "requests": found.requests,
            "everything_ms": timed(lambda: make_report(summary(conn, 0, end + 1)), rounds),
            "since_midst_of_an_hour_ms": timed(lambda: make_report(summary(conn, midst, end + 1)), rounds),
            "from_rows_ms": timed(lambda: conn.execute(every).fetchall(), 1),
        }
    finally:
        conn.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    harness.OUT.mkdir(exist_ok=True)
    sizes = {}
    with tempfile.TemporaryDirectory(dir=harness.OUT) as name:
        for rows in given.rows:
            path = Path(name) / f"{rows}.db"
            wrote = fill(path, rows, given.days)
            with sqlite3.connect(path) as conn:
                sums = conn.execute("SELECT count(*) FROM rollup_hour").fetchone()[0]
                days = conn.execute("SELECT count(*) FROM rollup_day").fetchone()[0]
            sizes[rows] = {**reports(path, given.rounds, given.days), **wrote, "sums": sums, "day_sums": days}
            path.unlink()
        live = live_cost(Path(name), given.rounds)
    table = Table("requests", "everything", "since the midst of an hour", "sums by rows", "hours' rows, days' rows")
    for rows, one in sizes.items():
        table.add_row(
            f"{rows:,}", f"{one['everything_ms']:.1f} ms", f"{one['since_midst_of_an_hour_ms']:.1f} ms",
            f"{one['from_rows_ms']:.0f} ms", f"{one['sums']:,}, {one['day_sums']:,}",
        )  # fmt: skip
    console = Console()
    console.print(table)
    console.print(f"writing an entry: {live['with']:.1f} us of CPU with the sums, {live['without']:.1f} without")
    least, most = sizes[min(sizes)], sizes[max(sizes)]
    ratio = most["everything_ms"] / least["everything_ms"]
    console.print(f"the largest against the smallest: {ratio:.2f} times")
    harness.record("report_time", seed=SEED, days=given.days, sizes=sizes, live_us=live, ratio=ratio)
    return 0 if ratio <= 2 else 1


if __name__ == "__main__":
    sys.exit(main())
