"""Calibrators: against sklearn's where it has them, and against laws that they must obey."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from smallfirst.calibrate.probability import Beta, Isotonic, Platt, fit_beta, fit_isotonic, fit_platt
from smallfirst.errors import DataError

rows = st.lists(st.tuples(st.integers(0, 8), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=40)


@settings(deadline=None)  # sklearn's first fit is slow
@given(rows)
def test_isotonic_is_sklearns(data):
    x, y = (np.array(column, dtype=float) for column in zip(*data, strict=True))
    ours, theirs = fit_isotonic(x, y), IsotonicRegression(out_of_bounds="clip").fit(x, y)
    at = np.linspace(-1, 9, 41)
    assert ours(at) == pytest.approx(theirs.predict(at), abs=1e-9)
    assert (np.diff(ours(at)) >= 0).all()


def test_platt_finds_the_law_that_made_the_rows():
    rng = np.random.default_rng(1)
    score = rng.normal(size=20_000)
    truth = rng.random(20_000) < 1 / (1 + np.exp(-(1.7 * score - 0.4)))
    found = fit_platt(score, truth)
    assert (found.slope, found.offset) == (pytest.approx(1.7, abs=0.08), pytest.approx(-0.4, abs=0.06))


def test_platt_does_not_run_away_on_rows_that_are_told_apart():
    found = fit_platt([-1, -1, 1, 1], [0, 0, 1, 1])
    assert found([-1.0, 1.0]) == pytest.approx([0.25, 0.75], abs=1e-4)  # 1/4 and 3/4 are Platt's targets


def test_platt_is_the_share_of_positives_on_a_constant_score():
    assert fit_platt(np.zeros(1000), np.arange(1000) < 300)(0.0) == pytest.approx(0.3, abs=0.002)


@pytest.mark.parametrize("law", [Beta(1, 1, 0), Beta(0.4, 2.0, 0.3), Beta(2.0, 0.5, -0.5)])
def test_beta_finds_the_law_that_made_the_rows(law):
    rng = np.random.default_rng(2)
    chance = rng.random(40_000)
    found = fit_beta(chance, rng.random(40_000) < law(chance))
    grid = np.linspace(0.02, 0.98, 49)
    assert found(grid) == pytest.approx(law(grid), abs=0.02)


def test_beta_never_turns_the_order_round():
    rng = np.random.default_rng(3)
    chance = rng.random(2000)
    for truth in (rng.random(2000) < 1 - chance, rng.random(2000) < np.abs(chance - 0.5) * 2):
        found = fit_beta(chance, truth)
        assert found.a >= 0
        assert found.b >= 0
        assert (np.diff(found(np.linspace(0, 1, 100))) >= -1e-12).all()


@pytest.mark.parametrize("one", [Isotonic((0.0, 1.0), (0.2, 0.9)), Platt(1.0, 0.5), Beta(1.0, 2.0, 0.0)])
def test_a_calibrator_survives_its_file(one):
    assert msgspec.json.decode(msgspec.json.encode(one), type=type(one)) == one


@pytest.mark.parametrize("fit", [fit_isotonic, fit_platt, fit_beta])
@pytest.mark.parametrize(
    ("scores", "truth", "words"),
    [
        ([], [], "one of each"),
        ([0.1, 0.2], [1], "one of each"),
        ([0.1, np.nan], [1, 0], "row 1: score nan"),
        ([0.1, 0.2], [1, 2], "row 1: .* truth 2"),
    ],
)
def test_bad_rows_are_refused_by_number(fit, scores, truth, words):
    with pytest.raises(DataError, match=words):
        fit(scores, truth)


def test_beta_takes_probabilities_only():
    with pytest.raises(DataError, match="Platt any score"):
        fit_beta([0.5, 1.5], [1, 0])
