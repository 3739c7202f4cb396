"""How fast the ledger writes, what recording costs the event loop, what an intent adds, and what a kill -9 loses.

    .venv/bin/python bench/ledger.py [--entries 300000] [--dir bench/out] [--rate 3000] [--kills 5]

Prints a table and writes bench/out/ledger.json. `--dir` should be on the disk that the ledger will be on. Each entry is
a request with one or two attempts, in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness
from rich.console import Console
from rich.table import Table

from smallfirst.core import Attempt, DataClass, Entry, Intent, Outcome, Reason, Signals, Status, Usage
from smallfirst.ledger.commits import write_entries
from smallfirst.ledger.migrations import ROOM, STEPS
from smallfirst.ledger.rows import entry_rows
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.writer import Ledger
from smallfirst.store.migrations import migrate
from smallfirst.store.sqlite import open_database

HERE = Path(__file__).parent
NOW = 1_790_000_000_000_000


def some_entries(n: int) -> list[Entry]:
    """Made beforehand, and taken out of the garbage collector's sight: a gateway never holds so many at once."""
    entries = [an_entry(i) for i in range(n)]
    gc.collect()
    gc.freeze()
    return entries


def an_entry(i: int) -> Entry:
    """A request as the gateway records one: every second was handed up."""
    attempts = [
        Attempt(
            n=n,
            role="answer",
            outcome=Outcome(
                model="gemma-9b" if n == 0 else "mini",
                status=Status.ok,
                text="an answer",
                finish="stop",
                usage=Usage(input_tokens=117, output_tokens=46),
                signals=Signals(first_logprob=-0.11, mean_logprob=-0.34, tokens=46),
                started_us=i * 1000 + n * 90_000,
                ttft_us=21_000,
                latency_us=88_000,
                provider="gpu" if n == 0 else "openai",
                location="premises" if n == 0 else "cloud/us",
                http_status=200,
                cost=45_150,
            ),
            p_correct=0.91,
        )
        for n in range(1 + i % 2)
    ]
    return Entry(
        id=f"req_{i:022x}",
        at_us=NOW + i * 100,
        asked="auto",
        policy="auto",
        key_id="team-support",
        tags=("faq",),
        session=None,
        data_class=DataClass.internal,
        kind="faq",
        complexity=0.31,
        reason=Reason.accepted,
        status=200,
        served_model=attempts[-1].outcome.model,
        served_tier="slm" if i % 2 == 0 else "mid",
        attempts=tuple(attempts),
        cost=sum(a.outcome.cost for a in attempts),
        baseline_cost=752_500,
        baseline_method="served",
        latency_us=91_000,
        overhead_us=700,
        stream=False,
        would_escalate=False,
        deferrals=("low_confidence",) if i % 2 else (),
        config_digest="b179c952",
    )


def sustained(path: Path, n: int) -> dict[str, float]:
    """Entries/s through Ledger.record until the last is committed; the producer only waits when the queue is full."""
    entries = some_entries(n)
    settings = LedgerSettings()
    ledger = Ledger.open(settings, path)
    high = settings.batch_rows * 4  # a producer that is ahead of the disk, not one that fills memory
    started, cpu = time.perf_counter(), time.process_time()
    for at in range(0, n, 500):
        for entry in entries[at : at + 500]:
            ledger.record(entry)
        while ledger.backlog > high:
            time.sleep(0.001)
    ledger.flush(120)
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    assert ledger.state.written == n, ledger.state
    ledger.close()
    return {"entries_per_s": n / took, "cpu_us_per_entry": cpu / n * 1e6, "bytes_per_entry": path.stat().st_size / n}


def writer_alone(path: Path, n: int) -> dict[str, float]:
    """Entries/s of the writer's own work, rows given: insert, commit, copy the log into the database."""
    batch = LedgerSettings().batch_rows
    rows = [entry_rows(entry, "w", i) for i, entry in enumerate(some_entries(n))]
    conn = open_database(path)
    migrate(conn, ROOM, STEPS)
    started, cpu = time.perf_counter(), time.thread_time()
    for at in range(0, n, batch):
        write_entries(conn, rows[at : at + batch])
    took, cpu = time.perf_counter() - started, time.thread_time() - cpu
    conn.close()
    return {"entries_per_s": n / took, "cpu_us_per_entry": cpu / n * 1e6}


