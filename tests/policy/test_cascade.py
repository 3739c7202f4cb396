"""Ask, check, hand up."""

import pytest

from smallfirst.core import Outcome, Reason, Status
from smallfirst.engine.virtual import simulate
from smallfirst.policy.cascade import Cascade
from smallfirst.policy.protocol import Start

from .stage import CASCADE, DOWN, MID, SLM, TIERS, TOP, Play, asked, facts, play, script, served


def test_a_good_answer_of_the_lowest_tier_is_served() -> None:
    trace = play(CASCADE)
    assert (asked(trace), served(trace), trace.decision.reason) == (["s1"], "s1", Reason.accepted)
    assert trace.decision.verdict is not None
    assert trace.decision.verdict.p_correct == 0.9
    assert trace.decision.deferrals == ()
    assert trace.cost == 1


def test_a_doubtful_answer_is_handed_up_not_sideways() -> None:
    trace = play(CASCADE, {"s1": Play(0.84), "m1": Play(0.7)})
    assert asked(trace) == ["s1", "m1"]
    assert (served(trace), trace.decision.reason) == ("m1", Reason.accepted)
    assert trace.decision.deferrals == ("low_confidence",)
    assert trace.cost == 21


def test_the_highest_tier_is_served_whatever_the_judge_thinks() -> None:
    trace = play(CASCADE, {"s1": Play(0.5), "m1": Play(0.5), "f1": Play(0.1)})
    assert (served(trace), trace.decision.reason) == ("f1", Reason.top_tier)
    assert trace.decision.deferrals == ("low_confidence", "low_confidence")


def test_models_that_were_never_probed_or_are_predicted_to_fail_are_passed_over() -> None:
    trace = play(CASCADE, known={"s1": None, "s2": None, "m1": 0.2, "m2": 0.4})
    assert asked(trace) == ["m2"]
    assert trace.decision.deferrals == ("unprobed",)
    trace = play(CASCADE, known={"s1": None, "s2": 0.1, "m1": 0.0, "m2": None})
    assert asked(trace) == ["f1"]
    assert trace.decision.deferrals == ("predicted_low", "predicted_low")


def test_within_a_tier_the_first_probed_model_answers() -> None:
    assert asked(play(CASCADE, known={"s1": None})) == ["s2"]


def test_the_highest_tier_needs_no_probe() -> None:
    trace = play(CASCADE, known=dict.fromkeys(["s1", "s2", "m1", "m2", "f1", "f2"]))
    assert (asked(trace), trace.decision.reason) == (["f1"], Reason.top_tier)


def test_a_failure_goes_to_the_next_model_of_the_tier_and_then_up() -> None:
    assert asked(play(CASCADE, {"s1": DOWN})) == ["s1", "s2"]
    trace = play(CASCADE, {"s1": DOWN, "s2": DOWN})
    assert asked(trace) == ["s1", "s2", "m1"]
    assert trace.decision.deferrals == ("failed",)
    assert trace.decision.reason is Reason.accepted


def test_a_broken_format_is_handed_up_however_sure_the_prior() -> None:
    trace = play(CASCADE, {"s1": Play(None)})
    assert (asked(trace), trace.decision.deferrals) == (["s1", "m1"], ("invalid",))


def test_when_higher_models_fail_the_best_valid_answer_at_hand_is_served() -> None:
    trace = play(CASCADE, {"s1": Play(0.6), "m1": Play(0.4), "f1": DOWN, "f2": DOWN})
    assert (served(trace), trace.decision.reason) == ("s1", Reason.fallback)
    assert asked(trace) == ["s1", "m1", "f1", "f2"]
    trace = play(CASCADE, {"s1": Play(0.2), "m1": Play(None), "f1": Play(None), "f2": DOWN})
    assert (served(trace), trace.decision.reason) == ("s1", Reason.fallback)


def test_a_model_that_was_passed_over_answers_when_all_others_are_down() -> None:
    down = {"m1": DOWN, "m2": DOWN, "f1": DOWN, "f2": DOWN}
    trace = play(CASCADE, down, known={"s1": None, "s2": 0.1})
    assert (served(trace), trace.decision.reason) == ("s1", Reason.fallback)


