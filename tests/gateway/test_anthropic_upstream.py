"""A model behind Anthropic's Messages API, seen through the clients of three APIs; shapes as that API sends them."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from smallfirst.cli.build import App
from smallfirst.cli.running import running
from smallfirst.cli.settings import Settings
from smallfirst.core import Entry, Status
from smallfirst.models.loopback import ScriptedUpstream, Wire, sse
from smallfirst.models.settings import BaselineSettings, CostSettings, ModelSettings, ProviderSettings

USAGE = {
    "input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 1000, "output_tokens": 50,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 100},
    "service_tier": "standard",
}  # fmt: skip
PRICE = CostSettings(input_per_m=2, output_per_m=10, cached_per_m=0.2)
COST = (210 * 2 + 1000 * 0.2 + 50 * 10 + 100 * 2 * 0.25 + 100 * 2 * 1.0) / 1e6
CONTENT = [
    {"type": "thinking", "thinking": "Let me see.", "signature": "EqQBsig=="},
    {"type": "redacted_thinking", "data": "EmwKsecret"},
    {"type": "text", "text": "I look it up."},
    {"type": "tool_use", "id": "toolu_01", "name": "weather", "input": {"city": "Rome"}},
]
MESSAGE = {
    "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-haiku-5-5", "content": CONTENT,
    "stop_reason": "tool_use", "stop_sequence": None, "usage": USAGE, "container": None,
}  # fmt: skip


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def delta(index: int, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta=fields)


START = {**MESSAGE, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
EVENTS = [
    event("message_start", message=START),
    event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
    event("ping"),
    delta(0, type="thinking_delta", thinking="Let me "),
    delta(0, type="thinking_delta", thinking="see."),
    delta(0, type="signature_delta", signature="EqQBsig=="),
    event("content_block_stop", index=0),
    event("content_block_start", index=1, content_block=CONTENT[1]),
    event("content_block_stop", index=1),
    event("content_block_start", index=2, content_block={"type": "text", "text": ""}),
    delta(2, type="text_delta", text="I look "),
    delta(2, type="text_delta", text="it up."),
    event("content_block_stop", index=2),
    event("content_block_start", index=3, content_block={**CONTENT[3], "input": {}}),
    delta(3, type="input_json_delta", partial_json=""),
    delta(3, type="input_json_delta", partial_json='{"city": '),
    delta(3, type="input_json_delta", partial_json='"Rome"}'),
    event("content_block_stop", index=3),
    event("message_delta", delta={"stop_reason": "tool_use", "stop_sequence": None}, usage={"output_tokens": 50}),
    event("message_stop"),
]


class Claude:
    """A gateway before one model that speaks Anthropic's API."""

    def __init__(self, url: str, upstream: ScriptedUpstream, entries: list[Entry]) -> None:
        self.upstream, self.entries = upstream, entries
        self.openai = openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=20)
        self.anthropic = anthropic.Anthropic(base_url=url.removesuffix("/v1"), api_key="none", max_retries=0)

    @property
    def sent(self) -> dict[str, Any]:
        return self.upstream.requests[-1].fields


@pytest.fixture
def claude(tmp_path, home):
    """`claude.say` is what the upstream answers: by default MESSAGE, or its EVENTS."""
    said: list[Any] = []

    def script(request):
        if said:
            return said[0]
        return sse(EVENTS) if request.fields.get("stream") else Wire(steps=(json.dumps(MESSAGE).encode(),))

    with ScriptedUpstream(script) as upstream:
        settings = Settings(
            providers={"anthropic": ProviderSettings(url=upstream.url, key="sk-ant", wire="anthropic")},
            models={"haiku": ModelSettings(provider="anthropic", model="claude-haiku-5-5", cost=PRICE, timeout_s=3)},
            tiers=({"frontier": ("haiku",)},),
            baseline=BaselineSettings(model="haiku"),
        )
        entries: list[Entry] = []
        app = App(
            settings, {"HOME": str(home)}, ledger_path=tmp_path / "ledger.db", probes={},
            observers=(entries.append,),
        )  # fmt: skip
        with running(app) as url:
            made = Claude(url, upstream, entries)
            made.say = said.append
            yield made


HI = [{"role": "user", "content": "hi"}]


# --- Anthropic's client: everything passes as it came


NATIVE = {
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "messages": [
        {"role": "user", "content": [
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
             "citations": {"enabled": True}},
            {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
        ]},
        {"role": "assistant", "content": CONTENT},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01", "is_error": True,
                                      "content": "no"}]},
    ],
    "tools": [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        {"name": "weather", "input_schema": {"type": "object"}},
    ],
    "thinking": {"type": "enabled", "budget_tokens": 2048},
    "max_tokens": 4000,
}  # fmt: skip


