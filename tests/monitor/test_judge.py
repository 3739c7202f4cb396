"""A judge sees answers without names in a drawn order, and its grades find their way back."""

import json

import msgspec
import pytest

from smallfirst.core import Outcome, Query, Status, ToolCall
from smallfirst.monitor.judge import (
    DIGEST,
    LONGEST,
    judge_name,
    judge_query,
    order_of,
    read_scores,
    request_text,
    shorten,
    show_answer,
)

QUERY = Query("sf-1", "auto", "What is 2 + 2?", {"messages": b'[{"role": "user", "content": "What is 2 + 2?"}]'})


def said(text, status=Status.ok):
    return Outcome("judge", status, text)


def shown(query):
    return msgspec.json.decode(query.fields["messages"])[1]["content"]


def test_answers_are_shown_without_names_in_an_order_drawn_by_the_id():
    text = shown(judge_query(QUERY, ["four", "five"]))
    assert "small" not in text
    orders = {tuple(order_of(f"q{i}", 2)) for i in range(20)}
    assert orders == {(0, 1), (1, 0)}
    assert order_of("q", 5, seed=1) == order_of("q", 5, seed=1)


@pytest.mark.parametrize("query_id", ["a", "b", "c", "d", "e"])
def test_scores_come_back_in_the_order_of_the_answers(query_id):
    query = Query(query_id, "auto", "2 + 2?", {})
    answers = ["four", "five", "six"]
    text = shown(judge_query(query, answers))
    grades = {"four": 10, "five": 5, "six": 0}
    names = {name: next(g for a, g in grades.items() if f'name="{name}">\n{a}' in text) for name in "ABC"}
    assert read_scores(query_id, said(json.dumps(names)), 3) == [1.0, 0.5, 0.0]


def test_replies_with_words_around_them_are_read():
    assert sorted(read_scores("q", said('Sure:\n```json\n{"A": 7, "B": 10}\n```'), 2)) == [0.7, 1.0]


@pytest.mark.parametrize("reply", ["", '{"A": 7}', '{"A": 7, "B": 8, "C": 1}', '{"A": 11, "B": 3}', "A is best"])
def test_replies_that_do_not_grade_each_answer_once_are_none(reply):
    assert read_scores("q", said(reply), 2) is None


def test_a_judge_that_failed_says_nothing():
    assert read_scores("q", said('{"A": 7, "B": 8}', Status.timed_out), 2) is None


def test_the_prompt_is_named_in_every_grade():
    assert judge_name("best") == f"judge:best@{DIGEST}"


def test_a_reference_is_shown_where_there_is_one():
    assert "<right_answer>\n4\n" in shown(judge_query(QUERY, ["4", "5"], reference="4"))
    assert "<right_answer>" not in shown(judge_query(QUERY, ["4", "5"]))


def test_all_turns_are_shown_and_long_ones_are_shortened_in_the_middle():
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    query = Query("q", "auto", "Hi", {"messages": json.dumps(turns).encode()})
    assert request_text(query) == "[system]\nBe brief.\n\n[user]\nHi"
    long = shorten("a" * LONGEST + "b" * LONGEST)
    assert len(long) < LONGEST + 20
    assert (long[0], long[-1]) == ("a", "b")


def test_tool_calls_are_written_out():
    assert show_answer("", (ToolCall("add", '{"a":1}'),)) == 'add({"a":1})'
    assert show_answer("", ()) == "(no answer)"