def test_a_demonstration_model_never_stands_in_for_real_ones_that_are_down() -> None:
    down = {"f1": DOWN, "f2": DOWN}
    more = {"tiers": (SLM, TOP), "known": {"s1": None, "s2": 0.1}, "demonstration": frozenset(("s1", "s2"))}
    trace = play(CASCADE, down, **more)
    assert (served(trace), trace.decision.reason) == (None, Reason.failed)
    assert served(play(CASCADE, down, **(more | {"known": {"s1": 0.8}}))) == "s1"  # its own probe speaks for it


def test_when_everything_fails_nothing_is_served() -> None:
    trace = play(CASCADE, dict.fromkeys(["s1", "s2", "m1", "m2", "f1", "f2"], DOWN))
    assert (trace.decision.served, trace.decision.reason) == (None, Reason.failed)
    assert len(trace.attempts) == 6
    broken = play(CASCADE, dict.fromkeys(["s1", "s2", "m1", "m2", "f1", "f2"], Play(None)))
    assert (broken.decision.served, broken.decision.note) == (None, "broken format")


def test_no_allowed_model_at_all() -> None:
    trace = play(CASCADE, tiers=())
    assert (trace.decision.reason, trace.attempts) == (Reason.failed, ())
    assert "no model may see" in trace.decision.note


# -- one tier ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "known", "would"),
    [(0.9, 0.8, ""), (0.5, 0.8, "low_confidence"), (0.9, 0.1, "predicted_low"), (0.9, None, "unprobed")],
)
@pytest.mark.parametrize("demo", [False, True])
def test_an_only_tier_serves_and_notes_what_it_would_have_handed_up(
    p: float, known: float | None, would: str, demo: bool
) -> None:
    more = {"demonstration": frozenset(("s1",))} if demo else {}
    trace = play(CASCADE, {"s1": Play(p)}, tiers=(SLM,), known={"s1": known, "s2": None}, **more)
    assert served(trace) == "s1"
    assert trace.decision.reason is (Reason.demonstration if demo else Reason.only_tier)
    assert trace.decision.would_escalate is bool(would)
    assert trace.decision.note == (f"would hand up: {would}" if would else "")
    assert trace.decision.deferrals == ()


def test_in_an_only_tier_a_probed_model_comes_first_and_a_failing_one_last() -> None:
    assert asked(play(CASCADE, tiers=(SLM,), known={"s1": None})) == ["s2"]
    assert asked(play(CASCADE, {"s1": Play(None)}, tiers=(SLM,))) == ["s1", "s2"]


# -- limits -----------------------------------------------------------------------------------------------------------


def test_max_cost_stops_a_hand_up_and_the_answer_at_hand_is_served() -> None:
    trace = play(CASCADE, {"s1": Play(0.5), "m1": Play(0.6)}, max_cost=100)
    assert (asked(trace), served(trace), trace.decision.reason) == (["s1", "m1"], "m1", Reason.cost_limit)
    assert trace.decision.deferrals == ("low_confidence",)  # the second hand-up did not happen


def test_max_cost_that_does_not_bite_changes_nothing() -> None:
    assert play(CASCADE, max_cost=10**9) == play(CASCADE)
    assert play(CASCADE, max_cost=1).decision.reason is Reason.accepted


def test_max_cost_with_nothing_but_passed_over_models_in_reach_takes_the_cheapest() -> None:
    trace = play(CASCADE, max_cost=2, known={"s1": None, "s2": None})
    assert (asked(trace), trace.decision.reason) == (["s1"], Reason.cost_limit)


def test_max_cost_below_every_model() -> None:
    trace = play(CASCADE, max_cost=0)
    assert (trace.decision.served, trace.decision.reason, trace.decision.note) == (None, Reason.failed, "cost limit")
    assert trace.attempts == ()


def test_max_latency_serves_the_best_so_far_and_cancels_the_rest() -> None:
    trace = play(CASCADE, {"s1": Play(0.5), "m1": Play(0.9, after_ms=500)}, max_latency_ms=200)
    assert (served(trace), trace.decision.reason, trace.latency_us) == ("s1", Reason.latency_limit, 200_000)
    assert trace.attempts[-1].outcome.status is Status.cancelled


