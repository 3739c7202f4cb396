"""Formats, refusals, doubts, loops."""

import json

import msgspec
import pytest

from smallfirst.core import Needs, Outcome, Query, Schema, Status, ToolCall
from smallfirst.verify.validity import faults, hedges, loops, refuses

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}


def query(schema: object = None, tools: dict[str, dict[str, object]] | None = None, **needs: bool) -> Query:
    return Query(
        "1", "auto", "x", {}, needs=Needs(**needs),
        response_schema=None if schema is None else Schema("s", schema),
        tools=tuple(Schema(name, parameters) for name, parameters in (tools or {}).items()),
    )  # fmt: skip


def said(text: str = "", *calls: tuple[str, str]) -> Outcome:
    return Outcome("m", Status.ok, text, tool_calls=tuple(ToolCall(n, a) for n, a in calls))


def test_an_empty_answer_is_a_fault() -> None:
    assert faults(query(), said(" \n")) == ("the answer is empty",)
    assert faults(query(), said("", ("f", "{}"))) == ()


@pytest.mark.parametrize(
    ("text", "fine"), [('{"a": 1}', True), ("[1]", False), ("```json\n{}\n```", False), ("{", False)]
)
def test_json_object(text: str, fine: bool) -> None:
    assert (faults(query(json_object=True), said(text)) == ()) is fine


@pytest.mark.parametrize(
    ("value", "fine"),
    [({"name": "Ada", "age": 36}, True), ({"name": "Ada", "age": -1}, False), ({"age": 1}, False),
     ({"name": "Ada", "more": 1}, False)],
)  # fmt: skip
def test_json_schema(value: dict[str, object], fine: bool) -> None:
    assert (faults(query(PERSON, json_schema=True), said(json.dumps(value))) == ()) is fine


def test_a_fault_says_where_and_not_what() -> None:
    (fault,) = faults(query(PERSON), said('{"name": "secret-name", "age": "secret-age"}'))
    assert "age" in fault
    assert "secret" not in fault


def test_tool_calls_are_checked_against_the_tools_that_were_offered() -> None:
    asked = query(tools={"lookup": PERSON})
    assert faults(asked, said("", ("lookup", '{"name": "Ada"}'))) == ()
    assert "not offered" in faults(asked, said("", ("delete", "{}")))[0]
    assert "not JSON" in faults(asked, said("", ("lookup", "{name")))[0]
    assert "not an object" in faults(asked, said("", ("lookup", "[]")))[0]
    assert "schema" in faults(asked, said("", ("lookup", '{"age": 3}')))[0]
    assert faults(asked, said("I need no tool for this.")) == ()


@pytest.mark.parametrize(
    "schema",
    [{"type": "bogus"}, {"$ref": "http://127.0.0.1:9/schema"}, {"$ref": "file:///etc/hostname"}, {"$ref": "#/nowhere"}],
)
def test_a_schema_that_cannot_be_compiled_checks_nothing_and_fetches_nothing(schema: dict[str, object]) -> None:
    assert faults(query(schema), said("{}")) == ()


def test_a_pattern_cannot_be_made_to_run_for_ever() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    assert faults(query(schema), said(json.dumps({"a": "a" * 5000 + "!"}))) != ()


def test_deep_json_is_a_fault_and_not_a_crash() -> None:
    assert faults(query(json_object=True), said("[" * 100_000)) != ()


@pytest.mark.parametrize(
    ("text", "yes"),
    [("I'm sorry, but I can't help with that.", True), ("I\u2019m unable to do this.", True),
     ("As an AI language model, I have no opinion.", True), ("The pump can't help with that.", False), ("B", False),
     ("It works. " * 60 + "I'm sorry, but that is all.", False)],
)  # fmt: skip
def test_refusals(text: str, yes: bool) -> None:
    assert refuses(text) is yes


def test_doubt() -> None:
    assert hedges("There seems to be an error in the question; it cannot be determined.")
    assert not hedges("The total is 42.")


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("and then we add one more step to it, " * 20, True),
        ("Step by step.\n" + "the answer is the answer is " * 30, True),
        ("| a | b |\n" + "|---|---|\n" + "| 1 | 2 |\n" * 3, False),
        ("=" * 500, False),
        ("\n".join(f"{n}. item number {n * 7919 % 1000} of the list" for n in range(60)), False),
        ("no no no", False),
    ],
)
def test_loops(text: str, yes: bool) -> None:
    assert loops(text) is yes


def test_schemas_are_compiled_once() -> None:
    from smallfirst.verify.validity import _compiled

    text = msgspec.json.encode(PERSON)
    assert _compiled(text) is _compiled(bytes(text))
