"""What is wanted of a document: named fields with types and how their values are written. Read from YAML.

    name: invoice
    fields:
      number: {type: id, labels: [invoice no, invoice number]}
      issued: {type: date, order: dmy}
      vat_id: {type: id, form: eu.vat, required: false}
      total: {type: money, currency: EUR, labels: [total due]}
      lines: {type: text, several: true, about: one line for each thing that was bought}

Knows the notation and which option belongs to which type. Does not know how values are found or normalised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import msgspec

from smallfirst.config.loader import parse
from smallfirst.config.nearest import hint
from smallfirst.errors import ConfigError

Kind = Literal["text", "name", "address", "date", "money", "number", "id", "choice"]
KINDS: tuple[str, ...] = get_args(Kind)

Order = Literal["dmy", "mdy", "ymd"]
Decimal = Literal["auto", "point", "comma"]

OPTIONS: dict[str, tuple[str, ...]] = {
    "order": ("date",),
    "currency": ("money",),
    "decimal": ("money", "number"),
    "form": ("id",),
    "pattern": ("id", "text"),
    "choices": ("choice",),
}
"""Options that only some types have."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field. The options below `about` are how its values are written and what stands beside them."""

    name: str
    type: Kind = "text"
    required: bool = True
    several: bool = False  # a document may hold more than one value
    about: str = ""  # told to larger models
    labels: tuple[str, ...] = ()  # words that stand before the value, such as "invoice no"
    order: Order = "dmy"  # how 03/04/2025 is meant
    currency: str = ""  # ISO 4217, where the document names none
    decimal: Decimal = "auto"  # what 1,234 and 1.234 mean; auto: by the digits around
    form: str = ""  # a module of python-stdnum, such as iban or eu.vat: values must pass its check
    pattern: str = ""  # a regular expression that a whole value must match
    choices: dict[str, tuple[str, ...]] = {}  # value -> words that mean it


class Schema(msgspec.Struct, frozen=True):
    """A document type. Fields in the order of the file; their names are distinct."""

    name: str
    fields: tuple[Field, ...]
    about: str = ""

    def __getitem__(self, name: str) -> Field:
        """Raises KeyError."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)


class _Field(msgspec.Struct, frozen=True):
    """A field as it is written: the name is its key."""

    type: Kind = "text"
    required: bool = True
    several: bool = False
    about: str = ""
    labels: tuple[str, ...] = ()
    order: Order | None = None
    currency: str | None = None
    decimal: Decimal | None = None
    form: str | None = None
    pattern: str | None = None
    choices: tuple[str, ...] | dict[str, tuple[str, ...]] | None = None


class _File(msgspec.Struct, frozen=True):
    fields: dict[str, _Field]
    name: str = ""
    about: str = ""


def read_schema(path: Path) -> Schema:
    """The schema in a file. Raises ConfigError with every problem: file, line, field, and the nearest known word."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or error}"]) from None
    return parse_schema(data, path.stem, str(path))


def parse_schema(data: bytes, name: str = "document", source: str = "schema") -> Schema:
    """The schema that `data` (YAML) holds; `name` where it says none. Raises ConfigError as `read_schema`."""
    if not data.strip():
        raise ConfigError([f"{source}: the file is empty; a schema has `fields:` with a name and a type each"])
    try:
        written, lines = parse(data, _File, {})
    except ConfigError as error:
        raise ConfigError([f"{source}, {problem}" for problem in error.problems]) from None
    problems: list[tuple[int, str]] = []
    if not written.fields:
        problems.append((lines.get(("fields",), 1), "fields: there are none"))
    for key, field in written.fields.items():
        at = ("fields", key)
        problems += [(lines.get((*at, option), lines[at]), f"fields.{key}: {words}") for option, words in _check(field)]
        if not NAME.fullmatch(key):
            problems.append(
                (lines[at], f"fields.{key[:60]}: a name has letters, digits, _ and -, and begins with a letter")
            )
    if problems:
        raise ConfigError([f"{source}, line {line}: {words}" for line, words in sorted(problems)])
    fields = tuple(_field(key, field) for key, field in written.fields.items())
    return Schema(written.name or name, fields, written.about)


def _check(field: _Field) -> list[tuple[str, str]]:
    """(option, what is wrong with it)."""
    found = []
    for option, kinds in OPTIONS.items():
        if getattr(field, option) is not None and field.type not in kinds:
            found.append((option, f"`{option}` belongs to {' and '.join(kinds)}, and this is {field.type}"))
    if field.type == "choice" and not field.choices:
        found.append(("choices", "a choice needs `choices`: a list of values, or value: [words that mean it]"))
    if field.currency is not None and not re.fullmatch("[A-Z]{3}", field.currency):
        found.append(("currency", f"`{field.currency}` is not a currency code such as EUR"))
    if field.form is not None and (problem := unknown_form(field.form)) is not None:
        found.append(("form", problem))
    if field.pattern is not None:
        try:
            re.compile(field.pattern)
        except re.error as error:
            found.append(("pattern", f"`pattern` is no regular expression ({error})"))
    return found


def unknown_form(form: str) -> str | None:
    """Why `form` names no check of python-stdnum, or None where it does."""
    from smallfirst.tasks.extract.identifiers import forms  # noqa: PLC0415 - lists a package's modules

    known = forms()
    return None if form in known else f"unknown form `{form}`{hint(form, known) or '; see the list of python-stdnum'}"


def _field(name: str, written: _Field) -> Field:
    given = {option: value for option in OPTIONS if (value := getattr(written, option)) is not None}
    if isinstance(choices := given.get("choices"), tuple):
        given["choices"] = {value: () for value in choices}
    return Field(name, written.type, written.required, written.several, written.about, tuple(written.labels), **given)


def answer_schema(schema: Schema, names: Mapping[str, object] | tuple[str, ...] | None = None) -> dict[str, object]:
    """The JSON schema that a larger model's answer is held to: each field a list of strings, or a string or null.

    `names`: only these fields.
    """
    wanted = [field for field in schema.fields if names is None or field.name in names]
    properties: dict[str, object] = {}
    for field in wanted:
        one: dict[str, object] = {"type": "string"}
        if field.type == "choice":
            one = {"enum": list(field.choices)}
        told = {"description": field.about} if field.about else {}
        shape = {"type": "array", "items": one} if field.several else {"anyOf": [one, {"type": "null"}]}
        properties[field.name] = {**shape, **told}
    return {
        "type": "object",
        "properties": properties,
        "required": [field.name for field in wanted],
        "additionalProperties": False,
    }
