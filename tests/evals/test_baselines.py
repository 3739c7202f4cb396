"""What a policy has to beat: properties that hold whatever the scores, and a router that finds an obvious pattern."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.core import Price
from smallfirst.errors import DataError
from smallfirst.evals.baselines import (
    always,
    best_single,
    blend,
    cheapest_single,
    oracle,
    price_table,
    random_mix,
)
from tests.evals.outcomes_made import MODELS, priced, table

rows = st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 3), min_size=3, max_size=30)


@given(rows)
def test_the_oracle_is_never_worse_nor_dearer_than_any_single_model_that_is_right(scores):
    data = priced(scores)
    best = oracle(data)
    for model in MODELS:
        single = always(data, model)
        assert (best.scores >= 0.5).mean() >= (single.scores >= 0.5).mean()
    assert best.costs.sum() <= always(data, "large").costs.sum()
    assert sum(best.shares.values()) == pytest.approx(1)


@given(rows, st.floats(0.5, 150))
def test_a_random_mix_spends_what_it_may_and_no_more(scores, budget):
    mix = random_mix(priced(scores), priced(scores), budget)
    assert mix.costs.mean() <= max(budget, 1.0) + 1e-6
    assert sum(mix.shares.values()) == pytest.approx(1)


@given(rows)
def test_more_money_never_makes_the_random_mix_worse(scores):
    data = priced(scores)
    quality = [random_mix(data, data, budget).scores.mean() for budget in (1, 5, 20, 60, 100)]
    assert quality == pytest.approx(sorted(quality))


def test_single_models_are_chosen_on_the_fit_part():
    fit = priced([[0, 1, 0]] * 4)
    report = priced([[0, 0, 1]] * 4)
    assert best_single(fit, report).scores.mean() == 0
    assert best_single(fit, report).name == "best single (mid)"
    assert cheapest_single(fit, report).shares == {"small": 1.0}


def test_prices_count_four_characters_as_a_token_and_round_up():
    price = Price(input=4_000_000, output=8_000_000, cached=0, source="test")
    data = price_table(table([[1, 1, 1]], chars=401), dict.fromkeys(MODELS, price))
    assert data.costs[0].tolist() == [101 * 4 + 101 * 8] * 3
    with pytest.raises(DataError, match="no price for 'large'"):
        price_table(table([[1, 1, 1]]), {"small": price, "mid": price})


def test_a_blend_is_a_coin_between_two_ways():
    data = priced([[0, 1, 1], [1, 1, 0]])
    half = blend(always(data, "small"), always(data, "large"), 0.25, "mixed")
    assert half.scores.tolist() == [0.75, 0.25]
    assert half.costs.tolist() == [0.25 + 75] * 2
    assert half.shares == {"small": 0.25, "large": 0.75}
    assert (half.sequential, half.latency) == (1.0, None)
