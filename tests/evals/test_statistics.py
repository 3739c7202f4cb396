"""Intervals: they cover, they follow the groups, they do not depend on order beyond the seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.errors import DataError
from smallfirst.evals.statistics import bootstrap_mean, bootstrap_ratio, normal_mean, normal_ratio

scores = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=40)


@given(scores)
def test_estimate_lies_in_its_interval_and_is_the_mean(values):
    for interval in (bootstrap_mean(values, resamples=200), normal_mean(values)):
        assert interval.estimate == pytest.approx(np.mean(values))
        assert interval.low <= interval.estimate + 1e-9
        assert interval.high >= interval.estimate - 1e-9


@given(scores)
def test_a_policy_that_is_the_baseline_has_ratio_one_without_doubt(values):
    if sum(values) == 0:
        return
    interval = bootstrap_ratio(values, values, resamples=200)
    assert (interval.low, interval.estimate, interval.high) == (1, 1, 1)


def test_bootstrap_and_normal_agree_on_many_rows():
    rng = np.random.default_rng(1)
    f = (rng.random(3000) < 0.8).astype(float)
    s = np.where(rng.random(3000) < 0.9, f, rng.random(3000) < 0.5)
    one, other = bootstrap_ratio(s, f, seed=2), normal_ratio(s, f)
    assert one.low == pytest.approx(other.low, abs=0.003)
    assert one.high == pytest.approx(other.high, abs=0.003)


def test_normal_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(400):
        interval = normal_mean((rng.random(200) < 0.7).astype(float))
        inside += interval.low <= 0.7 <= interval.high
    assert 0.91 <= inside / 400 <= 0.985


def test_copies_of_a_prompt_are_no_new_evidence():
    values = np.random.default_rng(4).random(50)
    alone = bootstrap_mean(values, seed=5)
    copied = bootstrap_mean(np.repeat(values, 4), np.repeat(np.arange(50), 4).tolist(), seed=5)
    assert (copied.low, copied.high, copied.groups) == (pytest.approx(alone.low), pytest.approx(alone.high), 50)
    normal = normal_mean(np.repeat(values, 4), np.repeat(np.arange(50), 4).tolist())
    assert normal.high == pytest.approx(normal_mean(values).high)


def test_same_seed_same_interval():
    values = np.random.default_rng(6).random(30)
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


@pytest.mark.parametrize(
    ("top", "bottom", "groups", "words"),
    [
        ([], [], None, "at least one row"),
        ([1.0, float("nan")], [1.0, 1.0], None, "row 1 is not a finite"),
        ([1.0], [1.0, 1.0], None, "2 rows beside 1"),
        ([1.0, 2.0], [0.0, 0.0], None, "adds up to 0"),
        ([1.0, 2.0], [1.0, 1.0], ["a"], "1 entries for 2 rows"),
    ],
)
def test_bad_rows_are_named(top, bottom, groups, words):
    for function in (bootstrap_ratio, normal_ratio):
        with pytest.raises(DataError, match=words):
            function(top, bottom, groups)
