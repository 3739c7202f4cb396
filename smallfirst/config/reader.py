"""A YAML node tree -> a msgspec.Struct, driven by the struct's own annotations. Every problem is collected.

Knows the annotations that settings use: structs, dict[str, X], tuples, Literal, unions, str, int, float, bool. Does not
know any section's meaning, and does not read files (loader.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import yaml
from msgspec import inspect as kinds

from smallfirst.config.environment import example_reference, fill, is_reference, is_secret
from smallfirst.config.later import SECTIONS, VALUES, is_later
from smallfirst.config.nearest import hint, nearest

Path = tuple[str, ...]

MAX_VALUES = 50_000
"""Values a file may unfold to; aliases of aliases of aliases would make billions out of a few lines."""

_LATER = "known, but not in this version"
_TAG = "tag:yaml.org,2002:"
_WORDS: dict[type[kinds.Type], str] = {
    kinds.StrType: "text",
    kinds.IntType: "a whole number",
    kinds.FloatType: "a number",
    kinds.BoolType: "true or false",
    kinds.NoneType: "nothing",
    kinds.VarTupleType: "a list",
    kinds.DictType: "a mapping",
    kinds.StructType: "a mapping",
}


class Bad:
    """Stands where a value could not be read; the problem is already noted."""


BAD = Bad()


class Reader:
    """Reads one tree. `problems` are (line, words); `lines` says where each key path stands."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[tuple[int, str]] = []
        self.lines: dict[Path, int] = {}
        self._left = MAX_VALUES

    def read(self, node: yaml.Node, wanted: kinds.Type, path: Path = ()) -> Any:
        """The value at `path`, or BAD."""
        self.lines.setdefault(path, line_of(node))
        self._left -= 1
        if self._left < 0:
            if self._left == -1:  # said once, not for every value that follows
                self._problem(node, (), f"aliases unfold to more than {MAX_VALUES:,} values")
            return BAD
        if isinstance(wanted, kinds.UnionType):
            return self._union(node, wanted, path)
        if isinstance(wanted, kinds.StructType):
            return self._struct(node, wanted, path)
        if isinstance(wanted, kinds.DictType):
            return self._dict(node, wanted, path)
        if isinstance(wanted, kinds.VarTupleType):
            return self._tuple(node, wanted, path)
        return self._scalar(node, wanted, path)

    def _union(self, node: yaml.Node, wanted: kinds.UnionType, path: Path) -> Any:
        """The one member that fits the node's shape; of two, one is a fixed word, and stands where it is that word."""
        if is_null(node) and any(isinstance(one, kinds.NoneType) for one in wanted.types):
            return None
        fitting = [one for one in wanted.types if _fits(node, one)]
        words = [one for one in fitting if isinstance(one, kinds.LiteralType)]
        others = [one for one in fitting if not isinstance(one, kinds.LiteralType)]
        chosen = [*(one for one in words if node.value in one.values), *others]
        return self.read(node, chosen[0], path) if chosen else self._wrong(node, wanted, path)

    def _struct(self, node: yaml.Node, wanted: kinds.StructType, path: Path) -> Any:
        if not isinstance(node, yaml.MappingNode):
            return self._wrong(node, wanted, path)
        fields = {field.encode_name: field for field in wanted.fields}
        given: dict[str, Any] = {}
        for name, value in self._pairs(node, path):
            field = fields.get(name)
            if field is not None:
                given[field.name] = self.read(value, field.type, (*path, name))
            elif is_later((*path, name), SECTIONS):
                self._at(self.lines[(*path, name)], (*path, name), _LATER)
            else:
                free = [one for one in fields if fields[one].name not in given]
                words = f"unknown key `{name[:60]}`{hint(name, free)}"
                self._at(self.lines[(*path, name)], path, words)
        missing = [field for field in wanted.fields if field.required and field.name not in given]
        for field in missing:
            self._problem(node, path, f"`{field.encode_name}` is missing")
        if missing or any(value is BAD for value in given.values()):
            return BAD
        return wanted.cls(**given)

    def _dict(self, node: yaml.Node, wanted: kinds.DictType, path: Path) -> Any:
        if not isinstance(node, yaml.MappingNode):
            return self._wrong(node, wanted, path)
        read = {name: self.read(value, wanted.value_type, (*path, name)) for name, value in self._pairs(node, path)}
        return BAD if any(value is BAD for value in read.values()) else read

    def _tuple(self, node: yaml.Node, wanted: kinds.VarTupleType, path: Path) -> Any:
        if not isinstance(node, yaml.SequenceNode):
            return self._wrong(node, wanted, path)
        read = tuple(self.read(one, wanted.item_type, (*path, str(at))) for at, one in enumerate(node.value))
        return BAD if any(value is BAD for value in read) else read

    def _pairs(self, node: yaml.MappingNode, path: Path) -> list[tuple[str, yaml.Node]]:
        """Keys, as they are written (`on` is `on`), and values; a key that stands twice is a problem."""
        pairs: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(key, path, "a key must be a word")
            elif key.tag == f"{_TAG}merge":
                self._problem(key, path, "merge keys (<<) are not read; write the values out")
            elif key.value in pairs:
                first = self.lines[(*path, key.value)]
                self._problem(key, (*path, key.value), f"written twice; the first is on line {first}")
            else:
                pairs[key.value] = value
                self.lines[(*path, key.value)] = line_of(key)
        return list(pairs.items())

    def _scalar(self, node: yaml.Node, wanted: kinds.Type, path: Path) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            return self._wrong(node, wanted, path)
        if isinstance(wanted, kinds.StrType):
            return self._text(node, wanted, path)
        if isinstance(wanted, kinds.LiteralType):
            return self._literal(node, wanted, path)
        value = number(node, wanted) if isinstance(wanted, kinds.IntType | kinds.FloatType) else None
        if isinstance(wanted, kinds.BoolType) and node.tag == f"{_TAG}bool":
            value = node.value.lower() in ("true", "yes", "on")
        return self._wrong(node, wanted, path) if value is None else value

    def _text(self, node: yaml.ScalarNode, wanted: kinds.Type, path: Path) -> Any:
        """A string. What YAML takes for a number or a date is read as written; yes, no and nothing need quotes."""
        secret = bool(path) and is_secret(path[-1])
        if secret and not is_reference(node.value):
            words = (
                f"a secret may not stand in the file; set an environment variable and write {example_reference(path)}"
            )
            return self._problem(node, path, words)
        if node.tag in (f"{_TAG}bool", f"{_TAG}null") or node.tag.startswith("!"):
            return self._wrong(node, wanted, path)
        text, problems = fill(node.value, self._environ)
        if secret and not problems and not text.strip():
            problems = [f"the environment variable {node.value.strip()[2:-1]} is empty"]
        for problem in problems:
            self._problem(node, path, problem)
        return BAD if problems else text

    def _literal(self, node: yaml.ScalarNode, wanted: kinds.LiteralType, path: Path) -> Any:
        if node.value in wanted.values and node.tag != f"{_TAG}null":
            return node.value
        if is_later((*path, node.value), VALUES):
            return self._problem(node, path, f"`{node.value}` is {_LATER}")
        choices = ", ".join(f"`{value}`" for value in wanted.values)
        near = nearest(node.value, [str(value) for value in wanted.values])
        words = f"must be {'one of ' if len(wanted.values) > 1 else ''}{choices}"
        return self._problem(node, path, f"{words}; did you mean `{near}`?" if near else words)

    def _wrong(self, node: yaml.Node, wanted: kinds.Type, path: Path) -> Bad:
        words = f"must be {_expected(wanted)}, not {_found(node)}"
        if isinstance(wanted, kinds.StrType) and isinstance(node, yaml.ScalarNode) and not is_null(node):
            words += "; put it in quotes"
        elif isinstance(node, yaml.ScalarNode) and "${" in node.value:
            words += "; ${NAME} stands only where text is wanted"
        return self._problem(node, path, words)

    def _problem(self, node: yaml.Node, path: Path, words: str) -> Bad:
        return self._at(line_of(node), path, words)

    def _at(self, line: int, path: Path, words: str) -> Bad:
        self.problems.append((line, located(line, path, words)))
        return BAD


