"""Anthropic's Messages API as an upstream: a query becomes a messages request, a message becomes an Outcome.

Pure. Knows both wire formats and Anthropic's prices for its prompt cache. Does not know sockets or streams
(anthropic_stream.py). A caller that speaks this API itself is passed through as it came: thinking blocks with their
signatures, cache marks, documents, tools that Anthropic runs; the answer then carries Anthropic's own message along
(`NATIVE`). Everybody else's request is translated, and what has no place in this API is refused, never dropped.
Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from smallfirst.core import Outcome, Price, Status, ToolCall, Usage
from smallfirst.models.faults import BAD_JSON, failed
from smallfirst.models.sender import Call

VERSION = "2023-06-01"
NATIVE = "anthropic"
"""The field of a chat completion, or a chunk, that holds Anthropic's own words, where the caller speaks this API."""

WRITE_5M, WRITE_1H = 25, 100
"""Per cent of the input price that writing to the prompt cache costs on top, for five minutes and for an hour.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (pricing)"""

FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "stop",
    "refusal": "content_filter",
}

LONGEST = 4096
"""max_tokens, which this API needs, where the caller names none."""

DROPPED = frozenset(("model", "stream", "stream_options", "n", "logprobs", "top_logprobs", "smallfirst", "user"))
"""Fields that are ours, or carried in another way; `n` and `logprobs` were checked against the model's abilities."""

HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0, 0.0, None),
    "presence_penalty": (0, 0.0, None),
    "logit_bias": ({}, None),
    "store": (False, None),
    "seed": (None,),
    "response_format": ({"type": "text"}, None),
}
"""What means nothing, though it is said."""

Json = dict[str, Any]
_decode, _encode = msgspec.json.decode, msgspec.json.encode
_raw_dict = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Uncarried(ValueError):
    """A field of the request that this API has no place for: `field` names it."""

    def __init__(self, field: str, words: str) -> None:
        super().__init__(f"{field}: {words}")
        self.field = field


def encode(call: Call, *, stream: bool) -> bytes:
    """The body that is sent. Raises Uncarried."""
    query, edit = call.query, call.edit
    fields = {**query.fields}
    if edit is not None:
        for name in edit.drop:
            fields.pop(name, None)
        fields.update(edit.put)
    plain = edit is None or (not edit.drop and set(edit.put) <= {"max_tokens"})
    if query.api == "messages" and query.native is not None and plain:
        body: Json = {**query.native}
        if _unsigned(query.native):
            body["messages"] = _signed(_decode(query.native["messages"]))
    else:
        body = translate({name: _decode(value) for name, value in fields.items()})
    body["model"] = call.replica.upstream_model
    body.pop("stream", None)
    if stream:
        body["stream"] = True
    return _encode(body)


def _unsigned(native: Mapping[str, msgspec.Raw]) -> bool:
    return b'"signature":""' in bytes(native.get("messages", msgspec.Raw(b""))).replace(b" ", b"")


def _signed(messages: list[Json]) -> list[Json]:
    """Thoughts without a signature are another model's: Anthropic would refuse them."""
    found = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            content = [b for b in content if not (b.get("type") == "thinking" and not b.get("signature"))]
        found.append({**message, "content": content})
    return found


def translate(chat: Json) -> Json:
    """A chat-completions request as a messages request. Raises Uncarried."""
    limit = chat.get("max_completion_tokens") or chat.get("max_tokens") or LONGEST
    body: Json = {"max_tokens": limit, **_messages(chat.get("messages") or [])}
    for name in ("temperature", "top_p", "top_k", "thinking", "metadata", "service_tier"):
        if chat.get(name) is not None:
            body[name] = chat[name]
    if body.get("temperature", 0) > 1:
        raise Uncarried("temperature", "Anthropic's models take 0 to 1")
    if chat.get("user") is not None:
        body["metadata"] = {"user_id": chat["user"]}
    if stop := chat.get("stop"):
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if chat.get("tools"):
        body["tools"] = [_tool(tool) for tool in chat["tools"]]
        body.update(_tool_choice(chat.get("tool_choice"), chat.get("parallel_tool_calls")))
    if config := _output_config(chat):
        body["output_config"] = config
    _refuse_rest(chat)
    return body


