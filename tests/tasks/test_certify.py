"""The promise on what triage keeps: exact, in order, and refused where rows can't carry it."""

from __future__ import annotations

import numpy as np
import pytest

from smallfirst.errors import DataError
from smallfirst.tasks.certify import certify, fewest, steps


def test_the_fewest_rows_that_can_prove_anything() -> None:
    assert fewest(0.97, 0.95) == 99
    right, sure = np.ones(99, dtype=bool), np.ones(99)
    assert certify(right, sure, [0.5], accuracy=0.97, confidence=0.95) is not None
    with pytest.raises(DataError, match="takes 99"):
        certify(right[:98], sure[:98], [0.5], accuracy=0.97, confidence=0.95)


def test_the_laxest_certified_threshold_is_taken_and_no_step_is_skipped() -> None:
    sure = np.linspace(0, 1, 1000)
    right = sure > 0.5  # everything below the middle is wrong
    found = certify(right, sure, [0.7, 0.6, 0.5, 0.4, 0.0], accuracy=0.95, confidence=0.95)
    assert found is not None
    assert found.threshold == 0.5
    assert (found.kept, found.wrong) == (500, 0)
    assert certify(right, sure, [0.0], accuracy=0.95, confidence=0.95) is None


def test_thresholds_out_of_order_are_refused() -> None:
    with pytest.raises(DataError, match="strict to lax"):
        certify(np.ones(200, dtype=bool), np.ones(200), [0.1, 0.9], accuracy=0.97, confidence=0.95)


@pytest.mark.parametrize("accuracy", [0.9, 0.97])
def test_a_false_promise_is_rare(accuracy) -> None:
    """Exactly at the bound at every threshold: at most 66 of 1,000 draws are certified (5% and 2 standard errors)."""
    rng = np.random.default_rng(7)
    broken = 0
    for _ in range(1000):
        right = rng.random(600) < accuracy
        broken += certify(right, rng.random(600), [0.6, 0.3, 0.0], accuracy=accuracy, confidence=0.95) is not None
    assert broken <= 66


def test_steps_go_from_strict_to_lax() -> None:
    found = steps(np.linspace(0, 1, 101), least_kept=0.3)
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(0.7)
    assert found[-1] == 0.0