def located(line: int | None, path: Path, words: str) -> str:
    """One problem as it is shown: `line 7: models.gemma: ...`."""
    shown = ""
    for part in path:
        shown += f"[{part}]" if part.isdigit() and shown else f".{part[:60]}" if shown else part[:60]
    return ": ".join(part for part in (f"line {line}" if line else "", shown, words) if part)


def line_of(node: yaml.Node) -> int:
    """The line a node starts on, from 1."""
    return int(node.start_mark.line) + 1 if node.start_mark is not None else 1


def is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == f"{_TAG}null"


def number(node: yaml.ScalarNode, wanted: kinds.Type) -> int | float | None:
    """The number a scalar was written as (also 8_000_000 and 1e6), or None. NaN and infinity are none."""
    if node.style in ("'", '"') or node.tag == f"{_TAG}bool":
        return None
    text = node.value.replace("_", "")
    try:
        if isinstance(wanted, kinds.IntType):
            return int(text)
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _fits(node: yaml.Node, wanted: kinds.Type) -> bool:
    if isinstance(node, yaml.MappingNode):
        return isinstance(wanted, kinds.StructType | kinds.DictType)
    if isinstance(node, yaml.SequenceNode):
        return isinstance(wanted, kinds.VarTupleType)
    return isinstance(
        wanted, kinds.StrType | kinds.IntType | kinds.FloatType | kinds.BoolType | kinds.LiteralType
    ) and not is_null(node)


def _expected(wanted: kinds.Type) -> str:
    if isinstance(wanted, kinds.UnionType):
        return " or ".join(_expected(one) for one in wanted.types if not isinstance(one, kinds.NoneType))
    if isinstance(wanted, kinds.LiteralType):
        return " or ".join(f"`{value}`" for value in wanted.values)
    return _WORDS.get(type(wanted), "another kind of value")


def _found(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    kind = node.tag.removeprefix(_TAG)
    words = {"null": "nothing", "bool": "yes or no", "int": "a number", "float": "a number", "str": "text"}
    return words.get(kind, "this kind of value")
