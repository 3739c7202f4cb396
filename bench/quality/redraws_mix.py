"""The certificate on the recorded mix: how often it is wrong, and what it costs.

    python bench/quality/redraws_mix.py [--data ../shared/data/outcomes] [--fits 20] [--draws 250] [--rows 2080]

Each ladder is fitted on 40% of the prompts. The other 60% are the pool: its losses are the truth, and certification
groups are drawn from it with replacement, the ladder staying as it is. A draw is a violation when the rung that its
walk ends at loses more than promised on the pool. Costs are relative to always-frontier, on the pool: at the certified
rung, where the z-test would have stopped, and at the last rung that truly keeps the promise. The exact test allows 5%
for every ladder; with 250 draws a share of up to 0.08 is chance.

Writes bench/out/redraws_mix.json. Four minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from smallfirst.calibrate.promise import Promise
from smallfirst.calibrate.redraws import redraw
from smallfirst.evals.ladder import climb
from smallfirst.evals.mix import load_board, study_split
from smallfirst.learn.board import Board
from smallfirst.learn.ladder import fit_ladder

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "outcomes"
PROMISES = (0.02, 0.05)
out = Console(width=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--fits", type=int, default=20)
    parser.add_argument("--draws", type=int, default=250)
    parser.add_argument("--rows", type=int, default=2080, help="prompt groups that certify")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data} is not there: this program needs the recorded outcomes")
    board = load_board(args.data, "mix")
    found: dict[float, list[dict[str, float]]] = {epsilon: [] for epsilon in PROMISES}
    for fit in track(range(args.fits), "ladders of the mix"):
        for epsilon, line in one_ladder(board, fit, args).items():
            found[epsilon].append(line)
    show(found, args)
    result = {
        "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True, cwd=HERE).strip(),
        "command": " ".join(["bench/quality/redraws_mix.py", *sys.argv[1:]]),
        "seed": args.seed,
        "prompts": len(board),
        "ladders": {f"{epsilon:g}": lines for epsilon, lines in found.items()},
    }
    path = HERE / "out" / "redraws_mix.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1))
    out.print(f"written to {path.relative_to(HERE.parent)}")


def one_ladder(board: Board, fit: int, args: argparse.Namespace) -> dict[float, dict[str, float]]:
    """Fit on 40%, redraw from the rest."""
    rows, rest = study_split(board.groups, 0.4, np.random.default_rng([args.seed, fit]))
    pool = board.rows(rest)
    ladder = fit_ladder(board, rows, seed=fit)
    climbed = climb(pool, ladder)
    prices = climbed.prices()
    found = {}
    for epsilon in PROMISES:
        walks = redraw(
            climbed.scores,
            climbed.baseline,
            ladder.rungs,
            Promise(epsilon, 0.95),
            size=args.rows,
            groups=pool.groups,
            draws=args.draws,
            seed=args.seed,
        )
        cost, floor = walks.means(prices)
        found[epsilon] = {
            "cost": cost,
            "z-test cost": floor,
            "cost at the truth": float(prices[walks.losses < epsilon].min()),
            "nothing certified": float(walks.stalls()[0]),
            "violations": walks.violations / args.draws,
            "z-test violations": walks.floor_violations / args.draws,
        }
    return found


def show(found: dict[float, list[dict[str, float]]], args: argparse.Namespace) -> None:
    table = Table(title=f"{args.rows} certification prompts: mean over {args.fits} ladders, standard error, worst")
    table.add_column("")
    for epsilon in found:
        table.add_column(f"promise {epsilon:.0%}", justify="right")
    for name in found[PROMISES[0]][0]:
        cells = []
        for lines in found.values():
            values = np.array([line[name] for line in lines])
            error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
            cells.append(f"{values.mean():.3f} ± {error:.3f}, {values.max():.3f}")
        table.add_row(name, *cells)
    out.print(table)


if __name__ == "__main__":
    main()
