"""Fit the example ladder: recorded models of ZeroEval and MMLU-Pro, without BFCL and without the held-out fifth.

    python bench/quality/make_ladder.py [--out examples/recorded.ladder] [--seed 0]

Needs ../shared/data/outcomes (only files that may be fitted on are opened), pyarrow and scikit-learn. The same data and
seed give the same bytes. It speaks of models of 2024 under the study's role names (slm-a, slm-b, slm-c, mid, frontier):
an example and a fixture, not a ladder for anyone's traffic. Prints what it does on the held-out fifth.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from smallfirst.evals.ladder import climb
from smallfirst.evals.mix import PARTS, load_part
from smallfirst.learn.board import join_boards
from smallfirst.learn.ladder import fit_ladder
from smallfirst.learn.outcomes import group_of, is_held_out
from smallfirst.policy.ladder import encode

HERE = Path(__file__).resolve().parent.parent.parent
DATA = HERE.parent / "shared" / "data" / "outcomes"
PERMITTED = ("gsm", "math-l5", "crux", "mmlu_pro")
PLAN = [("slm-a", "slm-b", "slm-c", "mid")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=HERE / "examples" / "recorded.ladder")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data} is not there: this program needs the recorded outcomes")
    board = join_boards([load_part(args.data, name, draw=True) for name in PERMITTED if PARTS[name].source != "bfcl"])
    held = np.array([is_held_out(group_of(prompt)) for prompt in board.prompts])
    ladder = fit_ladder(board, np.flatnonzero(~held), asks=PLAN, seed=args.seed)
    data = encode(ladder)
    args.out.write_bytes(data)
    climbed, out = climb(board.rows(np.flatnonzero(held)), ladder), Console(highlight=False)
    out.print(f"{args.out.name}: {len(data) / 1000:.0f} kB, {len(ladder.rungs)} rungs, digest {ladder.digest[:16]}")
    for loss in (0.01, 0.02, 0.05):
        rung = ladder.cheapest(loss)
        got, paid = climbed.losses()[rung], climbed.prices()[rung]
        out.print(f"rung {rung} for {loss:.0%}: on {held.sum()} held-out prompts it loses {got:.1%} at cost {paid:.3f}")


if __name__ == "__main__":
    main()
