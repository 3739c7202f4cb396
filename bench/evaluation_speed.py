"""How long an evaluation of 20,000 prompts x 10 models takes: reading, baselines, 1,000 resamples, page.

    python bench/evaluation_speed.py [--prompts 20000] [--models 10]

The outcomes are made by a seeded program (words by rank, scores by a difficulty that the words tell). CPU seconds are
of this process, on one thread where OMP_NUM_THREADS=1 is set. Prints a table, writes bench/out/evaluation_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from smallfirst.evals.dataset import Request, load
from smallfirst.evals.evaluation import Wanted, evaluate
from smallfirst.evals.latency import shipped_laws
from smallfirst.evals.page import page

HERE = Path(__file__).resolve().parent
WORDS, LONG = 3000, 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=20_000)
    parser.add_argument("--models", type=int, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.jsonl"
        write(path, args.prompts, args.models)
        steps: list[tuple[str, float, float]] = [("reading", time.perf_counter(), time.process_time())]
        data = load(Request(path, laws=shipped_laws()))

        def step(name: str) -> None:
            steps.append((name, time.perf_counter(), time.process_time()))

        report = evaluate(data, Wanted(), step)
        step("page")
        text = page(report)
    step("end")
    found = {
        name: {"seconds": round(steps[at + 1][1] - wall, 2), "cpu": round(steps[at + 1][2] - cpu, 2)}
        for at, (name, wall, cpu) in enumerate(steps[:-1])
    }
    for name, one in found.items():
        print(f"{name:16} {one['seconds']:8.2f} s {one['cpu']:8.2f} s of CPU")
    seconds, cpu = steps[-1][1] - steps[0][1], steps[-1][2] - steps[0][2]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'all':16} {seconds:8.2f} s {cpu:8.2f} s of CPU, {memory:.0f} MB, a page of {len(text):,} bytes")
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True, cwd=HERE).strip()
    command = " ".join(["bench/evaluation_speed.py", *sys.argv[1:]])
    settings = {"seed": 0, "threads": os.environ.get("OMP_NUM_THREADS"), "prompts": args.prompts, "models": args.models}
    settings = {"seed": 0, "threads": os.environ.get("OMP_NUM_THREADS"), "prompts": args.prompts, "models": args.models}
    result = {"commit": commit, "command": command, **settings, "seconds": seconds, "cpu": cpu, "steps": found}
    (HERE / "out").mkdir(exist_ok=True)
    (HERE / "out" / "evaluation_speed.json").write_text(json.dumps(result, indent=1))


def write(path: Path, prompts: int, models: int) -> None:
    """An outcome file in which the words tell how hard a prompt is."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(WORDS)])
    often = 1 / np.arange(1, WORDS + 1)
    tiers = ["slm"] * (models // 2) + ["mid"] * (models - models // 2 - 2) + ["frontier"] * 2
    with path.open("w") as file:
        for i in range(prompts):
            hard = rng.random()
            topic = int(20 * hard)
            text = " ".join(rng.choice(words, LONG, p=often / often.sum())) + f" topic{topic} number {i}"
            for at in range(models):
                right = rng.random() < 1 - hard * (1 - at / models)
                row = {"query_id": str(i), "prompt": text, "model": f"m{at}", "tier": tiers[at], "score": float(right),
                       "category": f"c{topic}", "output_chars": int(rng.integers(50, 2000))}  # fmt: skip
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
