"""Outcomes made for the tests: four models, short answers, a hidden difficulty that wordings and agreement show."""

from __future__ import annotations

import random

from smallfirst.core import Grade
from smallfirst.models.answers import AnswerRow

MODELS = ("a", "b", "mid", "best")
SKILL = {"a": 0.55, "b": 0.6, "mid": 0.75, "best": 0.93}
USD_PER_M = {"a": (0.1, 0.1), "b": (0.1, 0.1), "mid": (0.15, 0.6), "best": (2.5, 10.0)}

CONFIG = """\
providers:
  here: {{url: "{url}", location: premises}}
models:
  a: {{provider: here, cost: {{input_per_m: 0.1, output_per_m: 0.1}}}}
  b: {{provider: here, cost: {{input_per_m: 0.1, output_per_m: 0.1}}}}
  mid: {{provider: here, cost: {{input_per_m: 0.15, output_per_m: 0.6}}}}
  best: {{provider: here, cost: {{input_per_m: 2.5, output_per_m: 10.0}}}}
tiers: [{{slm: [a, b]}}, {{mid: [mid]}}, {{frontier: [best]}}]
"""


def make(n: int = 800, seed: int = 0, *, slices: bool = False) -> tuple[list[AnswerRow], list[Grade]]:
    """`n` queries, answered and graded. Easy ones say so in their words; a wrong answer is one of nine."""
    rng = random.Random(seed)
    rows, grades = [], []
    for i in range(n):
        easy = rng.random()
        word = "simple" if easy > 0.5 else "tricky"
        prompt = f"Question {i}: a {word} sum of {rng.randrange(1000)} and {rng.randrange(1000)}"
        truth = str(100 + rng.randrange(800))
        for model in MODELS:
            right = rng.random() < SKILL[model] + (0.35 if easy > 0.5 else -0.2) * (1 if model != "best" else 0.2)
            said = truth if right else str(int(truth) + rng.randrange(1, 10))
            rows.append(
                AnswerRow(
                    f"q{i}",
                    model,
                    prompt,
                    answer=said,
                    category=word,
                    slice=word if slices else "",
                    input_tokens=20,
                    output_tokens=5,
                    latency_ms={"a": 50, "b": 60, "mid": 200}.get(model, 800),
                )
            )
            grades.append(Grade(f"q{i}", model, float(right), "checker:made"))
    return rows, grades
