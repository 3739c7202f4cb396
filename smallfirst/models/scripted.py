"""A sender that answers from a script: for tests and the demonstration.

Knows answers and faults, never scores. What it says goes through wire.py and sse.py, so that an outcome looks as it
would from a real upstream. Does not open a socket (loopback.py does).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from smallfirst.core import Outcome, Permit, Status, ToolCall, Usage
from smallfirst.models import wire
from smallfirst.models.faults import failed
from smallfirst.models.sender import Call, Write, check
from smallfirst.models.sse import Framer, ended, stopped

Sleep = Callable[[float], Awaitable[None]]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a scripted model says: an answer, or with another status a fault."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str | None = None  # default: stop, or tool_calls
    usage: Usage | None = None  # None: the upstream counts nothing
    logprobs: tuple[float, ...] = ()  # of the answer's tokens; sent only when asked for
    status: Status = Status.ok
    http_status: int = 0
    retry_after_s: float | None = None
    delay_s: float = 0.0  # before the answer; a stream: before its first event
    gap_s: float = 0.0  # between a stream's events
    pieces: int = 0  # how many events a stream's text comes in; 0: one a word
    cut_after: int | None = None  # a stream breaks after so many events


class Sent(msgspec.Struct, frozen=True):
    """What one model was sent."""

    model: str
    provider: str
    stream: bool
    body: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The body, decoded."""
        fields: dict[str, Any] = msgspec.json.decode(self.body)
        return fields


Script = Mapping[str, Reply | str] | Callable[[Call], Reply | str]
"""Model name -> what it always says; or a function of the call."""


class ScriptedSender:
    """models/sender.py's Sender from a script. `seen`: every call that was sent, in order.

    `sleep` waits for a reply's delays: asyncio.sleep, or a virtual clock's.
    """

    def __init__(self, script: Script, *, sleep: Sleep = asyncio.sleep) -> None:
        self._script, self._sleep = script, sleep
        self.seen: list[Sent] = []
        self.closed = False

    async def ask(self, call: Call, permit: Permit) -> Outcome:
        started = _now()
        reply = self.send(call, permit, stream=False)
        await self.wait(reply.delay_s)
        if reply.status is not Status.ok:
            return _fault(call, reply, started)
        body = msgspec.json.encode(completion(call.replica.upstream_model, reply, _asks_logprobs(self.seen[-1])))
        return wire.decode(call, body, started, _now())

    def stream(self, call: Call, permit: Permit) -> ScriptedStream:
        return ScriptedStream(self, call, permit)

    async def close(self) -> None:
        self.closed = True

    def send(self, call: Call, permit: Permit, *, stream: bool) -> Reply:
        """Record the call, and look up what is said to it."""
        check(call, permit)
        body = wire.encode(call, stream=stream, spelling=wire.limit_spelling(call.replica))
        self.seen.append(Sent(call.model.name, call.replica.provider, stream, body))
        script = self._script
        said = script(call) if callable(script) else script[call.model.name]
        return Reply(text=said) if isinstance(said, str) else said

    async def wait(self, seconds: float) -> None:
        """At least one turn of the loop, so that calls side by side really interleave."""
        await (self._sleep(seconds) if seconds > 0 else asyncio.sleep(0))


