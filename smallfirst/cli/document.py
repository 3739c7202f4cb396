"""The reference of the config file, made from the settings themselves: annotations, defaults, comments, docstrings.

Knows how settings classes are written: one field a line, what it means in a comment beside it (or in field_words.py).
Does not know any field.
"""

from __future__ import annotations

import inspect
import io
import tokenize
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect as kinds

from smallfirst.cli.field_words import WORDS
from smallfirst.cli.settings import Settings
from smallfirst.config.environment import is_secret

HEAD = """\
# Configuration

One YAML file, read once at start: `smallfirst serve --config smallfirst.yaml`. Every section may be left out.
`smallfirst config init` prints a file to start from, `smallfirst config check FILE` says what it means or names every
mistake with its line. Complete files lie in [examples/](../examples).

- **Secrets** (`key`) are written only as `${ENV_NAME}`. The same notation works inside any text; `$${` is a plain `${`.
  A variable that is not set is an error.
- **Unknown keys** are errors, with the nearest known key. So are keys that stand twice, and YAML merge keys (`<<`).
- Money is in US dollars, times are in the unit that the field's name ends in.
- **Data classes**, from harmless to most sensitive: `public`, `internal`, `personal`, `health`, `financial`, `secret`.
  A query has the highest of what its caller declares, its key's `min_class` and `privacy.default_class`: a caller can
  raise it and never lower it.
- **Locations**: `device` (this machine), `premises` (your network), `cloud/<region>` (`cloud/eu`, `cloud/eu/fra`). A
  provider with a public address must state its own.
- **Privacy rules**: what no rule allows is denied; where several match, a deny wins. A rule for `cloud` covers
  `cloud/eu`. What a provider has not stated (`trains`, `baa`, `retention_days`, the region) never helps it: an `allow`
  that asks for it does not match, a `deny` does.

<!-- Written by `smallfirst config docs`; change the settings classes, not this file. -->
"""


def document() -> str:
    """The page docs/configuration.md."""
    top = kinds.type_info(Settings)
    assert isinstance(top, kinds.StructType)  # noqa: S101 - Settings is a struct
    parts = [HEAD]
    for field in top.fields:
        inner = _struct_in(field.type)
        if inner is not None:
            parts.append("\n".join(_section(f"`{field.encode_name}{_suffix(field.type)}`", inner, 2)))
        else:
            parts.append(
                f"## `{field.encode_name}`\n\n{_comment_of(Settings, field.name)}. Default: {_default(field)}.\n"
            )
    return "\n".join(parts).replace("\n\n\n", "\n\n").rstrip() + "\n"


def _section(title: str, struct: kinds.StructType, level: int) -> Iterator[str]:
    """A heading, the class's own words, a table of its fields, and the same for each section inside."""
    yield f"{'#' * level} {title}\n"
    yield f"{inspect.cleandoc(struct.cls.__doc__ or '')}\n"
    yield "| field | type | default | meaning |\n| --- | --- | --- | --- |"
    inside: list[tuple[str, kinds.StructType]] = []
    for field in struct.fields:
        inner = _struct_in(field.type)
        if inner is not None:
            inside.append((f"{title[:-1]}.{field.encode_name}{_suffix(field.type)}`", inner))
        meaning = _comment_of(struct.cls, field.name)
        if is_secret(field.encode_name):
            meaning = f"{meaning}; only as `${{ENV_NAME}}`" if meaning else "only as `${ENV_NAME}`"
        row = (f"`{field.encode_name}`", _type(field.type), _default(field), meaning or ("see below" if inner else "?"))
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"
    yield ""
    for name, inner in inside:
        yield from _section(name, inner, min(level + 1, 4))


def _comment_of(cls: type, field: str) -> str:
    """What the field means: what stands beside it in the class's source, or in field_words.py."""
    return _comments(cls).get(field) or WORDS.get(f"{cls.__name__}.{field}", "")


def _comments(cls: type) -> dict[str, str]:
    """Field -> the comment on its line."""
    found: dict[str, str] = {}
    line_field: dict[int, str] = {}
    source = inspect.cleandoc(inspect.getsource(cls))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and token.line.strip().startswith(f"{token.string}:"):
            line_field.setdefault(token.start[0], token.string)
        elif token.type == tokenize.COMMENT and token.start[0] in line_field:
            found[line_field[token.start[0]]] = token.string.lstrip("# ").strip()
    return found


def _struct_in(kind: kinds.Type) -> kinds.StructType | None:
    """The settings class that a field holds: directly, in a list, in a mapping or as one of several."""
    if isinstance(kind, kinds.StructType):
        return kind
    if isinstance(kind, kinds.DictType):
        return _struct_in(kind.value_type)
    if isinstance(kind, kinds.VarTupleType):
        return _struct_in(kind.item_type)
    if isinstance(kind, kinds.UnionType):
        return next((inner for one in kind.types if (inner := _struct_in(one)) is not None), None)
    return None


def _suffix(kind: kinds.Type) -> str:
    if isinstance(kind, kinds.UnionType):
        return next((suffix for one in kind.types if (suffix := _suffix(one))), "")
    return ".NAME" if isinstance(kind, kinds.DictType) else "[]" if isinstance(kind, kinds.VarTupleType) else ""


_PLAIN: dict[type[kinds.Type], str] = {
    kinds.StrType: "text",
    kinds.IntType: "whole number",
    kinds.FloatType: "number",
    kinds.BoolType: "true or false",
    kinds.StructType: "mapping",
}


def _type(kind: kinds.Type) -> str:
    if isinstance(kind, kinds.UnionType):
        return " or ".join(_type(one) for one in kind.types if not isinstance(one, kinds.NoneType))
    if isinstance(kind, kinds.LiteralType):
        return " or ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, kinds.VarTupleType):
        return f"list of {_type(kind.item_type)}"
    if isinstance(kind, kinds.DictType):
        return f"name: {_type(kind.value_type)}"
    return _PLAIN[type(kind)]


def _default(field: kinds.Field) -> str:
    if field.required:
        return "**needed**"
    value: Any = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None or value in ({}, ()) or isinstance(value, msgspec.Struct):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
