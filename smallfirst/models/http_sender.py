"""The one client for every upstream that speaks OpenAI chat completions (cloud, vLLM, Ollama, our own runtime) or
Anthropic's Messages.

Knows how a call becomes a request and an answer an outcome, and asks for the permit at the one place where bytes leave.
Does not know which model should be asked, nor whether to try again (engine/replicas.py).
"""

from __future__ import annotations

import asyncio
import time
import types
from collections.abc import AsyncIterator, Awaitable, Coroutine, Generator
from typing import Any

import msgspec

from smallfirst.core import Outcome, Permit, Replica, Status, Usage
from smallfirst.models import anthropic, embeddings, wire
from smallfirst.models.anthropic_stream import Translator
from smallfirst.models.connection import FaultKind, HttpFault, find_header
from smallfirst.models.faults import failed, rejected
from smallfirst.models.http import Answer, Body, HttpClient, Target
from smallfirst.models.sender import Call, Write, check
from smallfirst.models.sse import Framer, ended, stopped

_STATUS: dict[FaultKind, Status] = {
    "connect": Status.unavailable,
    "closed": Status.unavailable,
    "timeout": Status.timed_out,
    "cut": Status.broken,
    "malformed": Status.broken,
    "too_large": Status.broken,
}

DECODERS = {"openai": wire.decode, "anthropic": anthropic.decode, "embeddings": embeddings.decode}
PATHS = {"openai": "/chat/completions", "anthropic": "/messages", "embeddings": "/embeddings"}
"""What comes after a replica's base URL, and what reads its answers, by the API it speaks."""

MOST_ENDPOINTS = 1000
"""Prepared request heads that are kept."""

_MAYBE_READ = frozenset((Status.timed_out, Status.broken, Status.cancelled))
"""How a call ends whose upstream may have read the prompt, and will bill it: its input is booked, estimated."""


class Endpoint(msgspec.Struct, frozen=True):
    """What is made once for a replica: its request head, and how it spells the token limit."""

    target: Target
    spelling: tuple[str, str]


class HttpSender:
    """models/sender.py's Sender over HTTP."""

    def __init__(self, client: HttpClient | None = None) -> None:
        self._client = client or HttpClient()
        self._endpoints: dict[tuple[str, str, str | None, str], Endpoint] = {}

    async def ask(self, call: Call, permit: Permit) -> Outcome:
        """One whole answer. Raises PermissionError without a permit; a fault is a Status."""
        started = _now()
        try:
            answer = await self._send(call, permit, stream=False)
        except HttpFault as fault:
            return faulted(call, fault, started)
        except anthropic.Uncarried as fault:
            return uncarried(call, fault, started)
        if isinstance(answer, Body):  # never: stream was not asked for
            raise TypeError("a streamed body for a whole answer")
        if answer.status == 200:
            return DECODERS[call.replica.wire](call, answer.body, started, _now())
        return rejected(call, answer.status, answer.body, find_header(answer.headers, b"retry-after"), started, _now())

    def stream(self, call: Call, permit: Permit) -> HttpStream:
        """An answer as it comes; nothing is sent before the first block is asked for."""
        return HttpStream(self, call, permit)

    async def close(self) -> None:
        await self._client.close()

    async def open(self, call: Call, permit: Permit) -> Body:
        """For HttpStream: the response, once its head has come. Raises HttpFault, PermissionError."""
        answer = await self._send(call, permit, stream=True)
        if isinstance(answer, Answer):  # never: see above
            raise TypeError("a whole answer for a stream")
        return answer

    async def _send(self, call: Call, permit: Permit, *, stream: bool) -> Answer | Body:
        """The one place where bytes leave for a model."""
        check(call, permit)
        if call.replica.wire == "openai":
            endpoint = self._endpoint(call.replica)
            body = wire.encode(call, stream=stream, spelling=endpoint.spelling)
        elif call.replica.wire == "anthropic":
            endpoint = self._endpoint(call.replica, call.query.beta)
            body = anthropic.encode(call, stream=stream)
        else:
            endpoint = self._endpoint(call.replica)
            body = embeddings.encode(call)
        trace = call.query.trace
        more = b"" if trace is None else b"traceparent: %b\r\n" % trace.onward.encode()
        if stream:
            return await self._client.open(endpoint.target, body, call.timeout_s, call.model.stream_s, more)
        return await self._client.post(endpoint.target, body, call.timeout_s, more)

    def _endpoint(self, replica: Replica, beta: str = "") -> Endpoint:
        name = (replica.url, replica.upstream_model, replica.key, beta)
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            if len(self._endpoints) >= MOST_ENDPOINTS:  # callers choose the beta header
                self._endpoints.clear()
            try:
                target = self._target(replica, beta)
            except ValueError as error:
                raise HttpFault("connect", f"provider {replica.provider}: {error}") from error
            endpoint = self._endpoints[name] = Endpoint(target, wire.limit_spelling(replica))
        return endpoint

    def _target(self, replica: Replica, beta: str) -> Target:
        url = replica.url.rstrip("/")
        if replica.wire != "anthropic":
            return self._client.target(url + PATHS[replica.wire], replica.key)
        headers = {"anthropic-version": anthropic.VERSION}
        if replica.key:
            headers["x-api-key"] = replica.key.strip()
        if beta:
            headers["anthropic-beta"] = beta
        return self._client.target(url + PATHS[replica.wire], None, headers)


