"""Recorded models behind the real gateway, over HTTP: cost, tier shares and real quality beside what they must beat.

    python bench/quality/replay_recorded.py [--lineup zeroeval|mmlu_pro] [--seed 0] [--limit N] [--policies auto,panel]

Needs ../shared/data/outcomes, pyarrow and scikit-learn. In order: prompt groups are split 40/60; a classifier is
trained without the report part's prompts (the shipped one was fitted on most of them with small models' scores;
--weights shipped takes it all the same); probes are made from the fit part; a server of recorded answers and a gateway
start on loopback; the report part's prompts go through each policy; scores are joined afterwards by which model was
really served. Writes bench/out/replay_<lineup>.json with commit, seed and command.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.shipped import shipped_weights
from smallfirst.classify.weights import encode
from smallfirst.cli.build import App, read_settings
from smallfirst.cli.running import running
from smallfirst.evals.baselines import Priced, Served
from smallfirst.evals.child_server import ChildServer, free_port
from smallfirst.evals.outcomes import read_outcomes
from smallfirst.evals.recorded_experiment import (
    LINEUPS,
    Line,
    Lineup,
    beside,
    config_yaml,
    join,
    make_line,
    make_probes,
    prepare,
    sample_rows,
)
from smallfirst.evals.replay import Prompt, Replay
from smallfirst.evals.replies import Reply
from smallfirst.learn.fit import Recipe
from smallfirst.learn.outcomes import read_prompts
from smallfirst.learn.train_classifier import train

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "outcomes"
CLI = [sys.executable, "-m", "smallfirst.cli.main"]
out = Console(highlight=False, width=140)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lineup", choices=LINEUPS, default="zeroeval")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="at most so many prompts of the report part")
    parser.add_argument("--weights", choices=["own", "shipped"], default="own")
    parser.add_argument("--policies", default="auto,panel,slm_panel")
    parser.add_argument("--concurrency", type=int, default=4)
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data} is not there: this program needs the recorded outcomes")
    lineup: Lineup = LINEUPS[args.lineup]
    rows = read_outcomes(args.data / f"{lineup.source}.parquet", models=lineup.recorded)
    fit, report = prepare(rows, lineup, args.seed)
    report = sample_rows(report, args.limit, args.seed)
    with tempfile.TemporaryDirectory() as home:
        replays = replay_all(args, lineup, fit, report, Path(home))
        served = [join(policy, replies, report) for policy, replies in replays.items()]
        books = {p: ledger_sums(Path(home) / "ledger.db", replies, report) for p, replies in replays.items()}
    lines = [make_line(s, report, lineup, args.seed) for s in [*served, *beside(fit, report, lineup, served)]]
    print_table(lineup, fit, report, lines)
    check(served, books)
    write(args, lineup, fit, report, lines, replays, books)


def replay_all(
    args: argparse.Namespace, lineup: Lineup, fit: Priced, report: Priced, home: Path
) -> dict[str, list[Reply]]:
    """Start both servers, send every prompt through every policy."""
    weights = shipped_weights() if args.weights == "shipped" else own_weights(args, report)
    probes = {probe.model: probe for probe in make_probes(fit, lineup, weights, time.time_ns() // 1000)}
    upstream = free_port()
    config = home / "smallfirst.yaml"
    config.write_text(config_yaml(lineup, f"http://127.0.0.1:{upstream}/v1"))
    environ = {**os.environ, "SMALLFIRST_HOME": str(home)}
    app = App(
        read_settings(config, environ),
        environ,
        ledger_path=home / "ledger.db",
        probes={name: probes.get(name) for name in lineup.roles},
    )
    app.engine.classifier = Classifier.from_bytes(weights)
    recorded = [*CLI, "recorded", "serve", "--data", str(args.data), "--port", str(upstream), "--source", lineup.source]
    recorded += [word for model in lineup.recorded for word in ("--model", model)]
    with ChildServer(recorded, f"http://127.0.0.1:{upstream}/health"), running(app) as url:
        return {policy: replay(args, url, policy, report) for policy in args.policies.split(",")}


def replay(args: argparse.Namespace, url: str, policy: str, report: Priced) -> list[Reply]:
    """Every prompt of the report part through one policy."""
    prompts = [
        Prompt(id=str(row), messages=({"role": "user", "content": text},))
        for row, text in enumerate(report.table.prompts)
    ]
    run = Replay(url, prompts, model=policy, concurrency=args.concurrency)
    return list(track(run, total=len(prompts), description=policy, console=Console(stderr=True)))


def own_weights(args: argparse.Namespace, report: Priced) -> bytes:
    """A classifier that was fitted on no copy of a prompt that is reported on."""
    out.print("training a classifier without the report part's prompts", style="dim")
    groups = set(report.table.groups)
    prompts = [prompt for prompt in read_prompts(args.data) if prompt.group not in groups]
    return encode(train(prompts, [], Recipe(), args.seed))


def ledger_sums(path: Path, replies: list[Reply], report: Priced) -> dict[str, int]:
    """What the ledger says of these requests: requests, calls by how they ended, nano-dollars.

    `paid_in_full`: what the calls would have cost had none been cancelled because the panel agreed before it ended.
    """
    rows = {reply.request_id: int(reply.id) for reply in replies}
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as ledger:
        requests = [row for row in ledger.execute("SELECT id, cost FROM request") if row[0] in rows]
        asked = ledger.execute("SELECT request_id, model, status, cost FROM attempt")
        calls = [row for row in asked if row[0] in rows]
    return {
        "requests": len(requests),
        "cost": sum(cost for _, cost in requests),
        "calls": len(calls),
        "calls_cost": sum(cost or 0 for *_, cost in calls),
        "paid_in_full": round(sum(report.costs[rows[at], report.table.column(model)] for at, model, *_ in calls)),
        **{f"calls_{status}": n for status, n in Counter(status for _, _, status, _ in calls).items()},
    }


def check(served: list[Served], books: dict[str, dict[str, int]]) -> None:
    """Three ways to count the same money: response headers, requests in the ledger, calls in the ledger."""
    for policy in served:
        sums = books[policy.name]
        same = sums["cost"] == sums["calls_cost"] == round(policy.costs.sum())
        out.print(
            f"{policy.name}: ${sums['cost'] / 1e9:.6f} by headers, requests and calls in the ledger: "
            f"{'equal' if same else 'NOT EQUAL'}; {sums['calls']} calls, {sums.get('calls_cancelled', 0)} of them "
            f"cancelled (with those paid in full ${sums['paid_in_full'] / 1e9:.6f})"
        )


def print_table(lineup: Lineup, fit: Priced, report: Priced, lines: list[Line]) -> None:
    table = Table(title=f"{lineup.name}: {len(report.scores)} prompts over HTTP, probes from {len(fit.scores)} others")
    for name in ("policy", "cost", "quality", "relative quality, 95%", *lineup.tiers, "calls"):
        table.add_column(name, justify="left" if name == "policy" else "right")
    for line in lines:
        shares = [f"{100 * line.shares[tier]:.1f}%" for tier in lineup.tiers]
        quality = f"{line.quality:.3f}"
        table.add_row(line.name, f"{line.cost:.3f}", quality, str(line.relative), *shares, f"{line.calls:.2f}")
    out.print(table)
    out.print(
        "cost: all calls paid, relative to always frontier. Models of 2024; tokens are characters / 4; intervals by "
        "bootstrap over prompts.",
        style="dim",
    )


def write(
    args: argparse.Namespace,
    lineup: Lineup,
    fit: Priced,
    report: Priced,
    lines: list[Line],
    replays: dict[str, list[Reply]],
    books: dict[str, dict[str, int]],
) -> None:
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True, cwd=HERE).strip()
    result = {
        "commit": commit,
        "command": " ".join(["bench/quality/replay_recorded.py", *sys.argv[1:]]),
        "seed": args.seed,
        "weights": args.weights,
        "lineup": msgspec.to_builtins(lineup),
        "fit_prompts": len(fit.scores),
        "report_prompts": len(report.scores),
        "lines": msgspec.to_builtins(lines),
        "ledger": books,
        "reasons": {p: dict(Counter(reply.reason or "?" for reply in replies)) for p, replies in replays.items()},
        "errors": {p: dict(Counter(r.error or "?" for r in replies if not r.ok)) for p, replies in replays.items()},
    }
    path = HERE / "out" / f"replay_{args.lineup}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1))
    out.print(f"written to {path.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
