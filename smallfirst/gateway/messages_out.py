"""Chat completions -> Anthropic's messages: a whole answer, a stream's events, an error.

Pure. Knows both wire formats and nothing of sockets. Where the model itself stood behind Anthropic's API, its answer
carries Anthropic's own words (models/anthropic.py), and they are handed on as they came.
Source: https://platform.claude.com/docs/en/api/messages, and .../messages-streaming
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from smallfirst.errors import RequestError

Json = dict[str, Any]

NATIVE = "anthropic"
"""The field of a chat completion, or of a chunk, that holds what Anthropic's API said."""

STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}

PING = b'event: ping\ndata: {"type":"ping"}\n\n'

_encode, _decode = msgspec.json.encode, msgspec.json.decode


def message(whole: Json, request_id: str) -> Json:
    """A message from a whole chat completion."""
    native: Json | None = whole.get(NATIVE)
    if native is not None:
        return native
    choice: Json = (whole.get("choices") or [{}])[0]
    said: Json = choice.get("message") or {}
    content: list[Json] = []
    if thought := said.get("reasoning_content") or said.get("reasoning"):
        content.append({"type": "thinking", "thinking": thought, "signature": ""})
    text = plain(said.get("content")) or plain(said.get("refusal"))
    if text:
        content.append({"type": "text", "text": text})
    for n, call in enumerate(said.get("tool_calls") or ()):
        function: Json = call.get("function") or {}
        name, arguments = function.get("name") or "", to_input(function.get("arguments"))
        content.append({"type": "tool_use", "id": call.get("id") or f"toolu_{n}", "name": name, "input": arguments})
    return {
        "id": f"msg_{request_id}",
        "type": "message",
        "role": "assistant",
        "model": whole.get("model") or "",
        "content": content,
        "stop_reason": stop_reason(choice, refused=bool(said.get("refusal")), calls=bool(said.get("tool_calls"))),
        "stop_sequence": None,
        "usage": usage(whole.get("usage")),
    }


def plain(content: Any) -> str:
    """The text of a chat's content."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or () if isinstance(part, dict))


def to_input(arguments: Any) -> Any:
    """A call's arguments as an object. Text that is none is kept, so that nothing the model wrote is lost."""
    if isinstance(arguments, dict):
        return arguments
    try:
        found = _decode(arguments or "{}")
    except msgspec.DecodeError:
        return {"_raw": arguments}
    return found if isinstance(found, dict) else {"_raw": found}


def stop_reason(choice: Json, *, refused: bool, calls: bool) -> str:
    if refused:
        return "refusal"
    return "tool_use" if calls else STOPS.get(choice.get("finish_reason") or "stop", "end_turn")


def usage(counted: Json | None) -> Json:
    """Anthropic counts cached tokens beside `input_tokens`, OpenAI within them."""
    counted = counted or {}
    cached = ((counted.get("prompt_tokens_details") or {}).get("cached_tokens")) or 0
    return {
        "input_tokens": max(0, (counted.get("prompt_tokens") or 0) - cached),
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": counted.get("completion_tokens") or 0,
    }


def error(fault: RequestError, request_id: str | None = None) -> Json:
    kind = _TYPES.get(fault.status, "api_error" if fault.status >= 500 else "invalid_request_error")
    inner = {"type": kind, "message": fault.message, "param": fault.param, "code": fault.code}
    return {"type": "error", "error": inner, "request_id": request_id}


def event(payload: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(payload["type"]).encode(), _encode(payload))


