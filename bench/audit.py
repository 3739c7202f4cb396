"""The audit trail: entries chained and verified a second, and what intents add to a request at 64 in flight.

    python bench/audit.py [--entries 200000] [--seconds 1] [--runs 12] [--postgres URL] [--parts chain,gateway]

chain: entries linked and committed by the thousand and by 64 with a sync each (a group of intents); verified with their
columns; verified beside their requests, whose class and key are compared (the best of four rounds). CPU time of this
process and wall-clock time.

gateway: `smallfirst serve` between the C load generator and the fake upstream, 64 connections, one window after the
other without intents, with them, with them and encrypted content, and with them and a session in each request; what is
added is the median over the runs of the differences within a run. `c64` answers at once, so that the gateway's core is
full and each microsecond of work counts 64 times; `p64` streams for 150 ms, so that what is added is waiting alone. The
goal is at most 10 ms more at the median. Prints tables, writes bench/out/audit.json.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import harness
import msgspec

from smallfirst.core import DataClass, Entry, Intent, Reason
from smallfirst.ledger.audit import verify
from smallfirst.ledger.chain import Chain, decision_draft, intent_draft, salted
from smallfirst.ledger.commits import write_chain, write_entries, write_intents
from smallfirst.ledger.migrations import ROOM, STEPS
from smallfirst.ledger.queries import open_ledger
from smallfirst.ledger.rows import entry_rows, intent_row
from smallfirst.store.connection import Place, open_to_write
from smallfirst.store.migrations import migrate

GOAL_MS = 10.0
CONFIG = """\
ledger: {{url: "sqlite:///{folder}/ledger.db", intent_from: {intent_from}{ledger}}}
providers:
  fake: {{url: "http://127.0.0.1:{port}/v1", key: "${{BENCH_UPSTREAM_KEY}}", location: premises}}
models:
  small: {{provider: fake, model: up-model-small, cost: {{input_per_m: 0.1, output_per_m: 0.1}}}}
  best: {{provider: fake, model: up-model-large, cost: {{input_per_m: 2.5, output_per_m: 10}}}}
tiers: [{{slm: [small]}}, {{frontier: [best]}}]
baseline: {{model: best}}
keys:
  required: true
  accept: [{{name: bench, key: "${{BENCH_CLIENT_KEY}}", min_class: personal}}]
