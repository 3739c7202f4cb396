"""Placeholders restored in a streamed answer, wherever the stream is cut.

Knows the events of a streamed chat completion. Does not know what the placeholders stand for (redaction.py) or sockets.
A text that ends in what may be the beginning of a placeholder waits for the next event; what comes out, joined, does
not depend on the cuts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from smallfirst.core import Outcome
from smallfirst.models.sender import AnswerStream, Write
from smallfirst.privacy.redaction import Redaction, restored

_encode, _decode = msgspec.json.encode, msgspec.json.decode
_DATA = b"data:"


class Thread:
    """One text that comes in pieces: a choice's content, or a tool call's arguments."""

    def __init__(self, put: Callable[[str], str], placeholders: tuple[str, ...]) -> None:
        self._put, self._placeholders = put, placeholders
        self._longest = max(map(len, placeholders), default=0)
        self.held = ""

    def feed(self, piece: str) -> str:
        """What can be passed on now."""
        text = self.held + piece
        self.held = ""
        at = text.rfind("<", max(0, len(text) - self._longest + 1))
        if at >= 0 and any(one.startswith(text[at:]) and one != text[at:] for one in self._placeholders):
            text, self.held = text[:at], text[at:]
        return self._put(text)

    def end(self) -> str:
        """What was held: no placeholder after all."""
        text, self.held = self.held, ""
        return text


class Events:
    """Blocks of whole events in, the same events with their texts restored out."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._threads: dict[tuple[int, str], Thread] = {}
        self._base: dict[str, Any] = {"object": "chat.completion.chunk"}

    def feed(self, block: bytes) -> bytes:
        return b"".join(self._event(event + b"\n\n") for event in block.split(b"\n\n") if event)

    def end(self) -> bytes:
        """An event for each text whose last piece was held."""
        out = []
        for (index, where), thread in self._threads.items():
            if rest := thread.end():
                choice = {"index": index, "delta": _delta(where, rest), "finish_reason": None}
                out.append(b"data: " + _encode({**self._base, "choices": [choice]}) + b"\n\n")
        return b"".join(out)

    def _event(self, event: bytes) -> bytes:
        payload = event.strip()
        if not payload.startswith(_DATA):
            return event
        try:
            chunk = _decode(payload[len(_DATA) :])
        except msgspec.DecodeError:
            return event
        if not isinstance(chunk, dict) or not isinstance(chunk.get("choices"), list):
            return event
        self._base = {name: value for name, value in chunk.items() if name not in ("choices", "usage")}
        for choice in chunk["choices"]:
            if isinstance(choice.get("delta"), dict):
                choice["delta"] = self._restored(choice.get("index", 0), choice["delta"], choice.get("finish_reason"))
        return b"data: " + _encode(chunk) + b"\n\n"

    def _restored(self, index: int, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, value in delta.items():
            if isinstance(value, str) and name != "role":
                out[name] = self._fed((index, name), self._redaction.restore, value)
            elif name == "tool_calls" and isinstance(value, list):
                out[name] = [self._call(index, call) for call in value]
            else:
                out[name] = restored(value, self._redaction.restore, self._redaction.restore_json)
        if finish is not None:
            for (of, where), thread in self._threads.items():
                if of == index and (rest := thread.end()):
                    _append(out, where, rest)
        return out

    def _call(self, index: int, call: dict[str, Any]) -> dict[str, Any]:
        function = call.get("function") or {}
        if isinstance(function.get("arguments"), str):
            where = (index, f"tool_calls.{call.get('index', 0)}")
            said = self._fed(where, self._redaction.restore_json, function["arguments"])
            return {**call, "function": {**function, "arguments": said}}
        return call

    def _fed(self, where: tuple[int, str], put: Callable[[str], str], piece: str) -> str:
        thread = self._threads.get(where)
        if thread is None:
            thread = self._threads[where] = Thread(put, self._redaction.placeholders)
        return thread.feed(piece)


def _delta(where: str, rest: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    _append(out, where, rest)
    return out


def _append(delta: dict[str, Any], where: str, rest: str) -> None:
    name, _, call = where.partition(".")
    if call:
        delta.setdefault("tool_calls", []).append({"index": int(call), "function": {"arguments": rest}})
    else:
        delta[name] = (delta.get(name) or "") + rest


class RestoringStream:
    """models/sender.py's AnswerStream around another: its blocks, tail and outcome with placeholders restored."""

    def __init__(self, inner: AnswerStream, redaction: Redaction) -> None:
        self._inner, self._redaction = inner, redaction
        self._blocks: AsyncIterator[bytes] | None = None
        self._events = Events(redaction)
        self._tail: tuple[bytes, ...] | None = None

    @property
    def tokens(self) -> int:
        return self._inner.tokens

    @property
    def logprob(self) -> float | None:
        return self._inner.logprob

    @property
    def outcome(self) -> Outcome:
        return self._redaction.outcome(self._inner.outcome)

    @property
    def tail(self) -> tuple[bytes, ...]:
        if self._tail is None:
            self._tail = tuple(self._events.feed(event) for event in self._inner.tail)
        return self._tail

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._blocks is None:
            self._blocks = aiter(self._inner)
        block = await anext(self._blocks, None)
        if block is not None:
            return self._events.feed(block)
        if self.tail is not None and (rest := self._events.end()):  # the tail first: it may end what was held
            return rest
        raise StopAsyncIteration

    async def pour(self, write: Write) -> None:
        async for block in self:
            await write(block)

    async def aclose(self) -> None:
        await self._inner.aclose()
