"""Streams cut anywhere give the same events and the same outcome."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.core import ToolCall
from smallfirst.models import wire
from smallfirst.models.sse import MAX_EVENT, Framer


def chunk(delta=None, finish=None, **more):
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice], **more}


def event(value, compact=True) -> bytes:
    text = json.dumps(value, separators=(",", ":") if compact else None)
    return f"data: {text}\n\n".encode()


USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
WORDS = [event(chunk({"role": "assistant", "content": ""}))]
WORDS += [event(chunk({"content": w}, usage=None)) for w in ("one", ' "finish_reason":"stop"', " \n\ndata: [DONE]\n\n")]
END = event(chunk(finish="stop"))
LAST = event({"id": "c", "choices": [], "usage": USAGE})
DONE = b"data: [DONE]\n\n"
WHOLE = b"".join([*WORDS, END, LAST, DONE])


def run(pieces, **options):
    framer = Framer(**options)
    out = b"".join(framer.feed(piece) for piece in pieces) + framer.end()
    return out, framer


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def outcome(framer: Framer):
    return (
        framer.tokens, framer.tail, framer.finish, wire.to_usage(framer.usage), framer.complete, framer.broken,
        framer.error, framer.text, framer.tool_calls, wire.to_signals(framer.logprobs),
    )  # fmt: skip


def test_content_is_relayed_and_the_end_is_withheld() -> None:
    out, framer = run([WHOLE])
    assert out == b"".join(WORDS)
    assert framer.tail == [END, LAST]
    assert (framer.tokens, framer.finish, framer.complete) == (3, "stop", True)
    usage = wire.to_usage(framer.usage)
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == (9, 3, 4)


def test_a_burst_is_counted_as_its_events_are() -> None:
    words = [event(chunk({"content": "" if n % 5 == 0 else f"word{n}"})) for n in range(200)]
    burst, one = run([b"".join([*words, END, LAST, DONE])])
    single, two = run([*words, END, LAST, DONE])
    assert burst == single == b"".join(words)
    assert outcome(one) == outcome(two)
    assert one.tokens == 160


def test_each_block_is_whole_events() -> None:
    framer = Framer()
    for i in range(len(WHOLE)):
        block = framer.feed(WHOLE[i : i + 1])
        assert not block or block in WORDS


LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
EVENTS = st.sampled_from(
    [
        *WORDS,
        END,
        LAST,
        b": comment\n\n",
        b"event: ping\n\n",
        b"\n",
        event(chunk({"content": "x"}), compact=False),
        event(chunk({"content": None, "tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]})),
        event(chunk({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]})),
        b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"split"},\ndata: "finish_reason":null}]}\n\n',
        b'data:{"choices":[{"delta":{"content":"tight"}}]}\nid: 7\n\n',
        event(chunk({"content": "lp"}, logprobs=None)),
        event({"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [{"logprob": -0.5}]}}]}),
        event(chunk({"content": "both"}, finish="length", usage=USAGE)),
        event({"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}]}),
        event({"error": {"message": "overloaded", "code": 503}}),
        b"data: {nonsense\n\n",
        b"".join(event(chunk({"content": w})) for w in ["a", "", "word", "é\n"] * 12),  # a burst
        b"".join(event(chunk({"content": f"w{n}"})) for n in range(40)),
        DONE,
    ]
)


@given(st.lists(EVENTS, max_size=12), LINE_ENDS, st.lists(st.integers(0, 20_000), max_size=20), st.booleans())
def test_any_cut_gives_the_same_bytes_and_outcome(events, line_end, places, parsed) -> None:
    data = b"".join(events).replace(b"\n", line_end)
    whole, one = run([data], strip=parsed, text=parsed)
    pieces, two = run(cut(data, places), strip=parsed, text=parsed)
    assert pieces == whole
    assert outcome(one) == outcome(two)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_rubbish_never_raises_and_is_never_complete_by_accident(data, places) -> None:
    whole, one = run([data])
    pieces, two = run(cut(data, places))
    assert (whole, outcome(one)) == (pieces, outcome(two))


@pytest.mark.parametrize("parsed", [False, True])
@pytest.mark.parametrize("data", [b"\x00a\x00", b"\x00", b"\x00\n\n\x00words\x00\n\n\x00", b"\x00a\x00\n\n"])
def test_zeros_are_no_event(data, parsed) -> None:
    framer = Framer(text=parsed)
    assert framer.feed(data) == b""
    assert framer.tokens == 0


@given(st.text(max_size=60))
def test_no_content_passes_for_an_end(text) -> None:
    out, framer = run([event(chunk({"content": text}), compact=True), event(chunk({"content": text}), compact=False)])
    assert framer.tail == []
    assert framer.finish is None
    assert framer.tokens == (2 if text else 0)
    contents = [json.loads(line[6:])["choices"][0]["delta"]["content"] for line in out.split(b"\n\n") if line]
    assert contents == [text, text]


def test_a_stream_that_stops_is_not_complete() -> None:
    assert not run(WORDS)[1].complete
    assert run([*WORDS, END])[1].complete  # some servers never say [DONE]
    assert run([b"".join([*WORDS, END, LAST, DONE]).rstrip(b"\n")])[1].complete  # nor a last blank line


def test_an_error_event_ends_it_and_is_not_relayed() -> None:
    out, framer = run([WORDS[1], event({"error": {"message": "no", "code": 429}}), WORDS[1]])
    assert out == WORDS[1]
    assert framer.error is not None
    assert not framer.complete


def test_nonsense_and_an_endless_event_are_broken() -> None:
    assert run([b"data: <html>\n\n"])[1].broken
    assert run([b"data: " + b"x" * (MAX_EVENT + 1)])[1].broken


def test_comments_are_not_relayed() -> None:
    out, _ = run([b": PROCESSING\n\n", WORDS[1], b"event: ping\n\n"])
    assert out == WORDS[1]


def test_injected_log_probabilities_are_read_and_taken_out() -> None:
    def with_logprobs(text, value):
        made = chunk({"content": text})
        made["choices"][0]["logprobs"] = {"content": [{"token": text, "logprob": value, "top_logprobs": []}]}
        return event(made)

    data = [with_logprobs("a", -0.25), with_logprobs("b", -0.75), END, LAST, DONE]
    out, framer = run(data, strip=True)
    assert b"logprob" not in out
    assert out == event(chunk({"content": "a"})) + event(chunk({"content": "b"}))
    signals = wire.to_signals(framer.logprobs)
    assert (signals.first_logprob, signals.mean_logprob, signals.tokens) == (-0.25, -0.5, 2)


def test_text_and_tool_calls_are_gathered_on_request() -> None:
    calls = [
        {"content": "hm "},
        {"content": "yes"},
        {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
    ]
    out, framer = run([event(chunk(delta)) for delta in calls] + [event(chunk(finish="tool_calls")), DONE], text=True)
    assert framer.text == "hm yes"
    assert framer.tool_calls == (ToolCall("f", '{"x":1}'), ToolCall("g", ""))
    assert framer.tokens == 5
    assert out == b"".join(event(chunk(delta)) for delta in calls)
