"""What Anthropic's own client sees: unchanged, against a running gateway before OpenAI-compatible upstreams."""

from __future__ import annotations

import datetime as dt
import http.client
import json
from typing import Any

import anthropic
import pytest

from smallfirst.accounts.keys import Terms
from smallfirst.accounts.settings import KeysSettings
from smallfirst.core import ToolCall, Usage
from smallfirst.errors import BadRequest
from smallfirst.gateway.messages import parse_messages
from smallfirst.models.loopback import Wire, fault, sse
from smallfirst.models.scripted import Reply

GOOD = Reply(text="Hello there, friend.", usage=Usage(10, 5, 4), logprobs=(-0.01, -0.02, -0.01))
TOOL = {"name": "weather", "description": "The weather.", "input_schema": {"type": "object", "properties": {}}}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def client(up: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=up.root, api_key="none", max_retries=0, timeout=20)


def ask(up: Any, text: str = "Say hello.", **more: Any) -> Any:
    body = {"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": text}], **more}
    return client(up).messages.with_raw_response.create(**body)


def test_a_message_from_the_small_model(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, large=lambda _: "large")
    raw = ask(up)
    message = raw.parse()
    assert [block.text for block in message.content] == [GOOD.text]
    assert (message.role, message.type, message.stop_reason) == ("assistant", "message", "end_turn")
    used = message.usage
    assert (used.input_tokens, used.cache_read_input_tokens, used.output_tokens) == (6, 4, 5)
    assert (raw.headers["x-smallfirst-tier"], raw.headers["x-smallfirst-reason"]) == ("slm", "accepted")
    assert up.entries[0].served_model == "small"


def test_what_the_upstream_is_sent(stage: Any) -> None:
    up = stage(small=lambda _: GOOD)
    ask(
        up,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        messages=[
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A report."}},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hmm", "signature": "s"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Rome"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "sunny"}]},
                {"type": "tool_result", "tool_use_id": "t2", "content": "no such city", "is_error": True},
                {"type": "text", "text": "And now?"},
            ]},
        ],
        tools=[TOOL],
        tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
        extra_body={"temperature": 0.5},
        metadata={"user_id": "u1"},
    )  # fmt: skip
    sent = up.upstreams["small"].requests[0].fields
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "What is this?"}, {"type": "text", "text": "A report."}],
        },
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "t2", "content": "error: no such city"},
        {"role": "user", "content": "And now?"},
    ]
    function = {"name": "weather", "parameters": TOOL["input_schema"], "description": "The weather."}
    assert sent["tools"] == [{"type": "function", "function": function}]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert sent["parallel_tool_calls"] is False
    assert (sent["stop"], sent["temperature"], sent["user"]) == (["END"], 0.5, "u1")
    assert sent["max_tokens"] == 100
    assert "system" not in sent


def test_an_image(stage: Any) -> None:
    from smallfirst.models.settings import AbilitySettings

    up = stage(small=lambda _: GOOD, abilities={"small": AbilitySettings(vision=True)})
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    ask(up, messages=[{"role": "user", "content": [{"type": "image", "source": source}]}])
    (part,) = up.upstreams["small"].requests[0].fields["messages"][0]["content"]
    assert part == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}


def test_tools_come_back_as_tool_use(stage: Any) -> None:
    up = stage(small=lambda _: Reply(tool_calls=(ToolCall("weather", '{"city": "Rome"}'),)))
    message = ask(up, tools=[TOOL]).parse()
    assert message.stop_reason == "tool_use"
    (block,) = message.content
    assert (block.type, block.name, block.input) == ("tool_use", "weather", {"city": "Rome"})


