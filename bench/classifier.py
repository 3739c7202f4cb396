"""How long the classifier takes: p50 and p99 in microseconds by number of words, with p_correct for four models by
their heads, and what it takes at 40 words without heads and for one, eight and sixteen models.

    python bench/classifier.py [--weights FILE] [--rounds 60]

The machine may be shared: each figure is the least of several rounds' p50 (and of their p99), because other people's
work can only add time. Writes bench/out/classifier.json with commit, seed and command.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import harness

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.probes import Probe, ProbeRow
from smallfirst.classify.shipped import shipped_weights
from smallfirst.classify.weights import KINDS
from smallfirst.core import Needs, Query
from smallfirst.evals.prompts import samples

LENGTHS = (5, 40, 300, 3_000, 300_000)
GOALS_US = {40: 25.0}
GOAL_ANY_US = 60.0
TEXTS = 50  # different texts a length, so that caches of the last text can't flatter
CALLS = 200  # of each case in a round
SEED = 0


def texts(words: int) -> list[str]:
    """Windows of `words` words of the repo's own prompts, as people write them, each window somewhere else."""
    running = " ".join(one.input for one in samples(SEED)).split(" ")
    running *= 1 + 2 * words // len(running)
    count = TEXTS if words <= 3_000 else 3
    stride = (len(running) - words) // count
    return [" ".join(running[at * stride : at * stride + words]) for at in range(count)]


HOSTILE = {
    "one word of 1 MB": "x" * 1_000_000,
    "1 MB of spaces": " " * 1_000_000,
    "1 MB of NUL": "\0" * 1_000_000,
    "single letters": "a b c d e f g h " * 10_000,
    "letters, 570 chars": " ".join("abcdefghijklmnopqrstuvwxyz" * 11)[:570],
    "symbols": "$\\{}()[]=+-*/<>^_\"'?!:;,.%&|#@~`\n\t" * 1_000,
    "Chinese": "你好世界" * 10_000,
    "one kind unprobed": "zq xv " * 100,
}


def make_probes(classifier: Classifier, models: int, heads: bool = True) -> dict[str, Probe]:
    """Probes of `models` models, with the heads of recorded ones or with tables by kind only."""
    row = ProbeRow(n=50, right=40.0, mean_logit=0.1)
    recorded = list(classifier.heads.values())
    return {
        f"model-{n}": Probe(f"model-{n}", "d", 0, dict.fromkeys(KINDS, row), recorded[n].head if heads else ())
        for n in range(models)
    }


def measure(
    classifier: Classifier, cases: dict[str, list[Query]], rounds: int, probes: dict[str, Probe]
) -> dict[str, tuple[float, float]]:
    """name -> (p50, p99) in microseconds, each the least over rounds; the cases take turns within a round."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    score, clock = classifier.score, time.perf_counter_ns
    for _ in range(rounds):
        for name, queries in cases.items():
            taken = []
            for _ in range(max(1, CALLS // len(queries))):
                for query in queries:
                    start = clock()
                    score(query, probes)
                    taken.append(clock() - start)
            cuts = statistics.quantiles(taken, n=100)
            found[name].append((cuts[49] / 1e3, cuts[98] / 1e3))
    return {name: (min(p50 for p50, _ in of), min(p99 for _, p99 in of)) for name, of in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--rounds", type=int, default=60)
    given = parser.parse_args()
    data = given.weights.read_bytes() if given.weights else shipped_weights()
    start = time.perf_counter()
    classifier = Classifier.from_bytes(data)
    load_ms = (time.perf_counter() - start) * 1e3
    cases = {f"{n} words": [Query("q", "auto", text, {}, Needs()) for text in texts(n)] for n in LENGTHS}
    cases |= {name: [Query("q", "auto", text, {}, Needs())] for name, text in HOSTILE.items()}
    rows = measure(classifier, cases, given.rounds, make_probes(classifier, 4))
    forty = {"40 words": cases["40 words"]}
    for label, models, heads in (("4 without heads", 4, False), ("1 model", 1, True), ("8", 8, True), ("16", 16, True)):
        probes = make_probes(classifier, models, heads)
        rows[f"40 words, {label}"] = measure(classifier, forty, given.rounds, probes)["40 words"]
    print(
        f"weights {len(data):,} bytes, {len(classifier.tables.words):,} words, {len(classifier.tables.pairs):,} pairs, "
        f"loaded in {load_ms:.1f} ms"
    )
    print(f"{'text':<26}{'p50 us':>9}{'p99 us':>9}")
    for name, (p50, p99) in rows.items():
        print(f"{name:<26}{p50:>9.1f}{p99:>9.1f}")
    met = all(p50 <= GOAL_ANY_US for p50, _ in rows.values()) and rows["40 words"][0] <= GOALS_US[40]
    print(
        f"p50 at 40 words <= {GOALS_US[40]:.0f} us and <= {GOAL_ANY_US:.0f} us at any length: {'yes' if met else 'NO'}"
    )
    us = {name: {"p50": round(p50, 2), "p99": round(p99, 2)} for name, (p50, p99) in rows.items()}
    size = {"bytes": len(data), "words": len(classifier.tables.words), "pairs": len(classifier.tables.pairs)}
    harness.record("classifier", seed=SEED, **size, load_ms=round(load_ms, 1), us=us, met=met)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
