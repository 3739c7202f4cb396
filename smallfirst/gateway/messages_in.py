"""An Anthropic Messages request -> a chat-completions request, and what of it only Anthropic's own API can take.

Pure. Knows both wire formats. A model behind Anthropic's API is sent the request as it came; this translation is for
every other, and for what the router needs to know. Nothing is dropped in silence: content that has no place in a chat
completion (`native`) keeps the request to models behind Anthropic's API, and settings that have none are listed
(`uncarried`), so that the answer can say which did not apply.
Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from smallfirst.gateway.shapes import Json, array, at, boolean, mapping, need, one_of, text, whole, wrong

CARRIED = frozenset(
    (
        "model", "max_tokens", "messages", "system", "metadata", "stop_sequences", "stream", "temperature", "top_p",
        "tools", "tool_choice", "output_config", "smallfirst",
    )
)  # fmt: skip
NATIVE_FIELDS = frozenset(("container", "mcp_servers"))
"""Fields that bring in something that only Anthropic runs."""

THOUGHT = ("thinking", "redacted_thinking")
"""A model's earlier thoughts: for that model alone; others are not shown them."""


class Chat(msgspec.Struct, frozen=True):
    """The same request as a chat completion."""

    body: Json
    native: bool
    uncarried: tuple[str, ...]


def to_chat(fields: Json) -> Chat:
    """Raises BadRequest naming the field, as Anthropic calls it."""
    reader = _Reader()
    body: Json = {
        "model": text(need(fields, "model"), "model"),
        "messages": [*reader.system(fields.get("system")), *reader.messages(fields)],
        "max_tokens": whole(need(fields, "max_tokens"), "max_tokens"),
    }
    body.update(_settings(fields))
    if fields.get("tools") is not None and (tools := reader.tools(fields["tools"])):
        body["tools"] = tools
    if fields.get("tool_choice") is not None:
        body.update(_tool_choice(fields["tool_choice"], has_tools="tools" in body))
    uncarried = _uncarried(fields)
    if fields.get("output_config") is not None:
        body.update(_output(mapping(fields["output_config"], "output_config"), uncarried))
    if "smallfirst" in fields:
        body["smallfirst"] = fields["smallfirst"]
    native = reader.native or any(fields.get(name) for name in NATIVE_FIELDS)
    return Chat(body, native, tuple(uncarried))


def _settings(fields: Json) -> Json:
    """The plain ones."""
    found: Json = {}
    if fields.get("stream") is not None:
        found["stream"] = boolean(fields["stream"], "stream")
    for name in ("temperature", "top_p"):
        if (value := fields.get(name)) is not None:
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
                raise wrong(name, "must be a number between 0 and 1", "invalid_value")
            found[name] = value
    if stops := fields.get("stop_sequences"):
        stops = array(stops, "stop_sequences")
        found["stop"] = [text(stop, at("stop_sequences", n)) for n, stop in enumerate(stops)]
    if metadata := fields.get("metadata"):
        user = mapping(metadata, "metadata").get("user_id")
        if user is not None:
            found["user"] = text(user, "metadata.user_id")
    return found


def _uncarried(fields: Mapping[str, Any]) -> list[str]:
    thinks = mapping(fields["thinking"], "thinking").get("type") != "disabled" if fields.get("thinking") else False
    names = [name for name in fields if name not in CARRIED | NATIVE_FIELDS and fields[name] is not None]
    return [name for name in names if name != "thinking" or thinks]