def test_structured_output_is_asked_for_and_checked(stage: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    up = stage(small=lambda _: "no json", large=lambda _: '{"a": 1}')
    raw = ask(up, output_config={"format": {"type": "json_schema", "schema": schema}, "effort": "low"})
    assert raw.parse().content[0].text == '{"a": 1}'
    assert up.entries[0].deferrals == ("invalid",)
    assert raw.headers["x-smallfirst-not-applied"] == "output_config.effort"
    sent = up.upstreams["small"].requests[0].fields
    assert sent["response_format"]["json_schema"]["schema"] == schema
    assert "output_config" not in sent


def test_settings_that_did_not_apply_are_listed(stage: Any) -> None:
    up = stage(small=lambda _: GOOD)
    raw = ask(up, thinking={"type": "enabled", "budget_tokens": 1024}, extra_body={"top_k": 3})
    assert sorted(raw.headers["x-smallfirst-not-applied"].split(",")) == ["thinking", "top_k"]
    assert "x-smallfirst-not-applied" not in ask(up, thinking={"type": "disabled"}).headers
    for model in ("auto", "small"):  # held, and relayed
        raw = ask(up, model=model, stream=True, extra_body={"odd\r\nx-evil: 1": 3})
        assert raw.headers["x-smallfirst-not-applied"] == "odd??x-evil: 1"
        assert "x-evil" not in raw.headers


@pytest.mark.parametrize(("more", "what"), [
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "a tool that Anthropic runs"),
    ({"messages": [{"role": "user", "content": [
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
    ]}]}, "a document"),
])  # fmt: skip
def test_content_that_only_anthropic_takes_is_refused_elsewhere(stage: Any, more: Any, what: str) -> None:
    up = stage(small=lambda _: GOOD)
    with pytest.raises(anthropic.BadRequestError, match="only Anthropic's own API takes"):
        ask(up, **more)
    assert up.seen("small") == 0


# --- streams


def collect(up: Any, **more: Any) -> Any:
    """The final message that Anthropic's own accumulator makes, and the events it saw."""
    body = {"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **more}
    with client(up).messages.stream(**body) as stream:
        events = list(stream)
        return stream.get_final_message(), events


def test_a_stream_that_was_held(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, large=lambda _: "large")
    message, events = collect(up)
    assert message.content[0].text == GOOD.text
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 5
    last = next(event for event in events if event.type == "message_delta")
    assert last.model_extra["smallfirst"]["model"] == "small"


def test_a_stream_that_is_relayed(stage: Any) -> None:
    up = stage(small=lambda _: "", large=lambda _: Reply(text="one two three", usage=Usage(7, 3)))
    message, events = collect(up)
    assert message.content[0].text == "one two three"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 3)
    assert len([event for event in events if event.type == "text"]) >= 3
    assert up.entries[0].attempts[-1].released


def test_text_and_two_calls_in_one_stream(stage: Any) -> None:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode() + b"\n\n"

    def call(index: int, **function: str) -> dict[str, Any]:
        first = {"id": f"id{index}", "type": "function"} if "name" in function else {}
        return {"tool_calls": [{"index": index, **first, "function": function}]}

    blocks = [
        chunk({"role": "assistant", "reasoning_content": "let me "}), chunk({"reasoning_content": "think"}),
        chunk({"content": "I look "}), chunk({"content": "it up."}),
        chunk(call(0, name="weather", arguments="")), chunk(call(0, arguments='{"city": ')),
        chunk(call(0, arguments='"Rome"}')), chunk(call(1, name="weather", arguments='{"city": "Oslo"}')),
        chunk({}, "tool_calls"), b"data: [DONE]\n\n",
    ]  # fmt: skip
    up = stage(large=lambda _: sse(blocks))
    message, _ = collect(up, model="large", tools=[TOOL])
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert message.content[0].thinking == "let me think"
    assert message.content[1].text == "I look it up."
    assert [(block.id, block.input) for block in message.content[2:]] == [
        ("id0", {"city": "Rome"}), ("id1", {"city": "Oslo"})
    ]  # fmt: skip
    assert message.stop_reason == "tool_use"


def test_a_stream_that_breaks_is_an_error_event(stage: Any) -> None:
    up = stage(large=lambda _: Reply(text="one two three", cut_after=3))
    with pytest.raises(anthropic.APIStatusError, match="broke off"):
        collect(up, model="large")


def test_a_keep_alive_while_an_answer_is_held(stage: Any) -> None:
    import threading

    from smallfirst.gateway.settings import ServerSettings

    go = threading.Event()

    def slow(_: Any) -> Any:
        go.wait(5)
        return GOOD

    up = stage(small=slow, large=lambda _: "large", server=ServerSettings(keep_alive_s=0.05))
    host = up.root.removeprefix("http://")
    conn = http.client.HTTPConnection(host, timeout=10)
    body = {"model": "auto", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    conn.request("POST", "/v1/messages", json.dumps(body))
    answer = conn.getresponse()
    assert answer.read1().startswith(b"event: ping")
    go.set()
    assert b"message_stop" in answer.read()
    conn.close()


# --- errors


@pytest.mark.parametrize(("change", "param"), [
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": "many"}, "max_tokens"),
    ({"model": None}, "model"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64"}}]}]},
     "messages[0].content[0].source.media_type"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]},
     "messages[0].content[0].tool_use_id"),
    ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": "x"}]}]},
     "messages[0].content[0].input"),
    ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
    ({"tools": {}}, "tools"),
    ({"tool_choice": {"type": "perhaps"}}, "tool_choice.type"),
    ({"temperature": 1.5}, "temperature"),
    ({"system": 5}, "system"),
    ({"stop_sequences": [1]}, "stop_sequences[0]"),
    ({"stream": "yes"}, "stream"),
    ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
])  # fmt: skip
def test_what_is_wrong_is_named_as_anthropic_calls_it(change: dict[str, Any], param: str) -> None:
    body = {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **change}
    body = {name: value for name, value in body.items() if value is not None}
    with pytest.raises(BadRequest) as caught:
        parse_messages(json.dumps(body).encode(), {}, "id", max_messages=9)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert caught.value.message.startswith(param)


