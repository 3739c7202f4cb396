"""Chat completions -> OpenAI's responses: a whole one, and a stream's events.

Pure. Knows both wire formats and nothing of sockets.
Source: https://platform.openai.com/docs/api-reference/responses/object, and .../responses-streaming
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from smallfirst.errors import RequestError
from smallfirst.gateway.messages_out import payloads, plain

Json = dict[str, Any]

ECHOED: Json = {
    "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "metadata": {},
    "parallel_tool_calls": True, "prompt_cache_key": None, "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None, "service_tier": None, "temperature": None, "text": {"format": {"type": "text"}},
    "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": None, "truncation": "disabled", "user": None,
}  # fmt: skip
"""What a response repeats of its request, with what stands where the request is silent."""

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}

_encode, _decode = msgspec.json.encode, msgspec.json.decode


class Asked(msgspec.Struct, frozen=True):
    """What is repeated of the request, and the response's own name and time (UTC seconds)."""

    id: str
    at_s: int
    echo: Json


def asked(request_id: str, at_s: int, native: Mapping[str, msgspec.Raw]) -> Asked:
    echo = {name: _decode(native[name]) if name in native else silent for name, silent in ECHOED.items()}
    echo = {name: ECHOED[name] if value is None else value for name, value in echo.items()}
    return Asked(f"resp_{request_id}", at_s, echo)


def response(request: Asked, model: str, output: list[Json], status: str, **more: Any) -> Json:
    """A response in any state."""
    return {
        "id": request.id,
        "object": "response",
        "created_at": request.at_s,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": output,
        "previous_response_id": None,
        "store": False,
        "usage": None,
        **request.echo,
        **more,
    }


def from_whole(request: Asked, whole: Json, decision: Json | None = None) -> Json:
    """A finished response from a whole chat completion."""
    choice: Json = (whole.get("choices") or [{}])[0]
    said: Json = choice.get("message") or {}
    cut = INCOMPLETE.get(choice.get("finish_reason") or "")
    output = _items(request, said, choice.get("logprobs"), "incomplete" if cut else "completed")
    more: Json = {"usage": usage(whole.get("usage"))}
    if cut:
        more["incomplete_details"] = {"reason": cut}
    if decision is not None:
        more["smallfirst"] = decision
    return response(request, whole.get("model") or "", output, "incomplete" if cut else "completed", **more)


def _items(request: Asked, said: Json, logprobs: Json | None, status: str) -> list[Json]:
    items: list[Json] = []
    if thought := said.get("reasoning_content") or said.get("reasoning"):
        items.append(_reasoning(_name("rs", request, len(items)), thought))
    content: list[Json] = []
    if text := plain(said.get("content")):
        content.append(_text(text, (logprobs or {}).get("content") or []))
    if refusal := said.get("refusal"):
        content.append({"type": "refusal", "refusal": refusal})
    calls = said.get("tool_calls") or ()
    if content or not calls:
        name = _name("msg", request, len(items))
        items.append({"type": "message", "id": name, "status": status, "role": "assistant", "content": content})
    for call in calls:
        function = call.get("function") or {}
        written = function.get("arguments") or ""
        items.append(
            _call(_name("fc", request, len(items)), call.get("id") or "", function.get("name") or "", written, status)
        )
    return items


def _name(kind: str, request: Asked, index: int) -> str:
    return f"{kind}_{request.id.removeprefix('resp_')}_{index}"


def _text(text: str, logprobs: list[Any]) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def _reasoning(name: str, thought: str) -> Json:
    content = [{"type": "reasoning_text", "text": thought}] if thought else []
    return {"type": "reasoning", "id": name, "summary": [], "content": content}


def _call(name: str, call_id: str, function: str, arguments: Any, status: str) -> Json:
    written = arguments if isinstance(arguments, str) else _encode(arguments).decode()
    return {
        "type": "function_call", "id": name, "call_id": call_id or name, "name": function, "arguments": written,
        "status": status,
    }  # fmt: skip


