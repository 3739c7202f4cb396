"""The certificate is wrong at most as often as it says: policies at the bound, and redraws from a known pool."""

import math

import numpy as np
import pytest

from smallfirst.calibrate.betting import bet
from smallfirst.calibrate.promise import Promise
from smallfirst.calibrate.redraws import redraw
from smallfirst.calibrate.synthetic import SHAPES
from smallfirst.calibrate.units import make_units
from smallfirst.calibrate.walk import walk
from smallfirst.errors import DataError

DRAWS, MOST = 1000, 66  # 5% and 2.3 standard errors


@pytest.mark.parametrize("name", SHAPES)
def test_a_policy_at_the_bound_is_certified_at_most_66_times_in_1000(name):
    rng = np.random.default_rng(11)
    units = []
    for _ in range(DRAWS):
        rows = SHAPES[name](rng, 300, 0.05)
        units.append(
            make_units(
                rows.served,
                rows.baseline,
                epsilon=0.05,
                groups=rows.groups,
                weights=rows.weights,
                design=rows.design,
            )
        )
    gains = np.concatenate([one.gains for one in units], axis=1)
    assert (bet(gains, units[0].worst, 0.05) >= -math.log(0.05)).sum() <= MOST


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_has_the_loss_that_it_is_asked_for(name):
    rows = SHAPES[name](np.random.default_rng(12), 200_000, 0.05)
    units = make_units(
        rows.served, rows.baseline, epsilon=0.05, groups=rows.groups, weights=rows.weights, design=rows.design
    )
    error = units.gains.std() / math.sqrt(units.count)
    assert abs(units.gains.mean()) <= 3.5 * error
    assert units.losses()[0] == pytest.approx(0.05, abs=0.01)


def pool(rng, rows=4000):
    """Ten nested rungs of which the sixth is the first to lose more than 5%; a tenth of prompts occurs twice."""
    u = rng.random(rows)
    f = (u < 0.7).astype(float)
    harms = [0.0, 0.004, 0.01, 0.016, 0.022, 0.032, 0.037, 0.045, 0.06, 0.08]
    return np.array([np.where(u < h, 0.0, f) for h in harms]), f, [i % (rows * 9 // 10) for i in range(rows)]


def test_redraws_of_a_path_are_wrong_at_most_as_often_as_delta_and_say_how_far_they_got():
    served, f, groups = pool(np.random.default_rng(13))
    told = []
    found = redraw(served, f, range(10), Promise(0.05), size=600, groups=groups, draws=400, progress=told.append)
    assert found.losses[6] > 0.05 > found.losses[5]
    assert found.violations <= 0.066 * 400
    assert found.stalls().sum() == pytest.approx(1)
    costs = np.linspace(1, 0.1, 10)
    ours, floor = found.means(costs)
    assert floor <= ours < 0.8
    assert told[-1] == 400


def test_a_redraw_ends_where_a_walk_on_the_same_rows_ends():
    rng = np.random.default_rng(14)
    served, f, _ = pool(rng, 2000)
    found = redraw(served, f, range(10), Promise(0.05), size=700, draws=60, seed=3)
    ends = []
    for _ in range(60):
        rows = rng.integers(0, 2000, 700)
        ends.append(walk(served[:, rows], f[rows], range(10), Promise(0.05)).certified)
    assert np.mean(ends) == pytest.approx(found.certified.mean(), abs=0.6)


def test_a_path_that_is_none_is_refused():
    with pytest.raises(DataError, match="rung 0 is not always-frontier"):
        redraw(np.zeros((2, 50)), np.ones(50), [0, 1], Promise(), size=10)
