"""What reads the same has one form; what does not, has not."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smallfirst.core import Outcome, Status, ToolCall
from smallfirst.verify.canonical import canonical, canonical_text


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        ("B", ["B", "b)", "(B)", "(b)", "B.", "**B**", "B) Paris", "(B) Paris", "Answer: B", "The answer is (B).",
               "I weighed all options.\n\nThe correct answer is **B. Paris**", "\\boxed{B}", "Option B) Paris"]),
        ("yes", ["yes", "Yes.", "YES!", "**Yes**", "Yes, because it rained.", "Answer: yes"]),
        ("1234", ["1234", "1,234", "$1,234", "1,234.00", "1234 dollars", "#### 1234", "Answer: 1,234"]),
        ("2469/2", ["1234.5", "$1,234.50", "1.234,50 €", "2469/2", "\\boxed{1234.5}"]),
        ("3/4", ["3/4", "0.75", "6/8", "$\\frac{3}{4}$", "so \\[ \\boxed{\\frac{3}{4}} \\]", ".75"]),
        ("50", ["50", "50%", "50 percent", "The answer is 50%."]),
        ("-7", ["-7", "\u22127", "-7.0", "-$7", "x = -7"]),
        ("42", ["12 + 30 = 42", "First add 12 to 30.\nSo 12 + 30 = 42.", "42.", '{"reasoning": "x", "answer": 42}',
                '```json\n{"reasoning": "x", "answer": "42"}\n```',
                'Sure!\n{"reasoning": "no \\frac", "answer": "42"}']),
        ('{"a":[2],"b":1}', ['{"b": 1, "a": [2]}', '{"a":[2],"b":1.0}', '```\n{"a": [2], "b": 1}\n```']),
        ('[(1,"x")]', ["[(1, 'x')]", '[(1,"x")]']),
        ("billing issue", ["Billing issue", "The billing issue.", "'billing issue'", "Answer: billing issue"]),
    ],
)  # fmt: skip
def test_one_form_for_what_reads_the_same(form: str, texts: list[str]) -> None:
    assert {text: canonical_text(text) for text in texts} == dict.fromkeys(texts, form)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "Dear Ms Smith, thank you for your letter of last week about the broken lamp in the hall.",
        "A cat sat on the mat. It was a long day.",
        "Yes, " + "and there is much more to say about it " * 5,
        '{"broken": ',
    ],
)
def test_free_text_has_no_form(text: str) -> None:
    assert canonical_text(text) is None


@pytest.mark.parametrize(
    ("one", "other"), [("A", "B"), ("yes", "no"), ("1.234", "1234"), ("[1, 2]", "(1, 2)"), ("1/3", "0.33"), ("7", "-7")]
)
def test_different_answers_stay_different(one: str, other: str) -> None:
    assert canonical_text(one) != canonical_text(other)


def test_tool_calls_compare_by_name_and_arguments_in_any_order() -> None:
    def form(*calls: tuple[str, str]) -> str | None:
        return canonical(Outcome("m", Status.ok, tool_calls=tuple(ToolCall(n, a) for n, a in calls)))

    one = form(("weather", '{"city": "Paris", "days": 2}'), ("time", "{}"))
    assert one == form(("time", ""), ("weather", '{"days":2.0,"city":"Paris"}'))
    assert one != form(("time", ""), ("weather", '{"days":3,"city":"Paris"}'))
    assert form(("weather", "not json")) == "weather(notjson)"


@given(st.text(max_size=400))
@example("(" * 3000)
@example("[" * 3000)
@example("{" * 3000 + "}" * 3000)
@example('{"answer": ' * 500)
@example("1e99")
@example("9" * 5000)
@example("1/0")
@example("\\boxed{" * 50)
@example("(1e999, '\ud800')")
@example("\x00")
def test_any_text_at_all(text: str) -> None:
    """Never raises, and the same text always has the same form."""
    assert canonical_text(text) == canonical_text(text)


@given(st.integers(-(10**12), 10**12))
def test_every_way_to_write_an_integer(n: int) -> None:
    ways = [str(n), f"{n:,}", f"{n}.0", f"Answer: {n}", f"\\boxed{{{n}}}", f"The final answer is {n:,}.", f"#### {n}"]
    assert {canonical_text(way) for way in ways} == {str(n)}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abcde"), json_values, min_size=2, max_size=4))
def test_the_order_of_keys_says_nothing(value: dict[str, object]) -> None:
    import json

    backwards = dict(reversed(value.items()))
    assert canonical_text(json.dumps(value)) == canonical_text(json.dumps(backwards, indent=2))


def test_a_literal_of_code_keeps_its_case_and_signs() -> None:
    assert canonical_text("'VsNlYgLtAw'") != canonical_text("'vsnlygltaw'")
    assert canonical_text("'$78$'") != canonical_text("'78'")
    assert canonical_text("''") == canonical_text('{"answer": "\'\'"}') is not None
