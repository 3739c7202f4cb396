import pytest

from smallfirst.core import Needs, Outcome, Query, Status, ToolCall, Usage
from smallfirst.verify.evidence import SHAPES, Seen, about, evidence, lead, same, seen, shape_of

QUERY = Query(id="q", asked="auto", text="What is 6 x 7?", fields={})
TRUST = (1.0, 1.5, 9.0)


def answer(form, tokens=10, **more):
    return Seen(form, tokens=tokens, **more)


def said(text, **more):
    return Outcome("m", Status.ok, text, usage=Usage(5, 12), **more)


def test_an_answer_is_looked_at_once():
    looked = seen(QUERY, said("It might be wrong, but the answer is 42."))
    assert (looked.form, looked.valid, looked.hedges, looked.tokens) == ("42", True, True, 12)
    assert seen(QUERY, said("42", finish="length")).cut


def test_a_call_that_failed_says_nothing():
    assert seen(QUERY, Outcome("m", Status.timed_out, "42")) == Seen(None, valid=False)


def test_a_limit_that_the_caller_set_is_not_held_against_the_model():
    query = Query(id="q", asked="auto", text="?", fields={}, needs=Needs(output_tokens=10))
    assert not seen(query, said("42", finish="length")).cut


def test_a_tool_call_has_a_form():
    calls = (ToolCall("f", '{"b": 1, "a": 2}'),)
    assert seen(QUERY, Outcome("m", Status.ok, "", calls)).form == 'f({"a":2,"b":1})'


@pytest.mark.parametrize(
    ("text", "tools", "shape"),
    [
        ("Which?\nA. one\nB. two", False, "options"),
        ("def f(x):\n  return x", False, "code"),
        ("Find $\\frac{1}{2}$", False, "maths"),
        ("It costs $5.", False, "plain"),
        ("Which?\nA. one", True, "tools"),
    ],
)
def test_shapes(text, tools, shape):
    assert shape_of(text, tools=tools) == shape
    assert about(text, tools=tools)[: len(SHAPES)] == [float(s == shape) for s in SHAPES]


def test_the_form_with_the_most_trust_behind_it_leads():
    assert lead([answer("a"), answer("a"), answer("b")], TRUST) == 2  # squared odds: the better model outweighs two
    assert lead([answer("a"), answer("a"), answer("b")], (1.0, 1.5, 2.0)) == 1  # its most trusted speaker
    assert lead([answer("42"), answer("b"), answer("42 apples")], (1.0, 1.5, 1.0)) in (0, 2)  # a unit is no difference


def test_an_answer_without_a_form_leads_only_where_no_other_has_one():
    assert lead([answer("a"), answer(None), answer(None)], TRUST) == 0
    assert lead([answer(None), answer(None)], TRUST[:2]) == 1


def test_what_breaks_the_format_never_leads():
    assert lead([answer("a"), answer("b", valid=False)], (1.0, 9.0)) == 0
    assert lead([answer("a", valid=False)], (1.0,)) == -1
    assert lead([], ()) == -1


def test_a_missing_form_agrees_with_nothing():
    assert not same(None, None)
    numbers = evidence([], [answer(None), answer(None), answer("a")], 2)
    assert numbers[:3] == [0.0, 0.0, 1.0]  # says the same as the leading one
    assert numbers[3:6] == [1.0, 1.0, 0.0]  # has no form


def test_evidence_counts_friends_and_rivals():
    numbers = evidence([7.0], [answer("a"), answer("b"), answer("b"), answer("a", tokens=30)], 3)
    assert len(numbers) == 1 + 6 * 4 + 8
    assert numbers[0] == 7.0
    assert numbers[1:5] == [1.0, 0.0, 0.0, 1.0]
    assert numbers[17:21] == [0.0, 1.0, 0.0, 0.0]  # two say the same
    assert numbers[21:25] == [0.0, 0.0, 1.0, 0.0]  # the largest other party has two


def test_missing_log_probabilities_read_as_zero_and_long_texts_are_read_in_part():
    assert evidence([], [answer("a")], 0)[-2:] == [0.0, 0.0]
    assert evidence([], [answer("a", first_logprob=-50.0)], 0)[-2] == -10.0
    assert about("x" * 100_000)[5] == pytest.approx(11.5129, abs=1e-3)
