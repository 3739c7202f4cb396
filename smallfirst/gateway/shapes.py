"""JSON of another API, looked at field by field: the value of the right kind, or an error that names where it stands.

Knows kinds of JSON values. Does not know any API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from smallfirst.errors import BadRequest

Json = dict[str, Any]


def decode(body: bytes) -> Json:
    """The object that a body is. Raises BadRequest."""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply", code="invalid_json") from None
    if not isinstance(fields, dict):
        raise BadRequest("the body must be a JSON object", code="invalid_type")
    return fields


def wrong(path: str, words: str, code: str = "invalid_type") -> BadRequest:
    return BadRequest(f"{path}: {words}", code=code, param=path)


def need(fields: Mapping[str, Any], name: str, path: str = "") -> Any:
    """A field that must be there."""
    value = fields.get(name)
    if value is None:
        raise wrong(at(path, name), "is missing", "missing_field")
    return value


def text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise wrong(path, f"must be text, not {kind(value)}")
    return value


def mapping(value: Any, path: str) -> Json:
    if not isinstance(value, dict):
        raise wrong(path, f"must be an object, not {kind(value)}")
    return value


def array(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise wrong(path, f"must be a list, not {kind(value)}")
    return value


def boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise wrong(path, f"must be true or false, not {kind(value)}")
    return value


def whole(value: Any, path: str, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong(path, f"must be a whole number, not {kind(value)}")
    if value < least:
        raise wrong(path, f"must be at least {least}", "invalid_value")
    return value


def one_of(value: Any, path: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise wrong(path, f"must be one of {', '.join(known)}", "invalid_value")
    return str(value)


def at(path: str, name: str | int) -> str:
    """`messages[0].content`"""
    if isinstance(name, int):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
