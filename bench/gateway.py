"""CPU per request of the whole gateway, beside nginx in the same run.

    python bench/gateway.py [--seconds 4] [--runs 3] [--cases c1,c64,s1,s64,p1,p64,b64,v64]

Starts a fake upstream, nginx, and `smallfirst serve` with two tiers on it, and drives each in turn. Cases: c = a JSON
answer, s = 30 events in one burst, p = an event each 5 ms, b = a prompt of 8 KB, v = as c, but the first tier is
trusted, answers, and is verified; in the others it is unprobed and passed over; k = as c, with budgets, limits, a team,
a session and a cache look-up for each request. The number is how many connections.

CPU per request: user + system time of the whole process tree over the window, by the requests that the upstream saw.
An event's own cost is what a stream takes beyond a JSON answer to the same number of callers, by its events.
`bad` counts requests that reached the upstream without the rewritten model and key; it must be 0.
Prints a table, writes bench/out/gateway.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import harness

CONFIG = """\
ledger: {{url: "sqlite:///{folder}/ledger.db"}}
providers:
  fake: {{url: "http://127.0.0.1:{port}/v1", key: "${{BENCH_UPSTREAM_KEY}}", location: premises}}
models:
  small: {{provider: fake, model: up-model-small, cost: {{input_per_m: 0.1, output_per_m: 0.1}}}}
  best: {{provider: fake, model: up-model-large, cost: {{input_per_m: 2.5, output_per_m: 10}}}}
tiers: [{{slm: [small]}}, {{frontier: [best]}}]
baseline: {{model: best}}
router: {{unprobed: {unprobed}, prior: 0.9}}
policies:
  auto: {{kind: cascade, accept: {{slm: 0.5}}}}
