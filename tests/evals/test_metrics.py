"""Published metrics against values worked out by hand, and the edge cases their papers name."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.errors import DataError
from smallfirst.evals.metrics import (
    aiq,
    apgr,
    cost_save,
    cpt,
    expected_calibration_error,
    hull,
    recovered,
    reliability,
)


def test_pgr_is_the_share_of_the_gap():
    assert recovered([0.5, 0.65, 0.9], weak=0.5, strong=0.8).tolist() == pytest.approx([0.0, 0.5, 4 / 3])
    assert np.isnan(recovered([0.5], weak=0.8, strong=0.8)).all()


def test_apgr_by_hand():
    # PGR 0, 0.8, 1 at shares 0, 0.5, 1: trapezia 0.2 + 0.45
    assert apgr([0, 0.5, 1], [0.4, 0.88, 1.0], weak=0.4, strong=1.0) == pytest.approx(0.65)


def test_a_random_router_has_half_and_a_perfect_one_nearly_all():
    shares = np.linspace(0, 1, 11)
    assert apgr(shares, 0.6 + 0.3 * shares, weak=0.6, strong=0.9) == pytest.approx(0.5)
    perfect = np.minimum(0.6 + shares * 1.0, 0.9)  # all the strong model's wins come first: 30% of the queries
    assert apgr(shares, perfect, weak=0.6, strong=0.9) == pytest.approx(0.85)


def test_a_router_with_one_setting_is_closed_by_the_two_models():
    assert apgr([], [], weak=0.6, strong=0.9) == pytest.approx(0.5)
    assert apgr([0.5], [0.9], weak=0.6, strong=0.9) == pytest.approx(0.75)


def test_cpt_by_hand():
    shares, qualities = [0, 0.2, 0.6, 1.0], [0.5, 0.7, 0.8, 0.9]  # PGR 0, .5, .75, 1
    assert cpt(shares, qualities, 0.5, 0.9, 50) == pytest.approx(0.2)
    assert cpt(shares, qualities, 0.5, 0.9, 80) == pytest.approx(0.6 + 0.4 * 0.05 / 0.25)
    assert cpt([], [], 0.5, 0.9, 80) == pytest.approx(0.8)  # a coin
    assert cpt([0.0], [0.9], 0.5, 0.9, 50) == 0.0  # already there without the strong model
    assert math.isnan(cpt([], [], 0.9, 0.9, 50))


@pytest.mark.parametrize(("shares", "qualities"), [([0.5, 0.2], [0.6, 0.7]), ([0.5], [0.6, 0.7]), ([1.2], [0.6])])
def test_shares_must_ascend_within_one(shares, qualities):
    with pytest.raises(DataError, match="share"):
        apgr(shares, qualities, 0.5, 0.9)


def test_the_hull_leaves_out_what_a_coin_beats():
    x, y = hull([1, 2, 3, 4, 2.5], [0.2, 0.3, 0.8, 0.7, 0.79])
    assert (x.tolist(), y.tolist()) == ([1, 2.5, 3], [0.2, 0.79, 0.8])


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), min_size=1, max_size=40))
def test_the_hull_lies_on_or_above_every_point_and_never_falls(points):
    costs, qualities = zip(*points, strict=True)
    x, y = hull(costs, qualities)
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) > 0).all()
    for cost, quality in points:
        assert np.interp(cost, x, y) >= quality - 1e-9 or cost < x[0]


def test_aiq_is_the_mean_height_of_the_hull():
    # from (0, 0.5) to (1, 0.9), level to 2: (0.7 + 0.9) / 2
    assert aiq([0, 1], [0.5, 0.9], 0, 2) == pytest.approx(0.8)
    assert aiq([0, 1, 1.5], [0.5, 0.9, 0.1], 0, 2) == pytest.approx(0.8)  # a bad setting changes nothing
    assert aiq([0, 1], [0.7, 0.7], 0, 2) == pytest.approx(0.7)
    assert aiq([0, 4], [0.5, 0.9], 0, 2) == pytest.approx(0.6)  # what is dearer than the range does not count
    with pytest.raises(DataError, match="range of costs"):
        aiq([1], [0.5], 1, 1)
    with pytest.raises(DataError, match="begins above"):
        aiq([1, 2], [0.5, 0.9], 0.5, 2)


def test_cost_save_by_hand():
    assert cost_save([1, 3], [0.6, 0.9], best_cost=10, best_quality=0.75) == pytest.approx(0.8)  # a coin at cost 2
    assert cost_save([20], [0.9], best_cost=10, best_quality=0.75) == pytest.approx(-1.0)
    assert math.isnan(cost_save([1, 3], [0.6, 0.7], best_cost=10, best_quality=0.75))
    assert cost_save([10], [0.75], best_cost=10, best_quality=0.75) == pytest.approx(0.0)


def test_ece_by_hand():
    # bins (.2, .4] and (.8, 1.]: |.5 - .3| x 2/5 + |2/3 - .9| x 3/5
    truth, chance = [0, 1, 1, 1, 0], [0.3, 0.3, 0.9, 0.9, 0.9]
    assert expected_calibration_error(truth, chance, bins=5) == pytest.approx(0.4 * 0.2 + 0.6 * (0.9 - 2 / 3))
    bins = reliability(truth, chance, bins=5)
    assert [(b.rows, b.chance, b.truth) for b in bins] == [
        (2, pytest.approx(0.3), 0.5),
        (3, pytest.approx(0.9), pytest.approx(2 / 3)),
    ]


def test_perfect_and_constant_probabilities():
    assert expected_calibration_error([0, 1, 1], [0.0, 1.0, 1.0]) == 0
    assert expected_calibration_error([0, 1, 1, 0], [0.5] * 4) == 0
    assert expected_calibration_error([1, 1], [0.0, 0.0]) == 1
    assert math.isnan(expected_calibration_error([], []))
