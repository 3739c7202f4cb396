"""Measures of per-model chances on a small table worked out by hand, and baselines that never see held-out scores."""

from __future__ import annotations

import math

import numpy as np
import pytest

from smallfirst.evals.heads_report import Cells, look_up, nearest, shares, table_of, worth
from smallfirst.learn.outcomes import Prompt, group_of


def prompt(text: str, task: str, **scores: float) -> Prompt:
    return Prompt(text, group_of(text), "made", task, "c", "other", 0.5, 1, scores)


KNOWN = [
    *(prompt(f"add {n} and {n + 1} please", "sums", small=1.0, large=1.0) for n in range(30)),
    *(prompt(f"prove that theorem {n} holds", "proofs", small=0.0, large=1.0) for n in range(30)),
]
HELD = [prompt("add 90 and 91 please", "sums", small=1.0), prompt("prove that theorem 99 holds", "proofs", small=0.0)]


def test_gaps_are_nan_and_columns_keep_their_order() -> None:
    cells = table_of(HELD, ["large", "small"])
    assert np.isnan(cells.scores[:, 0]).all()
    assert cells.scores[:, 1].tolist() == [1.0, 0.0]


def test_shares_by_task_are_drawn_to_the_mean() -> None:
    overall, by_task = shares(table_of(KNOWN, ["small", "large"]), lambda one: one.benchmark)
    assert overall.tolist() == pytest.approx([31 / 62, 61 / 62])
    assert by_task["sums"][0] == pytest.approx((30 + 1) / 32)
    assert by_task["proofs"][0] == pytest.approx(1 / 32)


def test_a_task_that_was_never_seen_gets_the_mean() -> None:
    known = table_of(KNOWN, ["small"])
    made = look_up(known, table_of([prompt("sing", "songs", small=1.0)], ["small"]), lambda one: one.benchmark)
    assert made.tolist() == [[pytest.approx(0.5)]]


def test_neighbours_tell_tasks_apart_by_words() -> None:
    known = table_of(KNOWN * 2, ["small"])
    made = nearest(known, table_of(HELD, ["small"]))
    assert made[0, 0] > 0.8
    assert made[1, 0] < 0.2


def test_worth_is_the_mean_over_models_on_their_own_rows() -> None:
    cells = Cells(HELD, ["a", "b"], np.array([[1.0, math.nan], [0.0, 1.0]]))
    found = worth(cells, np.array([[0.9, 0.5], [0.2, 0.6]]))
    assert found.auroc == 1.0  # of a; b has one side only
    assert found.brier == pytest.approx(np.mean([(0.01 + 0.04) / 2, 0.16]))
