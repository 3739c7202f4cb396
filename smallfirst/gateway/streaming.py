"""Server-sent events: a whole answer made into a stream, and the decision put into a stream's last event.

Knows the chunk format of OpenAI's streams. Does not know sockets: it makes bytes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.core import Query
from smallfirst.engine.request import Answer
from smallfirst.errors import RequestError
from smallfirst.gateway.respond import decision_json

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": still working\n\n"

_encode, _decode = msgspec.json.encode, msgspec.json.decode


def event(payload: object) -> bytes:
    return b"data: " + _encode(payload) + b"\n\n"


def error_event(error: RequestError) -> bytes:
    """What a client gets when a stream fails after its headers have gone."""
    return event(error.body()) + DONE


def from_whole(query: Query, answer: Answer) -> bytes:
    """All events of an answer that was held until it was accepted."""
    assert answer.outcome is not None  # noqa: S101 - the caller has looked
    whole: dict[str, Any] = _decode(answer.outcome.body)
    base = _base(query, answer) | {name: whole[name] for name in ("id", "created", "model") if whole.get(name)}
    events, ends = [], []
    for choice in whole.get("choices", ()):
        index, message = choice.get("index", 0), choice.get("message") or {}
        delta = {k: v for k, v in message.items() if v is not None and k != "tool_calls"}
        if calls := message.get("tool_calls"):
            delta["tool_calls"] = [{"index": i, **call} for i, call in enumerate(calls)]
        chunk = {"index": index, "delta": {"role": "assistant", **delta}, "finish_reason": None}
        if query.needs.logprobs:
            chunk["logprobs"] = choice.get("logprobs")
        events.append({**base, "choices": [chunk]})
        ends.append(
            {**base, "choices": [{"index": index, "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}]}
        )
    ends.append({**base, "choices": [], "usage": _usage(whole, answer)})
    return b"".join(map(event, events)) + _finish(query, ends, answer, whole.get("smallfirst"))


def _base(query: Query, answer: Answer) -> dict[str, Any]:
    model = answer.entry.served_model
    return {"id": f"chatcmpl-{query.id}", "object": "chat.completion.chunk", "created": 0, "model": model}


def last_events(query: Query, answer: Answer) -> bytes:
    """The withheld end of a relayed stream, with the decision in it."""
    ends: list[dict[str, Any]] = []
    for block in answer.tail:
        for line in block.splitlines():
            if line.startswith(b"data:"):
                ends.append(_decode(line[5:]))
    base = {k: v for k, v in ends[-1].items() if k not in ("choices", "usage")} if ends else _base(query, answer)
    if not any(end.get("choices") for end in ends):  # it said that it was done, and not why
        ends.insert(0, {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if not any(end.get("usage") for end in ends):
        ends.append({**base, "choices": [], "usage": _usage({}, answer)})
    return _finish(query, ends, answer)


def _finish(query: Query, ends: list[dict[str, Any]], answer: Answer, beside: dict[str, Any] | None = None) -> bytes:
    """The decision, with what a task puts `beside` its words, goes into the usage event where the client asked for one,
    else into the last event with a choice: a client that never asked for usage may not expect one without choices."""
    if not query.include_usage:
        ends = [end for end in ends if end.get("choices")] or ends[:1]
        for end in ends:
            end.pop("usage", None)
    if ends:
        ends[-1]["smallfirst"] = decision_json(answer) | (beside or {})
    return b"".join(map(event, ends)) + DONE


def _usage(whole: dict[str, Any], answer: Answer) -> dict[str, Any]:
    if whole.get("usage"):
        usage: dict[str, Any] = whole["usage"]
        return usage
    assert answer.outcome is not None  # noqa: S101 - the caller has looked
    used = answer.outcome.usage
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
    }
