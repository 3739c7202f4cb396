"""Giving up answers that take much longer than usual: what it does to cost, quality and latency on recorded answers.

    python bench/quality/give_up.py [--data ../shared/data/outcomes] [--seed 0] [--only gsm ...]

The study's line-ups, policies on recorded answers and a virtual clock, times by the stated laws (a small model writes
a token in 10 ms, so that 3,000 ms are about 300 tokens). `p95` is each model's own on the fit part. `any 2`:
`panel.quick`; `hedged`: after 1.5 or 2.5 s the model above is asked too. What is given up is paid in full. One seed;
figures are of the report part. Prints a table, writes bench/out/give_up.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import harness
import numpy as np
from evaluate_recorded import DATA, SETS, players

from smallfirst.classify.shipped import shipped_weights
from smallfirst.evals.dataset import Dataset, Request, load
from smallfirst.evals.latency import shipped_laws
from smallfirst.evals.recorded_experiment import LINEUPS, Lineup
from smallfirst.evals.recorded_policies import lay_out, run
from smallfirst.policy.build import build_policy
from smallfirst.policy.settings import GiveUpSettings, HedgeSettings, PanelSettings, PolicySettings

BEYOND: tuple[str | float | None, ...] = (None, "p95", 2000.0, 3000.0, 4000.0, 6000.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    chosen = parser.parse_args()
    if not chosen.data.is_dir():
        sys.exit(f"{chosen.data} is not there: this program needs the recorded outcomes")
    rows = []
    for name in chosen.only:
        lineup_name, benchmarks = SETS[name]
        lineup = LINEUPS[lineup_name]
        path = chosen.data / f"{lineup.source}.parquet"
        data = load(
            Request(
                path, players(lineup), benchmarks=benchmarks, seed=chosen.seed, complete_only=True, laws=shipped_laws()
            )
        )
        rows += measure(name, lineup, data)
    print(f"written to {harness.record('give_up', seed=chosen.seed, rows=rows)}")


def kinds(lineup: Lineup) -> dict[str, dict[str, Any]]:
    models = tuple(lineup.slm)
    quick = PanelSettings(models=models, quick=True)
    quickest = PanelSettings(models=models, with_mid=True, quick=True)
    after = HedgeSettings(after=1500.0), HedgeSettings(after=2500.0)
    return {
        "any 2 of 3": {"kind": "panel", "panel": quick, "accept": {"slm": 1.0, "mid": 0.80}},
        "any 2 of 4": {"kind": "panel", "panel": quickest, "accept": {"slm": 1.0, "mid": 1.0}},
        "any 2 of 3, hedged": {
            "kind": "panel", "panel": quick, "accept": {"slm": 1.0, "mid": 0.80}, "hedge": after[0],
        },
        "any 2 of 4, hedged": {
            "kind": "panel", "panel": quickest, "accept": {"slm": 1.0, "mid": 1.0}, "hedge": after[1],
        },
        "panel of all": {"kind": "panel", "panel": PanelSettings(models=models, with_mid=True), "accept": {"mid": 1.0}},
        "panel of 3": {"kind": "panel", "panel": PanelSettings(models=models), "accept": {"slm": 1.0, "mid": 0.80}},
        "panel of 2": {"kind": "panel", "panel": PanelSettings(models=models[:2]), "accept": {"slm": 1.0, "mid": 0.80}},
        "cascade": {"kind": "cascade", "accept": {"slm": 0.90, "mid": 0.80}},
    }  # fmt: skip


def measure(name: str, lineup: Lineup, data: Dataset) -> list[dict[str, Any]]:
    bench, top = lay_out(data, shipped_weights()), data.report.table.column(next(iter(lineup.frontier)))
    times = data.report.times
    assert times is not None
    base_us, base_cost = float(times.total[:, top].mean()), float(data.report.costs[:, top].sum())
    base_score = float(data.report.scores[:, top].mean())
    rows = []
    for kind, how in kinds(lineup).items():
        for beyond in BEYOND:
            give_up = None if beyond is None else GiveUpSettings(beyond=beyond)  # type: ignore[arg-type]
            policy = build_policy(kind, PolicySettings(**how, give_up=give_up), data.players.tiers)
            served = run(policy, bench).served
            us = served.latency.us if served.latency is not None else np.zeros(1)
            row = {
                "set": name, "policy": kind, "beyond": beyond, "cost": float(served.costs.sum()) / base_cost,
                "quality": float(served.scores.mean()) / base_score, "latency": float(us.mean()) / base_us,
                "p95_s": float(np.percentile(us, 95)) / 1e6,
            }  # fmt: skip
            rows.append(row)
            print(
                f"{name:9} {kind:18} give up {beyond!s:7} cost {row['cost']:.3f} quality {row['quality']:.3f} "
                f"mean latency {row['latency']:.2f} p95 {row['p95_s']:.1f} s",
                flush=True,
            )
    return rows


if __name__ == "__main__":
    main()
