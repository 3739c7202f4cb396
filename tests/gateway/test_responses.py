"""What OpenAI's client sees of the Responses API: unchanged, against a running gateway and scripted upstreams."""

from __future__ import annotations

import json
from typing import Any

import openai
import pydantic
import pytest

from smallfirst.core import ToolCall, Usage
from smallfirst.errors import BadRequest
from smallfirst.gateway.responses import parse_responses
from smallfirst.models.loopback import fault, sse
from smallfirst.models.scripted import Reply

GOOD = Reply(text="Hello there, friend.", usage=Usage(10, 5, 4), logprobs=(-0.01, -0.02, -0.01))
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": False}


def ask(up: Any, **more: Any) -> Any:
    return up.client.responses.with_raw_response.create(**{"model": "auto", "input": "Say hello.", **more})


def test_a_response_from_the_small_model(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, large=lambda _: "large")
    raw = ask(up, instructions="Be brief.", metadata={"a": "b"}, max_output_tokens=50, temperature=0.5)
    made = raw.parse()
    assert made.output_text == GOOD.text
    assert (made.status, made.object, made.error) == ("completed", "response", None)
    assert (made.instructions, made.metadata, made.max_output_tokens) == ("Be brief.", {"a": "b"}, 50)
    used = made.usage
    assert (used.input_tokens, used.input_tokens_details.cached_tokens, used.output_tokens) == (10, 4, 5)
    assert raw.headers["x-smallfirst-model"] == "small"
    sent = up.upstreams["small"].requests[0].fields
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Say hello."},
    ]
    assert (sent["max_tokens"], sent["temperature"]) == (50, 0.5)  # as this upstream spells it
    assert not {"input", "instructions", "metadata", "max_output_tokens"} & set(sent)


