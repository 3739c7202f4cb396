"""How well ungrounded answers are found, by what was done to them, beside word overlap and likeness of meaning.

    python bench/tasks/grounding.py [--data ../shared/data/tasks/rag] [--seed 0] [--part report]

On the `report` part of clapnq and mtragun, which neither the weights nor the threshold have seen: true answers beside
their passages against the wrong copies that swaps.py made (run it first). AUROC of the whole answer's p, of word
overlap alone (rare words of the claim in its best sentence; the worst claim counts) and of cosine alone (claim and best
sentence; the worst claim counts), with 95% intervals by redrawing answers. Writes bench/out/grounding.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from claims import Judged, judged
from passages import DATA, FITTED, HERE, Remembered, auroc, interval, read
from rich.console import Console
from rich.table import Table

from smallfirst.tasks.kb.grounded import Grounder, together
from smallfirst.tasks.kb.rarity import Rarity

out = Console(width=120)
KINDS = (
    "entity hard", "entity easy", "number hard", "number easy", "negation", "antonym", "other passages",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", default="report", choices=("fit", "choose", "report"))
    args = parser.parse_args()
    embedder = Remembered()
    rarity = Rarity.of(text for name in FITTED for text in read(args.data, name).texts)
    answers = judged(args.data, args.seed, rarity, embedder, lambda part: part == args.part)
    by_words = judged(args.data, args.seed, rarity, None, lambda part: part == args.part)
    embedder.keep()
    grounder, plain = Grounder.shipped(embedder, rarity), Grounder.shipped(None, rarity)
    scores = {
        "p": np.array([together([grounder.weights.p(row) for row in one.rows]) for one in answers]),
        "p, words alone": np.array([together([plain.weights.p(row) for row in one.rows]) for one in by_words]),
        "word overlap": np.array([min(row["covered"] for row in one.rows) for one in answers]),
        "cosine": np.array([min(row["near"] for row in one.rows) for one in answers]),
    }
    found = {name: table(name, answers, scores, args.seed) for name in ("both", *FITTED)}
    passes = {}
    for name, judge in (("p", grounder), ("p, words alone", plain)):
        passes[name] = operating(answers, scores[name], judge.threshold)
        out.print(
            f"{name} at the shipped threshold {judge.threshold:.3f} ({judge.weights.chosen_for}): "
            + ", ".join(f"{kind} {share:.0%}" for kind, share in passes[name].items())
            + " of the answers pass"
        )
    some = [one for one in answers if one.kind == "gold"][:60]
    start = time.process_time()
    for one in some:
        plain(one.answer, one.passages)
    spent = 1000 * (time.process_time() - start) / len(some)
    out.print(f"{spent:.0f} ms of CPU an answer with its passages, by words alone")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    said = {
        "command": " ".join(sys.argv), "commit": commit.stdout.strip(), "seed": args.seed, "part": args.part,
        "auroc": found, "passes": passes, "ms": spent,
    }  # fmt: skip
    (HERE / "out" / "grounding.json").write_text(json.dumps(said, indent=1))


def table(base: str, answers: list[Judged], scores: dict[str, np.ndarray], seed: int) -> dict[str, dict[str, object]]:
    """kind -> score -> AUROC, printed; `all swaps` puts the kinds but other passages together."""
    here = np.array([base in ("both", one.base) for one in answers])
    kinds = np.array([one.kind for one in answers])
    gold = here & (kinds == "gold")
    shown = Table(title=f"{base}: AUROC of {gold.sum()} true answers against wrong ones")
    for heading in ("what is wrong", "answers", *scores):
        shown.add_column(heading)
    found: dict[str, dict[str, object]] = {}
    for kind in ("all swaps", *KINDS):
        wrong = here & (kinds == kind) if kind != "all swaps" else here & ~np.isin(kinds, ("gold", "other passages"))
        found[kind] = {"answers": int(wrong.sum())}
        cells = []
        for name, values in scores.items():
            value, (low, high) = auroc(values[gold], values[wrong]), interval(values[gold], values[wrong], seed)
            found[kind][name] = {"auroc": value, "interval": [low, high]}
            cells.append(f"{value:.3f} ({low:.2f}-{high:.2f})")
        shown.add_row(kind, str(int(wrong.sum())), *cells)
    out.print(shown)
    return found


def operating(answers: list[Judged], values: np.ndarray, threshold: float) -> dict[str, float]:
    """kind -> share of answers at or above the threshold."""
    kinds = np.array([one.kind for one in answers])
    return {kind: float((values[kinds == kind] >= threshold).mean()) for kind in ("gold", *KINDS)}


if __name__ == "__main__":
    main()
