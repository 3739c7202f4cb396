"""OpenAI chat completions as bytes: a query becomes a request body, an answer becomes an Outcome.

Knows the wire's field names and what tokens cost by a model's price. Does not know sockets, nor what went wrong where
there is no answer (faults.py). Fields that it does not know pass through as they came.
Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from smallfirst.core import Outcome, Replica, Signals, Status, ToolCall, Usage
from smallfirst.models.faults import BAD_JSON, WireError, error_event, failed
from smallfirst.models.sender import Call

TRUE = msgspec.Raw(b"true")
FALSE = msgspec.Raw(b"false")
WITH_USAGE = msgspec.Raw(b'{"include_usage":true}')
OLD_LIMIT, NEW_LIMIT = "max_tokens", "max_completion_tokens"

NO_SIGNALS = Signals()

_REASONING = re.compile(r"^(?:gpt-5|o\d)")


class Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class WireUsage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Details | None = None


class WireFunction(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class WireToolCall(msgspec.Struct, gc=False):
    index: int = 0
    function: WireFunction | None = None


class Part(msgspec.Struct, gc=False):
    text: str | None = None


class Message(msgspec.Struct, gc=False):
    """A whole message, or a stream's delta."""

    content: str | list[Part] | None = None
    refusal: str | None = None
    tool_calls: list[WireToolCall] | None = None


class TokenLogprob(msgspec.Struct, gc=False):
    logprob: float | None = None


class Logprobs(msgspec.Struct, gc=False):
    content: list[TokenLogprob] | None = None


class WireChoice(msgspec.Struct, gc=False):
    message: Message
    index: int = 0
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Completion(msgspec.Struct, gc=False):
    choices: list[WireChoice] = []
    usage: WireUsage | None = None
    error: WireError | str | None = None


_completion = msgspec.json.Decoder(Completion)
_raw_dict = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_choices = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_encode = msgspec.json.Encoder().encode


def limit_spelling(replica: Replica) -> tuple[str, str]:
    """(the name for the token limit that this endpoint does not take, the one that it takes).

    OpenAI's gpt-5 and o models refuse `max_tokens`; many other servers know nothing else. ("", "") where both do.
    """
    if _REASONING.match(replica.upstream_model.rsplit("/", 1)[-1]):
        return OLD_LIMIT, NEW_LIMIT
    host = urlsplit(replica.url).hostname or ""
    if host.endswith(("openai.com", "azure.com")):
        return "", ""
    return NEW_LIMIT, OLD_LIMIT


def encode(call: Call, *, stream: bool, spelling: tuple[str, str]) -> bytes:
    """The body that is sent: the caller's fields, `call.edit` over them, our own over both."""
    fields: dict[str, Any] = {**call.query.fields}
    edit = call.edit
    if edit is not None:
        for name in edit.drop:
            fields.pop(name, None)
        fields.update(edit.put)
    fields["model"] = call.replica.upstream_model
    fields.pop("smallfirst", None)
    if stream:
        fields["stream"] = TRUE
        options = fields.get("stream_options")
        fields["stream_options"] = WITH_USAGE if options is None else _with_usage(options)
    else:
        fields.pop("stream", None)
        fields.pop("stream_options", None)
    if call.logprobs:
        fields["logprobs"] = TRUE
        fields["top_logprobs"] = 1  # 0 means "no log-probabilities" to llama-server
    refused, taken = spelling
    if refused in fields:
        value = fields.pop(refused)
        fields.setdefault(taken, value)
    return _encode(fields)


def _with_usage(options: msgspec.Raw) -> dict[str, Any] | msgspec.Raw:
    try:
        return {**_raw_dict.decode(options), "include_usage": TRUE}
    except BAD_JSON:  # null, or not an object
        return WITH_USAGE


def decode(call: Call, body: bytes, started_us: int, ended_us: int) -> Outcome:
    """A whole answer with status 200."""
    try:
        answer = _completion.decode(body)
    except BAD_JSON:
        return failed(call, Status.broken, "the upstream's answer is not a chat completion", started_us, ended_us)
    if not answer.choices:
        if answer.error is not None:
            return error_event(call, answer.error, started_us, ended_us, body)
        return failed(call, Status.broken, "the upstream's answer has no choices", started_us, ended_us)
    choice = answer.choices[0]
    message = choice.message
    content = message.content
    text = content if type(content) is str else _text(message)
    replica = call.replica
    usage = to_usage(answer.usage) or _guess(call, answer.choices)
    price = call.model.price
    return Outcome(
        model=call.model.name,
        status=Status.ok,
        text=text,
        tool_calls=_tool_calls(message.tool_calls) if message.tool_calls else (),
        finish=choice.finish_reason,
        usage=usage,
        signals=NO_SIGNALS if choice.logprobs is None else to_signals(choice.logprobs.content),
        started_us=started_us,
        latency_us=ended_us - started_us,
        provider=replica.provider,
        location=replica.location,
        http_status=200,
        body=strip_logprobs(body) if call.logprobs else body,
        cost=price.cost(usage) if price is not None else 0,
    )


def to_usage(wire: WireUsage | None) -> Usage | None:
    """None where the upstream counted nothing."""
    if wire is None or (wire.prompt_tokens is None and wire.completion_tokens is None):
        return None
    given, details = max(wire.prompt_tokens or 0, 0), wire.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details is not None else 0
    return Usage(given, max(wire.completion_tokens or 0, 0), min(max(cached, 0), given))


def to_signals(content: Sequence[TokenLogprob] | None) -> Signals:
    """First and mean log-probability of the answer's tokens."""
    values = [token.logprob for token in content or () if token.logprob is not None]
    return Signals(values[0], sum(values) / len(values), len(values)) if values else NO_SIGNALS


def tokens_of(characters: int) -> int:
    """The usual rule of thumb where nobody counted: four characters a token, at least one."""
    return max(1, -(-characters // 4)) if characters else 0


def _guess(call: Call, choices: Sequence[WireChoice]) -> Usage:
    size = 0
    for choice in choices:
        size += len(_text(choice.message))
        size += sum(len(c.name) + len(c.arguments) for c in _tool_calls(choice.message.tool_calls or ()))
    return Usage(call.input_tokens, tokens_of(size), 0, estimated=True)


def _text(message: Message) -> str:
    content = message.content
    if content is None:
        return message.refusal or ""
    return content if isinstance(content, str) else "".join(part.text or "" for part in content)


def arguments_of(function: WireFunction) -> str:
    """The JSON text of a call's arguments; some servers send an object instead of text."""
    given = function.arguments
    return given if isinstance(given, str) else "" if given is None else _encode(given).decode()


def _tool_calls(calls: Sequence[WireToolCall]) -> tuple[ToolCall, ...]:
    functions = (call.function for call in calls)
    return tuple(ToolCall(f.name or "", arguments_of(f)) for f in functions if f is not None)


def strip_logprobs(body: bytes) -> bytes:
    """An answer or event without the log-probabilities that only we asked for."""
    answer: dict[str, Any] = {**_raw_dict.decode(body)}
    choices = _raw_choices.decode(answer["choices"])
    for choice in choices:
        choice.pop("logprobs", None)
    answer["choices"] = choices
    return _encode(answer)
