"""Answering by quotation, without any language model: does the quoted sentence hold a gold answer?

    python bench/tasks/quoting.py [--data ../shared/data/tasks/rag] [--questions 400] [--seed 0]

Answerable questions of SQuAD 2's half, on which nothing was fitted or chosen, and unanswerable ones beside them, drawn
by the seed; the stores are those that bench/tasks/retrieval.py built. For each least p: the share of the answerable
that is answered, the share of those answers that hold the gold answer word for word, the share of the unanswerable that
is answered all the same. Writes bench/out/quoting.json.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import track
from rich.table import Table

from smallfirst.evals.probe import wilson
from smallfirst.tasks.kb.local import KbLocal
from smallfirst.tasks.kb.questions import Asked, Given, is_right
from smallfirst.tasks.kb.search import Index

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "tasks" / "rag"
STORE = HERE / "out" / "retrieval" / "squad2_halfdev"
out = Console(width=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not args.data.is_dir() or not STORE.is_dir():
        sys.exit("needs the recorded task data, and the stores that bench/tasks/retrieval.py builds")
    rows = pq.read_table(args.data / "squad2_halfdev_questions.parquet").to_pylist()
    random.Random(args.seed).shuffle(rows)
    kb, p, right, there, took = KbLocal(Index(STORE)), [], [], [], []
    for row in track(rows[: args.questions], console=out, transient=True):
        began = time.perf_counter()
        found = kb.retrieve(row["question"])
        took.append(1000 * (time.perf_counter() - began))
        said = Given(True, found.quote.text if found.quote else "")
        p.append(found.p)
        there.append(str(row["answerable"]) == "True")
        right.append(there[-1] and is_right(Asked(row["question"], tuple(json.loads(row["answers"]))), said))
    report(args, np.array(p), np.array(right), np.array(there), took)


def report(args: argparse.Namespace, p: np.ndarray, right: np.ndarray, there: np.ndarray, took: list[float]) -> None:
    table = Table(title=f"SQuAD 2: {there.sum()} answerable, {(~there).sum()} unanswerable; no language model")
    for heading in ("least p", "answered of the answerable", "of these right", "95%", "answered of the unanswerable"):
        table.add_column(heading)
    found = []
    for least in (0.0, 0.25, 0.4, 0.5, 0.6, 0.7):
        kept = p >= least
        n, hits = int((kept & there).sum()), int((kept & right).sum())
        low, high = wilson(hits, n)
        row = {
            "least": least, "answered": n / there.sum(), "right": hits / max(1, n), "interval": (low, high),
            "unanswerable": float(kept[~there].mean()),
        }  # fmt: skip
        found.append(row)
        table.add_row(f"{least:.2f}", f"{row['answered']:.2f}", f"{row['right']:.3f}", f"{low:.3f} .. {high:.3f}",
                      f"{row['unanswerable']:.2f}")  # fmt: skip
    out.print(table)
    out.print(f"{np.median(took):.0f} ms a question, retrieval and both judgements included")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    said = {"command": " ".join(sys.argv), "commit": commit.stdout.strip(), "seed": args.seed, "found": found,
            "ms": float(np.median(took))}  # fmt: skip
    written = HERE / "out" / "quoting.json"
    written.write_text(json.dumps(said, indent=1))
    out.print(f"written to {written.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
