"""How long a ladder takes to fit, how that grows, and what one step of it costs on the request path.

    python bench/ladder_fit.py [--rows 2500,5000,10000,20000] [--models 10]

Made-up outcomes with a known law; no data needed, scikit-learn is. Prints a table, writes bench/out/ladder_fit.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from smallfirst.evals.ladder import climb
from smallfirst.learn.board import Board, make_board
from smallfirst.learn.ladder import fit_ladder
from smallfirst.policy.ladder import Ladder, Reader, encode, look, weigh
from smallfirst.verify.evidence import Seen

HERE = Path(__file__).resolve().parent
WORDS = [
    "sum", "list", "prove", "name", "integral", "city", "river", "matrix", "verb", "price", "table", "year", "cause",
    "module", "angle", "speed",
]  # fmt: skip
out = Console(highlight=False, width=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="2500,5000,10000,20000")
    parser.add_argument("--models", type=int, default=10)
    args = parser.parse_args()
    sizes = [int(size) for size in args.rows.split(",")]
    fit_ladder(world(300, 3))  # imports
    found = []
    for size in sizes:
        board = world(size, args.models)
        began, used = time.perf_counter(), time.process_time()
        ladder = fit_ladder(board)
        took, cpu = time.perf_counter() - began, time.process_time() - used
        began = time.perf_counter()
        climb(board, ladder)
        found.append({"rows": size, "models": args.models, "fit_s": took, "fit_cpu_s": cpu,
                      "climb_s": time.perf_counter() - began, "bytes": len(encode(ladder)),
                      **request_path(board, ladder)})  # fmt: skip
    show(found)
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True, cwd=HERE).strip()
    command = " ".join(["bench/ladder_fit.py", *sys.argv[1:]])
    path = HERE / "out" / "ladder_fit.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"commit": commit, "command": command, "seed": 0, "load": os.getloadavg(), "fits": found})
    )


def world(rows: int, models: int, seed: int = 0) -> Board:
    """Outcomes of models of rising ability and price; half of the words say how hard a query is."""
    rng = np.random.default_rng(seed)
    picked = rng.integers(0, len(WORDS), (rows, 12))
    hard = (picked % 2).mean(1) * 6 - 3
    ability = np.linspace(-0.5, 2.5, models)
    right = rng.random((rows, models)) < 1 / (1 + np.exp(hard[:, None] - ability))
    truth = rng.integers(0, 8, rows)
    forms = np.where(right, truth[:, None], (truth[:, None] + rng.integers(1, 8, (rows, models))) % 8)
    tokens = rng.integers(30, 300, (rows, models))
    return make_board(
        models=[f"m{i}" for i in range(models)],
        prompts=[f"item {i}: " + " ".join(WORDS[w] for w in row) for i, row in enumerate(picked)],
        groups=[str(i) for i in range(rows)],
        seen=[[Seen("ABCDEFGH"[f], tokens=int(t)) for f, t in zip(*row, strict=True)]
              for row in zip(forms, tokens, strict=True)],
        scores=right.astype(float),
        costs=tokens * np.geomspace(10, 1000, models),
        output_tokens=tokens,
    )  # fmt: skip


def request_path(board: Board, ladder: Ladder, most: int = 2000) -> dict[str, float]:
    """Microseconds at the median: reading a query, and weighing one step's answers."""
    reader, step, rung = Reader(ladder), ladder.steps[-1], len(ladder.rungs) // 2
    reading, weighing = [], []
    for prompt, row in list(zip(board.prompts, board.seen, strict=True))[:most]:
        answers = [row[board.column(model)] for model in step.asked]
        began = time.perf_counter_ns()
        query = reader.about(prompt, tools=False)
        between = time.perf_counter_ns()
        leading, numbers = look(step.trust, query, answers)
        weigh(ladder, rung, step, leading, numbers)
        reading.append(between - began)
        weighing.append(time.perf_counter_ns() - between)
    return {"query_us": float(np.median(reading)) / 1e3, "step_us": float(np.median(weighing)) / 1e3}


def show(found: list[dict]) -> None:
    table = Table(title="fitting a ladder, one step that asks all models below the top")
    for name in ("rows", "models", "fit s", "fit CPU s", "climb s", "file kB", "query us", "step us"):
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(
            str(one["rows"]), str(one["models"]), f"{one['fit_s']:.1f}", f"{one['fit_cpu_s']:.1f}",
            f"{one['climb_s']:.1f}", f"{one['bytes'] / 1000:.0f}", f"{one['query_us']:.0f}", f"{one['step_us']:.0f}",
        )  # fmt: skip
    out.print(table)


if __name__ == "__main__":
    main()
