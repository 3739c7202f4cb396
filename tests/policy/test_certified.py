from pathlib import Path as Path_

import msgspec
import pytest

from smallfirst.core import Outcome, Query, Reason, Schema, Status, Tier, Usage, Verdict
from smallfirst.engine.virtual import simulate
from smallfirst.errors import DataError
from smallfirst.learn.ladder import Path, fit_ladder
from smallfirst.learn.verifier import Forest, Recipe
from smallfirst.policy.certified import Certified
from smallfirst.policy.ladder import decode
from smallfirst.policy.protocol import Facts
from tests.learn.worlds import MODELS, world

QUICK = Path(rungs=16, grid=120, words=False, recipe=Recipe(gap=Forest(trees=10), price=Forest(trees=8)))
EASY = "add item 7 of the set\nA. one\nB. two"
COST = {"a": 400, "b": 500, "mid": 2400, "top": 40000}


@pytest.fixture(scope="module")
def ladder():
    return fit_ladder(world(800), asks=[("a", "b"), ("mid",)], path=QUICK)


@pytest.fixture
def cheap(ladder):
    return Certified("cheap", ladder, len(ladder.rungs) - 1, promise=0.05)


def play(policy, answers=None, *, models=MODELS, after_ms=None, query=None, **more):
    """Everyone answers (A) after 100 ms, unless `answers` says otherwise: a text, or a status."""
    answers = answers or {}
    query = query or Query(id="q", asked="x", text=EASY, fields={})

    def answer(start):
        said = answers.get(start.model, "The answer is (A).")
        usage, ms = Usage(20, 40), (after_ms or {}).get(start.model, 100)
        if isinstance(said, Status):
            return Outcome(start.model, said), ms * 1000
        return Outcome(start.model, Status.ok, said, finish="stop", usage=usage, cost=COST[start.model]), ms * 1000

    facts = Facts(
        tiers=tuple(Tier(model, (model,)) for model in models),
        p_correct={},
        complexity=0.5,
        kind="other",
        judge=lambda outcome, others: Verdict(0.5),
        expected_cost=COST.__getitem__,
        **{"query": query, **more},
    )
    return simulate(policy, facts, answer)


def asked(trace):
    return [attempt.outcome.model for attempt in sorted(trace.attempts, key=lambda attempt: attempt.n)]


def served(trace):
    return next(a.outcome.model for a in trace.attempts if a.n == trace.decision.served)


def test_answers_that_agree_are_served_with_their_chance(cheap):
    trace = play(cheap)
    assert set(asked(trace)) == {"a", "b"}
    assert (served(trace), trace.decision.reason) == ("b", Reason.accepted)  # the more trusted of the two speaks
    assert 0.5 < trace.decision.verdict.p_correct < 1
    assert "top call" in trace.decision.verdict.why[1]


def test_the_models_of_a_step_are_asked_at_the_same_time(cheap):
    assert play(cheap, after_ms={"a": 300, "b": 200}).latency_us == 300_000


def test_rung_0_asks_the_top_model_alone(ladder):
    trace = play(Certified("top", ladder, 0))
    assert (asked(trace), trace.decision.reason) == (["top"], Reason.top_tier)


def test_disagreement_is_handed_up(ladder):
    trace = play(Certified("x", ladder, 3), {"a": "(B)", "mid": "(C)"})
    assert served(trace) == "top"
    assert set(trace.decision.deferrals) <= {"low_confidence"}


def test_a_call_that_fails_counts_as_no_answer(cheap):
    trace = play(cheap, {"a": Status.unavailable, "b": Status.timed_out})
    assert served(trace) in ("mid", "top")
    assert "failed" in trace.decision.deferrals


def test_when_the_top_model_fails_the_best_answer_at_hand_is_served(ladder):
    trace = play(Certified("x", ladder, 3), {"a": "(B)", "mid": "(C)", "top": Status.unavailable})
    assert trace.decision.reason is Reason.fallback
    assert trace.decision.served is not None


def test_an_answer_that_breaks_the_format_is_never_served(cheap):
    schema = Schema("s", {"type": "object", "required": ["x"]})
    query = Query(id="q", asked="x", text=EASY, fields={}, response_schema=schema)
    trace = play(cheap, {"top": '{"x": 1}'}, query=query)
    assert served(trace) == "top"
    trace = play(cheap, {"top": Status.unavailable}, query=query)
    assert trace.decision.served is None


def test_what_may_not_be_asked_narrows_the_path_to_the_top_model(cheap):
    trace = play(cheap, models=("a", "mid", "top"))
    assert asked(trace) == ["top"]
    assert play(cheap, query=None, models=("a", "b")).decision.served is not None  # without it, whoever is left


def test_a_stricter_promise_than_the_certified_one_goes_straight_up(cheap, ladder):
    assert asked(play(cheap, max_quality_loss=0.05)) != ["top"]
    strict = play(cheap, max_quality_loss=0.01)
    assert (asked(strict), strict.decision.reason) == (["top"], Reason.no_certificate)
    uncertified = Certified("x", ladder, cheap.rung)
    assert asked(play(uncertified, max_quality_loss=0.5)) == ["top"]


def test_limits_of_cost_and_time(cheap):
    poor = play(cheap, max_cost=450)
    assert served(poor) == "a"  # not enough for the step, nor for the top model: the cheapest that is left
    late = play(cheap, max_latency_ms=150, after_ms={"a": 100, "b": 400})
    assert (served(late), late.decision.reason) == ("a", Reason.latency_limit)


def test_a_rung_that_is_not_there_is_refused(ladder):
    with pytest.raises(DataError, match="rung 99: the ladder has rungs 0 to"):
        Certified("x", ladder, 99)


def test_the_example_ladder_can_be_read_and_run():
    ladder = decode((Path_(__file__).resolve().parents[2] / "examples" / "recorded.ladder").read_bytes())
    assert ladder.models == ("slm-a", "slm-b", "slm-c", "mid", "frontier")
    assert "bfcl" not in ladder.provenance["slices"]
    tiers = tuple(Tier(model, (model,)) for model in ladder.models)
    query = Query(id="q", asked="x", text="A train goes 60 miles in 2 hours. How fast is it?", fields={})
    facts = Facts(tiers, {}, 0.5, "other", lambda *_: Verdict(0.5), lambda _: 0, query=query)
    said = Outcome("", Status.ok, '{"answer": "30"}', finish="stop", usage=Usage(20, 60))
    trace = simulate(
        Certified("x", ladder, ladder.cheapest(0.05)),
        facts,
        lambda start: (msgspec.structs.replace(said, model=start.model), 1000),
    )
    assert (served(trace), trace.decision.reason) == ("mid", Reason.accepted)
    assert trace.decision.verdict.p_correct > 0.8
