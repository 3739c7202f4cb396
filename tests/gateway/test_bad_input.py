"""Rubbish in: an OpenAI-shaped error with the right status out, and the server lives on."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallfirst.accounts.settings import KeySettings, KeysSettings
from smallfirst.core import Query
from smallfirst.errors import RequestError
from smallfirst.gateway.parse import parse_chat
from smallfirst.gateway.settings import ServerSettings

USER = {"role": "user", "content": "hi"}
FINE = {"model": "auto", "messages": [USER]}


def parse(body: bytes, headers: dict[bytes, bytes] | None = None) -> Query:
    return parse_chat(body, headers or {}, "sf-test", max_messages=2000)


def refused(body: Any, headers: dict[bytes, bytes] | None = None) -> RequestError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(RequestError) as caught:
        parse(raw, headers)
    error = caught.value
    shape = error.body()["error"]
    assert set(shape) == {"message", "type", "param", "code"}
    assert error.status == 400
    return error


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"{",
        b"[]",
        b"null",
        b'{"model": "auto", "messages": NaN}',
        b'{"model": "auto", "temperature": NaN, "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "auto", "messages": [{"role": "user", "content": "\xff"}]}',
        b'{"model": "auto", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "auto", "messages": [{"role": "user", "content": "\x00"}]}',
        b'{"model": "auto", "messages": [{"role": "user", "content": "\\u0000"}]}',
        b'{"model": "auto", "messages": ' + b"[" * 100_000,
    ],
)
def test_what_is_not_json_or_not_text_is_refused(body: bytes) -> None:
    refused(body)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [3]}, "messages[0]"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type"),
        ({"model": 3}, "model"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 9}, "temperature"),
        ({"n": 0}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"stop": 4}, "stop"),
        ({"seed": 1.5}, "seed"),
        ({"top_logprobs": 99}, "top_logprobs"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"smallfirst": {"max_quality_loss": 2}}, "smallfirst.max_quality_loss"),
        ({"smallfirst": {"max_qualty_loss": 0.1}}, "smallfirst"),
        ({"smallfirst": {"data_class": "secrt"}}, "smallfirst.data_class"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], param: str) -> None:
    assert refused({**FINE, **change}).param == param


def test_a_missing_field_is_named() -> None:
    assert refused({"messages": [USER]}).param == "model"
    assert refused({"model": "auto"}).param == "messages"


def test_too_many_messages() -> None:
    assert refused({**FINE, "messages": [USER] * 10_000}).code == "too_many_messages"


def test_a_wrong_header_dial_is_named() -> None:
    assert refused(FINE, {b"x-smallfirst-max-cost-usd": b"cheap"}).param == "x-smallfirst-max-cost-usd"


def test_the_bodys_dial_stands_over_the_headers() -> None:
    body = json.dumps({**FINE, "smallfirst": {"session": "body"}}).encode()
    query = parse(body, {b"x-smallfirst-session": b"header", b"x-smallfirst-tags": b"a, b"})
    assert (query.dials.session, query.dials.tags) == ("body", ("a", "b"))


def test_only_the_users_last_words_are_classified() -> None:
    messages = [
        {"role": "system", "content": "SYSTEM"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "MODEL"},
        {"role": "user", "content": [{"type": "text", "text": "second"}]},
        {"role": "tool", "content": "TOOL", "tool_call_id": "1"},
    ]
    assert parse(json.dumps({"model": "auto", "messages": messages}).encode()).text == "second"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
FIELDS = st.sampled_from(
    ["model", "messages", "stream", "n", "stop", "tools", "tool_choice", "response_format", "smallfirst", "logprobs",
     "stream_options", "seed", "temperature", "user", "max_tokens"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(FIELDS | st.text(max_size=8), JSON, max_size=8))
def test_any_json_object_is_parsed_or_refused(body: dict[str, Any]) -> None:
    for candidate in (body, {**FINE, **body}):
        outcome: object
        try:
            outcome = parse(msgspec.json.encode(candidate))
        except RequestError as error:
            outcome = error.status
        assert isinstance(outcome, Query) or outcome == 400


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        parse(body)


# --- over the wire


def post(stage: Any, body: bytes, path: str = "/v1/chat/completions", **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(*stage.root.removeprefix("http://").split(":"), timeout=20)
    connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    payload = json.loads(response.read())
    connection.close()
    return response.status, payload


def raw(stage: Any, data: bytes) -> bytes:
    """Send bytes as they are; what comes back until the server closes or two seconds pass."""
    host, port = stage.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as sock:
        sock.sendall(data)
        return sock.recv(65536)


def test_a_body_beyond_the_limit_is_413_before_it_is_read(stage: Any) -> None:
    up = stage(small=lambda _: "ok")
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n"
    reply = raw(up, head)
    assert b" 413 " in reply.split(b"\r\n")[0]
    assert b"body_too_large" in reply


def test_a_chunked_body_beyond_the_limit_is_413(stage: Any) -> None:
    up = stage(small=lambda _: "ok", server=ServerSettings(max_body_mb=0.001))
    chunk = b"400\r\n" + b" " * 0x400 + b"\r\n"
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 413 " in raw(up, head + chunk * 3)


def test_a_client_that_is_too_slow_with_its_body_is_told_so(stage: Any) -> None:
    up = stage(small=lambda _: "ok", server=ServerSettings(body_timeout_s=0.05))
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
    reply = raw(up, head)
    assert b" 408 " in reply.split(b"\r\n")[0]
    assert b"body_timeout" in reply


@pytest.mark.parametrize("before", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_client_that_is_too_slow_with_its_head_is_told_so(stage: Any, before: bytes) -> None:
    """Also as the second request of a connection; an idle one is uvicorn's business."""
    up = stage(small=lambda _: "ok", server=ServerSettings(body_timeout_s=0.05))
    host, port = up.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        if before:
            sock.sendall(before)
            assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHos")
        reply = b""
        while piece := sock.recv(65536):
            reply += piece
    assert b" 408 " in reply.split(b"\r\n")[0]
    assert json.loads(reply.split(b"\r\n\r\n")[1])["error"]["code"] == "head_timeout"
    assert post(up, json.dumps(FINE).encode())[0] == 200


