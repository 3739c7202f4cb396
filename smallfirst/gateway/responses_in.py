"""An OpenAI Responses request -> a chat-completions request.

Pure. Knows both wire formats. The gateway keeps no responses: what leans on kept ones (`previous_response_id`,
`conversation`, `background`, `prompt`) is refused, as are the tools that OpenAI runs itself. Settings that a chat
completion has no place for are listed (`uncarried`), so that the answer can say which did not apply.
Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.gateway.shapes import Json, array, at, boolean, mapping, need, one_of, text, whole, wrong

STRAIGHT = (
    "stream", "temperature", "top_p", "parallel_tool_calls", "user", "safety_identifier", "prompt_cache_key",
    "prompt_cache_retention", "service_tier", "smallfirst",
)  # fmt: skip
"""Fields that mean the same in both."""

TRANSLATED = frozenset(
    (
        "model", "input", "instructions", "max_output_tokens", "tools", "tool_choice", "text", "reasoning", "include",
        "top_logprobs", "stream_options",
    )
)  # fmt: skip

WITHOUT_EFFECT = frozenset(("metadata", "max_tool_calls"))
"""Echoed; or about tools that OpenAI runs, of which there are none."""

KEPT = ("previous_response_id", "conversation", "background", "prompt")
"""Fields that need a response, or a prompt, that somebody has kept."""

LOGPROBS = "message.output_text.logprobs"
ROLES = ("user", "assistant", "system", "developer")


class Chat(msgspec.Struct, frozen=True):
    """The same request as a chat completion."""

    body: Json
    uncarried: tuple[str, ...]


def to_chat(fields: Json) -> Chat:
    """Raises BadRequest naming the field, as the Responses API calls it."""
    for name in KEPT:
        if fields.get(name):
            words = "this gateway keeps no responses; send the conversation in `input`"
            raise wrong(name, words, "unsupported")
    body: Json = {"model": text(need(fields, "model"), "model"), "messages": _messages(fields)}
    body.update({name: fields[name] for name in STRAIGHT if fields.get(name) is not None})
    if fields.get("max_output_tokens") is not None:
        body["max_completion_tokens"] = whole(fields["max_output_tokens"], "max_output_tokens")
    uncarried = _uncarried(fields)
    body.update(_text(fields.get("text"), uncarried))
    body.update(_reasoning(fields.get("reasoning"), uncarried))
    body.update(_tools(fields))
    body.update(_logprobs(fields, uncarried))
    return Chat(body, tuple(uncarried))


def _uncarried(fields: Json) -> list[str]:
    known = TRANSLATED | WITHOUT_EFFECT | set(STRAIGHT) | set(KEPT)
    idle = {"store": False, "truncation": "disabled"}  # what holds here in any case
    return [n for n, value in fields.items() if n not in known and value is not None and idle.get(n, ...) != value]


def _messages(fields: Json) -> list[Json]:
    found: list[Json] = []
    if fields.get("instructions") is not None:
        found.append({"role": "system", "content": text(fields["instructions"], "instructions")})
    given = need(fields, "input")
    if isinstance(given, str):
        return [*found, {"role": "user", "content": given}]
    for n, item in enumerate(array(given, "input")):
        _item(mapping(item, at("input", n)), at("input", n), found)
    if len(found) == (fields.get("instructions") is not None):
        raise wrong("input", "must hold at least one message", "invalid_value")
    return found


def _item(item: Json, path: str, found: list[Json]) -> None:
    """Add one input item to the messages."""
    which = item.get("type") or ("message" if "role" in item else None)
    if which == "message":
        role = one_of(item.get("role"), at(path, "role"), ROLES)
        found.append({"role": role, "content": _content(need(item, "content", path), at(path, "content"))})
    elif which == "function_call":
        function = {
            "name": text(need(item, "name", path), at(path, "name")),
            "arguments": text(need(item, "arguments", path), at(path, "arguments")),
        }
        call = {"id": text(need(item, "call_id", path), at(path, "call_id")), "type": "function", "function": function}
        if not found or found[-1]["role"] != "assistant":
            found.append({"role": "assistant", "content": None})
        found[-1].setdefault("tool_calls", []).append(call)
    elif which == "function_call_output":
        call_id = text(need(item, "call_id", path), at(path, "call_id"))
        found.append({"role": "tool", "tool_call_id": call_id, "content": _output(item.get("output"), path)})
    elif which != "reasoning":  # a model's earlier thoughts are for that model alone
        said = text(which, at(path, "type")) if which is not None else "none"
        known = "message, function_call, function_call_output and reasoning"
        raise wrong(at(path, "type"), f"{said[:60]!r} is not taken here; known: {known}", "unsupported")


def _output(output: Any, path: str) -> str:
    here = at(path, "output")
    if isinstance(output, str):
        return output
    parts = _content(array(output, here), here)
    if isinstance(parts, str):
        return parts
    for n, part in enumerate(parts):
        if part["type"] != "text":
            raise wrong(at(here, n), "only text is taken in a function's output", "unsupported")
    return "\n".join(part["text"] for part in parts)


def _content(content: Any, path: str) -> str | list[Json]:
    if isinstance(content, str):
        return content
    parts = [_part(mapping(part, at(path, n)), at(path, n)) for n, part in enumerate(array(content, path))]
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _part(part: Json, path: str) -> Json:
    which = text(need(part, "type", path), at(path, "type"))
    if which in ("input_text", "output_text", "text"):
        return {"type": "text", "text": text(need(part, "text", path), at(path, "text"))}
    if which == "refusal":
        return {"type": "text", "text": text(need(part, "refusal", path), at(path, "refusal"))}
    if which == "input_image" and part.get("image_url") is not None:
        image: Json = {"url": text(part["image_url"], at(path, "image_url"))}
        if part.get("detail") is not None:
            image["detail"] = text(part["detail"], at(path, "detail"))
        return {"type": "image_url", "image_url": image}
    known = "input_text, output_text, refusal and input_image with an image_url"
    raise wrong(path, f"{which[:60]!r} is not taken here; known: {known}", "unsupported")


def _text(config: Any, uncarried: list[str]) -> Json:
    if config is None:
        return {}
    found: Json = {}
    config = mapping(config, "text")
    uncarried += [f"text.{name}" for name in config if name not in ("format", "verbosity")]
    if config.get("verbosity") is not None:
        found["verbosity"] = text(config["verbosity"], "text.verbosity")
    form = config.get("format")
    if form is not None:
        path = "text.format"
        kinds = ("text", "json_object", "json_schema")
        which = one_of(mapping(form, path).get("type"), at(path, "type"), kinds)
        if which == "json_schema":
            inner = {name: value for name, value in form.items() if name != "type"}
            inner["name"] = text(need(form, "name", path), at(path, "name"))
            inner["schema"] = mapping(need(form, "schema", path), at(path, "schema"))
            found["response_format"] = {"type": which, "json_schema": inner}
        elif which == "json_object":
            found["response_format"] = {"type": which}
    return found


def _reasoning(config: Any, uncarried: list[str]) -> Json:
    if config is None:
        return {}
    config = mapping(config, "reasoning")
    uncarried += [f"reasoning.{name}" for name in config if name != "effort" and config[name] is not None]
    effort = config.get("effort")
    return {} if effort is None else {"reasoning_effort": text(effort, "reasoning.effort")}


def _tools(fields: Json) -> Json:
    tools = []
    for n, tool in enumerate(array(fields.get("tools") or [], "tools")):
        path = at("tools", n)
        which = text(need(mapping(tool, path), "type", path), at(path, "type"))
        if which != "function":
            words = f"{which[:60]!r} is run by OpenAI and is not here; only functions are"
            raise wrong(at(path, "type"), words, "unsupported")
        name = text(need(tool, "name", path), at(path, "name"))
        rest = {part: tool[part] for part in ("description", "parameters", "strict") if tool.get(part) is not None}
        if "parameters" in rest:
            mapping(rest["parameters"], at(path, "parameters"))
        if "strict" in rest:
            boolean(rest["strict"], at(path, "strict"))
        tools.append({"type": "function", "function": {"name": name, **rest}})
    if not tools:
        return {}
    return {"tools": tools, **_tool_choice(fields.get("tool_choice"))}


def _tool_choice(choice: Any) -> Json:
    if choice is None:
        return {}
    if isinstance(choice, str):
        return {"tool_choice": one_of(choice, "tool_choice", ("none", "auto", "required"))}
    one_of(mapping(choice, "tool_choice").get("type"), "tool_choice.type", ("function",))
    name = text(need(choice, "name", "tool_choice"), "tool_choice.name")
    return {"tool_choice": {"type": "function", "function": {"name": name}}}


def _logprobs(fields: Json, uncarried: list[str]) -> Json:
    found: Json = {}
    for n, name in enumerate(array(fields.get("include") or [], "include")):
        if text(name, at("include", n)) == LOGPROBS:
            found["logprobs"] = True
        else:
            uncarried.append(f"include {name[:60]}")
    if fields.get("top_logprobs"):
        found["top_logprobs"] = whole(fields["top_logprobs"], "top_logprobs")
        found["logprobs"] = True
    return found
