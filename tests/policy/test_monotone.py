"""Cost falls as the threshold falls, on the same answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallfirst.core import Tier
from smallfirst.policy.cascade import Cascade
from smallfirst.policy.panel import Panel
from smallfirst.policy.protocol import Policy
from smallfirst.policy.threshold import Threshold

from .stage import COST, DOWN, TIERS, Play, asked, play

falling = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)
answers = st.builds(Play, p=st.floats(0.02, 0.99), text=st.sampled_from("AB"))
anything = st.dictionaries(
    st.sampled_from(list(COST)), answers | st.just(DOWN) | st.just(Play(None)), max_size=len(COST)
)
known = st.fixed_dictionaries({model: st.floats(0, 1) for model in COST})


def accepting(level: float) -> dict[str, float]:
    return {tier.name: level for tier in TIERS}


MAKERS: dict[str, Callable[[float], Policy]] = {
    "cascade": lambda level: Cascade("cascade", accepting(level)),
    "threshold": lambda level: Threshold("threshold", accepting(level)),
    "panel": lambda level: Panel("panel", ("s1", "s2"), Cascade("above", accepting(level))),
    "panel with mid": lambda level: Panel("panel", ("s1", "s2"), Cascade("above", accepting(level)), with_mid=True),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
@settings(max_examples=60)
@given(levels=falling, known=known, script=st.dictionaries(st.sampled_from(list(COST)), answers))
def test_cost_falls_as_the_threshold_falls(make: Callable[[float], Policy], levels, known, script) -> None:
    """With one model in each higher tier. (With several, a cheaper second choice may lose its turn to the first.)"""
    tiers = (TIERS[0], *(Tier(tier.name, tier.models[:1]) for tier in TIERS[1:]))
    if make is MAKERS["threshold"]:
        tiers = tuple(Tier(tier.name, tier.models[:1]) for tier in TIERS)
    low, high = (play(make(level), script, tiers=tiers, known=known) for level in levels)
    assert low.cost <= high.cost


@settings(max_examples=60)
@given(levels=falling, known=known, script=anything)
def test_a_cascade_asks_a_prefix_of_what_a_stricter_one_asks(levels, known, script) -> None:
    """With failures and broken formats too: whoever accepts earlier has asked the same models up to there."""
    low, high = (asked(play(Cascade("c", accepting(level)), script, known=known)) for level in levels)
    assert high[: len(low)] == low
