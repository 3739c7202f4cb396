"""What is covered by the promise is served cheaply; everything else by the highest tier, with the reason."""

from __future__ import annotations

import msgspec
import pytest

from smallfirst.calibrate.certificate import Differences
from smallfirst.core import Dials, OutReason, Query, Reason, Tier
from smallfirst.engine.virtual import simulate
from smallfirst.monitor.guard import ONE_TURN, Guarded
from smallfirst.policy.cascade import Cascade
from smallfirst.policy.hand_over import HandingOver
from smallfirst.policy.hedged import Hedged
from tests.monitor.promises import MODELS, bound, certificate, guarded
from tests.policy.stage import DOWN, MID, TIERS, TOP, Play, asked, facts, play, script


def ask(policy, *tags, turns=0):
    """As `play`, with these tags and so many earlier turns."""
    query = Query("q", "promise", "text", {}, dials=Dials(tags=tags), turns=turns)
    return simulate(policy, msgspec.structs.replace(facts(), query=query), script({}))


def standing(trace):
    return trace.decision.certificate_id, trace.decision.out_reason


def test_inside_the_certified_rung_answers():
    policy = guarded()
    trace = play(policy)
    assert asked(trace) == ["s1"]
    assert standing(trace) == (policy.certificate.id, None)
    assert policy.in_force


def test_a_certificate_that_was_voided_is_not_served_under():
    policy = guarded(found=Differences(voiding=("model 's1' is another",)))
    trace = play(policy)
    assert not policy.in_force
    assert (asked(trace), trace.decision.reason) == (["f1"], Reason.no_certificate)
    assert standing(trace) == (policy.certificate.id, OutReason.digest)


def test_a_voided_certificate_does_not_look_at_its_ladder():
    def no_rung(rung):
        raise AssertionError(rung)

    policy = Guarded("promise", certificate(), MODELS, no_rung, Differences(voiding=("the ladder is another",)))
    assert play(policy).decision.out_reason is OutReason.digest


def test_what_the_highest_tier_answered_beside_a_slow_model_stands_outside():
    policy = Guarded(
        "promise", certificate(), MODELS, lambda rung: Hedged(Cascade("promise"), 200), Differences()
    )  # fmt: skip
    trace = play(policy, {"s1": Play(after_ms=900)})
    assert (asked(trace), trace.decision.reason) == (["s1", "f1"], Reason.hedged)
    assert standing(trace) == (policy.certificate.id, OutReason.hedge)
    assert standing(play(policy)) == (policy.certificate.id, None)


def test_what_was_written_with_a_draft_stands_outside():
    policy = Guarded(
        "promise", certificate(), MODELS, lambda rung: HandingOver(Cascade("promise"), "draft"), Differences()
    )  # fmt: skip
    trace = play(policy, {"s1": Play(0.3, "perhaps")})
    assert standing(trace) == (policy.certificate.id, OutReason.draft)


def test_a_changed_price_only_warns():
    policy = guarded(found=Differences(warning=("prices have changed",)))
    assert (policy.in_force, asked(play(policy))) == (True, ["s1"])


def test_an_alarm_sends_everything_to_the_highest_tier():
    policy = guarded()
    policy.alarms["all"] = 1
    trace = play(policy)
    assert (asked(trace), standing(trace)) == (["f1"], (policy.certificate.id, OutReason.alarm))


def test_on_alarm_the_highest_permitted_tier_answers():
    policy = guarded()
    policy.alarms["all"] = 1
    assert asked(play(policy, tiers=TIERS[:2])) == ["m1"]


def test_a_model_that_may_not_be_asked_narrows_it():
    trace = play(guarded(), tiers=(Tier("slm", ("s2",)), MID, TOP))
    assert (asked(trace), trace.decision.out_reason) == (["f1"], OutReason.narrowed)
    inside = play(guarded(), tiers=(Tier("slm", ("s1",)), MID, TOP))
    assert inside.decision.out_reason is None


def test_the_same_tiers_are_looked_at_once_and_narrower_ones_again():
    policy = guarded()
    assert play(policy).decision.out_reason is None
    assert play(policy).decision.out_reason is None
    assert play(policy, tiers=TIERS[1:]).decision.out_reason is OutReason.narrowed
    assert play(policy).decision.out_reason is None


@pytest.mark.parametrize(("dial", "reason"), [(0.05, None), (0.02, None), (0.019, OutReason.too_strict)])
def test_the_dial_can_only_be_as_strict_as_the_promise(dial, reason):
    trace = play(guarded(), max_quality_loss=dial)
    assert trace.decision.out_reason is reason
    assert asked(trace) == (["f1"] if reason else ["s1"])


def test_a_conversation_stands_outside_where_one_turn_was_certified():
    single = guarded(certificate(notes=(ONE_TURN,)))
    assert ask(single, turns=1).decision.out_reason is OutReason.session
    assert play(single).decision.out_reason is None
    assert ask(guarded(), turns=1).decision.out_reason is None


def test_each_slice_runs_its_own_rung_and_unknown_ones_stand_outside():
    policy = guarded(certificate(bound("faq", 1), bound("code", 0, None)))
    named = ask(policy, "team", "slice:faq")
    assert (asked(named), named.decision.out_reason) == (["s1"], None)
    always = ask(policy, "slice:code")
    assert (asked(always), always.decision.out_reason) == (["f1"], None)
    assert ask(policy, "slice:math").decision.out_reason is OutReason.slice
    assert play(policy).decision.out_reason is OutReason.slice  # of the kind `other`


def test_what_happened_on_the_way_is_told():
    assert play(guarded(), {"s1": DOWN}).decision.out_reason is OutReason.fallback
    gone = play(guarded(), gone_after_us=10)
    assert (gone.decision.served, gone.decision.out_reason) == (None, OutReason.unserved)
    broke = play(guarded(found=Differences(voiding=("x",))), {"f1": DOWN, "f2": DOWN})
    assert (broke.decision.served, broke.decision.out_reason) == (None, OutReason.digest)
