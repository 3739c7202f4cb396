"""The measures against what they must be on small cases and against sklearn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.learn.metrics import auroc, auroc_within, brier, calibration_error, interval


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=2, max_size=60))
def test_auroc_is_the_share_of_pairs_in_order(rows: list[tuple[float, int]]) -> None:
    truth = np.array([share for share, _ in rows])
    chance = np.array([rank / 5 for _, rank in rows])
    weights = truth[:, None] * (1 - truth[None, :])
    ordered = (chance[:, None] > chance[None, :]) + 0.5 * (chance[:, None] == chance[None, :])
    value = auroc(truth, chance)
    if weights.sum() < 1e-9:
        return
    assert value == pytest.approx(float((weights * ordered).sum() / weights.sum()))


def test_a_constant_knows_nothing_and_a_perfect_order_everything() -> None:
    truth = np.array([0.0, 0.0, 1.0, 1.0])
    assert auroc(truth, np.full(4, 0.3)) == 0.5
    assert auroc(truth, np.array([0.1, 0.2, 0.3, 0.4])) == 1.0
    assert np.isnan(auroc(np.zeros(3), np.ones(3)))


def test_task_identity_is_worth_nothing_within_a_task() -> None:
    truth = np.tile([0.0, 1.0], 100)
    truth[:100] = 0.0
    truth[:10] = 1.0
    category = np.array(["easy"] * 100 + ["hard"] * 100)
    chance = np.where(category == "easy", 0.1, 0.6)
    assert auroc(truth, chance) > 0.6
    assert auroc_within(truth, chance, category) == 0.5


def test_brier_and_calibration_of_a_known_case() -> None:
    truth, chance = np.array([0.0, 1.0, 0.5]), np.array([0.0, 1.0, 0.5])
    assert brier(truth, chance) == pytest.approx(0.25 / 3)
    assert calibration_error(truth, chance, bins=3) == 0.0
    assert calibration_error(truth, np.clip(chance + 0.2, 0, 1.2), bins=3) == pytest.approx(0.2)


def test_an_interval_holds_the_value_and_widens_when_copies_are_grouped() -> None:
    rng = np.random.default_rng(1)
    chance = np.repeat(rng.random(100), 4)
    truth = np.repeat((rng.random(100) < chance[::4]).astype(float), 4)
    apart = interval(brier, truth, chance, np.arange(400).astype(str), seed=0, draws=200)
    together = interval(brier, truth, chance, np.repeat(np.arange(100), 4).astype(str), seed=0, draws=200)
    assert together[0] < brier(truth, chance) < together[1]
    assert together[1] - together[0] > apart[1] - apart[0]
    assert together == interval(brier, truth, chance, np.repeat(np.arange(100), 4).astype(str), seed=0, draws=200)