def post(up: Any, body: bytes) -> tuple[int, Any]:
    conn = http.client.HTTPConnection(up.root.removeprefix("http://"), timeout=10)
    conn.request("POST", "/v1/messages", body)
    answer = conn.getresponse()
    found = answer.status, json.loads(answer.read())
    conn.close()
    return found


def test_bodies_that_are_no_request(stage: Any) -> None:
    up = stage(small=lambda _: GOOD)
    for body in (b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 5000):
        status, answer = post(up, body)
        assert (status, answer["type"], answer["error"]["type"]) == (400, "error", "invalid_request_error")


def test_errors_have_the_classes_that_the_client_knows(stage: Any) -> None:
    up = stage(small=lambda _: fault(503))
    with pytest.raises(anthropic.NotFoundError):
        ask(up, model="nobody")
    with pytest.raises(anthropic.InternalServerError):
        ask(up)
    up = stage(large=lambda _: Wire(steps=(b'{"error": {"message": "too long"}}',), status=400))
    with pytest.raises(anthropic.BadRequestError, match="too long"):
        ask(up)


def test_the_key_comes_in_either_header(stage: Any) -> None:
    from smallfirst.accounts.settings import KeySettings, KeysSettings

    up = stage(small=lambda _: GOOD, sections={"keys": KeysSettings(accept=(KeySettings(name="a", key="s3cret"),))})
    with pytest.raises(anthropic.AuthenticationError):
        ask(up)
    for given in ({"api_key": "s3cret"}, {"auth_token": "s3cret"}):
        made = anthropic.Anthropic(base_url=up.root, max_retries=0, **given)
        made.messages.create(model="auto", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
    assert up.entries[-1].key_id == "a"


def test_counting_tokens_asks_nobody_and_says_that_it_is_an_estimate(stage: Any) -> None:
    up = stage(small=lambda _: GOOD)
    count = client(up).messages.with_raw_response.count_tokens
    asked: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "word " * 400}]}
    raw = count(**asked)
    assert (raw.parse().input_tokens, raw.headers["x-smallfirst-method"]) == (501, "estimate")
    assert count(**asked, system="Be brief.", tools=[TOOL]).parse().input_tokens > 501
    assert (up.seen("small"), up.entries) == (0, [])
    with pytest.raises(anthropic.NotFoundError):
        count(**{**asked, "model": "nobody"})
    with pytest.raises(anthropic.BadRequestError, match="messages"):
        count(**{**asked, "messages": []})


def test_counting_tokens_takes_a_key_like_everything_else(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, sections={"keys": KeysSettings(required=True)})
    with pytest.raises(anthropic.AuthenticationError):
        client(up).messages.count_tokens(model="auto", messages=[{"role": "user", "content": "hi"}])


@pytest.mark.parametrize("stream", [False, True])
def test_limits_stand_in_headers_that_anthropics_clients_read(stage: Any, stream: bool) -> None:
    up = stage(small=lambda _: GOOD)
    secret, _ = up.app.accounts.register.create("a", Terms(rpm=1, tpm=1000), 1_800_000_000)
    up.app.accounts.refresh()
    caller = anthropic.Anthropic(base_url=up.root, api_key=secret, max_retries=0, timeout=20)
    body: Any = {"model": "auto", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
    raw = caller.messages.with_raw_response.create(**body, stream=stream)
    assert raw.headers["anthropic-ratelimit-requests-limit"] == "1"
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert raw.headers["anthropic-ratelimit-tokens-limit"] == "1000"
    reset = dt.datetime.fromisoformat(raw.headers["anthropic-ratelimit-requests-reset"])
    assert abs(reset - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=61)
    if stream:
        list(raw.parse())
    with pytest.raises(anthropic.RateLimitError) as caught:
        caller.messages.create(**body)
    assert caught.value.response.headers["anthropic-ratelimit-requests-remaining"] == "0"