def test_a_conversation_with_calls(stage: Any) -> None:
    from smallfirst.models.settings import AbilitySettings

    up = stage(small=lambda _: GOOD, abilities={"small": AbilitySettings(vision=True)})
    ask(
        up,
        input=[
            {"role": "developer", "content": "Rules."},
            {"role": "user", "content": [
                {"type": "input_text", "text": "Look:"},
                {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "low"},
            ]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
             "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "rain"}]},
        ],
        tools=[TOOL],
        tool_choice={"type": "function", "name": "weather"},
        parallel_tool_calls=False,
        reasoning={"effort": "low"},
    )  # fmt: skip
    sent = up.upstreams["small"].requests[0].fields
    call = {"type": "function", "function": {"name": "weather", "arguments": "{}"}}
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}
    assert sent["messages"] == [
        {"role": "developer", "content": "Rules."},
        {"role": "user", "content": [{"type": "text", "text": "Look:"}, image]},
        {"role": "assistant", "content": "I look.", "tool_calls": [{"id": "c1", **call}, {"id": "c2", **call}]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": "rain"},
    ]
    function = {"name": "weather", "parameters": TOOL["parameters"], "strict": False}
    assert sent["tools"] == [{"type": "function", "function": function}]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert sent["parallel_tool_calls"] is False
    assert sent["reasoning_effort"] == "low"


def test_calls_come_back_as_items(stage: Any) -> None:
    up = stage(small=lambda _: Reply(tool_calls=(ToolCall("weather", '{"city": "Rome"}'),)))
    (item,) = ask(up, tools=[TOOL]).parse().output
    assert (item.type, item.name, item.arguments) == ("function_call", "weather", '{"city": "Rome"}')
    assert item.call_id


class Colour(pydantic.BaseModel):
    colour: str


def test_parsed_output(stage: Any) -> None:
    up = stage(small=lambda _: "no json here", large=lambda _: '{"colour": "red"}')
    made = up.client.responses.parse(model="auto", input="A colour?", text_format=Colour)
    assert made.output_parsed == Colour(colour="red")
    assert up.entries[0].deferrals == ("invalid",)


def test_an_answer_that_was_cut_is_incomplete(stage: Any) -> None:
    up = stage(large=lambda _: Reply(text="one two", finish="length"))
    made = ask(up, model="large", max_output_tokens=2).parse()
    assert (made.status, made.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    last = list(up.client.responses.create(model="large", input="hi", max_output_tokens=2, stream=True))[-1]
    assert last.type == "response.incomplete"
    made = last.response
    assert (made.status, made.output_text) == ("incomplete", "one two")


def test_settings_that_did_not_apply_are_listed(stage: Any) -> None:
    up = stage(small=lambda _: GOOD)
    raw = ask(up, truncation="auto", include=["reasoning.encrypted_content"], reasoning={"summary": "auto"})
    assert sorted(raw.headers["x-smallfirst-not-applied"].split(",")) == [
        "include reasoning.encrypted_content", "reasoning.summary", "truncation"
    ]  # fmt: skip
    assert "x-smallfirst-not-applied" not in ask(up, store=False, truncation="disabled").headers


def test_logprobs_that_were_asked_for(stage: Any) -> None:
    up = stage(small=lambda _: GOOD)
    made = ask(up, include=["message.output_text.logprobs"], top_logprobs=1).parse()
    assert made.output[0].content[0].logprobs[0].logprob == -0.01


# --- streams


def collect(up: Any, **more: Any) -> Any:
    """The final response as OpenAI's own accumulator makes it, and the events."""
    with up.client.responses.stream(**{"model": "auto", "input": "hi", **more}) as stream:
        events = list(stream)
        return stream.get_final_response(), events


def test_a_stream_that_was_held(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, large=lambda _: "large")
    made, events = collect(up)
    assert made.output_text == GOOD.text
    assert made.usage.output_tokens == 5
    assert made.model_extra["smallfirst"]["model"] == "small"
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"
    ]  # fmt: skip
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_a_stream_that_is_relayed(stage: Any) -> None:
    up = stage(small=lambda _: "", large=lambda _: Reply(text="one two three", usage=Usage(7, 3)))
    made, events = collect(up)
    assert made.output_text == "one two three"
    assert (made.usage.input_tokens, made.usage.output_tokens) == (7, 3)
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert deltas == ["one", " two", " three"]
    assert up.entries[0].attempts[-1].released


def test_text_and_two_calls_in_one_stream(stage: Any) -> None:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode() + b"\n\n"

    def call(index: int, **function: str) -> dict[str, Any]:
        first = {"id": f"id{index}", "type": "function"} if "name" in function else {}
        return {"tool_calls": [{"index": index, **first, "function": function}]}

    blocks = [
        chunk({"role": "assistant", "reasoning_content": "think"}), chunk({"content": "I look "}),
        chunk({"content": "it up."}), chunk(call(0, name="weather", arguments="")),
        chunk(call(0, arguments='{"city": ')), chunk(call(0, arguments='"Rome"}')),
        chunk(call(1, name="weather", arguments='{"city": "Oslo"}')), chunk({}, "tool_calls"), b"data: [DONE]\n\n",
    ]  # fmt: skip
    up = stage(large=lambda _: sse(blocks))
    made, _ = collect(up, model="large", tools=[TOOL])
    assert [item.type for item in made.output] == ["reasoning", "message", "function_call", "function_call"]
    assert made.output_text == "I look it up."
    assert [(item.call_id, json.loads(item.arguments)) for item in made.output[2:]] == [
        ("id0", {"city": "Rome"}), ("id1", {"city": "Oslo"})
    ]  # fmt: skip
    assert len({item.id for item in made.output}) == 4


def test_a_stream_that_breaks_ends_as_failed(stage: Any) -> None:
    up = stage(large=lambda _: Reply(text="one two three", cut_after=3))
    events = list(up.client.responses.create(model="large", input="hi", stream=True))
    assert events[-1].type == "response.failed"
    assert "broke off" in events[-1].response.error.message


# --- errors


@pytest.mark.parametrize(("change", "param"), [
    ({"input": None}, "input"),
    ({"input": 5}, "input"),
    ({"input": []}, "input"),
    ({"model": None}, "model"),
    ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
    ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tools": [{"type": "function", "name": "f"}], "tool_choice": "perhaps"}, "tool_choice"),
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"background": True}, "background"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
    ({"instructions": 5}, "instructions"),
    ({"include": "x"}, "include"),
    ({"temperature": 5}, "temperature"),
])  # fmt: skip
def test_what_is_wrong_is_named(change: dict[str, Any], param: str) -> None:
    body = {name: value for name, value in {"model": "auto", "input": "hi", **change}.items() if value is not None}
    with pytest.raises(BadRequest) as caught:
        parse_responses(json.dumps(body).encode(), {}, "id", max_messages=9)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_failures_have_the_classes_that_the_client_knows(stage: Any) -> None:
    up = stage(small=lambda _: fault(503))
    with pytest.raises(openai.NotFoundError):
        ask(up, model="nobody")
    with pytest.raises(openai.InternalServerError):
        ask(up)
    with pytest.raises(openai.InternalServerError):
        ask(up, stream=True)
