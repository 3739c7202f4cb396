"""Whether a sentence vector is worth its time after the words: AUROC, Brier and routing with and without it.

    python bench/quality/second_stage.py [--data FOLDER]

Needs ../shared/data/outcomes, scikit-learn and what sentence_vectors.py names. On the MMLU prompts of the held-out part
(a fifth; mixtral-8x7b and gpt-4-1106), with everything fitted on the rest: the shipped head; a ridge regression on the
vector; both, stacked by a logistic regression of three numbers that is fitted on one half of the held-out prompts and
read on the other, and the other way round (on the rest, the heads know the answers). Then the routing by the
difference of the two chances (APGR, CPT50), and the time that one prompt takes either way. Writes
bench/out/second_stage.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from routellm import DATA, HERE, figures, read_pool
from routellm_methods import Pool, ridge
from sentence_vectors import MODEL, TOKENIZER, _embed, find

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.shipped import shipped_weights
from smallfirst.core import Query
from smallfirst.learn.fit import fold_of
from smallfirst.learn.heads import newton
from smallfirst.learn.metrics import auroc, brier
from smallfirst.learn.outcomes import is_held_out

HEADS = {"weak": "mixtral-8x7b-instruct", "strong": "gpt-4-turbo-1106"}
FOLDS = 5
HELD = 20.0
TIMED = 40


def by_words(classifier: Classifier, pool: Pool) -> np.ndarray:
    """(n, 2): the shipped heads' log-odds."""
    heads = {name: classifier.heads[name] for name in HEADS.values()}
    rows = []
    for text in pool.texts:
        chances = classifier.score(Query(id="", asked="auto", text=text, fields={}), heads).p_correct
        rows.append([chances[name] for name in heads])
    made = np.array(rows, dtype=np.float64)
    return np.log(made / (1.0 - made))


def by_vectors(pool: Pool, fit: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n,): predicted scores; of fit rows out of fold."""
    made = ridge(pool.vectors[fit], truth[fit], HELD, pool.vectors)
    fold = fold_of(pool.groups[fit].tolist(), FOLDS)
    for part in range(FOLDS):
        made[fit[fold == part]] = ridge(
            pool.vectors[fit[fold != part]], truth[fit[fold != part]], HELD, pool.vectors[fit[fold == part]]
        )
    return made


def stacked(columns: np.ndarray, report: np.ndarray, half: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n,): chances from both columns, of each half of the reported rows by the fit on the other half."""
    rows = np.column_stack([np.ones(len(columns)), columns])
    made = np.full(len(columns), 0.5)
    for part in (0, 1):
        fit, read = report[half != part], report[half == part]
        found = newton(rows[fit], truth[fit], np.zeros(rows.shape[1]), 1e-3 * np.eye(rows.shape[1]))
        made[read] = 1.0 / (1.0 + np.exp(-(rows[read] @ found)))
    return made


def milliseconds(classifier: Classifier, texts: list[str]) -> tuple[float, float]:
    """Median time of (words, vector) a prompt, one prompt at a time."""
    heads = {name: classifier.heads[name] for name in HEADS.values()}
    model, tokenizer = find(*MODEL), find(*TOKENIZER)
    words = []
    for text in texts:
        start = time.perf_counter()
        classifier.score(Query(id="", asked="auto", text=text, fields={}), heads)
        words.append(time.perf_counter() - start)
    if model is None or tokenizer is None:
        return statistics.median(words) * 1e3, float("nan")
    _embed(texts[:1], model, tokenizer)
    start = time.perf_counter()
    _embed(texts, model, tokenizer)
    return statistics.median(words) * 1e3, (time.perf_counter() - start) / len(texts) * 1e3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    given = parser.parse_args()
    if not given.data.is_dir():
        sys.exit(f"{given.data} is not there: this program needs the recorded outcomes")
    pool = read_pool(given.data)
    if pool.vectors is None:
        return 2
    classifier = Classifier.from_bytes(shipped_weights())
    held = np.array([is_held_out(group) for group in pool.groups])
    fit, report = np.flatnonzero(~held), np.flatnonzero(held)
    half = fold_of(pool.groups[report].tolist(), 2)
    words = by_words(classifier, pool)
    ways: dict[str, list[np.ndarray]] = {"words": [], "vector": [], "words and vector": []}
    table = {}
    for at, side in enumerate(HEADS):
        truth = getattr(pool, side)
        vector = by_vectors(pool, fit, truth)
        ways["words"].append(1.0 / (1.0 + np.exp(-words[:, at])))
        ways["vector"].append(np.clip(vector, 0.02, 0.98))
        ways["words and vector"].append(stacked(np.column_stack([words[:, at], vector]), report, half, truth))
        for way, made in ways.items():
            table[f"{HEADS[side]}: {way}"] = {
                "auroc": round(auroc(truth[report], made[at][report]), 4),
                "brier": round(brier(truth[report], made[at][report]), 4),
            }
    gain, weak = (pool.strong - pool.weak)[report], pool.weak[report]
    for way, (low, high) in ways.items():
        found = figures(np.argsort(-(high - low)[report], kind="stable"), gain, weak)
        table[f"routing: {way}"] = {"apgr": round(found[0], 4), "cpt50": round(found[1], 4)}
    fast, slow = milliseconds(classifier, [pool.texts[row] for row in report[:TIMED]])
    print(f"{len(fit)} prompts fitted on, {len(report)} reported on; {fast:.3f} ms by words, {slow:.1f} ms by vector")
    for name, row in table.items():
        print(f"{name:<44}" + "  ".join(f"{key} {value:.4f}" for key, value in row.items()))
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    record = {"commit": commit, "command": command, "table": table, "ms": {"words": fast, "vector": slow}}
    (HERE / "out").mkdir(exist_ok=True)
    (HERE / "out" / "second_stage.json").write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
