"""`smallfirst evaluate` on the recorded public tables: cost, quality, calls in a row and latency of each way to route.

    python bench/quality/evaluate_recorded.py [--data ../shared/data/outcomes] [--seed 0] [--only gsm]

ZeroEval with the study's line-up, whole and each benchmark alone, MMLU-Pro, and BFCL (scores only; its answers can't be
looked up by prompt, and its own recorded times are used). Policies run on recorded answers, the ladder is fitted on the
fit part (40% of prompt groups). One seed: bench/quality has the programs that average over many. Latency is by stated
laws, but for BFCL. Writes bench/out/evaluate_recorded.json, and a page for each set to bench/out/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from smallfirst.classify.shipped import shipped_weights
from smallfirst.cli.evaluate_parts import learned, noted, run_policies
from smallfirst.cli.evaluate_view import share
from smallfirst.core import Tier
from smallfirst.evals.dataset import Request, load
from smallfirst.evals.evaluation import Wanted, evaluate
from smallfirst.evals.evaluation_report import Report
from smallfirst.evals.latency import shipped_laws
from smallfirst.evals.page import page
from smallfirst.evals.players import Players
from smallfirst.evals.recorded_experiment import LINEUPS, Lineup
from smallfirst.policy.build import build_policy
from smallfirst.policy.settings import PanelSettings, PolicySettings

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "outcomes"
SETS = {
    "zeroeval": ("zeroeval", ()),
    "gsm": ("zeroeval", ("gsm",)),
    "crux": ("zeroeval", ("crux",)),
    "math-l5": ("zeroeval", ("math-l5",)),
    "mmlu_pro": ("mmlu_pro", ()),
}
BFCL = ("mistral-nemo-2407", "functionary-small-v3.2", "claude-3-haiku-20240307", "gpt-4o-mini-2024-07-18-FC",
        "claude-3-5-sonnet-20240620")  # fmt: skip
"""Models with recorded times on every query; Sonnet is the baseline, as gpt-4o fails on format."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[*SETS, "bfcl"])
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data} is not there: this program needs the recorded outcomes")
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    found = {}
    for name in [args.only] if args.only else [*SETS, "bfcl"]:
        begun = time.perf_counter()
        report = bfcl(args) if name == "bfcl" else recorded(args, name)
        seconds = time.perf_counter() - begun
        (out / f"evaluate_{name}.html").write_text(page(report), "utf-8")
        show(name, report, seconds)
        found[name] = {"seconds": seconds, "report": msgspec.to_builtins(report)}
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True, cwd=HERE).strip()
    command = " ".join(["bench/quality/evaluate_recorded.py", *sys.argv[1:]])
    result = {"commit": commit, "command": command, "seed": args.seed, "sets": found}
    (out / "evaluate_recorded.json").write_text(json.dumps(result, indent=1))


def recorded(args: argparse.Namespace, name: str) -> Report:
    """One set with answers: policies, ladder, rule, query routers."""
    lineup_name, benchmarks = SETS[name]
    lineup = LINEUPS[lineup_name]
    path = args.data / f"{lineup.source}.parquet"
    data = load(
        Request(path, players(lineup), benchmarks=benchmarks, seed=args.seed, complete_only=True, laws=shipped_laws())
    )
    panel = PanelSettings(models=tuple(lineup.slm), with_mid=True)
    small = PanelSettings(models=tuple(lineup.slm))
    settings = {
        "cascade": PolicySettings(kind="cascade", accept={"slm": 0.90, "mid": 0.80}),
        "panel": PolicySettings(kind="panel", panel=panel, accept={"mid": 1.0}),
        "slm_panel": PolicySettings(kind="panel", panel=small, accept={"slm": 1.0, "mid": 0.80}),
    }
    policies = {one: build_policy(one, how, data.players.tiers) for one, how in settings.items()}
    runs = run_policies(data, policies, shipped_weights(), lambda _: None)
    ways, curves = learned(data, 0.02, args.seed)
    data = noted(data, path, shipped_weights())
    return evaluate(data, Wanted(runs=runs, ways=ways, curves=curves, seed=args.seed))


def bfcl(args: argparse.Namespace) -> Report:
    """Scores and recorded times only."""
    players = Players(baseline="claude-3-5-sonnet-20240620")
    request = Request(args.data / "bfcl.parquet", players, models=BFCL, seed=args.seed, complete_only=True, laws=None)
    return evaluate(load(request), Wanted(seed=args.seed))


def players(lineup: Lineup) -> Players:
    """The line-up's roles, tiers and prices."""
    tiers = tuple(Tier(tier, tuple(models)) for tier, models in lineup.tiers.items())
    return Players(lineup.roles, tiers, lineup.prices(), next(iter(lineup.frontier)))


def show(name: str, report: Report, seconds: float) -> None:
    title = f"{name}: {report.report.prompts} prompts reported on, baseline {report.baseline}; {seconds:.0f} s"
    table = Table(title=title, title_justify="left")
    for head in ("way to route", "cost %", "quality %", "in a row", "mean latency", "p95 s"):
        table.add_column(head, justify="left" if head == "way to route" else "right")
    for way in report.ways:
        if way.kind == "single" and way.name not in (report.baseline, report.cheapest):
            continue
        late = "" if way.latency_ratio is None else f"{way.latency_ratio:.2f}x"
        steps = "" if way.sequential is None else f"{way.sequential:.2f}"
        p95 = f"{way.latency.p95_us / 1e6:.1f}" if way.latency else ""
        cells = [cell.replace("[", r"\[") for cell in (share(way.cost), share(way.relative))]
        table.add_row(way.name, *cells, steps, late, p95)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
