"""Outcomes made for the repo, to try an evaluation on: our own checkable prompts, five simulated models, real scorers.

`python -m smallfirst.evals.example DIR` writes outcomes.jsonl and a config. The models are simulated by a seeded
program: what they get right falls with the prompt's level, and a wrong answer is another prompt's right one of the same
kind, the same one for most models that err. Figures on them say how the report looks and nothing about models.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from smallfirst.evals.prompts import samples
from smallfirst.evals.prompts_sample import Sample
from smallfirst.evals.scorers import score

ABILITY: Mapping[str, tuple[str, float, float]] = {
    "made-slm-a": ("slm", 3.8, 1.1),
    "made-slm-b": ("slm", 3.4, 1.0),
    "made-slm-c": ("slm", 3.1, 1.0),
    "made-mid": ("mid", 4.6, 0.9),
    "made-frontier": ("frontier", 5.8, 0.8),
}
"""Tier, log-odds of a right answer at level 0, and what each level takes from them."""

WORDS: Mapping[str, int] = {"slm": 1, "mid": 4, "frontier": 9}
"""Sentences that a tier writes before its answer, so that dearer answers are also longer."""

KINDS_HARDER: Mapping[str, float] = {"arithmetic": 1.4, "formatting": 0.6, "rewriting": 0.4, "extraction": 0.0}

SAME_MISTAKE = 0.4
"""How often a model that errs makes the mistake that others make too."""

SENTENCE = "Looking at the question step by step, this is what follows from it. "

DEFAULT_N = 900

CONFIG = """\
# Policies to evaluate on the outcomes beside this file: smallfirst evaluate DIR --config DIR/config.yaml
providers:
  made: {url: "http://127.0.0.1:9/v1", location: premises}
models:
  made-slm-a: {provider: made, cost: {input_per_m: 0.10, output_per_m: 0.10}}
  made-slm-b: {provider: made, cost: {input_per_m: 0.10, output_per_m: 0.10}}
  made-slm-c: {provider: made, cost: {input_per_m: 0.10, output_per_m: 0.10}}
  made-mid: {provider: made, cost: {input_per_m: 0.15, output_per_m: 0.60}}
  made-frontier: {provider: made, cost: {input_per_m: 2.50, output_per_m: 10}}
tiers: [{slm: [made-slm-a, made-slm-b, made-slm-c]}, {mid: [made-mid]}, {frontier: [made-frontier]}]
policies:
  cascade: {kind: cascade, accept: {slm: 0.85, mid: 0.70}}
  panel: {kind: panel, panel: {models: [made-slm-a, made-slm-b, made-slm-c], with_mid: true}, accept: {mid: 1.0}}
  by_query: {kind: threshold, accept: {slm: 0.80, mid: 0.80}}
default_policy: cascade
"""


def outcomes(n: int = DEFAULT_N, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Rows of the outcome format: `n` prompts, each answered by every model and scored by its own scorer."""
    drawn = _prompts(n, seed)
    by_kind: dict[str, list[Sample]] = {}
    for sample in drawn:
        by_kind.setdefault(f"{sample.kind}/{sample.scorer}", []).append(sample)
    for sample in drawn:
        for model, (tier, ability, fall) in ABILITY.items():
            rng = Random(f"{seed}/{sample.id}/{model}")
            odds = ability - fall * sample.level - KINDS_HARDER.get(sample.kind, 0.2)
            right = rng.random() < 1 / (1 + math.exp(-odds))
            said = sample.target if right else _wrong(sample, by_kind[f"{sample.kind}/{sample.scorer}"], rng)
            written = len(said) + len(SENTENCE) * round(WORDS[tier] * rng.uniform(0.5, 1.5))
            yield {
                "query_id": sample.id,
                "prompt": sample.input,
                "model": model,
                "tier": tier,
                "benchmark": "made",
                "category": sample.kind,
                "slice": f"level {sample.level}",
                "answer": said,
                "score": score(sample, said).value,
                "output_chars": written,
            }


def _prompts(n: int, seed: int) -> Sequence[Sample]:
    """Distinct prompts, from as many seeds of the generator as it takes."""
    found: dict[str, Sample] = {}
    for more in range(seed * 1000, seed * 1000 + 1000):
        for sample in samples(more):
            found.setdefault(" ".join(sample.input.lower().split()), sample)
            if len(found) == n:
                return list(found.values())
    return list(found.values())


def _wrong(sample: Sample, alike: Sequence[Sample], rng: Random) -> str:
    """Another prompt's right answer, mostly the same one whoever errs; failing that, no answer that could be right."""
    if rng.random() < SAME_MISTAKE:
        rng = Random(sample.id)
    for _ in range(8):
        other = rng.choice(alike).target
        if score(sample, other).value < 0.5:
            return other
    return "none of these"


def write(directory: Path, n: int = DEFAULT_N, seed: int = 0) -> int:
    """Write outcomes.jsonl and config.yaml; returns how many rows."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = list(outcomes(n, seed))
    (directory / "outcomes.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(rows))
    (directory / "config.yaml").write_text(CONFIG, "utf-8")
    return len(rows)


def main(arguments: list[str] | None = None) -> int:
    """Write the example's outcomes and its config into a folder."""
    parser = argparse.ArgumentParser(prog="python -m smallfirst.evals.example", description=main.__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--n", type=int, default=DEFAULT_N)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rows = write(options.directory, options.n, options.seed)
    sys.stdout.write(f"wrote {rows} rows to {options.directory / 'outcomes.jsonl'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
