"""Small priced tables for the tests of evals."""

import numpy as np

from smallfirst.evals.baselines import Priced
from smallfirst.evals.outcomes import ScoreTable

MODELS = ("small", "mid", "large")
COSTS = (1.0, 10.0, 100.0)


def table(scores, prompts=None, chars=400, groups=None):
    n = len(scores)
    return ScoreTable(
        models=MODELS,
        query_ids=tuple(map(str, range(n))),
        prompts=tuple(prompts or [f"prompt {i}" for i in range(n)]),
        groups=tuple(groups or [f"g{i}" for i in range(n)]),
        benchmarks=("b",) * n,
        scores=np.array(scores, dtype=float),
        input_chars=np.full((n, 3), float(chars)),
        output_chars=np.full((n, 3), float(chars)),
    )


def priced(scores, prompts=None, groups=None):
    return Priced(table(scores, prompts, groups=groups), np.tile(COSTS, (len(scores), 1)))
