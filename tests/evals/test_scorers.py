"""What a scorer forgives and what it does not."""

from __future__ import annotations

import pytest

from smallfirst.evals.prompts_sample import make
from smallfirst.evals.scorers import SCORERS, clean, score


def check(scorer: str, target: str, answer: str, **params: object) -> float:
    sample = make("other", "test", 1, "Some question that is not the answer?", target, scorer, params=params)
    return score(sample, answer).value


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("27", 1),
        ("27.", 1),
        ("The total is 27.00 euros.", 1),
        ("12 + 15 = 27", 1),
        ("**27**", 1),
        ("28", 0),
        ("127", 0),
        ("27, or maybe 28", 0),
        ("at 10:27", 0),
        ("twenty-seven", 0),
    ],
)
def test_number(answer: str, right: int):
    assert check("number", "27", answer, value=27) == right


def test_number_knows_thousands_and_cents():
    assert check("number", "1,234.50", "It is $1,234.50.", value=1234.5) == 1
    assert check("number", "1,234.50", "1234.5", value=1234.5) == 1
    assert check("number", "1,234.50", "1234.51", value=1234.5) == 0


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("spam", 1),
        ("Spam.", 1),
        ("This is spam", 1),
        ("not spam", 0),
        ("It is spam, not 'not spam'.", 0),
        ("spammer", 0),
        ("", 0),
    ],
)
def test_label_must_be_named_alone(answer: str, right: int):
    assert check("label", "spam", answer, labels=["spam", "not spam"]) == right


def test_includes_wants_the_value_as_a_whole_word_and_none_of_the_others():
    accepted = {"accept": ["27"], "reject": ["5 days"]}
    assert check("includes", "27 days", "You have 27 days of leave.", **accepted) == 1
    assert check("includes", "27 days", "You have 127 days of leave.", **accepted) == 0
    assert check("includes", "27 days", "27.5 days", **accepted) == 0
    assert check("includes", "27 days", "27 days, and 5 days to carry over", **accepted) == 0
    sure = {**accepted, "sure": "27 days, and 5 days"}
    assert check("includes", "27 days", "27 days, and 5 days to carry over", **sure) == 1
    assert check("includes", "27 days", "27 " + "word " * 60, **accepted) == 0


def test_giving_most_of_a_long_prompt_back_is_not_an_answer():
    text = "The warehouse in Leeds takes parcels on Monday while the shop in Cork is closed until the end of next week."
    sample = make(
        "faq", "test", 1, f"{text}\n\nWhere is the warehouse?", "Leeds", "includes", params={"accept": ["Leeds"]}
    )
    assert score(sample, "In Leeds.").value == 1
    assert score(sample, text).value == 0


def test_json_compares_content_not_looks():
    target = '{"name": "Amara Whitlock", "count": 12}'
    assert check("json", target, '```json\n{"count": "12", "name": "amara whitlock"}\n```') == 1
    assert check("json", target, '{"name": "Amara Whitlock", "count": 13}') == 0
    assert check("json", target, '{"name": "Amara Whitlock"}') == 0
    assert check("json", target, '{"name": "Amara Whitlock", "count": 12, "x": 1}') == 0
    assert check("json", target, '{"name": "Amara Whitlock", "count": 12, "x": 1}', extra=True) == 1
    assert check("json", target, '{"name": "Amara Whitlock", "count": null}') == 0
    assert check("json", target, "[" * 100_000) == 0
    assert check("json", '{"amount": "12.50"}', '{"amount": "EUR 12.50"}') == 1
    assert check("json", '[{"a": 1}, {"a": 2}]', '[{"a": 2}, {"a": 1}]') == 0


def test_items_keep_their_order():
    assert check("items", "Bea, Ina, Tom", "Bea, Ina, Tom.", separator=",") == 1
    assert check("items", "Bea, Ina, Tom", "Ina, Bea, Tom", separator=",") == 0
    assert check("items", "- lamp\n- cable", "- lamp\n- cable", marker="- ") == 1
    assert check("items", "- lamp\n- cable", "* lamp\n* cable", marker="- ") == 0


def test_exact_minds_case_only_where_it_is_the_point():
    assert check("exact", "snake_case", "`snake_case`", case=True) == 1
    assert check("exact", "Title Case", "title case", case=True) == 0
    assert check("exact", "Title Case", "title case") == 1


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ({"max_words": 4}, "Four words are fine", "These five words are not"),
        ({"without": ["broken"]}, "It is out of order", "It is broken"),
        ({"without_letter": "x"}, "No such thing", "Exactly that"),
        ({"upper": True}, "LOUD", "Loud"),
        ({"lower": True}, "quiet", "Quiet"),
        ({"begins_with": "Dear team"}, "Dear team, hello", "Hello, dear team"),
        ({"ends_with": "Thank you."}, "Please come. Thank you!", "Thank you for coming."),
        ({"contains": ["Friday"]}, "See you on Friday", "See you"),
        ({"pattern": r"\d{4}"}, "2024", "24"),
    ],
)
def test_rules(rule: dict[str, object], good: str, bad: str):
    assert check("rules", good, good, **rule) == 1
    assert check("rules", good, bad, **rule) == 0


def test_an_explanation_stands_beside_every_wrong_answer():
    sample = make("other", "test", 1, "Q?", "right", "exact")
    for scorer in SCORERS:
        assert score(sample, "").explanation, scorer
    assert score(sample, "wrong").explanation


def test_clean_takes_the_wrapping_off():
    assert clean('```json\n{"a": 1}\n```') == '{"a": 1}'
    assert clean(" \u201cquoted\u201d ") == "quoted"
    assert clean("**bold** word") == "bold word"
