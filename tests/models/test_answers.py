"""Answers come in from files, complete or with a clear refusal, and mean offline what they meant live."""

import json

import msgspec
import pytest

from smallfirst.core import Outcome, Status, ToolCall, Usage
from smallfirst.errors import DataError
from smallfirst.gateway.parse import parse_chat
from smallfirst.models.answers import AnswerRow, outcome_of, query_of, read_answers, row_of, write_rows
from smallfirst.verify.validity import faults

ROW = {"query_id": "q1", "model": "small", "prompt": "What is 2 + 2?", "answer": "4"}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "required": ["a"]}}}


def read(tmp_path, *rows, name="answers.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_answers(path)


def test_the_least_that_a_row_needs(tmp_path):
    (row,) = read(tmp_path, ROW)
    outcome = outcome_of(row)
    assert (outcome.text, outcome.ok, outcome.finish) == ("4", True, "stop")
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens, outcome.usage.estimated) == (4, 1, True)
    assert query_of(row).text == "What is 2 + 2?"


def test_unknown_columns_are_passed_over_and_scores_are_not_read(tmp_path):
    (row,) = read(tmp_path, {**ROW, "score": 1.0, "team": "x"})
    assert "score" not in row.__struct_fields__


def test_a_row_without_an_answer_is_a_call_that_failed(tmp_path):
    (row,) = read(tmp_path, {**ROW, "answer": None})
    assert outcome_of(row).status is Status.broken


def test_the_last_user_turn_is_the_prompt(tmp_path):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    (row,) = read(tmp_path, {"query_id": "q", "model": "m", "messages": turns, "answer": "Hello"})
    assert row.prompt == "Hi"
    assert msgspec.json.decode(query_of(row).fields["messages"]) == turns


@pytest.mark.parametrize(("more", "says"), [
    ({"prompt": ""}, "line 1: `prompt` is missing or empty"),
    ({"query_id": None}, "line 1: Object missing required field `query_id`"),
    ({"sample_prob": 0}, "line 1: sample_prob must be above 0"),
    ({"input_tokens": "many"}, "line 1: Expected `int"),
])  # fmt: skip
def test_bad_rows_name_line_and_field(tmp_path, more, says):
    with pytest.raises(DataError, match=says):
        read(tmp_path, {**ROW, **more})


def test_repeated_rows(tmp_path):
    for second in (ROW, {**ROW, "answer": "5"}):
        with pytest.raises(DataError, match="line 2: a second row for query_id 'q1' and model 'small', after line 1"):
            read(tmp_path, ROW, second)
    with pytest.raises(DataError, match="line 2: query_id 'q1' has another prompt than on line 1"):
        read(tmp_path, ROW, {**ROW, "model": "large", "prompt": "What is 3 + 3?"})


def test_no_rows_and_no_file(tmp_path):
    with pytest.raises(DataError, match="no outcomes in it"):
        read(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        read_answers(tmp_path / "none.jsonl")


def test_parquet_and_jsonl_hold_the_same(tmp_path):
    pytest.importorskip("pyarrow")
    calls = (ToolCall("add", '{"a": 1}'),)
    rows = [
        AnswerRow("q1", "small", "Add 1", answer="", tool_calls=calls, request={"tools": [TOOL]}, cost_usd=0.001),
        AnswerRow("q1", "large", "Add 1", answer="2", request={"tools": [TOOL]}, latency_ms=12.5, slice="sums"),
    ]
    for name in ("rows.parquet", "rows.jsonl"):
        assert write_rows(tmp_path / name, rows) == 2
        assert read_answers(tmp_path / name) == rows


def live(fields):
    return parse_chat(json.dumps({"model": "auto", **fields}).encode(), {}, "sf-1", max_messages=10)


@pytest.mark.parametrize("fields", [
    {"messages": [{"role": "user", "content": "Say hello."}]},
    {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 3, "temperature": 0.5},
    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "In parts."}]}]},
    {"messages": [{"role": "user", "content": "Add."}], "tools": [TOOL]},
    {"messages": [{"role": "user", "content": "JSON"}], "response_format": {"type": "json_object"}},
    {"messages": [{"role": "user", "content": "JSON"}], "response_format": {
        "type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "required": ["a"]}}}},
])  # fmt: skip
def test_a_live_answer_comes_back_as_the_same_query_and_outcome(tmp_path, fields):
    """What is kept of live traffic is judged offline exactly as it was live."""
    query = live(fields)
    outcome = Outcome("small", Status.ok, '{"b": 1}', finish="stop", usage=Usage(7, 3), latency_us=1500, cost=9_000)
    row = row_of(query, outcome, rate=0.5)
    write_rows(tmp_path / "kept.jsonl", [row])
    (again,) = read_answers(tmp_path / "kept.jsonl")
    back = query_of(again)
    assert (back.id, back.text, back.tools, back.response_schema) == (
        query.id, query.text, query.tools, query.response_schema)  # fmt: skip
    assert msgspec.json.decode(back.fields["messages"]) == msgspec.json.decode(query.fields["messages"])
    for field in ("tools", "json_object", "json_schema", "output_tokens"):
        assert getattr(back.needs, field) == getattr(query.needs, field)
    returned = outcome_of(again)
    assert (returned.text, returned.usage, returned.latency_us, returned.cost) == (
        outcome.text, outcome.usage, outcome.latency_us, outcome.cost)  # fmt: skip
    assert faults(back, returned) == faults(query, outcome)