"""
CONTENT = ', content: encrypted, master_key: "${BENCH_MASTER_KEY}", content_days: {personal: 1}'
VARIANTS = {
    "no intents": ("secret", "", "c64", "p64"),
    "intents": ("personal", "", "c64", "p64"),
    "intents, content": ("personal", CONTENT, "c64", "p64"),
    "no intents, session": ("secret", "", "k64", ""),
    "intents, session": ("personal", "", "k64", ""),
}
"""Name -> intent_from, more of `ledger`, the cases."""

Row = dict[str, float | str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--postgres", metavar="URL", help="Time the chain in an empty PostgreSQL database too.")
    parser.add_argument("--parts", default="chain,gateway")
    given = parser.parse_args()
    report: dict[str, object] = {}
    if "chain" in given.parts:
        with tempfile.TemporaryDirectory() as folder:
            report["chain"] = {"SQLite": chain(Path(folder) / "ledger.db", given.entries)}
            if given.postgres:
                report["chain"]["PostgreSQL"] = chain(given.postgres, given.entries)
        show_chain(report["chain"])
    if "gateway" in given.parts:
        report["gateway"] = gateways(given.seconds, given.runs)
        show_gateways(report["gateway"])
    print(f"written to {harness.record('audit', **report, entries=given.entries, runs=given.runs)}")


def chain(place: Place, entries: int) -> dict[str, dict[str, float]]:
    """Entries a second of each kind of work, by CPU time and by the clock."""
    conn = open_to_write(place)
    migrate(conn, ROOM, STEPS)
    made, number = Chain("bench"), 0

    def decisions(count: int, at_once: int) -> None:
        nonlocal number
        for _ in range(count // at_once):
            batch = [an_entry(number + n) for n in range(at_once)]
            number += at_once
            drafts = [decision_draft(one) for one in batch]
            links = made.link(drafts)
            salts = [(draft.request_id, draft.salt.hex()) for draft in drafts]
            write_chain(conn, links, salts)
            made.advance(links)

    def intents(count: int, at_once: int) -> None:
        for start in range(0, count - at_once + 1, at_once):
            batch = [an_intent(start + n) for n in range(at_once)]
            drafts = [intent_draft(one) for one in batch]
            links = made.link(drafts)
            rows = [intent_row(one, "bench", start + n) for n, one in enumerate(batch)]
            write_intents(conn, rows, links)
            made.advance(links)

    found = {"decisions, 1,000 a commit": rates(lambda: decisions(entries, 1000), entries)}
    few = entries // 10 // 64 * 64
    found["intents, 64 a commit with a sync"] = rates(lambda: intents(few, 64), few)
    whole = entries // 1000 * 1000 + few
    found["verified with columns"] = best(lambda: whole_or_raise(place), whole)
    for start in range(0, entries, 1000):
        write_entries(conn, [entry_rows(an_entry(n), "bench", n + 1) for n in range(start, start + 1000)])
    found["verified beside their requests"] = best(lambda: whole_or_raise(place), whole)
    conn.close()
    return found


def whole_or_raise(place: Place) -> None:
    if not verify(open_ledger(place)).whole:
        raise RuntimeError("the chain that was just written is damaged")


def rates(work: Callable[[], None], count: int) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return {"per_cpu_s": count / (time.process_time() - cpu), "per_s": count / (time.perf_counter() - wall)}


def best(work: Callable[[], None], count: int, rounds: int = 4) -> dict[str, float]:
    """Of several rounds: others may be using the machine."""
    return max((rates(work, count) for _ in range(rounds)), key=lambda found: found["per_cpu_s"])


def an_entry(number: int) -> Entry:
    return Entry(
        id=f"sf-{number:016}", at_us=1_790_000_000_000_000 + number, asked="auto", policy="auto", key_id="bench",
        tags=(), session=None, data_class=DataClass.health, kind="faq", complexity=0.5, reason=Reason.accepted,
        status=200, served_model="gemma-9b", served_tier="slm", attempts=(), cost=0, baseline_cost=0,
        baseline_method="served", latency_us=1000, overhead_us=100, stream=False, would_escalate=False, deferrals=(),
        reached=(("gemma-9b", "gpu", "premises", False),), class_why=("health_matter",),
    )  # fmt: skip


def an_intent(number: int) -> Intent:
    content, _ = salted([b'[{"role":"user","content":"my knee hurts"}]'])
    rule = "rule 1 allows health to any model at premises"
    return Intent(f"sf-i{number:015}", 1, DataClass.health, ("gemma-9b",), ("premises",), rule, content)


def gateways(seconds: float, runs: int) -> list[Row]:
    """Of each case all variants, side by side and in turn: a busy machine is busy for each, and only one is loaded."""
    harness.build()
    rows: list[Row] = []
    with harness.upstream(), tempfile.TemporaryDirectory() as name:
        for case in ("c64", "p64", "k64"):
            with contextlib.ExitStack() as stack:
                started: list[tuple[str, int, int]] = []
                for variant, (intent_from, ledger, *cases) in VARIANTS.items():
                    if case in cases:
                        folder = Path(name) / f"{case}-{len(started)}"
                        folder.mkdir()
                        upstream = harness.PACED if case[0] == "p" else harness.BURST
                        config = CONFIG.format(folder=folder, port=upstream, intent_from=intent_from, ledger=ledger)
                        port = harness.PORT + len(started)
                        child, _ = stack.enter_context(harness.gateway(config, folder, port))
                        harness.load(port, case, 0.5)
                        started.append((variant, port, child.pid))
                for run in range(runs):
                    rows += [window(case, seconds, run, *one) for one in started]
    return rows


def window(case: str, seconds: float, run: int, variant: str, port: int, pid: int) -> Row:
    """One stretch of load on one gateway."""
    cpu = harness.cpu_s(pid)
    figures = harness.load(port, case, seconds)
    cpu = harness.cpu_s(pid) - cpu
    row: Row = {"variant": variant, "case": case, "run": run, **figures, "cpu_us": cpu / max(figures["n"], 1) * 1e6}
    print(
        f"  run {run} {variant:22} {case}: {figures['n']:.0f} answers, p50 {figures['p50_us'] / 1000:.2f} ms",
        flush=True,
    )
    return row


def show_chain(found: object) -> None:
    for store, table in msgspec.to_builtins(found).items():
        print(f"\n{store}: entries a second          by CPU time     by the clock")
        for name, line in table.items():
            print(f"  {name:<36}{line['per_cpu_s']:>12,.0f}{line['per_s']:>16,.0f}")


def show_gateways(rows: list[Row]) -> None:
    print("\nmedians over the runs      case   p50 ms   p99 ms   added p50   added p99   CPU us   errors")
    for variant, case in dict.fromkeys((str(row["variant"]), str(row["case"])) for row in rows):
        mine = of(rows, variant, case)
        usual = of(rows, next(str(row["variant"]) for row in rows if row["case"] == case), case)
        p50, p99, cpu = (statistics.median(float(row[name]) for row in mine) for name in ("p50_us", "p99_us", "cpu_us"))
        added50, added99 = (
            statistics.median(float(m[name]) - float(u[name]) for m, u in zip(mine, usual, strict=True)) / 1000
            for name in ("p50_us", "p99_us")
        )
        errors = sum(float(row["err"]) for row in mine)
        met = "" if added50 <= GOAL_MS else "   ABOVE the goal"
        print(f"  {variant:<24} {case:>4} {p50 / 1000:>8.2f} {p99 / 1000:>8.2f} {added50:>11.2f} {added99:>11.2f} "
              f"{cpu:>8.0f} {errors:>8.0f}{met}")  # fmt: skip


def of(rows: list[Row], variant: str, case: str) -> list[Row]:
    """Its windows, in the order of the runs."""
    return [row for row in rows if (row["variant"], row["case"]) == (variant, case)]


if __name__ == "__main__":
    main()
