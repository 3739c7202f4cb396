"""Routers that read only the words: they find an obvious pattern, keep a budget, and copies never vouch for copies."""

import numpy as np
import pytest

from smallfirst.evals.baselines import always
from smallfirst.evals.query_routers import (
    at_budget,
    by_clusters,
    by_neighbours,
    by_regression,
    hash_words,
    nearest_neighbours,
    read_words,
)
from tests.evals.outcomes_made import priced

PREDICT = (by_neighbours, by_clusters, by_regression)


def pattern(n):
    """Apples are easy for all; theorems only the large model does."""
    words = ["apples are red", "prove the theorem"] * (n // 2)
    prompts = [f"{text} {i % 7}" for i, text in enumerate(words)]
    return priced([[1, 1, 1], [0, 0, 1]] * (n // 2), prompts)


def test_neighbours_find_what_the_words_tell():
    words = ["apples are red", "prove the theorem"] * 30
    prompts = [f"{text} {i % 7}" for i, text in enumerate(words)]
    scores = [[1, 1, 1], [0, 0, 1]] * 30
    routed = nearest_neighbours(priced(scores, prompts), priced(scores[:10], prompts[:10]), budget=60, k=5)
    assert routed.scores.mean() == 1
    assert (routed.shares["small"], routed.shares["large"]) == (0.5, 0.5)


def test_neighbours_stay_within_the_budget_on_the_fit_part():
    rng = np.random.default_rng(0)
    scores = (rng.random((60, 3)) < [0.3, 0.5, 0.9]).astype(float).tolist()
    data = priced(scores)
    assert nearest_neighbours(data, data, budget=1.0).shares["small"] == pytest.approx(1.0)
    costs = [nearest_neighbours(data, data, budget=budget).costs.mean() for budget in (1, 10, 40, 80)]
    assert costs == sorted(costs)


@pytest.mark.parametrize("predict", PREDICT)
def test_each_router_finds_the_pattern(predict):
    fit, report = pattern(80), pattern(20)
    found = predict(read_words(fit, report), fit.scores)
    assert found.outside.shape == (20, 3)
    assert (found.outside[::2, 0] > found.outside[1::2, 0] + 0.3).all()
    assert ((found.outside >= -1e-6) & (found.outside <= 1 + 1e-6)).all()
    routed = at_budget(found, fit, report, budget=60)
    assert routed.scores.mean() == 1
    assert routed.sequential == 1


@pytest.mark.parametrize("predict", PREDICT)
def test_a_prompt_has_no_part_in_its_own_prediction(predict):
    rng = np.random.default_rng(1)
    scores = (rng.random((120, 3)) < 0.5).astype(float).tolist()
    prompts = [f"{rng.integers(1e9)} {rng.integers(1e9)}" for _ in range(60)]
    fit = priced(scores, [p for p in prompts for _ in (0, 1)], groups=[f"g{i // 2}" for i in range(120)])
    found = predict(read_words(fit, fit), fit.scores)
    told = np.corrcoef(found.inside[:, 0], fit.scores[found.rows, 0])[0, 1]
    assert told < 0.25  # words say nothing here; only a copy could


def test_a_budget_above_everything_buys_the_best_and_below_everything_the_cheapest():
    fit = pattern(80)
    found = by_neighbours(read_words(fit, fit), fit.scores)
    assert at_budget(found, fit, fit, 1e9).scores.mean() == 1
    assert at_budget(found, fit, fit, 0.1).costs.mean() == pytest.approx(always(fit, "small").costs.mean())


def test_hashed_words_count_terms_and_pairs():
    one, other = hash_words(["the cat the cat", "a dog"])
    assert one.max() == pytest.approx(1 + np.log(2))
    assert (one > 0).sum() == 4  # the, cat, the cat, cat the
    assert (other > 0).sum() == 3
