"""Request bodies and answers, as bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.core import Edit, Status, ToolCall, Usage
from smallfirst.models import faults, wire
from tests.models.calls import make_call, raw

BOTH = ("", "")


def sent(call, *, stream=False, spelling=BOTH):
    return json.loads(wire.encode(call, stream=stream, spelling=spelling))


def answer(**changes):
    choice = {"index": 0, "message": {"role": "assistant", "content": "four"}, "finish_reason": "stop"}
    return {"id": "x", "choices": [{**choice, **changes.pop("choice", {})}], **changes}


def decode(value, **call):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return wire.decode(make_call(**call), body, 1_000, 3_500)


def test_unknown_fields_pass_and_ours_are_replaced() -> None:
    fields = {"model": "auto", "messages": [], "new_field": {"a": [1, 2.50]}, "stream": True, "smallfirst": {"x": 1}}
    fields["stream_options"] = {"include_usage": False}
    assert sent(make_call(fields=fields)) == {
        "model": "org/small-1b",
        "messages": [],
        "new_field": {"a": [1, 2.5]},
    }


def test_numbers_and_escapes_keep_their_spelling() -> None:
    call = make_call()
    fields = {**call.query.fields, "temperature": msgspec.Raw(b"1.0e0"), "user": msgspec.Raw(b'"\\ud83d\\ude00"')}
    call = msgspec.structs.replace(call, query=msgspec.structs.replace(call.query, fields=fields))
    body = wire.encode(call, stream=False, spelling=BOTH)
    assert b"1.0e0" in body
    assert b"\\ud83d\\ude00" in body


def test_edit_drops_and_puts_but_never_names_another_model() -> None:
    edit = Edit(put=raw({"temperature": 0, "model": "evil", "smallfirst": 1}), drop=("top_p",))
    body = sent(make_call(fields={"model": "auto", "messages": [], "top_p": 0.5}, edit=edit))
    assert body == {"model": "org/small-1b", "messages": [], "temperature": 0}


@pytest.mark.parametrize("options", [None, {"include_usage": False}, {"x": 1}, "null", [1]])
def test_a_stream_always_asks_for_usage(options) -> None:
    fields = {"messages": []} if options is None else {"messages": [], "stream_options": options}
    body = sent(make_call(fields=fields), stream=True)
    assert body["stream"] is True
    assert body["stream_options"]["include_usage"] is True
    assert body["stream_options"].get("x") == (1 if options == {"x": 1} else None)


def test_logprobs_are_asked_for_when_we_want_them() -> None:
    body = sent(make_call(logprobs=True))
    assert body["logprobs"] is True
    assert body["top_logprobs"] >= 1


@pytest.mark.parametrize(
    ("model", "url", "given", "taken"),
    [
        ("gpt-5-mini", "https://api.openai.com/v1", "max_tokens", "max_completion_tokens"),
        ("openai/o3", "https://openrouter.ai/api/v1", "max_tokens", "max_completion_tokens"),
        ("gpt-4o", "https://api.openai.com/v1", "max_tokens", "max_tokens"),
        ("gpt-4o", "https://api.openai.com/v1", "max_completion_tokens", "max_completion_tokens"),
        ("my-deployment", "https://me.openai.azure.com/v1", "max_completion_tokens", "max_completion_tokens"),
        ("llama3", "http://127.0.0.1:11434/v1", "max_completion_tokens", "max_tokens"),
    ],
)
def test_the_token_limit_is_spelled_as_the_endpoint_wants_it(model, url, given, taken) -> None:
    call = make_call(url, upstream_model=model, fields={"messages": [], given: 5})
    body = sent(call, spelling=wire.limit_spelling(call.replica))
    assert body == {"model": model, "messages": [], taken: 5}


def test_an_answer() -> None:
    outcome = decode(
        answer(
            usage={
                "prompt_tokens": 117,
                "completion_tokens": 46,
                "prompt_tokens_details": {"cached_tokens": 17},
            }
        )
    )
    assert outcome.ok
    assert (outcome.text, outcome.finish, outcome.latency_us) == ("four", "stop", 2_500)
    assert outcome.usage == Usage(117, 46, 17)
    assert outcome.cost == 100 + 9 + 92  # 17 cached at half price, rounded up
    assert json.loads(outcome.body)["id"] == "x"


def test_usage_is_estimated_where_it_is_missing() -> None:
    assert decode(answer()).usage == Usage(7, 1, 0, estimated=True)
    assert decode(answer(usage=None)).usage.estimated


def test_tool_calls_with_text_or_object_arguments() -> None:
    calls = [
        {"id": "1", "type": "function", "function": {"name": "a", "arguments": '{"x": 1}'}},
        {"id": "2", "type": "function", "function": {"name": "b", "arguments": {"y": 2}}},
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    outcome = decode(answer(choice={"message": message, "finish_reason": "tool_calls"}))
    assert outcome.tool_calls == (ToolCall("a", '{"x": 1}'), ToolCall("b", '{"y":2}'))
    assert outcome.text == ""


def test_content_in_parts_and_refusals() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "no"}, {"type": "text", "text": "b"}]
    assert decode(answer(choice={"message": {"content": parts}})).text == "ab"
    assert decode(answer(choice={"message": {"content": None, "refusal": "I can't"}})).text == "I can't"


def test_log_probabilities_become_signals_and_are_taken_out_if_only_we_asked() -> None:
    tokens = [{"token": "f", "logprob": -0.5, "top_logprobs": []}, {"token": "our", "logprob": -1.5}]
    value = answer(choice={"logprobs": {"content": tokens}})
    ours = decode(value, logprobs=True)
    assert (ours.signals.first_logprob, ours.signals.mean_logprob, ours.signals.tokens) == (-0.5, -1.0, 2)
    assert json.loads(ours.body) == answer()
    theirs = decode(value)
    assert theirs.signals == ours.signals
    assert json.loads(theirs.body) == value


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"null", b'{"choices": []}', b'{"choices": [{"index": 0}]}', b"\xff\xfe", b"[" * 100_000],
)
def test_rubbish_is_broken(body) -> None:
    outcome = decode(body)
    assert outcome.status is Status.broken
    assert outcome.error
    assert "\n" not in outcome.error


def test_deep_rubbish_in_an_unknown_field_is_broken_or_ignored() -> None:
    assert decode(b'{"x": ' + b"[" * 200_000).status is Status.broken


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(body: bytes) -> None:
    decode(body)
    faults.rejected(make_call(), 500, body, body, 0, 1)


def test_an_error_under_status_200() -> None:
    outcome = decode({"error": {"message": "slow down", "code": 429}})
    assert outcome.status is Status.rate_limited
    assert b"slow down" in outcome.body


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Status.refused),
        (401, Status.unauthorized),
        (403, Status.unauthorized),
        (404, Status.refused),
        (408, Status.timed_out),
        (413, Status.refused),
        (429, Status.rate_limited),
        (500, Status.unavailable),
        (503, Status.unavailable),
        (307, Status.unavailable),
    ],
)
def test_http_statuses(status, expected) -> None:
    body = json.dumps({"error": {"message": "your prompt: SECRET", "type": "some_error", "code": "bad code"}}).encode()
    outcome = faults.rejected(make_call(), status, body, None, 0, 1)
    assert outcome.status is expected
    assert outcome.http_status == status
    assert outcome.body == body
    assert "SECRET" not in outcome.error
    assert "some_error" in outcome.error
    assert "bad code" not in outcome.error


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"7", 7.0),
        (b" 0.5 ", 0.5),
        (b"-3", 0.0),
        (b"nan", None),
        (b"inf", None),
        (b"soon", None),
        (b"Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        (b"Mon, 23 Nov 2026 11:00:30 GMT", 0.0),
    ],
)
def test_retry_after(value, seconds) -> None:
    assert faults.to_seconds(value, datetime(2026, 11, 23, 12, tzinfo=UTC)) == seconds
