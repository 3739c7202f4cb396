"""One model; and the lowest tier that is predicted to do."""

import pytest

from smallfirst.core import Reason, Status
from smallfirst.policy.fixed import Fixed
from smallfirst.policy.threshold import Threshold

from .stage import DOWN, SLM, TOP, Play, asked, play, served

FIXED = Fixed("m1", "m1")
THRESHOLD = Threshold("t", {"slm": 0.8, "mid": 0.7})


def test_fixed_asks_its_model_and_serves_what_it_says() -> None:
    trace = play(FIXED, {"m1": Play(None)})
    assert (asked(trace), served(trace), trace.decision.reason) == (["m1"], "m1", Reason.fixed)
    assert trace.decision.verdict is None


def test_fixed_never_asks_another() -> None:
    trace = play(FIXED, {"m1": DOWN})
    assert (asked(trace), trace.decision.served, trace.decision.reason) == (["m1"], None, Reason.failed)


def test_fixed_asks_nobody_where_its_model_is_not_allowed_or_too_dear() -> None:
    assert "may not" in play(FIXED, tiers=(SLM,)).decision.note
    assert play(FIXED, max_cost=19).decision.note == "cost limit"
    assert play(FIXED, max_cost=19).attempts == ()
    assert served(play(FIXED, max_cost=20)) == "m1"


def test_fixed_streams_from_its_first_token() -> None:
    assert play(FIXED, stream=True).first_us == 50_000
    broken = play(FIXED, {"m1": Play(status=Status.broken, tokens=5)}, stream=True)
    assert (broken.decision.served, broken.decision.reason) == (1, Reason.fixed)
    assert "broke" in broken.decision.note


def test_fixed_is_bound_by_neither_time_nor_certificates() -> None:
    assert play(FIXED, max_latency_ms=1, max_quality_loss=0.01) == play(FIXED)


@pytest.mark.parametrize(
    ("known", "model", "reason", "deferrals"),
    [
        ({}, "s1", Reason.accepted, ()),
        ({"s1": 0.79}, "s2", Reason.accepted, ()),
        ({"s1": 0.79, "s2": None, "m1": 0.7}, "m1", Reason.accepted, ("predicted_low",)),
        ({"s1": None, "s2": None}, "m1", Reason.accepted, ("unprobed",)),
        (dict.fromkeys(["s1", "s2", "m1", "m2", "f1"], 0.0), "f1", Reason.top_tier, ("predicted_low",) * 2),
    ],
)
def test_threshold_goes_to_the_lowest_tier_that_is_predicted_to_do(
    known: dict[str, float | None], model: str, reason: Reason, deferrals: tuple[str, ...]
) -> None:
    trace = play(THRESHOLD, {model: Play(0.0)}, known=known)
    assert (asked(trace), trace.decision.reason, trace.decision.deferrals) == ([model], reason, deferrals)


def test_threshold_hands_up_on_a_failure_only() -> None:
    trace = play(THRESHOLD, {"s1": DOWN, "s2": DOWN, "m1": DOWN})
    assert (asked(trace), served(trace)) == (["s1", "s2", "m1", "m2"], "m2")
    assert trace.decision.deferrals == ("failed",)


def test_threshold_falls_back_when_the_top_is_down() -> None:
    low = dict.fromkeys(["s1", "s2", "m1", "m2"], 0.1)
    trace = play(THRESHOLD, {"f1": DOWN, "f2": DOWN}, known=low)
    assert (served(trace), trace.decision.reason) == ("m1", Reason.fallback)


def test_threshold_notes_what_an_only_tier_would_have_handed_up() -> None:
    more = {"tiers": (SLM,), "known": {"s1": 0.5, "s2": 0.5}}
    assert play(THRESHOLD, **more).decision.would_escalate
    assert play(THRESHOLD, **more).decision.reason is Reason.only_tier
    assert play(THRESHOLD, **more, demonstration=frozenset(("s1",))).decision.reason is Reason.demonstration
    assert not play(THRESHOLD, tiers=(SLM,)).decision.would_escalate


def test_threshold_under_limits() -> None:
    assert play(THRESHOLD, max_quality_loss=0.1).decision.reason is Reason.no_certificate
    trace = play(THRESHOLD, max_cost=3, known=dict.fromkeys(["s1", "s2", "m1", "m2"], 0.1), tiers=(SLM, TOP))
    assert (served(trace), trace.decision.reason) == ("s1", Reason.cost_limit)


def test_threshold_streams_at_once_and_moves_on_before_the_first_token() -> None:
    assert play(THRESHOLD, stream=True).first_us == 50_000
    trace = play(THRESHOLD, {"s1": DOWN}, stream=True)
    assert (served(trace), trace.first_us) == ("s2", 60_000)