def test_a_request_passes_word_for_word(claude):
    raw = claude.anthropic.messages.with_raw_response.create(
        model="haiku", **NATIVE, extra_body={"new_field": 1}, extra_headers={"anthropic-beta": "context-1m-2025-08-07"}
    )
    assert claude.sent == {**NATIVE, "model": "claude-haiku-5-5", "new_field": 1}
    request = claude.upstream.requests[-1]
    assert request.path == "/v1/messages"
    assert request.headers["x-api-key"] == "sk-ant"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert "authorization" not in request.headers
    assert "x-smallfirst-not-applied" not in raw.headers
    assert json.loads(raw.http_response.read()) == MESSAGE


def test_a_stream_passes_event_for_event(claude):
    with claude.anthropic.messages.stream(model="haiku", max_tokens=100, messages=HI) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "redacted_thinking", "text", "tool_use"]
    assert message.content[0].signature == "EqQBsig=="
    assert message.content[1].data == "EmwKsecret"
    assert message.content[3].input == {"city": "Rome"}
    assert (message.id, message.stop_reason) == ("msg_01", "tool_use")
    assert message.usage.cache_read_input_tokens == 1000
    assert message.usage.output_tokens == 50
    assert kinds.count("content_block_stop") == 4


@pytest.mark.parametrize("streamed", [False, True])
def test_cached_tokens_and_cache_writes_are_priced(claude, streamed):
    made = claude.anthropic.messages.create(model="haiku", max_tokens=100, messages=HI, stream=streamed)
    if streamed:
        list(made)
    (attempt,) = claude.entries[0].attempts
    used = attempt.outcome.usage
    assert (used.input_tokens, used.cached_tokens, used.output_tokens) == (1210, 1000, 50)
    assert attempt.outcome.cost == pytest.approx(COST * 1e9, abs=2)


def test_thoughts_of_another_model_are_not_passed_off_as_its_own(claude):
    foreign = [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "Yes."}]
    messages = [*HI, {"role": "assistant", "content": foreign}, *HI]
    claude.anthropic.messages.create(model="haiku", max_tokens=9, messages=messages)
    assert claude.sent["messages"][1]["content"] == foreign[1:]


# --- OpenAI's clients: translated


def test_a_chat_request_as_anthropic_is_sent_it(claude):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    claude.openai.chat.completions.create(
        model="haiku",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "Look:", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            ]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": "two"},
            {"role": "user", "content": "And?"},
        ],
        tools=[{"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=77, temperature=0.5, stop="END", user="u1", reasoning_effort="high",
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )  # fmt: skip
    url = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    base64 = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
    assert claude.sent == {
        "model": "claude-haiku-5-5",
        "max_tokens": 77,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "Look:", "cache_control": {"type": "ephemeral"}}, base64, url,
            ]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "c2", "name": "f", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "one"}]},
                {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "two"}]},
                {"type": "text", "text": "And?"},
            ]},
        ],
        "temperature": 0.5,
        "metadata": {"user_id": "u1"},
        "stop_sequences": ["END"],
        "tools": [{"name": "f", "description": "d", "input_schema": schema}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": schema}},
    }  # fmt: skip


def test_a_message_as_a_chat_completion(claude):
    made = claude.openai.chat.completions.create(model="haiku", messages=HI)
    assert claude.sent["max_tokens"] == 4096
    choice = made.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "I look it up.")
    (call,) = choice.message.tool_calls
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == (
        "toolu_01",
        "weather",
        {"city": "Rome"},
    )
    assert choice.message.model_extra["reasoning_content"] == "Let me see."
    assert choice.message.model_extra["thinking_blocks"] == CONTENT[:2]
    assert (made.usage.prompt_tokens, made.usage.prompt_tokens_details.cached_tokens) == (1210, 1000)
    assert "anthropic" not in (made.model_extra or {})


def test_thinking_blocks_go_back_to_anthropic(claude):
    said = {"role": "assistant", "content": "Yes.", "thinking_blocks": CONTENT[:2]}
    claude.openai.chat.completions.create(model="haiku", messages=[*HI, said, *HI])
    assert claude.sent["messages"][1]["content"] == [*CONTENT[:2], {"type": "text", "text": "Yes."}]


