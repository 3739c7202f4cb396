"""A chat-completions body -> a Query, or an error that names the field.

Knows the request side of OpenAI's chat completions and our dials. Does not know HTTP or who answers. The body is
decoded once for checking (typed) and once shallowly, so that fields we do not know pass through untouched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from smallfirst.core import NANO, DataClass, Dials, Needs, Query, Schema
from smallfirst.errors import BadRequest
from smallfirst.privacy.classes import parse_class

CHARS_PER_TOKEN = 4
IMAGE_TOKENS = 1000
MOST_TAGS = 16
NO_LIMIT = 2.0**62
"""A dial beyond this limits nothing; it must still fit an integer of the ledger."""

T = TypeVar("T")

Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Amount = Annotated[float, Meta(ge=0)]
Label = Annotated[str, Meta(max_length=256)]


class ImageUrl(Struct):
    url: str


class Part(Struct):
    """One part of a message's content."""

    type: Literal["text", "image_url", "refusal"]
    text: str | None = None
    image_url: ImageUrl | None = None


class FunctionCall(Struct):
    name: str
    arguments: str


class CallPart(Struct):
    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class Message(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    tool_calls: list[CallPart] | None = None
    name: str | None = None
    tool_call_id: str | None = None


class FunctionSpec(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    parameters: dict[str, Any] | None = None


class Tool(Struct):
    function: FunctionSpec
    type: Literal["function"] = "function"


class SchemaSpec(Struct):
    name: str = "answer"
    schema: dict[str, Any] = msgspec.field(default_factory=dict)


class ResponseFormat(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaSpec | None = None


class StreamOptions(Struct):
    include_usage: bool | None = None


class DialsBody(Struct, forbid_unknown_fields=True):
    """The body's `smallfirst` object. Every dial can only tighten."""

    max_quality_loss: Share | None = None
    max_cost_usd: Amount | None = None
    max_latency_ms: Amount | None = None
    data_class: str | None = None
    session: Label | None = None
    tags: Annotated[list[Label], Meta(max_length=MOST_TAGS)] = []


class ChatRequest(Struct):
    """What is checked; everything else passes through untouched."""

    model: Label
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
    user: str | None = None
    smallfirst: DialsBody | UnsetType | None = UNSET


_request = msgspec.json.Decoder(ChatRequest)
_fields = msgspec.json.Decoder(dict[str, Raw])
_PATH = re.compile(r" - at `\$\.?(.*)`$")


def parse_chat(body: bytes, headers: Mapping[bytes, bytes], request_id: str, *, max_messages: int) -> Query:
    """Check `body` (the JSON of a chat-completions request) and make a Query of it.

    Raises BadRequest naming the field. Dials come from the body's `smallfirst` object or, for those it leaves out, from
    `x-smallfirst-*` headers.
    """
    request, fields = decode_into(_request, body)
    if len(request.messages) > max_messages:
        raise BadRequest(
            f"messages has {len(request.messages)} entries; this gateway takes at most {max_messages}",
            code="too_many_messages",
            param="messages",
        )
    if b"\\u0000" in body:
        _refuse_nul(request)
    fields.pop("smallfirst", None)
    dials = read_dials(request.smallfirst or None, headers)
    options = request.stream_options
    form = request.response_format
    return Query(
        id=request_id,
        asked=request.model,
        text=_user_text(request.messages),
        fields=fields,
        needs=_needs(request, fields),
        stream=bool(request.stream),
        include_usage=bool(options and options.include_usage),
        dials=dials,
        response_schema=Schema(form.json_schema.name, form.json_schema.schema) if form and form.json_schema else None,
        tools=tuple(Schema(t.function.name, t.function.parameters or {}) for t in request.tools or ()),
        turns=sum(m.role == "assistant" for m in request.messages) if len(request.messages) > 1 else 0,
    )


def decode_into(into: msgspec.json.Decoder[T], body: bytes) -> tuple[T, dict[str, Raw]]:
    """The body twice: checked, and by field as it came. Raises BadRequest naming the field."""
    try:
        return into.decode(body), _fields.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply", code="invalid_json") from None


def invalid(message: str) -> BadRequest:
    """msgspec's words for a field of the wrong shape, as an error that names the field."""
    found = _PATH.search(message)
    if found:
        param = found.group(1)
        return BadRequest(f"{param}: {message[: found.start()]}", code="invalid_type", param=param)
    missing = re.search(r"missing required field `(\w+)`", message)
    named = missing or re.search(r"unknown field `(\w+)`", message)
    param = named.group(1) if named else ""
    return BadRequest(message, code="missing_field" if missing else "invalid_type", param=param or None)


def _refuse_nul(request: ChatRequest) -> None:
    """Runtimes written in C stop reading at a NUL: such a prompt would be cut in silence."""
    for i, message in enumerate(request.messages):
        texts = [message.content] if isinstance(message.content, str) else [p.text for p in message.content or ()]
        if any(text and "\x00" in text for text in texts):
            where = f"messages[{i}].content"
            raise BadRequest(f"{where} contains a NUL character", code="invalid_text", param=where)


def _user_text(messages: list[Message]) -> str:
    """The words of the last user turn: not the system prompt, not tool results, not what a model wrote."""
    for message in reversed(messages):
        if message.role == "user":
            content = message.content
            if isinstance(content, list):
                return "\n".join(part.text for part in content if part.text)
            return content or ""
    return ""


_BESIDE = ("tools", "functions", "response_format")
"""Fields beside the messages that models read as part of the prompt."""


def _needs(request: ChatRequest, fields: Mapping[str, Raw]) -> Needs:
    chars = sum(len(bytes(fields[name])) for name in _BESIDE if name in fields)
    images = 0
    for message in request.messages:
        content = message.content
        if isinstance(content, str):
            chars += len(content)
        elif content is not None:
            chars += sum(len(part.text) for part in content if part.text)
            images += sum(part.type == "image_url" for part in content)
        for call in message.tool_calls or ():
            chars += len(call.function.arguments)
    form = request.response_format.type if request.response_format else "text"
    return Needs(
        tools=bool(request.tools) or "functions" in fields,
        json_object=form == "json_object",
        json_schema=form == "json_schema",
        vision=images > 0,
        logprobs=bool(request.logprobs),
        n=request.n or 1,
        input_tokens=chars // CHARS_PER_TOKEN + images * IMAGE_TOKENS + 1,
        output_tokens=request.max_completion_tokens or request.max_tokens or 0,
    )


_HEADER_DIALS = {
    b"x-smallfirst-" + name.replace("_", "-").encode(): name
    for name in ("max_quality_loss", "max_cost_usd", "max_latency_ms", "data_class", "session", "tags")
}
"""Header -> the dial that it sets."""


def read_dials(body: DialsBody | None, headers: Mapping[bytes, bytes]) -> Dials:
    given = {dial: headers[name] for name, dial in _HEADER_DIALS.items() if name in headers}
    if not given and body is None:
        return _NO_DIALS
    if given:
        body = _with_headers(body, given)
    assert body is not None  # noqa: S101 - one of the two was there
    return Dials(
        max_quality_loss=body.max_quality_loss,
        max_cost=None if body.max_cost_usd is None else int(min(body.max_cost_usd * NANO, NO_LIMIT)),
        max_latency_us=None if body.max_latency_ms is None else int(min(body.max_latency_ms * 1000, NO_LIMIT)),
        data_class=None if body.data_class is None else _class(body.data_class),
        session=body.session,
        tags=tuple(body.tags),
    )


_NO_DIALS = Dials()


def _with_headers(body: DialsBody | None, given: Mapping[str, bytes]) -> DialsBody:
    """The body's dials, completed from headers; of a dial that both name, the body's stands."""
    raw: dict[str, Any] = {}
    for field, value in given.items():
        text = value.decode("latin-1").strip()
        raw[field] = [tag.strip() for tag in text.split(",") if tag.strip()] if field == "tags" else text
    if body is not None:
        said = {field: value for field, value in msgspec.structs.asdict(body).items() if value not in (None, [])}
        raw.update(said)
    try:
        return msgspec.convert(raw, DialsBody, strict=False)
    except msgspec.ValidationError as error:
        found = _PATH.search(str(error))
        header = "x-smallfirst-" + (found.group(1) if found else "").replace("_", "-")
        raise BadRequest(f"header {header}: {error}", code="invalid_header", param=header) from None


def _class(name: str) -> DataClass:
    try:
        return parse_class(name)
    except ValueError as error:
        raise BadRequest(str(error), code="invalid_value", param="smallfirst.data_class") from None