def _output(config: Json, uncarried: list[str]) -> Json:
    uncarried += [f"output_config.{name}" for name in config if name != "format" and config[name] is not None]
    form = config.get("format")
    if form is None:
        return {}
    path = "output_config.format"
    one_of(mapping(form, path).get("type"), at(path, "type"), ("json_schema",))
    schema = mapping(need(form, "schema", path), at(path, "schema"))
    named = {"name": "answer", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _tool_choice(choice: Any, *, has_tools: bool) -> Json:
    choice = mapping(choice, "tool_choice")
    found: Json = {}
    which = one_of(choice.get("type"), "tool_choice.type", ("auto", "any", "tool", "none"))
    if has_tools:
        if which == "tool":
            name = text(need(choice, "name", "tool_choice"), "tool_choice.name")
            found["tool_choice"] = {"type": "function", "function": {"name": name}}
        else:
            found["tool_choice"] = {"auto": "auto", "any": "required", "none": "none"}[which]
        if choice.get("disable_parallel_tool_use"):
            found["parallel_tool_calls"] = False
    return found


class _Reader:
    """Reads messages and tools; `native` once something was seen that only Anthropic's API takes."""

    def __init__(self) -> None:
        self.native = False

    def system(self, system: Any) -> list[Json]:
        if system is None or system in ("", []):
            return []
        if isinstance(system, str):
            return [{"role": "system", "content": system}]
        parts = []
        for n, block in enumerate(array(system, "system")):
            path = at("system", n)
            one_of(mapping(block, path).get("type"), at(path, "type"), ("text",))
            parts.append(text(need(block, "text", path), at(path, "text")))
        return [{"role": "system", "content": "\n\n".join(parts)}]

    def messages(self, fields: Json) -> list[Json]:
        found: list[Json] = []
        given = array(need(fields, "messages"), "messages")
        if not given:
            raise wrong("messages", "must have at least one message", "invalid_value")
        for n, message in enumerate(given):
            path = at("messages", n)
            role = one_of(mapping(message, path).get("role"), at(path, "role"), ("user", "assistant", "system"))
            content = need(message, "content", path)
            if isinstance(content, str):
                found.append({"role": role, "content": content})
                continue
            blocks = array(content, at(path, "content"))
            read = self._assistant if role == "assistant" else self._user
            found += read(role, blocks, at(path, "content"))
        return found

    def _user(self, role: str, blocks: list[Any], path: str) -> list[Json]:
        """Tool results become messages of their own, before the rest: an answer to a call must follow it."""
        results: list[Json] = []
        parts: list[Json] = []
        for n, block in enumerate(blocks):
            here = at(path, n)
            if mapping(block, here).get("type") == "tool_result":
                results.append(self._result(block, here, parts))
            else:
                parts += self._part(block, here)
        if not parts:
            return results or [{"role": role, "content": ""}]  # all of it was native
        content = parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts
        return [*results, {"role": role, "content": content}]

    def _result(self, block: Json, path: str, parts: list[Json]) -> Json:
        """A chat's tool message holds text only: images of a result go to the user's message after it."""
        content = block.get("content")
        if content is None or isinstance(content, str):
            said = content or ""
        else:
            found: list[Json] = []
            for n, inner in enumerate(array(content, at(path, "content"))):
                found += self._part(mapping(inner, at(at(path, "content"), n)), at(at(path, "content"), n))
            said = "\n".join(part["text"] for part in found if part["type"] == "text")
            parts += [part for part in found if part["type"] != "text"]
        if block.get("is_error"):
            said = f"error: {said}"  # a chat completion has no other place for it
        call = text(need(block, "tool_use_id", path), at(path, "tool_use_id"))
        return {"role": "tool", "tool_call_id": call, "content": said}

    def _part(self, block: Any, path: str) -> list[Json]:
        which = text(need(mapping(block, path), "type", path), at(path, "type"))
        if which == "text":
            return [{"type": "text", "text": text(need(block, "text", path), at(path, "text"))}]
        if which in ("image", "document"):
            source = mapping(need(block, "source", path), at(path, "source"))
            found = _source(which, source, at(path, "source"))
            if found is not None:
                return [found]
        self.native = True
        return []

    def _assistant(self, role: str, blocks: list[Any], path: str) -> list[Json]:
        said: list[str] = []
        calls: list[Json] = []
        for n, block in enumerate(blocks):
            here = at(path, n)
            which = text(need(mapping(block, here), "type", here), at(here, "type"))
            if which == "text":
                said.append(text(need(block, "text", here), at(here, "text")))
            elif which == "tool_use":
                calls.append(_call(block, here))
            elif which not in THOUGHT:
                self.native = True
        message: Json = {"role": role, "content": "".join(said) or (None if calls else "")}
        if calls:
            message["tool_calls"] = calls
        return [message]

    def tools(self, tools: Any) -> list[Json]:
        found = []
        for n, tool in enumerate(array(tools, "tools")):
            path = at("tools", n)
            if mapping(tool, path).get("type", "custom") not in ("custom", None):
                self.native = True  # a tool that Anthropic runs or defines
                continue
            function: Json = {
                "name": text(need(tool, "name", path), at(path, "name")),
                "parameters": mapping(need(tool, "input_schema", path), at(path, "input_schema")),
            }
            if tool.get("description") is not None:
                function["description"] = text(tool["description"], at(path, "description"))
            if tool.get("strict") is not None:
                function["strict"] = boolean(tool["strict"], at(path, "strict"))
            found.append({"type": "function", "function": function})
        return found


def _source(which: str, source: Json, path: str) -> Json | None:
    """An image or a document as a chat's part; None where a chat has none for it."""
    origin = text(need(source, "type", path), at(path, "type"))
    if which == "image" and origin == "base64":
        media = text(need(source, "media_type", path), at(path, "media_type"))
        data = text(need(source, "data", path), at(path, "data"))
        return {"type": "image_url", "image_url": {"url": f"data:{media};base64,{data}"}}
    if which == "image" and origin == "url":
        return {"type": "image_url", "image_url": {"url": text(need(source, "url", path), at(path, "url"))}}
    if which == "document" and origin == "text":
        return {"type": "text", "text": text(need(source, "data", path), at(path, "data"))}
    return None


def _call(block: Json, path: str) -> Json:
    arguments = mapping(block.get("input", {}), at(path, "input"))
    function = {
        "name": text(need(block, "name", path), at(path, "name")),
        "arguments": msgspec.json.encode(arguments).decode(),
    }
    return {"id": text(need(block, "id", path), at(path, "id")), "type": "function", "function": function}
