"""POST /v1/chat/completions: reads the body, runs the exchange, writes the reply or the stream.

Knows ASGI. Does not know routing: it hands a Query to the engine and shows what comes back.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from typing import Any

import msgspec

from smallfirst.accounts.keys import Keys
from smallfirst.core import Query, Reason
from smallfirst.engine.request import Answer, Engine, Exchange
from smallfirst.errors import Overloaded, RequestError, TooLarge
from smallfirst.gateway import respond, streaming
from smallfirst.gateway.attendant import Attendant, Guest, Receive
from smallfirst.gateway.parse import parse_chat
from smallfirst.gateway.settings import ServerSettings
from smallfirst.gateway.traces import read_trace
from smallfirst.policy.protocol import Start

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Coroutine[Any, Any, None]]

_process = os.urandom(4).hex()
_serial = itertools.count()


def new_request_id() -> str:
    """Sortable by time, unique over processes."""
    return f"sf-{time.time_ns() // 1000:014x}{_process}{next(_serial) & 0xFFFFFF:06x}"


_CROWDED = "this gateway has as many requests as it may (server.max_inflight); try again in a moment"


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


async def read_body(receive: Receive, settings: ServerSettings) -> bytes:
    """The whole body, within `server.max_body_mb`. How long it may take is the attendant's business."""
    limit = int(settings.max_body_mb * 1_000_000)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body") and size <= limit:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise ClientGone
    if len(body) > limit:
        raise _too_large(settings)
    return body


def _too_large(settings: ServerSettings) -> TooLarge:
    limit = f"{settings.max_body_mb:g} MB (server.max_body_mb)"
    return TooLarge(f"the body is larger than the limit of {limit}", code="body_too_large")


