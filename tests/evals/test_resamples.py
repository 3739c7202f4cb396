"""One bootstrap for all figures: groups go together, figures are paired, nothing is lost or invented."""

import numpy as np
import pytest

from smallfirst.errors import DataError
from smallfirst.evals.deferral import curve, measure, measure_points
from smallfirst.evals.estimates import Estimate, measure_estimate
from smallfirst.evals.metrics import expected_calibration_error
from smallfirst.evals.resamples import Resamples
from smallfirst.evals.statistics import bootstrap_ratio
from smallfirst.learn.metrics import auroc, brier

RNG = np.random.default_rng(3)
N = 400
GROUPS = [f"g{i // 2}" for i in range(N)]


def test_copies_are_drawn_together_and_every_resample_has_as_many_groups():
    draws = Resamples(GROUPS, seed=1, draws=50)
    weights = draws.weights()
    assert (weights[:, ::2] == weights[:, 1::2]).all()
    assert (weights.sum(1) == N).all()
    sums = draws.sums(np.column_stack([np.ones(N), np.arange(N)]))
    assert sums[:, 0].tolist() == [N] * 50
    assert sums[:, 1] == pytest.approx(weights @ np.arange(N), rel=1e-5)


def test_it_agrees_with_the_plain_bootstrap():
    top, bottom = RNG.random(N), RNG.random(N) + 0.5
    ours = Resamples(GROUPS, seed=1, draws=4000).ratio(top, bottom)
    plain = bootstrap_ratio(top, bottom, GROUPS, seed=2, resamples=4000)
    assert ours.estimate == pytest.approx(plain.estimate)
    assert (ours.low, ours.high) == (pytest.approx(plain.low, abs=0.004), pytest.approx(plain.high, abs=0.004))


def test_a_difference_of_equal_things_has_no_width():
    scores = RNG.random(N)
    found = Resamples(GROUPS, seed=1, draws=100).mean(scores - scores)
    assert (found.estimate, found.low, found.high) == (0, 0, 0)


def test_what_can_not_be_had_has_no_interval():
    found = Resamples(GROUPS, draws=10).ratio(np.ones(N), np.zeros(N))
    assert np.isnan([found.estimate, found.low, found.high]).all()


@pytest.mark.parametrize(("groups", "draws"), [([], 10), (["a"], 0)])
def test_nothing_to_draw_from(groups, draws):
    with pytest.raises(DataError, match="at least one"):
        Resamples(groups, draws=draws)


# -- deferral curves ------------------------------------------------------------------------------------------------

WEAK = (RNG.random(N) < 0.5).astype(float)
STRONG = np.maximum(WEAK, (RNG.random(N) < 0.6).astype(float))


def test_a_constant_router_is_a_random_one():
    draws = Resamples(GROUPS, draws=50)
    found = measure("constant", np.full(N, 0.3), WEAK, STRONG, draws)
    for figure, value in ((found.apgr, 0.5), (found.cpt50, 0.5), (found.cpt80, 0.8)):
        assert (figure.estimate, figure.low, figure.high) == (pytest.approx(value),) * 3


def test_a_perfect_router_needs_only_the_queries_that_gain():
    gain = STRONG - WEAK
    found = measure("perfect", gain, WEAK, STRONG, Resamples(GROUPS, draws=50))
    share = gain.mean()
    assert found.apgr.estimate == pytest.approx(1 - share / 2)
    assert found.cpt50.estimate == pytest.approx(share / 2)
    assert found.qualities[0] == pytest.approx(WEAK.mean())
    assert found.qualities[-1] == pytest.approx(STRONG.mean())


def test_the_worst_router_is_below_random():
    found = measure("worst", WEAK - STRONG, WEAK, STRONG, Resamples(GROUPS, draws=50))
    assert found.apgr.estimate < 0.5
    assert found.apgr.low <= found.apgr.estimate <= found.apgr.high


@pytest.mark.filterwarnings("error")
def test_between_equal_models_there_is_nothing_to_recover():
    found = measure("any", RNG.random(N), WEAK, WEAK, Resamples(GROUPS, draws=20))
    assert np.isnan([found.apgr.estimate, found.apgr.low, found.cpt50.estimate, found.cpt80.high]).all()


def test_a_curve_by_hand():
    shares, qualities = curve([3, 1, 1, 2], np.array([0.0, 1, 0, 0]), np.array([1.0, 1, 1, 0]))
    assert shares.tolist() == [0, 0.25, 0.5, 1]  # the two equal ones go up together
    assert qualities.tolist() == [0.25, 0.5, 0.5, 0.75]


def test_settings_that_were_run_one_by_one_give_the_same_figures_as_the_order_behind_them():
    need = RNG.random(N)
    draws = Resamples(GROUPS, seed=5, draws=200)
    cuts = [need > np.quantile(need, q) for q in np.linspace(0, 1, 41)]
    shares = np.array(cuts, dtype=float)
    scores = np.array([np.where(cut, STRONG, WEAK) for cut in cuts])
    one, other = measure_points("p", shares, scores, WEAK, STRONG, draws), measure("p", need, WEAK, STRONG, draws)
    assert one.apgr.estimate == pytest.approx(other.apgr.estimate, abs=0.01)
    assert one.apgr.low == pytest.approx(other.apgr.low, abs=0.02)
    assert one.cpt80.estimate == pytest.approx(other.cpt80.estimate, abs=0.06)


# -- probabilities --------------------------------------------------------------------------------------------------


def test_estimates_are_those_of_the_plain_measures():
    chance = np.clip(RNG.random(N), 0.01, 0.99)
    truth = (RNG.random(N) < chance).astype(float)
    chance[::7] = np.nan  # nothing was said of these
    said = np.isfinite(chance)
    found = measure_estimate(Estimate("e", chance, truth), ["a"] * N, Resamples(GROUPS, draws=100))
    assert found.rows == said.sum()
    assert found.auroc.estimate == pytest.approx(auroc(truth[said], chance[said]))
    assert found.auroc_within.estimate == pytest.approx(found.auroc.estimate)
    assert found.brier.estimate == pytest.approx(brier(truth[said], chance[said]))
    assert found.ece.estimate == pytest.approx(expected_calibration_error(truth[said], chance[said]))
    for figure in (found.auroc, found.brier):
        assert figure.low < figure.estimate < figure.high
        assert figure.high - figure.low < 0.2


def test_a_constant_ranks_nothing_and_task_identity_is_not_within_a_category():
    draws = Resamples(GROUPS, draws=20)
    truth = np.r_[np.ones(N // 2), np.zeros(N // 2)]
    truth[::10] = 1 - truth[::10]
    tasks = ["easy"] * (N // 2) + ["hard"] * (N // 2)
    chance = np.r_[np.full(N // 2, 0.9), np.full(N // 2, 0.1)]
    found = measure_estimate(Estimate("task only", chance, truth), tasks, draws)
    assert found.auroc.estimate == pytest.approx(0.9)
    assert found.auroc_within.estimate == 0.5
    assert measure_estimate(Estimate("constant", np.full(N, 0.5), truth), tasks, draws).auroc.estimate == 0.5
    assert measure_estimate(Estimate("silent", np.full(N, np.nan), truth), tasks, draws) is None
