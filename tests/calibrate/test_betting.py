"""The betting test: valid where the promise is just broken, strong where it is kept, whatever the scores' shape."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.calibrate.betting import Bets, bet, fewest_units, log_wealth, p_values
from smallfirst.calibrate.comparison import binomial_cdf, hoeffding_bentkus_p_values, z_p_values
from smallfirst.calibrate.synthetic import right_or_wrong
from smallfirst.calibrate.units import Units, make_units

EPSILON, DELTA = 0.02, 0.05


def gains(rng, shape, **shares):
    s, f = right_or_wrong(rng, shape, **shares)
    return s - (1 - EPSILON) * f


def test_a_broken_promise_is_certified_at_most_as_often_as_delta():
    rng = np.random.default_rng(1)
    for shares in (dict(harm=0.014, gain=0, right=0.7), dict(harm=0.064, gain=0.05, right=0.7)):
        wealth = bet(gains(rng, (600, 4000), **shares), 1 - EPSILON, DELTA)
        assert (wealth >= -math.log(DELTA)).mean() <= 0.058  # 0.05 and two standard errors


def test_wealth_is_a_supermartingale_even_when_the_variance_is_guessed_badly():
    rng = np.random.default_rng(2)
    z = gains(rng, (400, 4000), harm=0.064, gain=0.05, right=0.7)
    for bets in (Bets(variance=1e-4, guess_rows=50), Bets(variance=1.0, guess_rows=50), Bets(most=0.999, reserve=2)):
        assert (bet(z, 1 - EPSILON, DELTA, bets) >= -math.log(DELTA)).mean() <= 0.058


def test_power_is_near_the_z_test_and_far_above_hoeffding_bentkus():
    z = gains(np.random.default_rng(3), (2000, 300), harm=0.05, gain=0.05, right=0.7)
    units = Units(z, z, z, 1 - EPSILON, 1.0, 2000)
    bets, normal, bentkus = (
        (p <= DELTA).sum() for p in (p_values(units, DELTA), z_p_values(units), hoeffding_bentkus_p_values(units))
    )
    assert bets >= 0.9 * normal > 150
    assert bentkus == 0


def test_rungs_are_bet_on_side_by_side_as_alone():
    rng = np.random.default_rng(4)
    s, f = right_or_wrong(rng, 800, harm=0.03, gain=0.03, right=0.7)
    path = np.stack([f, s, np.where(rng.random(800) < 0.5, s, f)])
    together = log_wealth(make_units(path, f, epsilon=EPSILON), DELTA)
    alone = [log_wealth(make_units(row, f, epsilon=EPSILON), DELTA)[0] for row in path]
    assert together == pytest.approx(alone)


@given(st.integers(2, 60), st.floats(0, 1), st.integers(0, 100))
def test_a_p_value_is_one_and_stakes_never_ruin(count, score, seed):
    rng = np.random.default_rng(seed)
    s, f = np.where(rng.random(count) < 0.5, score, 0.0), np.ones(count)
    p = p_values(make_units(s, f, epsilon=EPSILON), DELTA)
    assert 0 < p[0] <= 1


def test_later_units_do_not_change_an_earlier_bet():
    rng = np.random.default_rng(5)
    z = gains(rng, (200, 1), harm=0.0, gain=0.3, right=0.5)
    changed = np.concatenate([z[:199], -(1 - EPSILON) * np.ones((1, 1))])
    assert bet(z, 1 - EPSILON, 1e-12) >= bet(changed, 1 - EPSILON, 1e-12) - 1e-12


def test_fewest_units_is_where_the_baseline_itself_fails():
    for count, certified in ((140, False), (260, True)):
        units = make_units(np.ones(count), np.ones(count), epsilon=EPSILON)
        assert (p_values(units, DELTA)[0] <= DELTA) == certified
        assert (count >= fewest_units(units, EPSILON, DELTA)) == certified


def test_binomial_tail_and_hoeffding_bentkus_on_known_cases():
    assert binomial_cdf(1, 2, 0.5) == pytest.approx(0.75)
    assert binomial_cdf(3, 10, 0.2) == pytest.approx(0.8791261184)
    assert binomial_cdf(10, 10, 0.2) == 1.0
    units = make_units(np.ones(400), np.zeros(400), epsilon=0.5)  # every unit gains all it can
    assert hoeffding_bentkus_p_values(units)[0] == pytest.approx((1 / 1.5) ** 400, rel=1e-6)
    units = make_units(np.zeros(400), np.ones(400), epsilon=0.5)
    assert hoeffding_bentkus_p_values(units)[0] == 1.0
    assert z_p_values(units)[0] == 1.0