def events(whole: Json, request_id: str, decision: Json) -> bytes:
    """A message that is there already, as the events of a stream."""
    made = message(whole, request_id)
    begun = {**made, "content": [], "stop_reason": None, "stop_sequence": None}
    out = [event({"type": "message_start", "message": begun})]
    for index, block in enumerate(made["content"]):
        empty, deltas = _unfold(block)
        out.append(event({"type": "content_block_start", "index": index, "content_block": empty}))
        out += [event({"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas]
        out.append(event({"type": "content_block_stop", "index": index}))
    return b"".join(out) + ending(made["stop_reason"], made["stop_sequence"], made["usage"], decision)


def _unfold(block: Json) -> tuple[Json, list[Json]]:
    """A whole block as its beginning and what is added to it."""
    match block["type"]:
        case "text":
            deltas = [{"type": "text_delta", "text": block["text"]}]
            deltas += [{"type": "citations_delta", "citation": one} for one in block.get("citations") or ()]
            return {**block, "text": "", **({"citations": []} if block.get("citations") else {})}, deltas
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}]
            deltas.append({"type": "signature_delta", "signature": block.get("signature", "")})
            return {**block, "thinking": "", "signature": ""}, deltas
        case "tool_use" | "server_tool_use":
            written = _encode(block["input"]).decode()
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": written}]
    return block, []


def ending(reason: str, sequence: str | None, used: Json, decision: Json) -> bytes:
    """The last two events; the decision stands beside the usage."""
    delta = {"stop_reason": reason, "stop_sequence": sequence}
    last = {"type": "message_delta", "delta": delta, "usage": used, "smallfirst": decision}
    return event(last) + event({"type": "message_stop"})


class Writer:
    """A relayed stream of chat chunks -> Anthropic's events. Blocks come as whole SSE events."""

    def __init__(self, request_id: str, model: str, input_tokens: int) -> None:
        self._request_id, self._model, self._input_tokens = request_id, model, input_tokens
        self._begun = False
        self._kind = ""  # of the block that is open
        self._index = -1
        self._call: int | None = None  # which of the calls the open block is
        self._called = False
        self._native_end: list[Json] = []  # withheld: the decision goes into them

    def feed(self, block: bytes) -> bytes:
        """The events that follow from some chunks."""
        return b"".join(self._chunk(chunk) for chunk in payloads(block))

    def end(self, tail: Iterable[bytes], used: Json, decision: Json) -> bytes:
        """The end of the stream, from the events that were withheld."""
        chunks = [chunk for block in tail for chunk in payloads(block)]
        out = b"".join(self._chunk(chunk) for chunk in chunks)
        if self._native_end:
            for payload in self._native_end:
                if payload.get("type") == "message_delta":
                    payload["smallfirst"] = decision
            if self._native_end[-1].get("type") != "message_stop":  # the upstream went silent after its last word
                self._native_end.append({"type": "message_stop"})
            return out + b"".join(map(event, self._native_end))
        reason, counted = "stop", used
        for chunk in chunks:
            counted = chunk.get("usage") or counted
            for choice in chunk.get("choices") or ():
                reason = choice.get("finish_reason") or reason
        stopped = stop_reason({"finish_reason": reason}, refused=False, calls=self._called)
        return out + self._begin() + self._close() + ending(stopped, None, usage(counted), decision)

    def _chunk(self, chunk: Json) -> bytes:
        natives = chunk.get(NATIVE)
        if natives is not None:
            return b"".join(self._native(payload) for payload in natives)
        self._model = chunk.get("model") or self._model
        out = [self._begin()]
        for choice in chunk.get("choices") or ():
            if choice.get("index", 0) == 0:
                out.append(self._delta(choice.get("delta") or {}))
        return b"".join(out)

    def _native(self, payload: Json) -> bytes:
        self._begun = True
        if payload.get("type") in ("message_delta", "message_stop"):
            self._native_end.append(payload)
            return b""
        return event(payload)

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        begun: Json = {
            "id": f"msg_{self._request_id}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": self._input_tokens, "output_tokens": 0},
        }
        return event({"type": "message_start", "message": begun})

    def _delta(self, delta: Json) -> bytes:
        out = []
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            out.append(self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""}))
            out.append(self._add({"type": "thinking_delta", "thinking": thought}))
        if text := plain(delta.get("content")) or plain(delta.get("refusal")):
            out.append(self._open("text", {"type": "text", "text": ""}))
            out.append(self._add({"type": "text_delta", "text": text}))
        out += [self._tool(call) for call in delta.get("tool_calls") or ()]
        return b"".join(out)

    def _tool(self, call: Json) -> bytes:
        index, function = call.get("index", 0), call.get("function") or {}
        out = b""
        if self._kind != "tool_use" or self._call != index:
            self._call, self._called = index, True
            name = function.get("name") or ""
            block: Json = {"type": "tool_use", "id": call.get("id") or f"toolu_{index}", "name": name, "input": {}}
            out = self._close() + self._open("tool_use", block)
        if arguments := function.get("arguments"):
            written = arguments if isinstance(arguments, str) else _encode(arguments).decode()
            out += self._add({"type": "input_json_delta", "partial_json": written})
        return out

    def _open(self, kind: str, block: Json) -> bytes:
        if self._kind == kind:
            return b""
        closed = self._close()
        self._kind, self._index = kind, self._index + 1
        return closed + event({"type": "content_block_start", "index": self._index, "content_block": block})

    def _add(self, delta: Json) -> bytes:
        return event({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> bytes:
        if not self._kind:
            return b""
        self._kind = ""
        return event({"type": "content_block_stop", "index": self._index})


def payloads(block: bytes) -> list[Json]:
    """The chunks in a block of whole SSE events."""
    lines = (line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:"))
    return [_decode(line) for line in lines if line and line != b"[DONE]"]
