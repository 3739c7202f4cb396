"""Whatever stands in a request in place of what should: it is understood, or refused by name; never a crash."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallfirst.errors import BadRequest
from smallfirst.gateway.embeddings import parse_embeddings
from smallfirst.gateway.messages import parse_messages
from smallfirst.gateway.responses import parse_responses
from smallfirst.models.anthropic import Uncarried, translate

MESSAGES: dict[str, Any] = {
    "model": "auto", "max_tokens": 100, "stream": True, "temperature": 0.5, "stop_sequences": ["x"],
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "metadata": {"user_id": "u"}, "thinking": {"type": "enabled", "budget_tokens": 1024},
    "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "hi"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}},
            {"type": "image", "source": {"type": "url", "url": "http://x"}},
            {"type": "document", "source": {"type": "text", "data": "x", "media_type": "text/plain"}},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "t", "signature": "s"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": [{"type": "text", "text": "x"}]}
        ]},
    ],
}  # fmt: skip
RESPONSES: dict[str, Any] = {
    "model": "auto", "instructions": "x", "stream": True, "temperature": 0.5, "max_output_tokens": 9,
    "include": ["message.output_text.logprobs"], "top_logprobs": 1, "metadata": {"a": "b"}, "truncation": "disabled",
    "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True, "description": "d"}],
    "tool_choice": {"type": "function", "name": "f"}, "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}},
    "input": [
        {"role": "user", "content": [
            {"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "http://x", "detail": "low"}
        ]},
        {"type": "reasoning", "id": "r", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]},
    ],
}  # fmt: skip
EMBEDDINGS: dict[str, Any] = {"model": "v", "input": ["a", "b"], "encoding_format": "float", "dimensions": 3}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for name, one in inner for path in paths(one, (*at, name)))]


def changed(body: Any, path: tuple[Any, ...], value: Any, drop: bool) -> Any:
    if not path:
        return value
    body = copy.deepcopy(body)
    place = body
    for step in path[:-1]:
        place = place[step]
    if drop:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return body


def check(parse: Any, body: dict[str, Any], data: Any) -> None:
    path = data.draw(st.sampled_from(paths(body)))
    sent = json.dumps(changed(body, path, data.draw(VALUES), data.draw(st.booleans()))).encode()
    with contextlib.suppress(BadRequest):  # whatever else is raised is a crash
        assert parse(sent).asked


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_messages(data: Any) -> None:
    check(lambda sent: parse_messages(sent, {}, "id", max_messages=50), MESSAGES, data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_responses(data: Any) -> None:
    check(lambda sent: parse_responses(sent, {}, "id", max_messages=50), RESPONSES, data)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_embeddings(data: Any) -> None:
    check(lambda sent: parse_embeddings(sent, {}, "id"), EMBEDDINGS, data)


def test_the_bodies_themselves_are_sound_and_reach_anthropic_again() -> None:
    query = parse_messages(json.dumps(MESSAGES).encode(), {}, "id", max_messages=50)
    assert query.native is not None
    assert not query.needs.anthropic
    back = translate({name: json.loads(bytes(raw)) for name, raw in query.fields.items()})
    assert [turn["role"] for turn in back["messages"]] == ["user", "assistant", "user"]
    assert back["messages"][1]["content"][-1] == {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    assert back["tool_choice"] == {"type": "tool", "name": "f", "disable_parallel_tool_use": True}
    assert back["output_config"]["format"]["schema"] == {"type": "object"}
    parse_responses(json.dumps(RESPONSES).encode(), {}, "id", max_messages=50)
    with pytest.raises(Uncarried, match="seed"):
        translate({"messages": [], "seed": 5})