def middle(runs: list[dict[str, float]]) -> dict[str, float]:
    """The run in the middle by entries/s, with the slowest and the fastest beside it."""
    runs = sorted(runs, key=lambda run: run["entries_per_s"])
    return {**runs[len(runs) // 2], "slowest": runs[0]["entries_per_s"], "fastest": runs[-1]["entries_per_s"]}


def producer(path: Path, n: int) -> dict[str, float]:
    """CPU of the recording thread alone, and of the conversion to rows within it."""
    entries = some_entries(n)
    started = time.thread_time()
    for i, entry in enumerate(entries):
        entry_rows(entry, "w", i)
    rows = time.thread_time() - started
    ledger = Ledger.open(LedgerSettings(), path)
    started = time.thread_time()
    for entry in entries:
        ledger.record(entry)
    record = time.thread_time() - started
    ledger.close(60)
    return {"record_cpu_us": record / n * 1e6, "of_which_rows_us": rows / n * 1e6}


async def _intents(ledger: Ledger, in_flight: int, n: int) -> list[float]:
    waits: list[float] = []
    left = iter(range(n))

    async def caller() -> None:
        for i in left:
            intent = Intent(f"req_{i:022x}", NOW + i, DataClass.health, ("gemma-9b",), ("premises",), "rule 3")
            started = time.perf_counter()
            await ledger.intent(intent)
            waits.append(time.perf_counter() - started)

    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return waits


def intents(path: Path, in_flight: int, n: int) -> dict[str, float]:
    """Intents/s with `in_flight` callers that each wait for theirs, and how long they wait."""
    ledger = Ledger.open(LedgerSettings(), path)
    started = time.perf_counter()
    waits = sorted(asyncio.run(_intents(ledger, in_flight, n)))
    took = time.perf_counter() - started
    ledger.close()
    return {
        "intents_per_s": n / took,
        "added_ms_p50": statistics.median(waits) * 1e3,
        "added_ms_p99": waits[int(n * 0.99)] * 1e3,
    }


def kill(path: Path, rate: int, after: int) -> dict[str, float]:
    """Kill -9 a process that records `rate` entries/s, after `after` of them; what is missing."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--child", str(path), "--rate", str(rate)], stdout=subprocess.PIPE, bufsize=0
    )
    assert child.stdout is not None
    seen, tail = 0, b""
    while seen < after:
        tail += os.read(child.stdout.fileno(), 65536)
        lines = tail.split(b"\n")
        tail = lines.pop()
        seen = int(lines[-1]) if lines else seen
    child.send_signal(signal.SIGKILL)
    rest = (tail + child.stdout.read()).split(b"\n")[:-1]
    child.wait()
    recorded = int(rest[-1]) if rest else seen
    conn = sqlite3.connect(path)
    kept = conn.execute("SELECT count(*) FROM request").fetchone()[0]
    intact = conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    conn.close()
    return {"recorded": recorded, "lost": recorded - kept, "intact": intact}


def child(path: Path, rate: int) -> None:
    """Record for ever, as evenly as the clock allows, and say after each entry how many there are."""
    ledger = Ledger.open(LedgerSettings(), path)
    started, i = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - started) * rate)
        while i < due:
            ledger.record(an_entry(i))
            i += 1
            os.write(1, b"%d\n" % i)
        time.sleep(0.001)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=300_000)
    parser.add_argument("--dir", type=Path, default=HERE / "out")
    parser.add_argument("--rate", type=int, default=3000, help="entries/s of the process that is killed")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.rate)
        return
    args.dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        here = Path(folder)
        result = {
            "writer_alone": middle([writer_alone(here / f"alone{i}.db", args.entries // 3) for i in range(5)]),
            "sustained": middle([sustained(here / f"sustained{i}.db", args.entries) for i in range(3)]),
            "producer": producer(here / "producer.db", 50_000),
            "intents_64": intents(here / "intents64.db", 64, 20_000),
            "intents_1": intents(here / "intents1.db", 1, 500),
            "kills": [kill(here / f"kill{i}.db", args.rate, args.rate * (i + 2) // 2) for i in range(args.kills)],
        }
    show(result, args)


def show(result: dict, args: argparse.Namespace) -> None:
    table = Table("what", "figure", title=f"the ledger ({os.cpu_count()} cores, load {os.getloadavg()[0]:.1f})")
    for name, words in (
        ("writer_alone", "the writer alone (median of 5)"),
        ("sustained", "through record() (median of 3)"),
    ):
        run = result[name]
        table.add_row(f"entries/s, {words}", f"{run['entries_per_s']:,.0f}")
        table.add_row("  slowest - fastest", f"{run['slowest']:,.0f} - {run['fastest']:,.0f}")
        table.add_row("  CPU an entry", f"{run['cpu_us_per_entry']:.1f} us")
    table.add_row("on the disk, an entry", f"{result['sustained']['bytes_per_entry']:.0f} bytes")
    table.add_row("record(), CPU of its thread", f"{result['producer']['record_cpu_us']:.1f} us")
    for name, words in (("intents_64", "64 in flight"), ("intents_1", "one at a time")):
        run = result[name]
        table.add_row(f"intents/s, {words}", f"{run['intents_per_s']:,.0f}")
        table.add_row("  added p50, p99", f"{run['added_ms_p50']:.2f} ms, {run['added_ms_p99']:.2f} ms")
    lost = [k["lost"] for k in result["kills"]]
    table.add_row(f"kill -9 at {args.rate:,} entries/s: lost, each time", ", ".join(map(str, lost)))
    table.add_row("  database intact", str(all(k["intact"] for k in result["kills"])))
    Console().print(table)
    harness.record("ledger", **result)


if __name__ == "__main__":
    main()
