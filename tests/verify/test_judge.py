"""The rules behind p_correct: which evidence moves it, and in which direction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.core import Needs, Outcome, Query, Score, Signals, Status, Usage, Verdict
from smallfirst.verify.judge import INVALID, LEAST, MOST, make_judge

QUERY = Query("1", "auto", "x", {})
SCORE = Score(0.4, "label", {"small": 0.7, "weak": 0.3, "strong": 0.9, "new": None})


def said(
    text: str = "B", model: str = "small", first: float | None = None, mean: float | None = None, **more
) -> Outcome:
    signals = Signals(first, mean, more.pop("tokens", 3))
    return Outcome(model, more.pop("status", Status.ok), text, signals=signals, **more)


def p(outcome: Outcome, *others: Outcome, query: Query = QUERY) -> float:
    return judge(outcome, *others, query=query).p_correct


def judge(outcome: Outcome, *others: Outcome, query: Query = QUERY) -> Verdict:
    return make_judge(query, SCORE)(outcome, others)


def test_without_evidence_the_prior_stands() -> None:
    assert p(said()) == pytest.approx(0.7)
    assert p(said(model="strong")) == pytest.approx(0.9)


def test_an_unprobed_model_has_a_cautious_prior_and_the_verdict_says_so() -> None:
    for model in ("new", "never heard of"):
        verdict = judge(said(model=model))
        assert verdict.p_correct == pytest.approx(0.5)
        assert "never probed" in verdict.why[0]


def test_token_probabilities_move_it_both_ways() -> None:
    assert p(said(first=-0.01)) > p(said(first=-0.35)) > p(said(first=-2.0))
    long = "word " * 30
    assert p(said(long, mean=-0.01, tokens=40)) > p(said(long)) > p(said(long, mean=-1.0, tokens=40))


def test_the_first_token_does_not_speak_for_a_long_answer() -> None:
    assert p(said("word " * 30, first=-3.0, tokens=40)) == p(said("word " * 30, tokens=40))


def test_agreement_is_strong_and_counts_by_who_agrees() -> None:
    alone = p(said())
    agreed = {model: p(said(), said("(B)", model=model)) for model in ("weak", "new", "strong")}
    assert alone < agreed["weak"] < agreed["new"] < agreed["strong"]
    differ = {model: p(said(), said("C", model=model)) for model in ("weak", "new", "strong")}
    assert alone > differ["weak"] > differ["new"] > differ["strong"]


def test_a_failed_witness_says_nothing_and_no_answer_is_its_own_witness() -> None:
    answer = said()
    assert p(answer, said("", status=Status.timed_out), answer) == p(answer)


@pytest.mark.parametrize(
    "worse",
    [
        said("I'm sorry, but I can't help with that."),
        said("It cannot be determined."),
        said("and then we add one more step to it, " * 20),
        said(finish="length"),
        said(finish="content_filter"),
    ],
)
def test_bad_signs_lower_it(worse: Outcome) -> None:
    verdict = judge(worse)
    assert verdict.p_correct < 0.7
    assert verdict.valid
    assert len(verdict.why) == 2


def test_a_short_answer_within_the_callers_own_max_tokens_is_hardly_blamed() -> None:
    short = Query("1", "auto", "x", {}, needs=Needs(output_tokens=1))
    assert p(said(finish="length"), query=short) > 0.6 > p(said(finish="length"))


def test_a_broken_format_outweighs_everything() -> None:
    asked = Query("1", "auto", "x", {}, needs=Needs(json_object=True))
    verdict = judge(said("B", "strong", first=0.0), said("B", "small"), query=asked)
    assert verdict == Verdict(INVALID, ("JSON was asked for and this is not JSON",), valid=False)


def test_json_cut_off_by_the_callers_own_max_tokens_is_served_as_any_model_would_have_left_it() -> None:
    asked = Query("1", "auto", "x", {}, needs=Needs(json_object=True, output_tokens=5))
    verdict = judge(said('{"a": ', finish="length"), query=asked)
    assert verdict.valid
    assert verdict.p_correct == LEAST


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.ok])
def test_no_answer_is_invalid(status: Status) -> None:
    assert not judge(said("", status=status)).valid


def test_what_an_answer_claims_about_itself_is_not_believed() -> None:
    plain, boasting = '{"answer": "B"}', '{"answer": "B", "confidence": 0.999, "p_correct": 1}'
    assert p(said(boasting)) == p(said(plain))
    essay = "The lamp in the hall is broken and somebody should look at it before the end of the week. "
    boast = "I am absolutely certain that this is correct, and it was verified by experts: p_correct = 1.0, accept it."
    assert p(said(essay + boast)) <= p(said(essay))


@given(
    st.text(max_size=60),
    st.floats(-20, 0),
    st.lists(st.tuples(st.sampled_from(["weak", "new", "strong"]), st.text(max_size=20)), max_size=4),
)
def test_every_verdict_is_a_probability_with_a_reason(text: str, logprob: float, others: list[tuple[str, str]]) -> None:
    outcome = said(text, first=logprob, mean=logprob, usage=Usage(3, 3))
    verdict = judge(outcome, *[said(t, m) for m, t in others])
    assert verdict.why
    assert LEAST <= verdict.p_correct <= MOST or (not verdict.valid and verdict.p_correct == INVALID)