def test_a_stream_as_chat_chunks(claude):
    chunks = list(
        claude.openai.chat.completions.create(
            model="haiku", messages=HI, stream=True, stream_options={"include_usage": True}
        )
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(one.content or "" for one in deltas) == "I look it up."
    calls = [call for one in deltas for call in one.tool_calls or ()]
    assert (calls[0].id, calls[0].function.name) == ("toolu_01", "weather")
    assert json.loads("".join(call.function.arguments or "" for call in calls)) == {"city": "Rome"}
    thought = "".join((one.model_extra or {}).get("reasoning_content", "") for one in deltas)
    assert thought == "Let me see."
    assert chunks[-1].usage.prompt_tokens == 1210
    assert any(chunk.choices and chunk.choices[0].finish_reason == "tool_calls" for chunk in chunks)


def test_the_responses_api_on_top_of_it(claude):
    with claude.openai.responses.stream(model="haiku", input="hi") as stream:
        for _ in stream:
            pass
        made = stream.get_final_response()
    assert made.output_text == "I look it up."
    assert [item.type for item in made.output] == ["reasoning", "message", "function_call"]


def test_what_has_no_place_there_is_refused_by_name(claude):
    wrong = [
        ({"seed": 7}, "seed"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"temperature": 1.5}, "temperature"),
        ({"extra_body": {"some_new_field": 1}}, "some_new_field"),
    ]
    for more, field in wrong:
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError, match=field):
                claude.openai.chat.completions.create(model="haiku", messages=HI, stream=stream, **more)
    assert claude.upstream.requests == []


def test_what_says_nothing_is_no_fault(claude):
    claude.openai.chat.completions.create(
        model="haiku", messages=HI, frequency_penalty=0, logit_bias={}, store=False, response_format={"type": "text"}
    )
    assert claude.sent.keys() == {"model", "messages", "max_tokens"}


# --- faults


@pytest.mark.parametrize(("status", "kind", "wanted"), [
    (400, "invalid_request_error", Status.refused),
    (401, "authentication_error", Status.unauthorized),
    (429, "rate_limit_error", Status.rate_limited),
    (529, "overloaded_error", Status.unavailable),
])  # fmt: skip
def test_errors_before_an_answer(claude, status, kind, wanted):
    body = {"type": "error", "error": {"type": kind, "message": "no good"}, "request_id": "req_1"}
    claude.say(Wire(steps=(json.dumps(body).encode(),), status=status))
    with pytest.raises(anthropic.APIStatusError) as caught:
        claude.anthropic.messages.create(model="haiku", max_tokens=9, messages=HI)
    assert claude.entries[0].attempts[0].outcome.status is wanted
    if status == 400:
        assert "no good" in str(caught.value)


@pytest.mark.parametrize("cut", [1, 5, 11, 16, 18])
def test_a_stream_that_is_cut_anywhere_is_broken(claude, cut):
    claude.say(sse(EVENTS, cut_after=cut))
    body = {"model": "haiku", "max_tokens": 9, "messages": HI}
    with pytest.raises((anthropic.APIError, openai.APIError)), claude.anthropic.messages.stream(**body) as stream:
        stream.get_final_message()
    (attempt,) = claude.entries[0].attempts
    assert attempt.outcome.status is Status.broken
    assert attempt.outcome.usage.input_tokens == 1210


def test_an_error_in_the_midst_of_a_stream(claude):
    overloaded = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    claude.say(sse([*EVENTS[:12], overloaded]))
    body = {"model": "haiku", "max_tokens": 9, "messages": HI}
    with pytest.raises(anthropic.APIStatusError, match="broke off"), claude.anthropic.messages.stream(**body) as stream:
        stream.get_final_message()
    assert claude.entries[0].attempts[0].outcome.status is Status.unavailable


@pytest.mark.parametrize("body", [b"{}", b"[]", b"not json", b'{"content": 5}'])
def test_an_answer_that_is_no_message(claude, body):
    claude.say(Wire(steps=(body,)))
    with pytest.raises(anthropic.InternalServerError):
        claude.anthropic.messages.create(model="haiku", max_tokens=9, messages=HI)
    assert claude.entries[0].attempts[0].outcome.status is Status.broken


def test_any_cut_of_the_bytes_gives_the_same_chunks():
    from smallfirst.models.anthropic_stream import Translator

    data = b"".join(EVENTS)
    whole = Translator(native=False).feed(data)
    for size in (1, 7, 100):
        translator = Translator(native=False)
        assert b"".join(translator.feed(data[at : at + size]) for at in range(0, len(data), size)) == whole
    translator, crlf = Translator(native=False), data.replace(b"\n", b"\r\n")
    assert b"".join(translator.feed(crlf[at : at + 1]) for at in range(len(crlf))) == whole
