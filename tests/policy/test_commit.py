"""A stream from below is passed on once its first tokens are sure enough, and not otherwise."""

import math

import pytest

from smallfirst.core import Reason
from smallfirst.policy.cascade import Cascade
from smallfirst.policy.settings import CommitSettings

from .stage import ACCEPT, CASCADE, Play, asked, served
from .stage import play as acted

COMMITTING = Cascade("cascade", ACCEPT, commit=CommitSettings(tokens=1, above=0.9))


def play(policy, plays, **more):
    """A request that asks for no format, unless it says so."""
    return acted(policy, plays, **{"format": False, **more})


SURE, UNSURE = math.log(0.95), math.log(0.7)


def test_a_sure_beginning_is_passed_on_at_once() -> None:
    trace = play(COMMITTING, {"s1": Play(0.1, first=SURE)}, stream=True)
    assert (served(trace), trace.decision.reason) == ("s1", Reason.committed)
    assert (trace.first_us, trace.latency_us) == (50_000, 100_000)
    assert trace.decision.verdict is None  # unchecked


@pytest.mark.parametrize("first", [UNSURE, None])
def test_any_other_is_held_and_checked(first) -> None:
    trace = play(COMMITTING, {"s1": Play(0.9, first=first)}, stream=True)
    assert (served(trace), trace.decision.reason, trace.first_us) == ("s1", Reason.accepted, None)
    trace = play(COMMITTING, {"s1": Play(0.1, first=first)}, stream=True)
    assert (asked(trace), served(trace)) == (["s1", "m1"], "m1")


def test_only_streams_that_can_break_no_format() -> None:
    plays = {"s1": Play(0.1, first=SURE)}
    assert served(play(COMMITTING, plays)) == "m1"
    assert served(play(COMMITTING, plays, stream=True, format=True)) == "m1"
    assert served(play(CASCADE, plays, stream=True)) == "m1"


def test_more_tokens_than_the_answer_has_are_never_waited_for_in_vain() -> None:
    long = Cascade("cascade", ACCEPT, commit=CommitSettings(tokens=10, above=0.1))
    trace = play(long, {"s1": Play(0.9, first=SURE)}, stream=True)
    assert (served(trace), trace.decision.reason) == ("s1", Reason.accepted)


def test_offline_a_policy_hears_of_no_token_that_has_not_come() -> None:
    """Only the first token's probability and the mean of all are recorded: of two of three nothing is known."""
    two = Cascade("cascade", ACCEPT, commit=CommitSettings(tokens=2, above=0.1))
    assert play(two, {"s1": Play(0.9, first=SURE)}, stream=True).decision.reason is Reason.accepted


def test_the_highest_tier_is_released_at_its_first_token_with_and_without() -> None:
    for policy in (CASCADE, COMMITTING):
        trace = play(policy, {"s1": Play(0.1), "m1": Play(0.1)}, stream=True)
        assert (served(trace), trace.decision.reason) == ("f1", Reason.top_tier)
        assert trace.first_us == trace.latency_us - 50_000