class ScriptedStream:
    """models/sender.py's AnswerStream from a reply."""

    def __init__(self, sender: ScriptedSender, call: Call, permit: Permit) -> None:
        self._sender, self._call, self._permit = sender, call, permit
        self._framer = Framer(strip=call.logprobs, text=True, n=call.query.needs.n)
        self._started = 0
        self._first: int | None = None
        self._outcome: Outcome | None = None
        self._blocks = self._run()

    @property
    def tokens(self) -> int:
        return self._framer.tokens

    @property
    def logprob(self) -> float | None:
        return self._framer.logprob

    @property
    def outcome(self) -> Outcome:
        if self._outcome is None:
            raise RuntimeError("the stream has not ended")
        return self._outcome

    @property
    def tail(self) -> tuple[bytes, ...]:
        return tuple(self._framer.tail)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._blocks

    async def pour(self, write: Write) -> None:
        async for block in self._blocks:
            await write(block)

    async def aclose(self) -> None:
        await self._blocks.aclose()
        if self._outcome is None:
            now, sent = _now(), self._started > 0
            started = self._started or now
            self._outcome = stopped(
                self._call, self._framer, Status.cancelled, "", sent, 200 if sent else 0, started, self._first, now
            )

    async def _run(self) -> AsyncGenerator[bytes, None]:
        self._started = _now()
        reply = self._sender.send(self._call, self._permit, stream=True)
        await self._sender.wait(reply.delay_s)
        if reply.status is not Status.ok:
            self._outcome = _fault(self._call, reply, self._started)
            return
        asked = _asks_logprobs(self._sender.seen[-1])
        for n, event in enumerate(events(self._call.replica.upstream_model, reply, asked)):
            if n == reply.cut_after:
                break
            if n:
                await self._sender.wait(reply.gap_s)
            block = self._framer.feed(event)
            if self._first is None and self._framer.tokens:
                self._first = _now()
            if block:
                yield block
        self._outcome = ended(self._call, self._framer, 200, self._started, self._first, _now())


def completion(model: str, reply: Reply, logprobs: bool = False) -> dict[str, Any]:
    """A reply as an OpenAI chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text if not reply.tool_calls else None}
    if reply.tool_calls:
        message["tool_calls"] = _calls(reply.tool_calls)
    choice: dict[str, Any] = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(reply)}
    if logprobs and reply.logprobs:
        choice["logprobs"] = _logprobs(reply.logprobs)
    answer = {"id": "chatcmpl-scripted", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]}
    return answer if reply.usage is None else {**answer, "usage": _usage(reply.usage)}


def events(model: str, reply: Reply, logprobs: bool = False) -> list[bytes]:
    """A reply as the events of an OpenAI stream."""
    words = pieces(reply.text, reply.pieces)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in words] if not reply.tool_calls else []
    deltas += [{"tool_calls": [call]} for call in _calls(reply.tool_calls)]
    values = iter(reply.logprobs if logprobs else ())
    choices: list[list[dict[str, Any]]] = []
    for n, delta in enumerate(deltas):
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": None}
        value = next(values, None) if n else None
        if value is not None:
            choice["logprobs"] = _logprobs((value, *(values if n == len(deltas) - 1 else ())))
        choices.append([choice])
    choices.append([{"index": 0, "delta": {}, "finish_reason": _finish(reply)}])
    base = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 0, "model": model}
    chunks: list[dict[str, Any]] = [{**base, "choices": choice} for choice in choices]
    if reply.usage is not None:
        chunks.append({**base, "choices": [], "usage": _usage(reply.usage)})
    return [*(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks), b"data: [DONE]\n\n"]


def pieces(text: str, count: int) -> list[str]:
    """`text` cut into `count` pieces of about the same length; 0: a piece for each word."""
    if count <= 0:
        words = text.split(" ")
        return [words[0], *(f" {word}" for word in words[1:])] if text else []
    size = max(1, -(-len(text) // count))
    return [text[i : i + size] for i in range(0, len(text), size)]


def _finish(reply: Reply) -> str:
    return reply.finish or ("tool_calls" if reply.tool_calls else "stop")


def _calls(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    return [
        {
            "index": n,
            "id": f"call_{n}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for n, call in enumerate(calls)
    ]


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _logprobs(values: Sequence[float]) -> dict[str, Any]:
    return {"content": [{"token": "x", "logprob": value, "bytes": None, "top_logprobs": []} for value in values]}


def _asks_logprobs(sent: Sent) -> bool:
    return sent.fields.get("logprobs") is True


def _fault(call: Call, reply: Reply, started_us: int) -> Outcome:
    outcome = failed(call, reply.status, "scripted", started_us, _now(), reply.http_status)
    return msgspec.structs.replace(outcome, retry_after_s=reply.retry_after_s, body=reply.text.encode())


def _now() -> int:
    return time.monotonic_ns() // 1000
