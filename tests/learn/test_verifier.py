import numpy as np
import pytest

from smallfirst.learn.verifier import (
    Forest,
    Recipe,
    chance_values,
    dreads,
    fan_values,
    fit_ahead,
    fit_gap,
    fit_price,
    fit_right,
    gap_values,
    linear_values,
    price_values,
)
from smallfirst.verify.combiner import dread

RNG = np.random.default_rng(0)
ROWS = np.column_stack([RNG.normal(size=(600, 3)), RNG.integers(0, 2, 600), np.ones(600)])
ODDS = 2 * ROWS[:, 0] - ROWS[:, 3]
RIGHT = (RNG.random(600) < 1 / (1 + np.exp(-ODDS))).astype(float)
QUICK = Recipe(prior=0.05, gap=Forest(trees=10), price=Forest(trees=10))


def test_one_number_at_a_time_is_the_same_as_all_at_once():
    gap = fit_gap(ROWS, np.ones(600), RIGHT, QUICK, 0)
    price = fit_price(ROWS, np.exp(ROWS[:, 1]), QUICK, 0)
    ahead = fit_ahead(ROWS, np.column_stack([ROWS[:, 1], ROWS[:, 2]]), np.ones(600), 1.0)
    far = np.vstack([ROWS, 50 * ROWS[:5], -50 * ROWS[:5]])
    for model, values in ((gap, gap_values(gap, far)), (price, price_values(price, far))):
        assert [model.value(row) for row in far.tolist()] == pytest.approx(values, rel=1e-12)
    for rung, values in enumerate(fan_values(ahead, far)):
        assert [ahead.at(rung).value(row) for row in far.tolist()] == pytest.approx(values, rel=1e-12)


def test_the_gap_orders_answers_by_what_serving_them_would_lose():
    gap = gap_values(fit_gap(ROWS, np.ones(600), RIGHT, QUICK, 0), ROWS)
    assert np.corrcoef(gap, ODDS)[0, 1] < -0.9
    assert gap.mean() == pytest.approx((1 - RIGHT).mean(), abs=0.02)


def test_a_chance_is_calibrated_by_what_was_seen_out_of_fold():
    doubled = fit_right(ROWS, RIGHT, ODDS, QUICK)  # the odds that were told are right: slope about 1
    halved = fit_right(ROWS, RIGHT, 2 * ODDS, QUICK)
    assert doubled.slope == pytest.approx(2 * halved.slope, rel=0.02)
    assert 0 < chance_values(doubled, ROWS).min() < chance_values(doubled, ROWS).max() < 1


def test_values_far_outside_the_fit_count_as_its_edge():
    line = fit_gap(ROWS, np.ones(600), RIGHT, QUICK, 0).leading
    edge = np.array([[1e9, 0, 0, 0, 1.0], [6.5, 0, 0, 0, 1.0]])
    assert linear_values(line, edge)[0] == linear_values(line, edge)[1]


def test_scores_between_0_and_1_count_as_shares_and_equal_scores_are_no_error():
    shares = fit_gap(ROWS, np.full(600, 0.9), np.full(600, 0.4), QUICK, 0)
    assert gap_values(shares, ROWS).mean() == pytest.approx(0.5, abs=0.01)


def test_dread_is_positive_rising_and_about_the_loss():
    losses = np.array([-0.5, -0.02, 0.0, 0.01, 0.1, 0.5])
    values = dreads(losses, 0.02)
    assert values == pytest.approx([dread(float(x), 0.02) for x in losses])
    assert (np.diff(values) > 0).all()
    assert values[0] > 0
    assert values[-1] == pytest.approx(0.5, abs=1e-6)