def test_a_length_that_lies_does_not_take_the_server_down(stage: Any) -> None:
    up = stage(small=lambda _: "ok")
    body = json.dumps(FINE).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
    assert b" 400 " in raw(up, head + body).split(b"\r\n")[0]
    assert raw(up, b"POST / HTTP/1.1\r\nContent-Length: -7\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert post(up, body)[0] == 200


def test_unknown_paths_and_methods(stage: Any) -> None:
    up = stage(small=lambda _: "ok")
    assert post(up, b"{}", "/v1/nothing")[0] == 404
    status, payload = post(up, b"{}", "/v1/models")
    assert (status, payload["error"]["code"]) == (405, "method_not_allowed")


def test_keys(stage: Any) -> None:
    keys = KeysSettings(accept=(KeySettings(name="team", key="sk-right", models=("small",)),))
    up = stage(small=lambda _: "ok", large=lambda _: "large", sections={"keys": keys})
    body = json.dumps(FINE).encode()
    assert post(up, body)[1]["error"]["code"] == "missing_api_key"
    status, payload = post(up, body, Authorization="Bearer sk-wrong")
    assert (status, payload["error"]["code"]) == (401, "invalid_api_key")
    assert "sk-wrong" not in json.dumps(payload)
    assert post(up, body, Authorization="Bearer sk-right")[0] == 200
    assert up.entries[-1].key_id == "team"
    named = json.dumps({**FINE, "model": "large"}).encode()
    assert post(up, named, Authorization="Bearer sk-right")[1]["error"]["code"] == "model_not_allowed"


def test_a_dial_that_limits_nothing_is_no_fault(stage: Any) -> None:
    up = stage(small=lambda _: "ok")
    for dial in ("max_cost_usd", "max_latency_ms"):
        assert post(up, json.dumps({**FINE, "smallfirst": {dial: 1e308}}).encode())[0] == 200
    status, payload = post(up, json.dumps(FINE).encode(), **{"x-smallfirst-max-cost-usd": "nan"})
    assert (status, payload["error"]["code"]) == (400, "invalid_header")
