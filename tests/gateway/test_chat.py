"""What a caller sees: the official openai client against a running gateway and scripted upstreams."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from typing import Any

import openai
import pytest

from smallfirst.core import Reason, Status, ToolCall, Usage
from smallfirst.gateway.settings import ServerSettings
from smallfirst.models.loopback import Wire, fault
from smallfirst.models.scripted import Reply
from smallfirst.models.settings import AbilitySettings

GOOD = Reply(text="Hello there, friend.", usage=Usage(10, 5), logprobs=(-0.01, -0.02, -0.01))
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "colour",
        "schema": {"type": "object", "required": ["colour"], "properties": {"colour": {"type": "string"}}},
    },
}


def header(raw: Any, name: str) -> str:
    return str(raw.headers[f"x-smallfirst-{name}"])


def test_the_small_model_answers_and_headers_say_so(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, large=lambda _: "large")
    raw = up.ask()
    assert raw.parse().choices[0].message.content == GOOD.text
    assert header(raw, "tier") == "slm"
    assert header(raw, "model") == "small"
    assert header(raw, "reason") == "accepted"
    assert header(raw, "attempts") == "1"
    assert 0 <= float(header(raw, "complexity")) <= 1
    assert float(header(raw, "cost-usd")) == pytest.approx((10 * 1 + 5 * 2) / 1e6)
    assert float(header(raw, "baseline-cost-usd")) == pytest.approx((10 * 10 + 5 * 20) / 1e6)
    assert float(header(raw, "overhead-ms")) >= 0
    assert up.seen("large") == 0
    (entry,) = up.entries
    assert (entry.reason, entry.served_model, entry.status) == (Reason.accepted, "small", 200)


def test_the_upstream_gets_its_own_name_and_key_and_unknown_fields(stage: Any) -> None:
    up = stage(small=lambda _: GOOD)
    up.ask(extra_body={"some_new_field": {"a": [1, None]}, "smallfirst": {"tags": ["x"]}}, temperature=0.5)
    sent = up.upstreams["small"].requests[0]
    assert sent.headers["authorization"] == "Bearer upstream-small"
    assert sent.fields["model"] == "small"
    assert sent.fields["some_new_field"] == {"a": [1, None]}
    assert sent.fields["temperature"] == 0.5
    assert "smallfirst" not in sent.fields
    assert up.entries[0].tags == ("x",)


def test_an_invalid_answer_is_handed_up(stage: Any) -> None:
    up = stage(small=lambda _: "no json here", large=lambda _: Reply(text='{"colour": "red"}'))
    raw = up.ask(response_format=SCHEMA)
    assert json.loads(raw.parse().choices[0].message.content) == {"colour": "red"}
    assert (header(raw, "tier"), header(raw, "attempts")) == ("frontier", "2")
    assert up.entries[0].deferrals == ("invalid",)
    assert len(up.entries[0].attempts) == 2


def test_an_unprobed_model_is_escalated_past(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, large=lambda _: "large", probes={"small": None, "large": None})
    raw = up.ask()
    assert header(raw, "model") == "large"
    assert up.seen("small") == 0
    assert up.entries[0].deferrals == ("unprobed",)


def test_one_tier_serves_and_notes_what_it_would_have_handed_up(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, probes={"small": None})
    raw = up.ask()
    assert header(raw, "reason") == "only_tier"
    assert up.entries[0].would_escalate


def test_logprobs_that_only_we_asked_for_do_not_reach_the_caller(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, large=lambda _: "large")
    raw = up.ask()
    assert up.upstreams["small"].requests[0].fields["logprobs"] is True
    assert raw.parse().choices[0].logprobs is None
    assert up.ask(logprobs=True).parse().choices[0].logprobs is not None


def test_tools_pass_both_ways(stage: Any) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    up = stage(small=lambda _: Reply(tool_calls=(ToolCall("f", '{"a": 1}'),)))
    call = up.ask(tools=[tool], tool_choice="auto").parse().choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("f", '{"a": 1}')
    assert up.upstreams["small"].requests[0].fields["tools"] == [tool]


# --- streams


def collect(stage: Any, **more: Any) -> tuple[str, list[Any]]:
    messages = [{"role": "user", "content": "Say hello."}]
    chunks = list(stage.client.chat.completions.create(model="auto", messages=messages, stream=True, **more))
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices), chunks


def test_a_held_stream_carries_the_decision_in_its_last_event(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, large=lambda _: "large")
    text, chunks = collect(up)
    assert text == GOOD.text
    assert chunks[-1].choices[0].finish_reason == "stop"
    decision = chunks[-1].model_extra["smallfirst"]
    assert (decision["model"], decision["reason"], decision["tier"]) == ("small", "accepted", "slm")
    assert all(c.choices for c in chunks)
    assert all("logprobs" not in (c.choices[0].model_extra or {}) for c in chunks)


def test_the_highest_tier_is_relayed_as_it_comes(stage: Any) -> None:
    up = stage(small=lambda _: "", large=lambda _: Reply(text="one two three", usage=Usage(7, 3)))
    text, chunks = collect(up, stream_options={"include_usage": True})
    assert text == "one two three"
    assert chunks[-1].usage.total_tokens == 10
    assert chunks[-1].choices == []
    assert chunks[-1].model_extra["smallfirst"]["reason"] == "top_tier"
    assert up.entries[0].attempts[-1].released


def test_usage_that_was_not_asked_for_is_not_shown(stage: Any) -> None:
    up = stage(large=lambda _: Reply(text="one two", usage=Usage(7, 2)))
    text, chunks = collect(up)
    assert text == "one two"
    assert all(c.choices for c in chunks)
    assert all(c.usage is None for c in chunks)
    assert chunks[-1].model_extra["smallfirst"]["cost_usd"] > 0


def test_a_stream_that_breaks_after_its_release_ends_in_an_error_event(stage: Any) -> None:
    up = stage(large=lambda _: Reply(text="one two three four", cut_after=2))
    with pytest.raises(openai.APIError) as caught:
        collect(up)
    assert "broke" in str(caught.value)
    assert up.entries[0].attempts[0].outcome.status is Status.broken


def test_a_stream_that_fails_before_its_first_token_goes_elsewhere(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, large=lambda _: fault(500), probes={"small": None, "large": None})
    text, chunks = collect(up)
    assert text == GOOD.text
    assert chunks[-1].model_extra["smallfirst"]["reason"] == "fallback"


# --- faults


@pytest.mark.parametrize(
    "broken",
    [
        fault(500),
        fault(503),
        fault(429, retry_after="7"),
        fault(401),
        Wire(steps=(b"not json",)),
        Wire(steps=(b'{"choices": []}',)),
        Wire(steps=(b'{"choi', "cut"), framing="chunked"),
        Wire(steps=(b"HTTP/9 rubbish\r\n\r\n",), framing="raw"),
    ],
)
def test_one_clean_answer_when_a_lower_model_fails(stage: Any, broken: Wire) -> None:
    up = stage(small=lambda _: broken, large=lambda _: "fine")
    raw = up.ask()
    assert raw.parse().choices[0].message.content == "fine"
    assert up.entries[0].deferrals == ("failed",)


@pytest.mark.parametrize(
    ("broken", "status", "code"),
    [
        (fault(500), 502, "upstream_failed"),
        (fault(429, retry_after="7"), 429, "rate_limited"),
        (fault(401), 502, "upstream_unauthorized"),
        (fault(422), 422, "refused_by_model"),
        (Wire(steps=(b"not json",)), 502, "upstream_failed"),
    ],
)
def test_one_clean_error_when_every_model_fails(stage: Any, broken: Wire, status: int, code: str) -> None:
    up = stage(only=lambda _: broken)
    with pytest.raises(openai.APIStatusError) as caught:
        up.ask()
    assert caught.value.status_code == status
    assert caught.value.code == code
    if status == 429:
        assert caught.value.response.headers["retry-after"] == "7"
    assert up.entries[0].status == status


def test_a_model_that_takes_too_long_is_handed_up_and_the_last_one_is_a_504(stage: Any) -> None:
    up = stage(small=lambda _: Wire(steps=("stall",)), large=lambda _: "fine")
    assert header(up.ask(), "model") == "large"
    assert up.entries[0].attempts[0].outcome.status is Status.timed_out
    with pytest.raises(openai.InternalServerError) as caught:
        up.ask(model="small")
    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")


def test_a_lone_replica_is_tried_twice(stage: Any) -> None:
    answers = iter([fault(500), GOOD])
    up = stage(only=lambda _: next(answers))
    assert up.ask().parse().choices[0].message.content == GOOD.text
    assert up.entries[0].attempts[0].outcome.tries == 2


def test_a_client_that_leaves_cancels_the_call_and_is_still_written_down(stage: Any) -> None:
    up = stage(small=lambda _: Wire(steps=("stall",)))
    upstream = up.upstreams["small"]
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "x"}]}).encode()
    host, port = up.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as sock:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        sock.sendall(head.encode() + body)
        while not upstream.requests:
            pass
    assert upstream.gone.acquire(timeout=10)
    for _ in range(1000):
        if up.entries:
            break
        socket.create_connection((host, int(port))).close()  # let the other threads run
    (entry,) = up.entries
    assert (entry.reason, entry.status) == (Reason.client_gone, 499)
    assert entry.attempts[0].outcome.status is Status.cancelled


# --- where it may go


def test_private_data_is_refused_not_sent_elsewhere(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, locations={"small": "cloud/us"})
    with pytest.raises(openai.PermissionDeniedError) as caught:
        up.ask(extra_body={"smallfirst": {"data_class": "health"}})
    assert caught.value.code == "no_permitted_model"
    assert up.seen("small") == 0
    assert up.entries[0].error_code == "no_permitted_model"


def test_private_data_stays_below_when_the_tier_above_is_elsewhere(stage: Any) -> None:
    up = stage(small=lambda _: "???", large=lambda _: "no", locations={"large": "cloud/us"})
    raw = up.ask(extra_headers={"x-smallfirst-data-class": "health"})
    assert header(raw, "model") == "small"
    assert up.seen("large") == 0


def test_an_image_goes_only_to_a_model_that_sees(stage: Any) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [{"type": "text", "text": "what is this?"}, image]
    sees = {"large": AbilitySettings(vision=True)}
    up = stage(small=lambda _: GOOD, large=lambda _: "a cat", abilities=sees)
    assert header(up.ask(content), "model") == "large"
    assert up.seen("small") == 0
    blind = stage(small=lambda _: GOOD)
    with pytest.raises(openai.BadRequestError, match="images"):
        blind.ask(content)


def test_a_long_prompt_goes_only_where_it_fits(stage: Any) -> None:
    sizes = {"small": AbilitySettings(context=100), "large": AbilitySettings(context=1000)}
    up = stage(small=lambda _: GOOD, large=lambda _: "long", abilities=sizes)
    assert header(up.ask("word " * 200), "model") == "large"
    with pytest.raises(openai.BadRequestError) as caught:
        up.ask("word " * 2000)
    assert caught.value.code == "context_length_exceeded"
    assert "2501" in str(caught.value)


def test_a_model_by_name_bypasses_routing(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, large=lambda _: "large")
    raw = up.ask(model="large")
    assert (header(raw, "model"), header(raw, "reason")) == ("large", "fixed")
    with pytest.raises(openai.NotFoundError) as caught:
        up.ask(model="nonesuch")
    assert caught.value.code == "model_not_found"


def test_max_quality_loss_without_a_certificate_goes_to_the_top(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, large=lambda _: "large")
    raw = up.ask(extra_body={"smallfirst": {"max_quality_loss": 0.02}})
    assert (header(raw, "model"), header(raw, "reason")) == ("large", "no_certificate")


def test_keep_alive_comments_while_an_answer_is_held(stage: Any) -> None:
    heard = threading.Event()

    def slow(_: Any) -> Reply:
        heard.wait(10)
        return GOOD

    up = stage(small=slow, large=lambda _: "large", server=ServerSettings(keep_alive_s=0.02))
    body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    connection = http.client.HTTPConnection(*up.root.removeprefix("http://").split(":"), timeout=10)
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    response = connection.getresponse()
    assert response.status == 200
    assert response.readline().startswith(b": ")
    heard.set()
    rest = response.read().decode()
    connection.close()
    assert GOOD.text in rest
    assert rest.endswith("data: [DONE]\n\n")


def test_n_choices_stream_one_by_one(stage: Any) -> None:
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": f"hello {i}"}}
            for i in range(2)
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }
    up = stage(small=lambda _: Wire(steps=(json.dumps(body).encode(),)), large=lambda _: "large")
    _, chunks = collect(up, n=2)
    texts = {c.choices[0].index: c.choices[0].delta.content for c in chunks if c.choices[0].delta.content}
    assert texts == {0: "hello 0", 1: "hello 1"}


def lines(*chunks: Any, end: str = "data: [DONE]\n\n") -> Wire:
    """A stream of these chunks, as an upstream writes it."""
    base = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    steps = [f"data: {json.dumps({**base, **chunk})}\n\n".encode() for chunk in chunks]
    steps.append(end.encode())
    return Wire(steps=tuple(steps), headers=(("Content-Type", "text/event-stream"),), framing="chunked")


def choice(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish}


def test_choices_that_are_relayed_and_cut_are_not_taken_for_whole(stage: Any) -> None:
    """The first of two choices had ended; the second broke off in the midst, without [DONE]."""
    cut = lines(
        {"choices": [choice(0, content="one")]},
        {"choices": [choice(1, content="two, and")]},
        {"choices": [choice(0, "stop")]},
        end=": that was all\n\n",
    )
    up = stage(large=lambda _: cut)
    with pytest.raises(openai.APIError):
        collect(up, n=2)
    assert up.entries[0].attempts[0].outcome.status is Status.broken


def test_relayed_choices_come_whole(stage: Any) -> None:
    wire = lines(
        {"choices": [choice(0, content="one")]},
        {"choices": [choice(1, content="two")]},
        {"choices": [choice(0, "stop")]},
        {"choices": [choice(1, content=" more")]},
        {"choices": [choice(1, "length")]},
    )
    _, chunks = collect(stage(large=lambda _: wire), n=2)
    texts, ends = {0: "", 1: ""}, {}
    for one in (c.choices[0] for c in chunks if c.choices):
        texts[one.index] += one.delta.content or ""
        ends[one.index] = one.finish_reason or ends.get(one.index)
    assert texts == {0: "one", 1: "two more"}
    assert ends == {0: "stop", 1: "length"}


def test_a_stream_that_never_says_why_it_ended_still_ends_for_the_client(stage: Any) -> None:
    wire = lines({"choices": [choice(content="all of it")]})
    text, chunks = collect(stage(large=lambda _: wire))
    assert text == "all of it"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].model_extra["smallfirst"]["reason"] == "only_tier"


def test_a_last_event_over_several_lines(stage: Any) -> None:
    spread = b'data: {"id": "x", "choices":\ndata: [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
    first = lines({"choices": [choice(content="fine")]}).steps[0]
    wire = Wire(steps=(first, spread), headers=(("Content-Type", "text/event-stream"),), framing="chunked")
    text, chunks = collect(stage(large=lambda _: wire))
    assert (text, chunks[-1].choices[0].finish_reason) == ("fine", "stop")


def test_tool_calls_are_relayed_piece_by_piece_and_held_ones_come_whole(stage: Any) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    call = ToolCall("f", '{"a": 1}')
    for models in ({"large": lambda _: Reply(tool_calls=(call, call))},
                   {"small": lambda _: Reply(tool_calls=(call, call)), "large": lambda _: "no"}):  # fmt: skip
        _, chunks = collect(stage(**models), tools=[tool])
        got: dict[int, str] = {}
        for piece in (t for c in chunks if c.choices for t in c.choices[0].delta.tool_calls or ()):
            got[piece.index] = got.get(piece.index, "") + (piece.function.arguments or "")
        assert got == {0: call.arguments, 1: call.arguments}
        assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_what_tools_and_schemas_take_of_the_context_is_counted(stage: Any) -> None:
    sizes = {"small": AbilitySettings(context=200), "large": AbilitySettings(context=2000)}
    up = stage(small=lambda _: GOOD, large=lambda _: Reply(tool_calls=(ToolCall("f", "{}"),)), abilities=sizes)
    words = {"type": "object", "description": "word " * 300}
    tool = {"type": "function", "function": {"name": "f", "parameters": words}}
    assert header(up.ask(tools=[tool]), "model") == "large"
    assert up.seen("small") == 0


def test_the_older_functions_count_as_tools(stage: Any) -> None:
    blind = {"small": AbilitySettings(tools=False)}
    up = stage(small=lambda _: GOOD, large=lambda _: Reply(tool_calls=(ToolCall("f", "{}"),)), abilities=blind)
    up.ask(extra_body={"functions": [{"name": "f", "parameters": {"type": "object"}}]})
    assert up.seen("small") == 0


def test_max_cost_reckons_with_every_choice(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, large=lambda _: "large")
    dial = {"smallfirst": {"max_cost_usd": 0.0005}}
    assert header(up.ask(max_tokens=200, extra_body=dial), "model") == "small"
    with pytest.raises(openai.BadRequestError) as caught:
        up.ask(max_tokens=200, n=2, extra_body=dial)
    assert caught.value.code == "limit_too_tight"


def test_a_fault_of_our_own_is_a_500_and_is_written_down(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    up = stage(small=lambda _: GOOD)

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(up.app.engine, "score", broken)
    with pytest.raises(openai.InternalServerError) as caught:
        up.ask()
    assert caught.value.code == "internal_error"
    assert (up.entries[0].status, up.entries[0].error_code) == (500, "internal_error")