def usage(counted: Json | None) -> Json:
    counted = counted or {}
    given, taken = counted.get("prompt_tokens") or 0, counted.get("completion_tokens") or 0
    return {
        "input_tokens": given,
        "input_tokens_details": {
            "cached_tokens": (counted.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
            "cache_write_tokens": 0,
        },
        "output_tokens": taken,
        "output_tokens_details": {
            "reasoning_tokens": (counted.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
        },
        "total_tokens": given + taken,
    }


class Writer:
    """A stream of chat chunks -> the events of a response. Blocks come as whole SSE events."""

    def __init__(self, request: Asked, model: str) -> None:
        self._request, self._model = request, model
        self._number = 0
        self._items: list[Json] = []  # finished
        self._open: Json | None = None  # the item that is being written
        self._parts: list[str] = []  # of the open item's text or arguments
        self._logprobs: list[Any] = []
        self._call_index: int | None = None
        self._begun = False

    def feed(self, block: bytes) -> bytes:
        """The events that follow from some chunks."""
        return b"".join(self._chunk(chunk) for chunk in payloads(block))

    def end(self, tail: Iterable[bytes], used: Json, decision: Json) -> bytes:
        """The end of the stream, from the events that were withheld."""
        chunks = [chunk for block in tail for chunk in payloads(block)]
        out, reason = b"".join(self._chunk(chunk) for chunk in chunks), "stop"
        for chunk in chunks:
            used = chunk.get("usage") or used
            for choice in chunk.get("choices") or ():
                reason = choice.get("finish_reason") or reason
        cut = INCOMPLETE.get(reason)
        out += self._begin() + self._close("incomplete" if cut else "completed")
        if not self._items:
            out += self._new(self._message()) + self._close("completed")
        status = "incomplete" if cut else "completed"
        details = {"incomplete_details": {"reason": cut}} if cut else {}
        done = response(
            self._request, self._model, self._items, status, usage=usage(used), smallfirst=decision, **details
        )
        return out + self._event(f"response.{status}", response=done)

    def failed(self, fault: RequestError) -> bytes:
        """The stream's end when it can't go on."""
        error = {"code": fault.code or "server_error", "message": fault.message}
        made = response(self._request, self._model, self._items, "failed", error=error)
        return self._begin() + self._event("response.failed", response=made)

    def whole(self, whole: Json, decision: Json) -> bytes:
        """All events of an answer that is there already."""
        choice: Json = (whole.get("choices") or [{}])[0]
        said: Json = {**(choice.get("message") or {})}
        said["tool_calls"] = [{**call, "index": n} for n, call in enumerate(said.get("tool_calls") or ())]
        self._model = whole.get("model") or self._model
        out = self._begin() + self._delta(said, choice.get("logprobs"))
        end = {"choices": [{"finish_reason": choice.get("finish_reason")}]}
        return out + self.end([b"data: " + _encode(end) + b"\n\n"], whole.get("usage") or {}, decision)

    def _event(self, kind: str, **fields: Any) -> bytes:
        payload = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(payload))

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        made = response(self._request, self._model, [], "in_progress")
        return self._event("response.created", response=made) + self._event("response.in_progress", response=made)

    def _chunk(self, chunk: Json) -> bytes:
        self._model = chunk.get("model") or self._model
        out = [self._begin()]
        for choice in chunk.get("choices") or ():
            if choice.get("index", 0) == 0:
                out.append(self._delta(choice.get("delta") or {}, choice.get("logprobs")))
        return b"".join(out)

    def _delta(self, delta: Json, logprobs: Json | None) -> bytes:
        out = []
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            if self._kind != "reasoning":
                out.append(self._new(_reasoning(_name("rs", self._request, len(self._items)), "")))
            out.append(self._add("response.reasoning_text.delta", thought, content_index=0))
        if text := plain(delta.get("content")):
            if self._kind != "message":
                out.append(self._new(self._message()) + self._part("added"))
            found = (logprobs or {}).get("content") or []
            self._logprobs += found
            out.append(self._add("response.output_text.delta", text, content_index=0, logprobs=found))
        if refusal := delta.get("refusal"):
            if self._kind != "refusal":
                out.append(self._new({**self._message(), "refuses": True}) + self._part("added"))
            out.append(self._add("response.refusal.delta", refusal, content_index=0))
        out += [self._tool(call) for call in delta.get("tool_calls") or ()]
        return b"".join(out)

    def _tool(self, call: Json) -> bytes:
        out, function, index = b"", call.get("function") or {}, call.get("index", 0)
        if self._kind != "function_call" or self._call_index != index:
            name = _name("fc", self._request, len(self._items) + (self._open is not None))
            made = _call(name, call.get("id") or "", function.get("name") or "", "", "in_progress")
            out = self._new(made)
            self._call_index = index
        if written := function.get("arguments"):
            said = written if isinstance(written, str) else _encode(written).decode()
            out += self._add("response.function_call_arguments.delta", said)
        return out

    @property
    def _kind(self) -> str:
        if self._open is None:
            return ""
        return "refusal" if self._open.get("refuses") else str(self._open["type"])

    def _message(self) -> Json:
        name = _name("msg", self._request, len(self._items) + (self._open is not None))
        return {"type": "message", "id": name, "status": "in_progress", "role": "assistant", "content": []}

    def _new(self, item: Json) -> bytes:
        out = self._close("completed")
        self._open, self._parts, self._logprobs = item, [], []
        return out + self._event("response.output_item.added", output_index=len(self._items), item=_shown(item))

    def _add(self, kind: str, text: str, **fields: Any) -> bytes:
        assert self._open is not None  # noqa: S101 - the caller has opened it
        self._parts.append(text)
        return self._event(kind, item_id=self._open["id"], output_index=len(self._items), delta=text, **fields)

    def _part(self, state: str, text: str = "") -> bytes:
        assert self._open is not None  # noqa: S101 - the caller has opened it
        part = {"type": "refusal", "refusal": text} if self._kind == "refusal" else _text(text, self._logprobs)
        at = {"item_id": self._open["id"], "output_index": len(self._items), "content_index": 0}
        return self._event(f"response.content_part.{state}", **at, part=part)

    def _close(self, status: str) -> bytes:
        """End the item that is open."""
        item = self._open
        if item is None:
            return b""
        text, kind = "".join(self._parts), self._kind
        at: Json = {"item_id": item["id"], "output_index": len(self._items)}
        out = b""
        if kind == "message" and self._parts:
            out = self._event("response.output_text.done", **at, content_index=0, text=text, logprobs=self._logprobs)
            out += self._part("done", text)
            item["content"] = [_text(text, self._logprobs)]
        elif kind == "refusal":
            out = self._event("response.refusal.done", **at, content_index=0, refusal=text) + self._part("done", text)
            item["content"] = [{"type": "refusal", "refusal": text}]
        elif kind == "function_call":
            item["arguments"] = text
            out = self._event("response.function_call_arguments.done", **at, name=item["name"], arguments=text)
        elif kind == "reasoning":
            item["content"] = [{"type": "reasoning_text", "text": text}]
            out = self._event("response.reasoning_text.done", **at, content_index=0, text=text)
        if "status" in item:
            item["status"] = status
        done = _shown(item)
        out += self._event("response.output_item.done", output_index=len(self._items), item=done)
        self._items.append(done)
        self._open = None
        return out


def _shown(item: Json) -> Json:
    return {name: value for name, value in item.items() if name != "refuses"}
