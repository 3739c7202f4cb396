"""Made-up outcomes with a known law: four models, easy and hard queries, letters as answers."""

from __future__ import annotations

import numpy as np

from smallfirst.learn.board import Board, make_board
from smallfirst.verify.evidence import Seen

MODELS = ("a", "b", "mid", "top")
ABILITY = (0.0, 0.4, 1.5, 3.0)
PRICE = (10, 12, 60, 1000)
WORDS = ("add", "prove", "list", "derive", "name", "integrate")


def world(rows: int, seed: int = 0) -> Board:
    """Hard queries are right with lower odds for every model, longer, and say `prove`, `derive` or `integrate`."""
    rng = np.random.default_rng(seed)
    hard = rng.random(rows) < 0.4
    right = rng.random((rows, 4)) < 1 / (1 + np.exp(-(np.array(ABILITY) + np.where(hard, -1.5, 1.5)[:, None])))
    truth = rng.integers(0, 4, rows)
    wrong = (truth[:, None] + rng.integers(1, 4, (rows, 4))) % 4
    letters = np.where(right, truth[:, None], wrong)
    tokens = rng.integers(20, 60, (rows, 4)) + np.where(hard, 60, 0)[:, None]
    words = [WORDS[2 * int(rng.integers(0, 3)) + int(h)] for h in hard]
    return make_board(
        models=MODELS,
        prompts=[f"{word} item {i} of the set\nA. one\nB. two" for i, word in enumerate(words)],
        groups=[f"g{i}" for i in range(rows)],
        slices=["hard" if h else "easy" for h in hard],
        seen=[[Seen("ABCD"[x], tokens=int(t)) for x, t in zip(row, ts, strict=True)]
              for row, ts in zip(letters, tokens, strict=True)],
        scores=right.astype(float),
        costs=tokens * np.array(PRICE),
        input_tokens=np.full((rows, 4), 20),
        output_tokens=tokens,
        latency=tokens * np.array([1.0, 1.0, 2.0, 4.0]) * 1000,
    )  # fmt: skip
