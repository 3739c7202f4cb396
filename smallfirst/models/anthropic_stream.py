"""Anthropic's stream of events as a stream of chat chunks: bytes in at any cut, whole chunks out.

Knows Anthropic's events. Does not know sockets or time. What comes out goes through sse.py's Framer like any upstream's
stream, so that everything above sees one kind. Where the caller speaks Anthropic's API itself, each chunk carries the
events that it stands for, word for word.
Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.models.anthropic import FINISHES, NATIVE, Counted
from smallfirst.models.sse import MAX_EVENT

Json = dict[str, Any]

CODES = {"overloaded_error": 529, "rate_limit_error": 429, "api_error": 500, "timeout_error": 408}
"""Which HTTP status an error in the midst of a stream would have been."""

_encode, _decode = msgspec.json.encode, msgspec.json.decode
_counted = msgspec.convert


class Translator:
    """One stream."""

    def __init__(self, *, native: bool) -> None:
        self._native = native
        self._buffer = b""
        self._base: Json = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}
        self._tools: dict[int, int] = {}  # Anthropic's block index -> the call's
        self._thoughts: dict[int, Json] = {}
        self.counted: Counted | None = None
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """The chunks that follow from the events that `data` completes."""
        data = (self._buffer + data).replace(b"\r\n", b"\n")
        *events, self._buffer = data.split(b"\n\n")
        if len(self._buffer) > MAX_EVENT:
            self._buffer = b""
            return _event({"error": {"type": "too_large", "code": None}})
        return b"".join(self._event(event) for event in events)

    def _event(self, event: bytes) -> bytes:
        lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
        if not lines:
            return b""
        try:
            payload: Json = _decode(b"\n".join(lines))
            return self._read(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, AttributeError, KeyError, TypeError):
            return b"data: not a message's event\n\n"  # the framer will say so

    def _read(self, payload: Json) -> bytes:
        delta: Json = {}
        finish: str | None = None
        match payload["type"]:
            case "message_stop":
                return self._stop(payload)
            case "error":
                kind = payload["error"].get("type")
                return _event({"error": {"type": kind, "code": CODES.get(kind)}})
            case "message_start":
                message = payload["message"]
                self._base = {**self._base, "id": message["id"], "model": message["model"]}
                self._count(message.get("usage"))
                delta = {"role": "assistant", "content": ""}
            case "content_block_start":
                delta = self._start(payload["content_block"], payload["index"])
            case "content_block_delta":
                delta = self._delta(payload["delta"], payload["index"])
            case "content_block_stop":
                thought = self._thoughts.pop(payload["index"], None)
                delta = {"thinking_blocks": [thought]} if thought else {}
            case "message_delta":
                self._count(payload.get("usage"))
                finish = FINISHES.get(payload["delta"].get("stop_reason") or "end_turn", "stop")
        return self._chunk(delta, payload, finish)

    def _count(self, usage: Json | None) -> None:
        if usage is not None:
            self.counted = _counted(usage, Counted).over(self.counted)

    def _start(self, block: Json, index: int) -> Json:
        if block["type"] == "tool_use":
            call = self._tools[index] = len(self._tools)
            function = {"name": block["name"], "arguments": ""}
            return {"tool_calls": [{"index": call, "id": block["id"], "type": "function", "function": function}]}
        if block["type"] in ("thinking", "redacted_thinking"):
            self._thoughts[index] = {**block}
        return {"content": block["text"]} if block["type"] == "text" and block.get("text") else {}

    def _delta(self, part: Json, index: int) -> Json:
        delta: Json = {}
        match part["type"]:
            case "text_delta":
                delta = {"content": part["text"]}
            case "input_json_delta" if index in self._tools:
                function = {"arguments": part["partial_json"]}
                delta = {"tool_calls": [{"index": self._tools[index], "function": function}]}
            case "thinking_delta":
                self._thoughts[index]["thinking"] += part["thinking"]
                delta = {"reasoning_content": part["thinking"]}
            case "signature_delta":
                thought = self._thoughts[index]
                thought["signature"] = (thought.get("signature") or "") + part["signature"]
        return delta

    def _stop(self, payload: Json) -> bytes:
        self.done = True
        last = {**self._base, "choices": [], "usage": (self.counted or Counted()).chat}
        if self._native:
            last[NATIVE] = [payload]
        return _event(last) + b"data: [DONE]\n\n"

    def _chunk(self, delta: Json, payload: Json, finish: str | None = None) -> bytes:
        if not (delta or finish or self._native):
            return b""
        chunk = {**self._base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        if self._native:
            chunk[NATIVE] = [payload]
        return _event(chunk)


def _event(payload: Json) -> bytes:
    return b"data: " + _encode(payload) + b"\n\n"