_TRANSLATED = DROPPED | {
    "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "thinking", "metadata",
    "service_tier", "stop", "tools", "tool_choice", "parallel_tool_calls", "reasoning_effort", "response_format",
}  # fmt: skip


def _refuse_rest(chat: Json) -> None:
    for name, value in chat.items():
        if name not in _TRANSLATED and value is not None and value not in HARMLESS.get(name, ()):
            raise Uncarried(name, "Anthropic's Messages API has no such field")


def _output_config(chat: Json) -> Json:
    found: Json = {}
    if (effort := chat.get("reasoning_effort")) is not None:
        found["effort"] = {"minimal": "low", "none": "low"}.get(effort, effort)
    form = chat.get("response_format")
    if form is not None and form not in HARMLESS["response_format"]:
        if form.get("type") != "json_schema":
            raise Uncarried("response_format", "Anthropic's Messages API takes json_schema only")
        found["format"] = {"type": "json_schema", "schema": form["json_schema"].get("schema") or {}}
    return found


def _messages(messages: list[Json]) -> Json:
    """Messages with the system prompt taken out; neighbours of one role are joined, as this API wants turns."""
    system: list[Json] = []
    turns: list[Json] = []
    for message in messages:
        role = message["role"]
        if role in ("system", "developer"):
            system += _blocks(message.get("content"))
            continue
        if role in ("tool", "function"):
            role, blocks = "user", [_result(message)]
        elif role == "assistant":
            blocks = _assistant(message)
        else:
            blocks = _blocks(message.get("content"))
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return {"messages": turns, **({"system": system} if system else {})}


def _assistant(message: Json) -> list[Json]:
    blocks = [*(message.get("thinking_blocks") or ()), *_blocks(message.get("content"))]
    for call in message.get("tool_calls") or ():
        function = call["function"]
        try:
            given = _decode(function.get("arguments") or "{}")
        except msgspec.DecodeError:
            given = {"_raw": function["arguments"]}
        blocks.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": given})
    return blocks


def _result(message: Json) -> Json:
    return {
        "type": "tool_result",
        "tool_use_id": message.get("tool_call_id") or message.get("name") or "",
        "content": _blocks(message.get("content")),
    }


def _blocks(content: Any) -> list[Json]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_block(part) for part in content]


def _block(part: Json) -> Json:
    marks = {"cache_control": part["cache_control"]} if part.get("cache_control") else {}
    if part.get("type") == "image_url":
        url = part["image_url"]["url"]
        if url.startswith("data:"):
            media, _, data = url[5:].partition(";base64,")
            return {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}, **marks}
        return {"type": "image", "source": {"type": "url", "url": url}, **marks}
    return {"type": "text", "text": part.get("text") or part.get("refusal") or "", **marks}


def _tool(tool: Json) -> Json:
    function = tool["function"]
    marks = {"cache_control": tool["cache_control"]} if tool.get("cache_control") else {}
    found: Json = {"name": function["name"], "input_schema": function.get("parameters") or {"type": "object"}, **marks}
    for name in ("description", "strict"):
        if function.get(name) is not None:
            found[name] = function[name]
    return found


def _tool_choice(choice: Any, parallel: Any) -> Json:
    found: Json | None = None
    if isinstance(choice, str):
        found = {"type": {"auto": "auto", "required": "any", "none": "none"}[choice]}
    elif choice is not None:
        found = {"type": "tool", "name": (choice.get("function") or {}).get("name") or choice.get("name")}
    if parallel is False:
        found = {**(found or {"type": "auto"}), "disable_parallel_tool_use": True}
    return {} if found is None else {"tool_choice": found}


# --- answers