def test_max_latency_with_no_answer_yet_waits_for_the_first() -> None:
    trace = play(CASCADE, {"s1": Play(0.5, after_ms=300)}, max_latency_ms=200)
    assert (served(trace), trace.decision.reason, trace.latency_us) == ("s1", Reason.latency_limit, 300_000)
    good = play(CASCADE, {"s1": Play(0.9, after_ms=300)}, max_latency_ms=200)
    assert good.decision.reason is Reason.accepted
    failing = play(CASCADE, {"s1": Play(None, after_ms=300), "m1": Play(0.1)}, max_latency_ms=200)
    assert (served(failing), failing.decision.reason) == ("m1", Reason.latency_limit)


def test_max_quality_loss_without_a_certificate_goes_straight_to_the_last_tier() -> None:
    trace = play(CASCADE, max_quality_loss=0.02)
    assert (asked(trace), trace.decision.reason) == (["f1"], Reason.no_certificate)
    trace = play(CASCADE, {"f1": DOWN, "f2": DOWN}, max_quality_loss=0.02)
    assert (asked(trace), trace.decision.reason) == (["f1", "f2"], Reason.failed)
    trace = play(CASCADE, max_quality_loss=0.02, max_cost=100)
    assert trace.decision.served is None
    assert "max_cost" in trace.decision.note


# -- streams ----------------------------------------------------------------------------------------------------------


def test_a_stream_is_held_while_it_may_be_rejected_and_relayed_when_it_may_not() -> None:
    held = play(CASCADE, stream=True)
    assert (served(held), held.first_us) == ("s1", None)
    top = play(CASCADE, {"s1": Play(0.1), "m1": Play(0.1), "f1": Play(after_ms=400)}, stream=True)
    assert (served(top), top.first_us) == ("f1", 400_000)  # 100 + 100 + the first token after 200
    assert [a.released for a in top.attempts] == [False, False, True]


def test_a_stream_that_fails_before_its_first_token_goes_elsewhere() -> None:
    trace = play(CASCADE, {"f1": DOWN}, stream=True, tiers=(TOP,))
    assert (asked(trace), served(trace)) == (["f1", "f2"], "f2")


def test_a_stream_that_breaks_after_its_first_token_ends_there() -> None:
    trace = play(
        CASCADE,
        {"f1": Play(status=Status.broken, tokens=2)},
        stream=True,
        tiers=(MID, TOP),
        known={"m1": None, "m2": None},
    )
    assert asked(trace) == ["f1"]
    assert trace.decision.served == 1
    assert "broke" in trace.decision.note


def test_an_only_tier_streams_and_judges_by_its_prediction() -> None:
    trace = play(CASCADE, tiers=(SLM,), stream=True)
    assert trace.first_us is not None
    assert trace.decision.would_escalate  # predicted 0.8, and 0.85 is asked for
    assert not play(Cascade("x", {"slm": 0.8}), tiers=(SLM,), stream=True).decision.would_escalate


def test_the_latency_limit_does_not_take_back_what_was_released() -> None:
    plays = {"s1": Play(0.1, after_ms=10), "f1": Play(after_ms=500)}
    trace = play(CASCADE, plays, stream=True, tiers=(SLM, TOP), max_latency_ms=300)
    assert (served(trace), trace.decision.reason) == ("f1", Reason.top_tier)


def test_without_a_stream_nothing_is_watched_or_released() -> None:
    trace = play(CASCADE, {"s1": Play(0.1), "m1": Play(0.1)}, tiers=TIERS)
    assert trace.first_us is None


def test_log_probabilities_are_asked_for_only_where_they_can_change_something() -> None:
    def signals(**more) -> dict[str, bool]:
        plays = {"s1": Play(0.1), "m1": Play(0.1)}
        found: dict[str, bool] = {}

        def answer(start: Start) -> tuple[Outcome, int]:
            found[start.model] = start.signals
            return script(plays)(start)

        simulate(CASCADE, facts(plays, **more), answer)
        return found

    assert signals() == {"s1": True, "m1": True, "f1": False}
    assert signals(tiers=(SLM,)) == {"s1": True}
    assert signals(tiers=(SLM,), stream=True) == {"s1": False}
