"""Plans: the rows they ask for do, disagreements first save grades, the impossible is refused."""

import math

import numpy as np
import pytest

from smallfirst.calibrate.plan import Expectation, chance, expect, plan
from smallfirst.calibrate.promise import Promise
from smallfirst.calibrate.synthetic import right_or_wrong
from smallfirst.calibrate.walk import walk
from smallfirst.errors import DataError

PROMISE = Promise(0.05, 0.95)
EXPECTED = Expectation(loss=0.01, changed=0.06, baseline=0.7, differing=0.15, from_frontier=0.4)


def test_the_rows_that_a_plan_asks_for_certify_about_as_often_as_it_says():
    found = plan(PROMISE, EXPECTED)
    rng, certified = np.random.default_rng(1), 0
    for _ in range(100):
        s, f = right_or_wrong(rng, found.rows, harm=EXPECTED.harm, gain=EXPECTED.gain, right=EXPECTED.baseline)
        certified += walk(np.array([f, s]), f, [0, 1], PROMISE).certified
    assert 0.7 <= certified / 100 <= 0.9
    assert found.floor_rows <= found.rows <= 1.35 * found.floor_rows


def test_disagreements_first_save_most_grades():
    found = plan(PROMISE, EXPECTED)
    assert found.grades == math.ceil(found.rows * 1.15)
    assert found.shadow_calls == math.ceil(found.rows * 0.6)
    assert found.first_rows <= 1.25 * found.rows
    assert found.first_grades < 0.45 * found.grades
    assert f"{found.first_grades:,} grades" in found.explain()


def test_a_tighter_promise_a_larger_loss_and_more_change_take_more_rows():
    rows = plan(PROMISE, EXPECTED).rows
    for promise, expected in (
        (Promise(0.04, 0.95), EXPECTED),
        (Promise(0.05, 0.99), EXPECTED),
        (PROMISE, Expectation(0.018, 0.06, 0.7)),
        (PROMISE, Expectation(0.01, 0.1, 0.7)),
    ):
        assert plan(promise, expected).rows > 1.2 * rows


def test_very_many_rows_are_reckoned_not_played():
    found = plan(Promise(0.02, 0.95), Expectation(0.018, 0.2, 0.7))
    assert found.rows == pytest.approx(1.1 * found.floor_rows, rel=0.001)
    assert found.floor_rows > 100_000


def test_the_chance_at_the_bound_is_at_most_delta():
    assert chance(Promise(0.02, 0.95), Expectation(0.02, 0.1, 0.7), 500, agree_probability=0.2, lanes=2000) <= 0.06


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (Expectation(0.05, 0.1, 0.7), "no number of rows certifies"),
        (Expectation(0.2, 0.1, 0.7), "that can't be"),
        (Expectation(0.01, 1.1, 0.7), "changed: 1.1"),
        (Expectation(0.01, 0.1, 0.7, differing=0.05), "differing: 0.05 is below changed"),
    ],
)
def test_what_can_not_be_planned_is_refused(expected, words):
    with pytest.raises(DataError, match=words):
        plan(PROMISE, expected)


def test_powers_and_probabilities_are_checked():
    with pytest.raises(DataError, match="power: 80"):
        plan(PROMISE, EXPECTED, power=80)
    with pytest.raises(DataError, match="agree_probability: 0"):
        plan(PROMISE, EXPECTED, agree_probability=0)


def test_a_pilot_tells_what_to_expect():
    s, f = right_or_wrong(np.random.default_rng(2), 20_000, harm=0.05, gain=0.03, right=0.7)
    found = expect(s, f, differs=np.arange(20_000) % 5 == 0, handed_up=s == f)
    assert (found.loss, found.changed) == (pytest.approx(0.02 / 0.7, abs=0.006), pytest.approx(0.08, abs=0.006))
    assert (found.baseline, found.differing) == (pytest.approx(0.7, abs=0.01), 0.2)
    assert found.from_frontier == pytest.approx(1 - found.changed)
    found.check()
    expect(np.full(50, 0.49), np.full(50, 0.5)).check()  # a small even loss


def test_a_pilot_with_bad_scores_is_refused():
    with pytest.raises(DataError, match="row 1 is missing"):
        expect([1, np.nan], [1, 1])
    with pytest.raises(DataError, match="mean 0"):
        expect([1, 1], [0, 0])