keys:
  required: true
  accept: [{{name: bench, key: "${{BENCH_CLIENT_KEY}}"{terms}}}]
{more}"""
KEYED = {
    "terms": ", team: all, usd_per_day: 1000000, usd_total: 1000000, rpm: 900000000, tpm: 900000000",
    "more": "teams: {all: {usd_per_month: 1000000, rpm: 900000000}}\n"
    "cache: {ttl_s: 0.000001}\nsessions: {ttl_s: 600}\n",
}
"""Budgets, limits and a team for the key, and a cache in which nothing is ever found: all of it has to be looked up."""
EVENTS = 31  # of one stream, with [DONE]
TARGETS = {"ratio": ("c64", 12.0), "event_ratio": ("p64", 2.5)}
"""What a ratio to nginx should not exceed: of a request, and of one more event in a stream."""
ENOUGH_US = 350.0
"""CPU of a request that is good enough whatever nginx takes."""

Row = dict[str, float | str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cases", default="c1,c64,s1,s64,p1,p64,b64,v64")
    chosen = parser.parse_args()
    harness.need_nginx()
    harness.build()
    rows: list[Row] = []
    with harness.upstream(), tempfile.TemporaryDirectory() as name:
        for run in range(chosen.runs):
            for cases in grouped(chosen.cases.split(",")):
                folder = Path(name) / f"{run}-{cases[0]}"
                folder.mkdir()
                rows += measure(cases, chosen.seconds, folder, run)
    table = summary(rows)
    show(table, rows)
    path = harness.record("gateway", seconds=chosen.seconds, runs=chosen.runs, table=table, rows=rows)
    print(f"written to {path}")


def grouped(cases: list[str]) -> list[list[str]]:
    """Cases that one gateway process can serve, together: by upstream port and by whether tier one is trusted."""
    groups: dict[tuple[bool, bool, bool], list[str]] = {}
    for case in cases:
        groups.setdefault((case[0] == "p", case[0] == "v", case[0] == "k"), []).append(case)
    return list(groups.values())


def measure(cases: list[str], seconds: float, folder: Path, run: int) -> list[Row]:
    """nginx and the gateway, side by side and in turn, so that a busy machine is busy for both."""
    kind = cases[0][0]
    port = harness.PACED if kind == "p" else harness.BURST
    rows: list[Row] = []
    more = KEYED if kind == "k" else {"terms": "", "more": ""}
    config = CONFIG.format(folder=folder, port=port, unprobed="trust" if kind == "v" else "escalate", **more)
    with harness.nginx(port, folder) as nginx, harness.gateway(config, folder) as (child, ready_s):
        idle = harness.pss_mb(child.pid)
        for case in cases:
            rows.append(drive("nginx", case, seconds, nginx.pid, run))
            rows.append(drive("smallfirst", case, seconds, child.pid, run))
        after = harness.pss_mb(child.pid)
    rows.append({"who": "smallfirst", "case": "process", "ready_s": ready_s, "idle_mb": idle, "after_mb": after})
    return rows


def drive(who: str, case: str, seconds: float, pid: int, run: int) -> Row:
    """One window of load, after half a second of warming up."""
    shape = case.replace("v", "c")
    port = harness.NGINX_PORT if who == "nginx" else harness.PORT
    harness.load(port, shape, 0.5)
    before, cpu = harness.stats(), harness.cpu_s(pid)
    figures = harness.load(port, shape, seconds)
    cpu, after = harness.cpu_s(pid) - cpu, harness.stats()
    seen = after["all"] - before["all"]
    row: Row = {"who": who, "case": case, "run": run, "cpu_us": cpu / max(seen, 1) * 1e6, "seen": seen}
    row["bad"] = seen - (after["good"] - before["good"]) if who != "nginx" else 0
    row["attempts"] = seen / max(figures["n"] + figures["err"], 1)
    print(f"  run {run} {who:10} {case:4} {row['cpu_us']:8.1f} us a request, {figures['n']:.0f} answers", flush=True)
    return {**row, **figures}


def summary(rows: list[Row]) -> list[Row]:
    """A line a case: medians over the runs; the ratio to nginx is the median of each run's."""
    lines: list[Row] = []
    for case in dict.fromkeys(str(row["case"]) for row in rows if row["case"] != "process"):
        ours = [row for row in rows if row["case"] == case and row["who"] == "smallfirst"]
        theirs = [row for row in rows if row["case"] == case and row["who"] == "nginx"]
        line: Row = {"case": case, "cpu_us": median(ours, "cpu_us"), "nginx_us": median(theirs, "cpu_us")}
        pairs = zip(ours, theirs, strict=True)  # neighbours in time
        line["ratio"] = statistics.median(float(o["cpu_us"]) / float(t["cpu_us"]) for o, t in pairs)
        whole = next((w for w in lines if w["case"] == f"c{case[1:]}"), None)
        if case[0] in "sp" and whole is not None:  # what a stream costs beyond a request that is answered at once
            line["event_us"] = (float(line["cpu_us"]) - float(whole["cpu_us"])) / EVENTS
            nginx_event_us = (float(line["nginx_us"]) - float(whole["nginx_us"])) / EVENTS
            line["event_ratio"] = line["event_us"] / nginx_event_us
        line["added_p50_us"] = median(ours, "p50_us") - median(theirs, "p50_us")
        line["bad"] = sum(float(row["bad"]) for row in ours)
        line["errors"] = sum(float(row["err"]) for row in ours)
        lines.append(line)
    return lines


def median(rows: list[Row], name: str) -> float:
    return statistics.median(float(row[name]) for row in rows)


def show(table: list[Row], rows: list[Row]) -> None:
    head = ("case", "cpu_us", "nginx_us", "ratio", "event_us", "event_ratio", "added_p50_us", "bad", "errors")
    print("\n" + "".join(f"{name:>14}" for name in head))
    for line in table:
        cells = (line.get(name, "") for name in head)
        print("".join(f"{cell:14.1f}" if isinstance(cell, float) else f"{cell:>14}" for cell in cells))
    starts = [row for row in rows if row["case"] == "process"]
    for name, unit in (("ready_s", "s"), ("idle_mb", "MB"), ("after_mb", "MB")):
        print(f"{name}: {median(starts, name):.2f} {unit}")
    for name, (case, target) in TARGETS.items():
        line = next((line for line in table if line["case"] == case and name in line), None)
        if line is None:
            continue
        found, cpu_us = float(line[name]), float(line["cpu_us"])
        met = found <= target or (name == "ratio" and cpu_us <= ENOUGH_US)
        goal = f"the goal of {target}" + (f" or {ENOUGH_US:.0f} us ({cpu_us:.0f} us)" if name == "ratio" else "")
        print(f"{case}, {name}: {found:.1f} times nginx, {'within' if met else 'ABOVE'} {goal}")


if __name__ == "__main__":
    main()
