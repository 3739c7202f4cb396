"""RouteLLM's protocol on MMLU: mixtral-8x7b or gpt-4-1106, by the query's text alone, from 1,500 labelled prompts.

    python bench/quality/routellm.py [--seeds 20] [--labels 1500] [--data FOLDER]

Needs ../shared/data/outcomes and scikit-learn; with the packages that sentence_vectors.py names, also the rows with
sentence vectors (made once, about ten minutes on one free core). Prompt groups are split in two by a hash: every seed
draws its labels from the first half, where the methods were also chosen, and all figures are of the second half, which
was neither fitted nor chosen on. No other source is used, so nothing has to be removed from one. A labelled prompt
brings both models' correctness and its subject; a prompt that is routed brings its text only.

APGR and CPT by evals/metrics.py at the eleven shares 0, 0.1 .. 1 of strong calls, as RouteLLM's program takes them
(Ong et al. 2024, arXiv 2406.18665). Two standard errors: over draws of the labels, and over the prompts reported on.
Writes bench/out/routellm.json with commit, seeds and command.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from routellm_methods import METHODS, Pool, surface
from sentence_vectors import sentence_vectors

from smallfirst.evals.metrics import apgr, cpt
from smallfirst.learn.outcomes import group_of

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "outcomes"
WEAK, STRONG = "mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"
SHARES = np.linspace(0.0, 1.0, 11)
DRAWS = 200
PUBLISHED = {"APGR": 0.603, "CPT50": 0.354, "CPT80": 0.703}
GOAL = {"APGR": 0.64, "CPT50": 0.32}

Figures = tuple[float, float, float]


def read_pool(folder: Path) -> Pool:
    """MMLU prompts that both models answered, without those that RouteLLM marks as contaminated."""
    table = pq.read_table(folder / "routellm.parquet").to_pydict()
    rows: dict[str, dict] = {}
    for at, benchmark in enumerate(table["benchmark"]):
        if benchmark == "mmlu" and not table["contaminated"][at]:
            row = rows.setdefault(
                table["query_id"][at], {"text": table["prompt"][at], "subject": table["category"][at]}
            )
            row[table["model"][at]] = float(table["score"][at])
    kept = [row for row in rows.values() if WEAK in row and STRONG in row]
    texts = [row["text"] for row in kept]
    return Pool(
        texts=texts,
        groups=np.array([group_of(text) for text in texts]),
        subjects=np.unique([row["subject"] for row in kept], return_inverse=True)[1],
        weak=np.array([row[WEAK] for row in kept]),
        strong=np.array([row[STRONG] for row in kept]),
        surface=surface(texts),
        vectors=sentence_vectors(texts, HERE / "out"),
    )


def halves(groups: np.ndarray) -> np.ndarray:
    """True for the half that is reported on; copies of a prompt are on one side."""
    return np.array([hashlib.sha256(f"h{group}".encode()).digest()[-1] % 2 == 1 for group in groups])


def figures(order: np.ndarray, gain: np.ndarray, weak: np.ndarray, weight: np.ndarray | None = None) -> Figures:
    """(APGR, CPT50, CPT80) of prompts sent to the strong model in this order; `weight`: how often each one counts."""
    count = np.ones(len(gain)) if weight is None else weight
    calls = np.r_[0.0, np.cumsum(count[order])] / count.sum()
    gained = np.r_[0.0, np.cumsum((count * gain)[order])] / count.sum()
    base = float((count * weak).sum() / count.sum())
    quality = base + np.interp(SHARES, calls, gained)
    ends = base, base + float(gained[-1])
    return apgr(SHARES, quality, *ends), cpt(SHARES, quality, *ends, 50), cpt(SHARES, quality, *ends, 80)


def measure(pool: Pool, method: Callable, seeds: int, labels: int) -> dict:
    """Means over label draws, with both standard errors."""
    reported = halves(pool.groups)
    known, asked = np.flatnonzero(~reported), np.flatnonzero(reported)
    gain, weak = (pool.strong - pool.weak)[asked], pool.weak[asked]
    orders = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        fit = rng.permutation(known)[:labels]
        score = method(pool, fit, asked, rng)
        orders.append(np.lexsort((rng.random(len(asked)), -score)))  # ties at random
    of_draws = np.array([figures(order, gain, weak) for order in orders])
    rng = np.random.default_rng(seeds)
    weights = [np.bincount(rng.integers(0, len(asked), len(asked)), minlength=len(asked)) for _ in range(DRAWS)]
    few = orders[: min(5, seeds)]
    of_prompts = np.array([np.mean([figures(order, gain, weak, w) for order in few], axis=0) for w in weights])
    mean, by_draw, by_prompt = of_draws.mean(0), of_draws.std(0, ddof=1) / len(orders) ** 0.5, of_prompts.std(0, ddof=1)
    names = ("APGR", "CPT50", "CPT80")
    return {
        name: {
            "mean": round(float(mean[at]), 4),
            "se": round(float(by_draw[at]), 4),
            "se_prompts": round(float(by_prompt[at]), 4),
        }
        for at, name in enumerate(names)
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--labels", type=int, default=1_500)
    given = parser.parse_args()
    if not given.data.is_dir():
        sys.exit(f"{given.data} is not there: this program needs the recorded outcomes")
    pool = read_pool(given.data)
    reported = int(halves(pool.groups).sum())
    print(f"{len(pool.texts)} prompts, {given.labels} labelled of {len(pool.texts) - reported}, {reported} reported on")
    print(f"{'method':<44}{'APGR':>16}{'CPT50':>17}{'CPT80':>17}   (+- over label draws)")
    results, began = {}, time.perf_counter()
    for name, method in METHODS.items():
        if "vectors" in name and pool.vectors is None:
            continue
        row = results[name] = measure(pool, method, given.seeds, given.labels)
        cells = "".join(f"{row[key]['mean']:>9.3f} +-{row[key]['se']:.3f} " for key in ("APGR", "CPT50", "CPT80"))
        print(f"{name:<44}{cells}", flush=True)
    print(f"{'published best, about 1,500 gold labels':<44}{'0.603':>9}{'0.354':>17}{'0.703':>16}")
    best = max((name for name in results if "given" not in name), key=lambda name: results[name]["APGR"]["mean"])
    met = results[best]["APGR"]["mean"] >= GOAL["APGR"] and results[best]["CPT50"]["mean"] <= GOAL["CPT50"]
    print(f"APGR of the best >= {GOAL['APGR']} and CPT50 <= {GOAL['CPT50']}: {'yes' if met else 'NO'} ({best})")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    record = {
        "commit": commit,
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seeds": given.seeds,
        "labels": given.labels,
        "prompts": len(pool.texts),
        "reported": reported,
        "published": PUBLISHED,
        "goal": GOAL,
        "methods": results,
        "met": met,
        "seconds": round(time.perf_counter() - began, 1),
    }
    (HERE / "out").mkdir(exist_ok=True)
    (HERE / "out" / "routellm.json").write_text(json.dumps(record, indent=1) + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
