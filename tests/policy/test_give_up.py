"""An answer that takes too long is stopped, and the policy goes on without it."""

from smallfirst.core import Reason, Status
from smallfirst.policy.give_up import GivingUp
from smallfirst.policy.panel import Panel

from .stage import CASCADE, SLM, Play, asked, play, served

PANEL = Panel("p", ("s1", "s2"), CASCADE, with_mid=True)
GIVING_UP = GivingUp(PANEL, 200)
RAMBLES = Play(after_ms=5000)


def test_who_is_in_time_is_served_as_ever() -> None:
    assert play(GIVING_UP) == play(PANEL)


def test_a_panel_does_not_wait_for_a_member_that_rambles() -> None:
    plays = {"m1": Play(text="C"), "s2": RAMBLES}
    trace = play(GIVING_UP, plays)
    assert (asked(trace), served(trace), trace.decision.reason) == (["m1", "s1", "s2", "f1"], "f1", Reason.top_tier)
    assert trace.latency_us == 300_000  # given up at 200, the frontier takes 100
    assert {a.outcome.model: a.outcome.status for a in trace.attempts}["s2"] is Status.cancelled
    assert trace.cost == 20 + 1 + 2 + 300  # what it had written is paid for
    assert play(PANEL, plays).latency_us == 5_100_000


def test_the_highest_tier_is_waited_for_and_so_is_an_only_one() -> None:
    trace = play(GIVING_UP, {"m1": Play(text="C"), "s2": Play(text="D"), "f1": RAMBLES})
    assert (served(trace), trace.latency_us) == ("f1", 5_100_000)
    assert served(play(GivingUp(CASCADE, 200), {"s1": RAMBLES}, tiers=(SLM,))) == "s1"


def test_p95_needs_to_be_known() -> None:
    p95 = GivingUp(PANEL, "p95")
    plays = {"m1": Play(text="C"), "s2": RAMBLES}
    assert play(p95, plays).latency_us == 5_100_000
    assert play(p95, plays, usual_ms=lambda model, streamed: 150.0).latency_us == 250_000


def test_nothing_is_given_up_that_has_come() -> None:
    """The alarm clocks of calls that were in time ring later, and nobody listens."""
    trace = play(GIVING_UP, {"m1": Play(text="C"), "s2": Play(text="D"), "f1": Play(after_ms=900)})
    assert (served(trace), trace.latency_us) == ("f1", 1_000_000)
