"""Side by side: agreement is served, disagreement is handed up."""

from smallfirst.core import Reason, Status
from smallfirst.policy.panel import Panel

from .stage import CASCADE, DOWN, MID, SLM, TOP, Play, asked, play, served

PANEL = Panel("p", ("s1", "s2"), CASCADE)
WITH_MID = Panel("p", ("s1", "s2"), CASCADE, with_mid=True)
ESSAY = "The lamp in the hall is broken and somebody should look at it before the end of this very long week"
OTHER = "Please call the janitor because there is no light near the stairs and visitors may stumble when they leave"


def test_agreement_is_served_whatever_the_threshold() -> None:
    trace = play(PANEL, {"s1": Play(0.1), "s2": Play(0.1, "(B)")})
    assert (asked(trace), served(trace), trace.decision.reason) == (["s1", "s2"], "s1", Reason.agreed)
    assert trace.latency_us == 100_000  # side by side


def test_disagreement_is_handed_up_and_the_panel_is_remembered_as_witnesses() -> None:
    trace = play(PANEL, {"s1": Play(0.9), "s2": Play(0.9, "C"), "m1": Play(0.8)})
    assert (asked(trace), served(trace), trace.decision.reason) == (["s1", "s2", "m1"], "m1", Reason.accepted)
    assert trace.decision.deferrals == ("disagreed",)


def test_with_mid_the_mid_answer_is_served_as_soon_as_one_agrees_and_the_slower_is_stopped() -> None:
    trace = play(WITH_MID, {"s1": Play(after_ms=50), "m1": Play(after_ms=120), "s2": Play(after_ms=900)})
    assert (served(trace), trace.decision.reason, trace.latency_us) == ("m1", Reason.agreed, 120_000)
    status = {a.outcome.model: a.outcome.status for a in trace.attempts}
    assert status["s2"] is Status.cancelled


def test_with_mid_two_small_ones_alone_do_not_decide() -> None:
    trace = play(WITH_MID, {"m1": Play(text="C"), "f1": Play()})
    assert (served(trace), trace.decision.reason) == ("f1", Reason.top_tier)


def test_a_quick_panel_serves_as_soon_as_any_two_agree() -> None:
    quick = Panel("p", ("s1", "s2"), CASCADE, with_mid=True, quick=True)
    trace = play(quick, {"m1": Play(text="C", after_ms=900), "s2": Play(after_ms=120)})
    assert (served(trace), trace.decision.reason, trace.latency_us) == ("s1", Reason.agreed, 120_000)
    trace = play(quick, {"m1": Play(after_ms=50), "s1": Play(text="C", after_ms=60), "s2": Play(after_ms=900)})
    assert (served(trace), trace.latency_us) == ("m1", 900_000)  # of two that agree, the one whose word counts first
    trace = play(quick, {"m1": Play(text="C"), "s2": Play(text="D")})
    assert (served(trace), trace.decision.reason) == ("f1", Reason.top_tier)


def test_when_mid_fails_the_first_model_leads() -> None:
    trace = play(WITH_MID, {"m1": DOWN})
    assert (served(trace), trace.decision.reason) == ("s1", Reason.agreed)


def test_when_the_first_model_fails_the_rest_decide() -> None:
    three = Panel("p", ("s1", "s2", "m1"), CASCADE)
    trace = play(three, {"s1": DOWN})
    assert (served(trace), trace.decision.reason) == ("s2", Reason.agreed)
    trace = play(PANEL, {"s1": DOWN})
    assert (served(trace), trace.decision.deferrals) == ("m1", ("alone",))
    trace = play(PANEL, {"s1": DOWN, "s2": DOWN})
    assert (served(trace), trace.decision.deferrals) == ("m1", ("failed",))


def test_answers_that_break_the_format_agree_on_nothing() -> None:
    trace = play(PANEL, {"s1": Play(None), "s2": Play(None)})
    assert (served(trace), trace.decision.deferrals) == ("m1", ("invalid",))


def test_free_texts_that_are_alike_are_served_only_where_the_judge_accepts() -> None:
    alike = ESSAY.replace("somebody", "someone")
    assert play(PANEL, {"s1": Play(0.9, ESSAY), "s2": Play(0.9, alike)}).decision.reason is Reason.agreed
    assert served(play(PANEL, {"s1": Play(0.5, ESSAY), "s2": Play(0.9, alike)})) == "m1"
    assert served(play(PANEL, {"s1": Play(0.9, ESSAY), "s2": Play(0.9, OTHER)})) == "m1"


def test_a_panel_of_which_only_one_may_be_asked_is_a_cascade() -> None:
    assert play(PANEL, tiers=(MID, TOP)) == play(CASCADE, tiers=(MID, TOP))
    assert asked(play(PANEL, max_cost=2)) == ["s1"]  # both together would cost 3


def test_in_an_only_tier_the_likeliest_answer_is_served() -> None:
    trace = play(PANEL, {"s1": Play(0.3), "s2": Play(0.4, "C")}, tiers=(SLM,))
    assert (served(trace), trace.decision.reason) == ("s2", Reason.only_tier)
    assert trace.decision.would_escalate
    demo = play(PANEL, {"s1": Play(0.3), "s2": Play(0.2, "C")}, tiers=(SLM,), demonstration=frozenset(("s1",)))
    assert demo.decision.reason is Reason.demonstration


def test_a_panel_that_reaches_into_the_top_tier_has_nobody_above() -> None:
    trace = play(Panel("p", ("s1", "f1"), CASCADE), {"s1": Play(0.3, "A"), "f1": Play(0.4, "C")})
    assert (asked(trace), served(trace), trace.decision.reason) == (["s1", "f1"], "f1", Reason.top_tier)


def test_the_latency_limit_ends_the_sitting() -> None:
    plays = {"s1": Play(0.3, after_ms=50), "s2": Play(0.9, after_ms=500)}
    trace = play(PANEL, plays, max_latency_ms=100)
    assert (served(trace), trace.decision.reason, trace.latency_us) == ("s1", Reason.latency_limit, 100_000)
    trace = play(PANEL, {"s1": Play(after_ms=300), "s2": Play(after_ms=500)}, max_latency_ms=100)
    assert (served(trace), trace.latency_us) == ("s1", 300_000)


def test_a_certificate_that_is_not_there_sends_it_to_the_top() -> None:
    assert play(PANEL, max_quality_loss=0.01).decision.reason is Reason.no_certificate


def test_panel_answers_of_a_stream_are_held() -> None:
    trace = play(PANEL, stream=True)
    assert (trace.decision.reason, trace.first_us) == (Reason.agreed, None)
