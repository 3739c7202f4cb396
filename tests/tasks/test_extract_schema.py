"""What a schema says, and what is said of mistakes in it."""

from __future__ import annotations

import jsonschema_rs
import pytest

from smallfirst.errors import ConfigError
from smallfirst.tasks.extract.schema import answer_schema, parse_schema, read_schema
from tests.tasks.receipts import EXAMPLE


def test_the_example() -> None:
    schema = read_schema(EXAMPLE / "receipt.yaml")
    assert [field.name for field in schema.fields][:2] == ["shop", "address"]
    assert schema["vat_id"].form == "eu.vat"
    assert not schema["vat_id"].required
    assert schema["paid_by"].choices["cash"] == ("cash tendered",)


def test_choices_may_be_a_list() -> None:
    assert parse_schema(b"fields: {kind: {type: choice, choices: [a, b]}}")["kind"].choices == {"a": (), "b": ()}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fields:\n  a: {typ: id}", "line 2: fields.a: unknown key `typ`; did you mean `type`?"),
        ("fields:\n  a: {}\n  b: {type: dat}", "line 3: fields.b.type: must be one of .* did you mean `date`?"),
        ("fields:\n  a: {type: id, form: ibann}", "line 2: fields.a: unknown form `ibann`; did you mean `iban`?"),
        (
            "fields:\n  a:\n    type: text\n    order: dmy",
            "line 4: fields.a: `order` belongs to date, and this is text",
        ),
        ("fields: {a: {type: choice}}", "a choice needs `choices`"),
        ("fields: {a: {type: money, currency: euro}}", "`euro` is not a currency code"),
        ("fields: {a: {pattern: '('}}", "`pattern` is no regular expression"),
        ("fields: {9a: {}}", "a name has letters"),
        ("fields: {}", "there are none"),
        ("name: x", "`fields` is missing"),
        ("", "the file is empty"),
    ],
)
def test_mistakes_are_named_with_their_line(text, words) -> None:
    with pytest.raises(ConfigError, match=f"^invoice.yaml(, |:).*{words}".replace("[", r"\[")):
        parse_schema(text.encode(), source="invoice.yaml")


def test_no_such_file(tmp_path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_schema(tmp_path / "none.yaml")


def test_the_answer_that_is_asked_of_larger_models() -> None:
    schema = parse_schema(b"fields: {a: {about: who}, b: {type: choice, choices: [x, y]}, c: {several: true}}")
    shape = answer_schema(schema)
    valid = jsonschema_rs.validator_for(shape).is_valid
    assert valid({"a": None, "b": "x", "c": ["1", "2"]})
    assert not valid({"a": None, "b": "z", "c": []})
    assert not valid({"a": "1", "b": "x"})
    assert list(answer_schema(schema, ("c",))["properties"]) == ["c"]
