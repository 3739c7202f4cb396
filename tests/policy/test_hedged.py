"""A slow model gets company from above; whoever is first with a good answer is served, and the other is paid for."""

from smallfirst.core import OutReason, Reason, Status
from smallfirst.monitor.guard import _AFTER
from smallfirst.policy.cascade import Cascade
from smallfirst.policy.certified import Certified
from smallfirst.policy.hedged import Hedged
from smallfirst.policy.panel import Panel

from .stage import ACCEPT, CASCADE, DOWN, MID, SLM, TOP, Play, asked, ladder, play, served

HEDGED = Hedged(CASCADE, 200, ACCEPT)
SLOW = Play(after_ms=900)


def statuses(trace):
    return {a.outcome.model: a.outcome.status for a in trace.attempts}


def test_who_is_in_time_is_served_as_ever() -> None:
    assert play(HEDGED) == play(CASCADE)
    assert play(HEDGED, {"s1": Play(0.3)}) == play(CASCADE, {"s1": Play(0.3)})


def test_the_next_one_up_is_asked_beside_a_slow_one_and_is_first() -> None:
    trace = play(HEDGED, {"s1": SLOW})
    assert (asked(trace), served(trace), trace.decision.reason) == (["s1", "m1"], "m1", Reason.hedged)
    assert trace.latency_us == 300_000  # after 200 ms, then 100
    assert statuses(trace) == {"s1": Status.cancelled, "m1": Status.ok}
    assert trace.cost == 1 + 20  # what was stopped is paid for
    assert trace.decision.deferrals == ("slow",)


def test_the_slow_one_is_served_after_all_where_it_is_first() -> None:
    trace = play(HEDGED, {"s1": Play(after_ms=250)})
    assert (served(trace), trace.decision.reason, trace.latency_us) == ("s1", Reason.accepted, 250_000)
    assert statuses(trace)["m1"] is Status.cancelled


def test_a_second_answer_that_is_not_good_enough_does_not_count() -> None:
    trace = play(HEDGED, {"s1": SLOW, "m1": Play(0.5)})
    assert (served(trace), trace.decision.reason, trace.latency_us) == ("s1", Reason.accepted, 900_000)
    trace = play(HEDGED, {"s1": SLOW, "m1": DOWN})
    assert (served(trace), trace.latency_us) == ("s1", 900_000)


def test_a_plan_that_hands_up_gets_the_call_that_is_running() -> None:
    """Nobody is asked twice: what was asked beside the slow model is what the plan asks for next."""
    trace = play(HEDGED, {"s1": Play(0.3, after_ms=250), "m1": Play(after_ms=200)})
    assert (asked(trace), served(trace), trace.decision.reason) == (["s1", "m1"], "m1", Reason.accepted)
    assert trace.latency_us == 400_000  # not 450: it had a start of 50
    trace = play(HEDGED, {"s1": Play(0.3, after_ms=400), "m1": Play(0.5)})
    assert (asked(trace), served(trace), trace.latency_us) == (["s1", "m1", "f1"], "f1", 500_000)


def test_the_highest_tier_streams_at_its_first_token() -> None:
    trace = play(HEDGED, {"m1": SLOW}, tiers=(MID, TOP), stream=True)
    assert (served(trace), trace.decision.reason) == ("f1", Reason.hedged)
    assert (trace.first_us, trace.latency_us) == (250_000, 300_000)


def test_a_stream_that_is_on_its_way_has_no_company() -> None:
    trace = play(HEDGED, {"f1": Play(after_ms=900)}, tiers=(TOP,), stream=True)
    assert asked(trace) == ["f1", "f2"]  # its first token is late too
    assert served(trace) == "f2"
    trace = play(HEDGED, {"f1": Play(after_ms=390)}, tiers=(TOP,), stream=True)
    assert (asked(trace), trace.first_us) == (["f1"], 195_000)


def test_a_panel_gets_company_only_when_all_that_are_waited_for_are_late() -> None:
    panel = Hedged(Panel("p", ("s1", "s2"), CASCADE), 200, ACCEPT)
    trace = play(panel, {"s1": Play(text="C", after_ms=100), "s2": SLOW})
    assert (served(trace), trace.decision.reason, trace.latency_us) == ("m1", Reason.hedged, 300_000)
    assert play(panel, {"s2": Play(after_ms=199)}).decision.reason is Reason.agreed


def test_none_where_the_request_limits_its_cost_or_asks_for_a_promise() -> None:
    assert asked(play(HEDGED, {"s1": SLOW}, max_cost=1000)) == ["s1"]
    assert asked(play(HEDGED, {"f1": SLOW}, max_quality_loss=0.1)) == ["f1"]


def test_p95_is_what_the_models_are_known_for() -> None:
    hedged = Hedged(CASCADE, "p95", ACCEPT)
    assert asked(play(hedged, {"s1": SLOW})) == ["s1"]  # nothing is known yet
    usual = {"usual_ms": lambda model, streamed: 300.0}
    assert play(hedged, {"s1": SLOW}, **usual).latency_us == 400_000


def test_a_certified_policy_is_hedged_by_its_highest_tier_only_and_stands_outside() -> None:
    hedged = Hedged(Certified("c", ladder(), 1), 200)
    trace = play(hedged, {"s1": SLOW, "s2": SLOW})
    assert (asked(trace), served(trace)) == (["s1", "s2", "f1"], "f1")
    assert _AFTER[trace.decision.reason] is OutReason.hedge


def test_the_client_that_leaves_a_hedged_stream_is_noticed() -> None:
    trace = play(HEDGED, {"m1": SLOW}, tiers=(MID, TOP), stream=True, gone_after_us=260_000)
    assert trace.decision.reason is Reason.client_gone


def test_an_only_tier_is_hedged_beside() -> None:
    trace = play(Hedged(Cascade("c", ACCEPT), 200, ACCEPT), {"s1": SLOW}, tiers=(SLM,))
    assert (served(trace), trace.decision.reason) == ("s2", Reason.hedged)