class Counted(msgspec.Struct, frozen=True):
    """Anthropic's usage. `input_tokens` is what was neither read from the cache nor written to it."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: dict[str, Any] | None = None

    def over(self, other: Counted | None) -> Counted:
        """This, completed by an earlier count: the end of a stream leaves out what its beginning has said."""
        if other is None:
            return self
        names = self.__struct_fields__
        return Counted(**{n: getattr(other, n) if getattr(self, n) is None else getattr(self, n) for n in names})

    @property
    def usage(self) -> Usage:
        read, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        return Usage((self.input_tokens or 0) + read + written, self.output_tokens or 0, read)

    @property
    def chat(self) -> Json:
        """The same as a chat completion's usage."""
        used = self.usage
        return {
            "prompt_tokens": used.input_tokens,
            "completion_tokens": used.output_tokens,
            "total_tokens": used.input_tokens + used.output_tokens,
            "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
            "cache_creation_input_tokens": self.cache_creation_input_tokens or 0,
        }

    def cost(self, price: Price | None, used: Usage | None = None) -> int:
        """Nano-dollars, with what writing to the prompt cache costs on top; `used` where that is known better."""
        if price is None:
            return 0
        written = self.cache_creation_input_tokens or 0
        hour = min((self.cache_creation or {}).get("ephemeral_1h_input_tokens") or 0, written)
        extra = (written - hour) * WRITE_5M + hour * WRITE_1H
        return price.cost(used or self.usage) + -(-extra * price.input // 100_000_000)


class Block(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    signature: str | None = None
    data: str | None = None


class Message(msgspec.Struct, gc=False):
    content: list[Block]
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Counted = Counted()


_message = msgspec.json.Decoder(Message)


def decode(call: Call, body: bytes, started_us: int, ended_us: int) -> Outcome:
    """A whole answer with status 200."""
    try:
        message = _message.decode(body)
    except BAD_JSON:
        return failed(call, Status.broken, "the upstream's answer is not a message", started_us, ended_us)
    text = "".join(block.text or "" for block in message.content if block.type == "text")
    calls = [block for block in message.content if block.type == "tool_use"]
    finish = FINISHES.get(message.stop_reason or "end_turn", "stop")
    chat = to_chat(message, text, calls, finish)
    if call.query.api == "messages":
        chat[NATIVE] = msgspec.Raw(body)
    return Outcome(
        model=call.model.name,
        status=Status.ok,
        text=text,
        tool_calls=tuple(ToolCall(one.name or "", _encode(one.input or {}).decode()) for one in calls),
        finish=finish,
        usage=message.usage.usage,
        started_us=started_us,
        latency_us=ended_us - started_us,
        provider=call.replica.provider,
        location=call.replica.location,
        http_status=200,
        body=_encode(chat),
        cost=message.usage.cost(call.model.price),
    )


def to_chat(message: Message, text: str, calls: list[Block], finish: str) -> Json:
    """A message as a chat completion; thoughts stand in `reasoning_content` and, signed, in `thinking_blocks`."""
    said: Json = {"role": "assistant", "content": text or (None if calls else "")}
    thoughts = [block for block in message.content if block.type in ("thinking", "redacted_thinking")]
    if thoughts:
        said["reasoning_content"] = "".join(block.thinking or "" for block in thoughts)
        said["thinking_blocks"] = [_thought(block) for block in thoughts]
    if calls:
        said["tool_calls"] = [
            {"id": one.id, "type": "function",
             "function": {"name": one.name, "arguments": _encode(one.input or {}).decode()}}
            for one in calls
        ]  # fmt: skip
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": finish}
    return {
        "id": message.id,
        "object": "chat.completion",
        "created": 0,
        "model": message.model,
        "choices": [choice],
        "usage": message.usage.chat,
    }


def _thought(block: Block) -> Json:
    if block.type == "redacted_thinking":
        return {"type": block.type, "data": block.data}
    return {"type": block.type, "thinking": block.thinking, "signature": block.signature}
