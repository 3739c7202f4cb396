"""The walk along a path: stops at the first rung that is not proved, in every slice, and says why."""

import numpy as np
import pytest

from smallfirst.calibrate.promise import Promise
from smallfirst.calibrate.synthetic import right_or_wrong
from smallfirst.calibrate.walk import walk, walk_slices
from smallfirst.errors import DataError

PROMISE = Promise(0.02, 0.95)


def path(rng, rows, harms, gains, right=0.7):
    """Nested rungs: each harms and gains where the one before did, and elsewhere."""
    u = rng.random(rows)
    f = (u < right).astype(float)
    rungs = [f]
    for harm, gain in zip(harms, gains, strict=True):
        rungs.append(np.where(u < harm, 0.0, np.where((u >= right) & (u < right + gain), 1.0, f)))
    return np.array(rungs), f


def test_the_walk_stops_at_the_first_rung_that_is_not_proved():
    rng = np.random.default_rng(1)
    served, f = path(rng, 3000, [0.001, 0.002, 0.1, 0.101], [0.0, 0.0, 0.0, 0.2])
    found = walk(served, f, [0, 1, 2, 3, 4], PROMISE)
    assert found.certified == 2  # rung 4 is better than the baseline, and lies behind one that is not
    assert found.steps[3].p_value < 0.05
    assert found.p_value(2) == max(found.steps[0].p_value, found.steps[1].p_value) <= 0.05
    assert found.p_value(0) is None
    assert found.cheapest([1, 0.9, 0.95, 0.5, 0.1]) == 1
    assert found.stalled is not None
    assert found.stalled.rung == 3
    assert found.stalled.rows_needed is None
    assert "no number of rows would do" in found.explain()
    assert found.floor >= found.certified


def test_a_path_without_harm_is_certified_to_its_end():
    rng = np.random.default_rng(2)
    served, f = path(rng, 1000, [0, 0], [0.01, 0.02])
    found = walk(served, f, [0, 1, 2], PROMISE)
    assert (found.certified, found.stalled) == (2, None)
    assert found.explain().endswith("the whole path")


def test_what_stalls_says_how_many_rows_would_do_and_they_do():
    f = np.repeat([1.0, 0.0], [420, 180])
    s = f.copy()
    s[:24], s[420:441] = 0.0, 1.0  # 24 harmed, 21 gained
    found = walk(np.array([f, s]), f, [0, 1], PROMISE)
    needed = found.steps[0].rows_needed
    assert found.certified == 0
    assert needed is not None
    assert needed > 600
    assert f"about {needed} would do" in found.explain()
    rng, certified = np.random.default_rng(3), 0
    for _ in range(12):
        s, f = right_or_wrong(rng, int(1.2 * needed), harm=0.04, gain=0.035, right=0.7)
        certified += walk(np.array([f, s]), f, [0, 1], PROMISE).certified
    assert certified >= 8


def test_slices_alone_joint_and_common():
    rng = np.random.default_rng(5)
    good, f_good = path(rng, 2000, [0.001, 0.002, 0.003], [0, 0, 0])
    poor, f_poor = path(rng, 2000, [0.001, 0.02, 0.04], [0, 0, 0])
    served, f = np.concatenate([good, poor], axis=1), np.concatenate([f_good, f_poor])
    slices = ["good"] * 2000 + ["poor"] * 2000
    alone, joint, common = (
        walk_slices(served, f, [0, 1, 2, 3], PROMISE, slices, slicing=how) for how in ("alone", "joint", "common")
    )
    assert [alone[name].certified for name in ("good", "poor")] == [3, 1]
    assert [common[name].certified for name in ("good", "poor")] == [1, 1]
    assert "another does not" in common["good"].explain()
    assert (alone["good"].delta, joint["good"].delta) == (pytest.approx(0.05), pytest.approx(0.025))
    assert all(joint[name].certified <= alone[name].certified for name in alone)


def test_rows_graded_at_known_rates_walk_about_as_far():
    rng = np.random.default_rng(6)
    served, f = path(rng, 4000, [0.002, 0.004], [0.002, 0.004])
    same = (served == f).all(0)
    chance = np.where(same, 0.2, 1.0)
    graded = rng.random(4000) < chance
    seen = np.where(graded, served, np.nan)
    found = walk(seen, np.where(graded, f, np.nan), [0, 1, 2], PROMISE, weights=graded / chance)
    assert graded.mean() < 0.25
    assert found.certified == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(settings=[0, 2, 1]), "rung 2 does not lie above rung 1"),
        (dict(settings=[0, 1]), "settings: 2 for 3 rungs"),
        (dict(served=np.zeros((3, 400))), "rung 0 is not always-frontier; its score of row 0"),
        (dict(served=np.ones((1, 400)), settings=[0]), "besides always-frontier"),
        (dict(served=np.ones((3, 399))), "is needed"),
        (dict(promise=Promise(0.0)), "max_quality_loss: 0.0"),
        (dict(promise=Promise(0.02, 95)), "confidence: 95"),
        (dict(promise=Promise(0.001)), r"can't certify a loss of at most 0.001 .* at least 3\d\d\d are needed"),
        (dict(served=np.zeros((3, 400)), baseline=np.zeros(400)), "the baseline never scored"),
    ],
)
def test_what_can_not_be_walked_is_refused(change, words):
    given = {"served": np.ones((3, 400)), "baseline": np.ones(400), "settings": [0, 1, 2], "promise": PROMISE} | change
    with pytest.raises(DataError, match=words):
        walk(**given)


def test_a_slice_that_is_too_small_is_named():
    f = np.ones(400)
    with pytest.raises(DataError, match=r"slice 'rare': 20 prompt groups can't certify .* at least 1\d\d"):
        walk_slices(np.array([f, f]), f, [0, 1], PROMISE, ["often"] * 380 + ["rare"] * 20, slicing="alone")
