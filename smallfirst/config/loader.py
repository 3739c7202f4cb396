"""One YAML file and the environment -> settings, validated once, with the line of every key.

Knows files, YAML and how its errors read. Does not know any section: the caller hands in the struct to read into.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import yaml

from smallfirst.config.reader import BAD, Reader, is_null
from smallfirst.errors import ConfigError

T = TypeVar("T")

MAX_BYTES = 300_000
"""A config file is written by people; a longer one is some other file."""

_TOO_DEEP = "nested too deeply"


class Loaded(msgspec.Struct, Generic[T], frozen=True):
    """Settings, and where each key path (`("models", "gemma", "provider")`, list items by index) stands in the file."""

    value: T
    lines: Mapping[tuple[str, ...], int]
    source: Path


class Unreadable(ConfigError):
    """Some of it could not be read. `value` is the rest, at its defaults where `bad` says (None: there is no rest)."""

    def __init__(self, problems: list[tuple[int, str]], value: object, reader: Reader) -> None:
        words = [words for _, words in sorted(problems, key=lambda problem: problem[0])]
        super().__init__(list(dict.fromkeys(words)))
        self.placed, self.value, self.lines, self.bad = problems, value, reader.lines, frozenset(reader.bad)


def load(path: Path, into: type[T], environ: Mapping[str, str]) -> Loaded[T]:
    """Read `path`. Raises ConfigError with every problem, in the order of the file's lines."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError([f"there is no file {path}"]) from None
    except OSError as error:
        raise ConfigError([f"can't read {path}: {error.strerror or error}"]) from None
    value, lines = parse(data, into, environ)
    return Loaded(value, lines, path)


def parse(data: bytes, into: type[T], environ: Mapping[str, str]) -> tuple[T, Mapping[tuple[str, ...], int]]:
    """The settings that `data` holds, and the line of each key path. Raises ConfigError as `load` does.

    Where some of it can still be looked at, that is an Unreadable.
    """
    root = _compose(data)
    if root is None or is_null(root):
        raise ConfigError(["the file is empty; `smallfirst config init` prints one to start from"])
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(["line 1: the file must be a mapping of sections, such as `models:` and `tiers:`"])
    reader = Reader(environ)
    value = reader.read(root, msgspec.inspect.type_info(into))
    if reader.problems or value is BAD:
        raise Unreadable(reader.problems, None if value is BAD else value, reader)
    return value, reader.lines


def _compose(data: bytes) -> yaml.Node | None:
    if len(data) > MAX_BYTES:
        raise ConfigError([f"the file is longer than {MAX_BYTES:,} bytes; is it a config file?"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError([f"line {line}: the file is not UTF-8 text"]) from None
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax(error, text)]) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise ConfigError([f"line {line}: a character that may not stand in YAML"]) from None
    except RecursionError:
        raise ConfigError([_TOO_DEEP]) from None
    return node


def _syntax(error: yaml.MarkedYAMLError, text: str) -> str:
    """One line for a syntax error. The file's own text is left out: it may hold a secret."""
    mark = error.problem_mark or error.context_mark
    line = 1 if mark is None else mark.line + 1
    column = 1 if mark is None else mark.column + 1
    written = text.splitlines()[line - 1 : line]
    problem = error.problem or "not YAML"
    if "\\t" in problem or (written and "\t" in written[0][:column]):
        problem = "a tab; YAML is indented with spaces"
    elif "mapping values are not allowed" in problem:
        problem = (
            "a `:` where none may stand; is the line indented as its neighbours are, or does its text need quotes?"
        )
    elif "found undefined alias" in problem:
        problem = "an alias (`*`) without its anchor (`&`); text that begins with `*` needs quotes"
    elif "single document" in problem or "but found another document" in problem:
        problem = "a second document (`---`); a config is one"
    elif error.context:
        problem = f"{error.context}: {problem}"
    return f"line {line}, column {column}: {problem}"
