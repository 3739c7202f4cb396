"""Rows become bounded units whose mean is on the right side of 0, whatever the groups' sizes and the grading."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.calibrate.promise import Design
from smallfirst.calibrate.units import make_units
from smallfirst.errors import DataError

rows = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5)), min_size=8, max_size=40)


@given(rows, st.sampled_from([1, 2, 50]), st.floats(0.01, 0.5))
def test_units_are_bounded_and_their_sum_is_the_loss_over_rows(data, copies, epsilon):
    s, f, group = (np.array(column) for column in zip(*data, strict=True))
    if len(set(group)) < 2:
        return
    units = make_units(s, f, epsilon=epsilon, groups=group.tolist(), design=Design(copies=copies))
    assert units.gains.shape == (len(set(group)), 1)
    assert units.gains.min() >= -units.worst
    assert units.gains.max() <= units.best
    if copies == 50:
        assert units.gains.sum() == pytest.approx(float((s - (1 - epsilon) * f).sum()))
    if copies == 1:
        means = [(s - (1 - epsilon) * f)[group == g].mean() for g in set(group)]
        assert units.gains.sum() == pytest.approx(sum(means))


def test_the_order_is_random_and_the_seeds():
    f = np.arange(100) / 100
    one, same, other = (make_units(f, f, epsilon=0.02, design=Design(seed=seed)).gains[:, 0] for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
    assert (np.diff(one) < 0).any()
    assert sorted(one) == sorted(other)


def test_an_order_may_follow_from_the_data():
    assert Design.of_data("00000000001f" + "ab" * 26) == Design(seed=31)


def test_a_loss_is_the_relative_one():
    units = make_units([[0.5] * 10, [1.0] * 10], [1.0] * 10, epsilon=0.02)
    assert units.losses() == pytest.approx([0.5, 0.0])


def test_rows_graded_with_known_probability_stand_for_the_others():
    rng = np.random.default_rng(3)
    f = (rng.random(20_000) < 0.7).astype(float)
    s = np.where(rng.random(20_000) < 0.1, 1 - f, f)
    chance = np.where(s == f, 0.2, 1.0)
    graded = rng.random(20_000) < chance
    seen_s, seen_f = (np.where(graded, x, np.nan) for x in (s, f))
    full = make_units(s, f, epsilon=0.02)
    part = make_units(seen_s, seen_f, epsilon=0.02, weights=graded / chance)
    assert part.gains.mean() == pytest.approx(full.gains.mean(), abs=3 * 0.02 * 2 / np.sqrt(20_000))
    assert part.worst == full.worst


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (dict(served=[0.5, np.nan], baseline=[1, 1]), "served: the score of row 1 of rung 0 is missing"),
        (dict(served=[0.5, 1], baseline=[1, 1.5]), "baseline: the score of row 1 1.5 is outside 0..1"),
        (dict(served=[0.5, 1], baseline=[1, 1, 1]), "is needed"),
        (dict(served=[1, 1], baseline=[1, 1], groups=["a", "a"]), "1 prompt group in 2 rows"),
        (dict(served=[], baseline=[]), "0 prompt group"),
        (dict(served=[1, 1], baseline=[1, 1], groups=["a"]), "1 entries for 2 rows"),
        (dict(served=[1, 1], baseline=[1, 1], weights=[0.5, 1]), "0.5 in row 0"),
        (dict(served=[1, 1], baseline=[1, 1], weights=[1, 1, 1]), "weights have shape"),
        (dict(served=[0, 1], baseline=[1, 1], weights=[5.0, 1]), "more rarely than the design says"),
        (dict(served=[1, 1], baseline=[1, 1], design=Design(copies=0)), "copies: 0"),
        (dict(served=[1, 1], baseline=[1, 1], design=Design(least_probability=0)), "least_probability"),
    ],
)
def test_bad_rows_are_refused_by_name(given, words):
    with pytest.raises(DataError, match=words):
        make_units(**given, epsilon=0.02)
