"""Recorded answers over HTTP: an ASGI function that speaks as much of the OpenAI wire as the gateway uses.

Knows POST /v1/chat/completions (streaming and not), GET /v1/models and GET /health. Looks an answer up by `model` and
the last user message. Does not know scores, keys or policies; gives no log-probabilities: none were recorded.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from smallfirst.errors import BadRequest, NotFound, RequestError, TooLarge
from smallfirst.models.recorded import Recording, Recordings

PIECE = 4
"""Characters that count as one token."""

BURST = 16
"""Tokens in one event of a stream that is not paced; a paced stream sends every token by itself."""

MAX_BODY = 4 * 1024 * 1024

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _Part(msgspec.Struct):
    type: str
    text: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    stream: bool = False
    stream_options: _StreamOptions | None = None


def speed_wait_s(recording: Recording, tokens_per_s: float, first_s: float = 0.0) -> float:
    """How long an answer takes at `tokens_per_s`, after `first_s` for its first token; 0 tokens/s: no time at all."""
    return first_s + recording.output_tokens / tokens_per_s if tokens_per_s > 0 else 0.0


class RecordedApp:
    """The ASGI function. `speed`: tokens a second, 0: at once; `first_s`: to the first token, with a speed."""

    def __init__(self, recordings: Recordings, *, speed: float = 0.0, first_s: float = 0.0) -> None:
        self._recordings, self._speed, self._first_s = recordings, speed, first_s
        self._decoder = msgspec.json.Decoder(_Request)
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "recorded"} for name in recordings.models]
        self._models = msgspec.json.encode({"object": "list", "data": data})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            await self._route(scope, receive, send)
        except RequestError as error:
            await _reply(send, error.status, msgspec.json.encode(error.body()))

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = (scope["method"], scope["path"])
        if wanted == ("POST", "/v1/chat/completions"):
            await self._complete(await _body(receive), send)
        elif wanted == ("GET", "/v1/models"):
            await _reply(send, 200, self._models)
        elif wanted == ("GET", "/health"):
            await _reply(send, 200, b'{"status":"ok"}')
        else:
            raise NotFound(f"there is no {wanted[0]} {wanted[1]} here", code="not_found")

    async def _complete(self, body: bytes, send: Send) -> None:
        try:
            request = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"not a chat completion request: {error}", code="invalid_request") from None
        recording = self._look_up(request)
        if request.stream:
            usage = request.stream_options is not None and request.stream_options.include_usage
            await self._stream(recording, usage, send)
            return
        await self._sleep(speed_wait_s(recording, self._speed, self._first_s))
        message = {"role": "assistant", "content": recording.text}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": recording.finish}
        answer = _frame(recording, "chat.completion") | {"choices": [choice], "usage": _usage(recording)}
        await _reply(send, 200, msgspec.json.encode(answer))

    def _look_up(self, request: _Request) -> Recording:
        if not self._recordings.has(request.model):
            raise NotFound(f"nothing was recorded of {request.model!r}", code="model_not_found", param="model")
        prompt = next((_text(m) for m in reversed(request.messages) if m.role == "user"), None)
        if prompt is None:
            raise BadRequest("messages: there is no user message", code="no_user_message", param="messages")
        recording = self._recordings.find(prompt, request.model)
        if recording is None:
            raise NotFound(
                f"no answer of {request.model} to this prompt was recorded",
                code="prompt_not_recorded",
                param="messages",
            )
        return recording

    async def _stream(self, recording: Recording, usage: bool, send: Send) -> None:
        await _start(send, 200, b"text/event-stream; charset=utf-8")
        frame = _frame(recording, "chat.completion.chunk")
        await self._sleep(self._first_s if self._speed > 0 else 0.0)
        await _event(send, frame | {"choices": [_delta({"role": "assistant", "content": ""}, None)]})
        size = PIECE if self._speed > 0 else PIECE * BURST
        for at in range(0, len(recording.text), size):
            await self._sleep(1 / self._speed if self._speed > 0 else 0.0)
            await _event(send, frame | {"choices": [_delta({"content": recording.text[at : at + size]}, None)]})
        await _event(send, frame | {"choices": [_delta({}, recording.finish)]})
        if usage:
            await _event(send, frame | {"choices": [], "usage": _usage(recording)})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            await asyncio.sleep(seconds)


def _text(message: _Message) -> str:
    if isinstance(message.content, list):
        return "\n".join(part.text for part in message.content if part.type == "text")
    return message.content or ""


def _frame(recording: Recording, kind: str) -> dict[str, object]:
    name = f"recorded-{zlib.crc32(recording.prompt.encode()):08x}"
    return {"id": name, "object": kind, "created": 0, "model": recording.model}


def _usage(recording: Recording) -> dict[str, int]:
    sent, received = recording.input_tokens, recording.output_tokens
    return {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}


def _delta(delta: dict[str, str], finish: str | None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("the client went away", code="client_gone")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            raise TooLarge(f"the request is longer than {MAX_BODY} bytes", code="too_large")
        if not message.get("more_body"):
            return b"".join(parts)


async def _start(send: Send, status: int, content_type: bytes, length: int | None = None) -> None:
    headers = [(b"content-type", content_type)]
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _reply(send: Send, status: int, body: bytes) -> None:
    await _start(send, status, b"application/json", len(body))
    await send({"type": "http.response.body", "body": body})


async def _event(send: Send, data: dict[str, object]) -> None:
    await send({"type": "http.response.body", "body": b"data: %b\n\n" % msgspec.json.encode(data), "more_body": True})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