class ChatHandler:
    """Serves chat completions from an engine."""

    def __init__(
        self, engine: Engine, keys: Keys, settings: ServerSettings, loaded: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`loaded` is awaited before the first request is served: where nobody can answer until a model has loaded."""
        self._engine, self._keys, self._settings, self._loaded = engine, keys, settings, loaded
        self._attendant = Attendant(settings.body_timeout_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self._attendant.guests) >= self._settings.max_inflight:
            await self.refuse(send, Overloaded(_CROWDED, code="overloaded", retry_after_s=1.0), [])
            return
        guest = self._attendant.welcome(receive)
        try:
            await self._serve(dict(scope["headers"]), receive, send, guest)
        except ClientGone:
            pass
        except asyncio.CancelledError:
            guest.explain()
            raise
        finally:
            guest.leave()

    async def _serve(self, headers: dict[bytes, bytes], receive: Receive, send: Send, guest: Guest) -> None:
        request_id = new_request_id()
        try:
            key = self._keys.check(as_text(headers.get(b"authorization")), as_text(headers.get(b"x-api-key")))
            self._check_length(headers)
            body = await read_body(receive, self._settings)
            query = self.parse(body, headers, request_id)
        except RequestError as error:
            await self.refuse(send, error, [(b"x-smallfirst-request-id", request_id.encode())])
            return
        if key is not None:
            query = msgspec.structs.replace(query, key_id=key.name)
        if self._settings.otlp is not None and (parent := headers.get(b"traceparent")) is not None:
            query = msgspec.structs.replace(query, trace=read_trace(parent, request_id))
        exchange = self._engine.exchange(query, key)
        guest.ask(exchange)
        debug = headers.get(b"x-smallfirst-debug") == b"true"
        if self._loaded is not None:
            await self._loaded()
            self._loaded = None
        if query.stream:
            await self.stream_reply(exchange, query, send, debug=debug).run()
        else:
            await self._reply(exchange, send, debug=debug)

    def _check_length(self, headers: dict[bytes, bytes]) -> None:
        """Refuse by the announced length before reading: a client should not have to send 50 MB to hear no."""
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._settings.max_body_mb * 1_000_000:
            raise _too_large(self._settings)

    async def _reply(self, exchange: Exchange, send: Send, *, debug: bool) -> None:
        answer = await exchange.run()
        headers = self.named(respond.decided(answer))
        if debug:
            headers += respond.debug(answer)
        if answer.error is not None or answer.outcome is None:
            await self.refuse(send, answer.error or RequestError("no answer", code="internal_error"), headers)
            return
        await send_whole(send, 200, [respond.JSON, *headers], self.whole(exchange.query, answer))

    # What another API on the same engine does in its own way (messages.py, responses.py).

    def parse(self, body: bytes, headers: Mapping[bytes, bytes], request_id: str) -> Query:
        """Raises BadRequest naming the field."""
        return parse_chat(body, headers, request_id, max_messages=self._settings.max_messages)

    def whole(self, query: Query, answer: Answer) -> bytes:  # noqa: ARG002 - the others need the query
        """The body of an answer that has come."""
        assert answer.outcome is not None  # noqa: S101 - the caller has looked
        return answer.outcome.body

    async def refuse(self, send: Send, error: RequestError, headers: respond.Headers) -> None:
        await send_error(send, error, headers)

    def named(self, headers: respond.Headers) -> respond.Headers:
        """The headers, with those that clients of this API know by other names."""
        return headers

    def stream_reply(self, exchange: Exchange, query: Query, send: Send, *, debug: bool) -> StreamReply:
        return StreamReply(exchange, query, send, self._settings.keep_alive_s, debug=debug)


class StreamReply:
    """One streamed reply: holds while an answer may still be rejected, relays once it is released."""

    keep_alive = streaming.KEEP_ALIVE

    def __init__(
        self, exchange: Exchange, query: Query, send: Send, keep_alive_s: float, *, debug: bool = False
    ) -> None:
        self._exchange, self._query, self._send, self._keep_alive_s = exchange, query, send, keep_alive_s
        self._debug = debug
        self._begun = False
        self._comment: asyncio.Task[None] | None = None

    async def run(self) -> None:
        self._keep_alive(asyncio.get_running_loop())
        try:
            answer = await self._exchange.run(self)
        finally:
            self._timer.cancel()
            del self._timer  # it holds us, and all of the exchange with us
            if self._comment is not None:
                self._comment.cancel()
        if answer.error is not None and not self._begun:
            more = respond.debug(answer) if self._debug else []
            await self.refuse(answer.error, [*respond.decided(answer), *more])
            return
        if not self._begun:
            await self._begin(respond.decided(answer))
        await self._write(self.rest(answer), last=True)

    async def refuse(self, error: RequestError, headers: respond.Headers) -> None:
        """It failed before anything was sent: an ordinary error."""
        await send_error(self._send, error, headers)

    def rest(self, answer: Answer) -> bytes:
        """All that is still to be sent of a stream that has ended, in whatever way."""
        if answer.error is not None:
            return streaming.error_event(answer.error)
        outcome = answer.outcome
        assert outcome is not None  # noqa: S101 - without an error there is an outcome
        if not outcome.ok:
            return streaming.error_event(broken_off(outcome.error))
        if outcome.body:
            return streaming.from_whole(self._query, answer)
        return answer.blocks + streaming.last_events(self._query, answer)

    async def opened(self, start: Start) -> None:
        """The engine released an attempt: its bytes follow."""
        if not self._begun:
            exchange = self._exchange
            tier = exchange.engine.catalogue.find(start.model).tier
            attempts = len(exchange.flight.attempts) + 1 if exchange.flight else 1
            headers = respond.head(self._query.id, exchange.score, tier, start.model, attempts)
            if start.model in exchange.engine.demonstration and self._query.asked != start.model:
                headers.append((b"x-smallfirst-reason", Reason.demonstration.encode()))
            if left_out := exchange.not_applied(start.model):
                headers.append(respond.not_applied(left_out))
            if exchange.tab is not None:
                headers += exchange.tab.headers()
            await self._begin(headers)

    def relay(self, block: bytes) -> Coroutine[Any, Any, None]:
        """Once an event: no coroutine of its own around the server's."""
        return self._send({"type": "http.response.body", "body": block, "more_body": True})

    def _keep_alive(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to wait for the next comment: a timer, because most streams are over before the first is due."""
        self._timer = loop.call_later(self._keep_alive_s, self._still_here, loop)

    def _still_here(self, loop: asyncio.AbstractEventLoop) -> None:
        """A comment now and then while an answer is held, so that proxies between do not give up."""
        if self._comment is None or self._comment.done():
            self._comment = loop.create_task(self._say_so())
        self._keep_alive(loop)

    async def _say_so(self) -> None:
        if not self._begun:
            await self._begin([(b"x-smallfirst-request-id", self._query.id.encode())])
        await self._write(self.keep_alive)

    def named(self, headers: respond.Headers) -> respond.Headers:
        """As the handler's."""
        return headers

    async def _begin(self, headers: respond.Headers) -> None:
        self._begun = True
        headers = [respond.EVENTS, respond.NO_CACHE, *self.named(headers)]
        if self._debug:
            headers += respond.class_headers(self._exchange.assessed)
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _write(self, block: bytes, *, last: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": block, "more_body": not last})


def broken_off(why: str) -> RequestError:
    return RequestError(f"the stream broke off: {why}", code="stream_broken")


def as_text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


async def send_whole(send: Send, status: int, headers: respond.Headers, body: bytes) -> None:
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: RequestError, headers: respond.Headers) -> None:
    """An error in the shape that OpenAI's clients read."""
    headers = [*respond.error_headers(error), *headers]
    await send_whole(send, error.status, headers, msgspec.json.encode(error.body()))