class HttpStream:
    """models/sender.py's AnswerStream over HTTP."""

    def __init__(self, sender: HttpSender, call: Call, permit: Permit) -> None:
        self._sender, self._call, self._permit = sender, call, permit
        self._framer = Framer(strip=call.logprobs, text=call.text, n=call.query.needs.n)
        self._body: Body | None = None
        self._translator = Translator(native=call.query.api == "messages") if call.replica.wire == "anthropic" else None
        self._feed = self._framer.feed if self._translator is None else self._translated
        self._started = 0
        self._first: int | None = None
        self._outcome: Outcome | None = None

    @property
    def tokens(self) -> int:
        return self._framer.tokens

    @property
    def outcome(self) -> Outcome:
        if self._outcome is None:
            raise RuntimeError("the stream has not ended")
        return self._outcome

    @property
    def tail(self) -> tuple[bytes, ...]:
        return tuple(self._framer.tail)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._outcome is not None:
            raise StopAsyncIteration
        try:
            body = self._body or await self._begin()
            framer = self._framer
            while body is not None and not framer.done:
                data = body.ready()
                if data is None:  # not body.read(): this runs for each event, and a coroutine less is worth having
                    await body.wait()
                elif block := self._block(data):
                    return block
                elif not data:
                    break
            if body is not None:
                self._finish(framer, body)
        except HttpFault as fault:
            self._stop(_STATUS[fault.kind], str(fault))
        except anthropic.Uncarried as fault:
            self._outcome = uncarried(self._call, fault, self._started)
        except asyncio.CancelledError:
            self._stop(Status.cancelled, "")
            raise
        raise StopAsyncIteration

    async def pour(self, write: Write) -> None:
        """Pass every further block to `write`: what an `async for` would do, in the turn of the loop that brought it.

        An event then costs no future, no task switch and no coroutine but that of `write`. The first block must have
        been read by iteration.
        """
        if self._outcome is not None:
            return
        try:
            await self._pour(write)
        except HttpFault as fault:
            self._stop(_STATUS[fault.kind], str(fault))
        except asyncio.CancelledError:
            self._stop(Status.cancelled, "")
            raise

    async def _pour(self, write: Write) -> None:
        body, framer = self._body or await self._begin(), self._framer
        if body is None:
            return
        left: list[Awaitable[None]] = []  # of a write that has to wait for a slow reader

        def tap() -> bool:
            if block := feed(take()):
                writing = write(block)
                try:
                    waits_for = writing.send(None)
                except StopIteration:
                    return framer.done
                left.append(_resume(waits_for, writing))
                return True
            return framer.done

        take, feed = body.take, self._feed
        while not framer.done:
            data = body.ready()
            if data is None:
                await body.wait(tap)
                if left:
                    await left.pop()
                continue
            if block := self._block(data):
                await write(block)
            if not data:
                break
        self._finish(framer, body)

    def _translated(self, data: bytes) -> bytes:
        """As Framer.feed, of Anthropic's events."""
        assert self._translator is not None  # noqa: S101 - it is called for such streams only
        return self._framer.feed(self._translator.feed(data))

    def _block(self, data: bytes) -> bytes:
        """The events that `data` completes."""
        framer = self._framer
        block = self._feed(data) if data else framer.end()
        if self._first is None and framer.tokens:
            self._first = _now()
        return block

    async def aclose(self) -> None:
        if self._outcome is None:
            self._stop(Status.cancelled, "")

    async def _begin(self) -> Body | None:
        """Send it. None where the upstream did not begin to stream, with the outcome set."""
        self._started = _now()
        body = self._body = await self._sender.open(self._call, self._permit)
        if body.status != 200:
            retry_after = find_header(body.headers, b"retry-after")
            self._outcome = rejected(self._call, body.status, await body.read_all(), retry_after, self._started, _now())
            return None
        kind = find_header(body.headers, b"content-type") or b""
        if kind.startswith(b"application/json"):
            self._stop(Status.broken, "the upstream answered a stream request with a whole answer")
            return None
        return body

    def _finish(self, framer: Framer, body: Body) -> None:
        """The events have ended."""
        self._outcome = self._priced(ended(self._call, framer, body.status, self._started, self._first, _now()))
        if self._outcome.ok:
            body.finish()
        else:
            body.close()

    def _stop(self, status: Status, error: str) -> None:
        """It ends otherwise: a fault, or nobody wants it any more."""
        body, now = self._body, _now()
        if body is not None:
            body.close()
        sent = body is not None or (self._started > 0 and status in _MAYBE_READ)
        http_status, started = body.status if body else 0, self._started or now
        self._outcome = self._priced(
            stopped(self._call, self._framer, status, error, sent, http_status, started, self._first, now)
        )

    def _priced(self, outcome: Outcome) -> Outcome:
        """With what Anthropic charges for writing to its prompt cache, which no chat completion speaks of."""
        if self._translator is None or self._translator.counted is None:
            return outcome
        counted = self._translator.counted
        used = counted.usage
        if not outcome.ok:  # its last count has not come: what came was counted here
            used = Usage(
                used.input_tokens, max(used.output_tokens, self._framer.tokens), used.cached_tokens, estimated=True
            )
        return msgspec.structs.replace(outcome, usage=used, cost=counted.cost(self._call.model.price, used))


def uncarried(call: Call, fault: anthropic.Uncarried, started_us: int) -> Outcome:
    """The outcome of a call that this upstream's API can't express: nothing was sent."""
    error = {"error": {"message": str(fault), "type": "invalid_request_error", "param": fault.field, "code": None}}
    words = f"{fault.field} can't be carried to Anthropic's API"
    outcome = failed(call, Status.refused, words, started_us, _now(), http_status=400)
    return msgspec.structs.replace(outcome, body=msgspec.json.encode(error))


@types.coroutine
def _resume(waits_for: object, write: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
    """What is left of a coroutine that was begun by hand and waits for something."""
    yield waits_for
    yield from write.__await__()


def faulted(call: Call, fault: HttpFault, started_us: int) -> Outcome:
    """The outcome of a call that got no (whole) answer."""
    status = _STATUS[fault.kind]
    usage = Usage(call.query.needs.input_tokens, estimated=True) if status in _MAYBE_READ else Usage()
    return failed(call, status, str(fault), started_us, _now(), usage=usage)


def _now() -> int:
    return time.monotonic_ns() // 1000
