"""YAML in, settings or every problem out."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.config.loader import MAX_BYTES, load, parse
from smallfirst.errors import ConfigError

SECRET = "sk-very-secret-0123456789"


class Inner(msgspec.Struct, frozen=True, kw_only=True, rename={"classes": "class"}):
    classes: tuple[str, ...] = ()
    key: str | None = None
    size: int = 1
    ratio: float = 0.5
    on: bool = False
    place: str | tuple[str, ...] | None = None
    mode: Literal["fast", "slow"] = "fast"


class Outer(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    inner: Inner = Inner()
    items: dict[str, Inner] = {}
    target: Literal["any"] | Inner = "any"
    rows: tuple[dict[str, tuple[str, ...]], ...] = ()


def read(text, **environ):
    return parse(text.encode(), Outer, environ)[0]


def problems(text, **environ):
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), Outer, environ)
    return caught.value.problems


def problem(text, **environ):
    found = problems(text, **environ)
    assert len(found) == 1, found
    return found[0]


def test_every_kind_of_field():
    value = read("""
name: n
inner: {class: [a, b], size: 8_000, ratio: 1e-2, on: true, place: here, mode: slow}
items: {x: {place: [p, q]}, y: {place: ~, ratio: 3}}
target: any
rows: [{slm: [a]}, {mid: [b, c]}]
""")
    assert value.inner == Inner(classes=("a", "b"), size=8000, ratio=0.01, on=True, place="here", mode="slow")
    assert value.items == {"x": Inner(place=("p", "q")), "y": Inner(ratio=3.0)}
    assert value.rows == ({"slm": ("a",)}, {"mid": ("b", "c")})
    assert value.target == "any"


def test_a_struct_where_a_word_could_stand():
    assert read("name: n\ntarget: {size: 2}").target == Inner(size=2)


def test_text_that_yaml_takes_for_a_number_or_a_date_is_read_as_written():
    assert read("name: 2024-10-01").name == "2024-10-01"
    assert read("name: 1.10").name == "1.10"


def test_keys_are_words_as_written():
    assert list(read("name: n\nitems: {1: {}, yes: {}, ~: {}}").items) == ["1", "yes", "~"]


def test_lines_of_keys_and_items():
    _, lines = parse(b"name: n\nitems:\n  x:\n    class:\n      - a\n      - b\n", Outer, {})
    assert lines[("name",)] == 1
    assert lines[("items", "x")] == 3
    assert lines[("items", "x", "class", "1")] == 6


@pytest.mark.parametrize(("text", "says"), [
    ("name: n\nitmes: {}", "line 2: unknown key `itmes`; did you mean `items`?"),
    ("name: n\nitems:\n  x:\n    siez: 1", "line 4: items.x: unknown key `siez`; did you mean `size`?"),
    ("name: n\ninner: {classes: [a]}", "line 2: inner: unknown key `classes`; did you mean `class`?"),
    ("name: n\nname: m", "line 2: name: written twice; the first is on line 1"),
    ("items: {}", "line 1: `name` is missing"),
    ("name: [n]", "line 1: name: must be text, not a list"),
    ("name: yes", "line 1: name: must be text, not yes or no; put it in quotes"),
    ("name:", "line 1: name: must be text, not nothing"),
    ("name: n\ninner: {size: big}", "line 2: inner.size: must be a whole number, not text"),
    ("name: n\ninner: {size: 1.5}", "line 2: inner.size: must be a whole number, not a number"),
    ("name: n\ninner: {size: '1'}", "line 2: inner.size: must be a whole number, not text"),
    ("name: n\ninner: {size: true}", "line 2: inner.size: must be a whole number, not yes or no"),
    ("name: n\ninner: {ratio: .nan}", "line 2: inner.ratio: must be a number, not a number"),
    ("name: n\ninner: {ratio: ${X}}", None),
    ("name: n\ninner: {on: 1}", "line 2: inner.on: must be true or false, not a number"),
    ("name: n\ninner: {class: a}", "line 2: inner.class: must be a list, not text"),
    ("name: n\ninner: {mode: fsat}", "line 2: inner.mode: must be one of `fast`, `slow`; did you mean `fast`?"),
    ("name: n\ninner: {place: {a: b}}", "line 2: inner.place: must be text or a list, not a mapping"),
    ("name: n\ntarget: all", "line 2: target: must be `any` or a mapping, not text"),
    ("name: n\ninner: []", "line 2: inner: must be a mapping, not a list"),
    ("name: n\nitems: {[a]: {}}", "line 2: items: a key must be a word"),
    ("name: n\ninner:\n  <<: {size: 1}", "line 3: inner: merge keys (<<) are not read; write the values out"),
])  # fmt: skip
def test_mistakes_name_line_and_field(text, says):
    found = problems(text)
    assert says is None or says in found


def test_all_problems_come_at_once_in_the_order_of_lines():
    found = problems("inner: {size: x}\nitems: {a: {sise: 1, mode: z}}\nnme: n")
    assert [line.split(":")[0] for line in found] == ["line 1", "line 1", "line 2", "line 2", "line 3"]


@pytest.mark.parametrize(("text", "says"), [
    ("", "the file is empty"),
    ("# only words\n", "the file is empty"),
    ("- a\n", "must be a mapping"),
    ("just words", "must be a mapping"),
    ("name: n\n\titems: {}", "line 2, column 1: a tab"),
    ("inner:\n\tsize: 1", "a tab"),
    ("name: a: b", "line 1, column 8: a `:` where none may stand"),
    ("name: [a, b", "line 1"),
    ("name: *x", "without its anchor"),
    ("name: n\n---\nname: m", "a second document"),
    ("name: \x01", "a character that may not stand in YAML"),
    ("[" * 5_000, "nested too deeply"),
])  # fmt: skip
def test_files_that_are_no_config(text, says):
    assert says in problem(text)


def test_bytes_that_are_no_text():
    with pytest.raises(ConfigError, match="line 2: the file is not UTF-8"):
        parse(b"name: n\ninner: \xff", Outer, {})


def test_a_byte_order_mark_is_fine():
    assert parse(b"\xef\xbb\xbfname: n", Outer, {})[0].name == "n"


def test_a_huge_file_is_refused_unread():
    with pytest.raises(ConfigError, match="longer than"):
        parse(b"#" * (MAX_BYTES + 1), Outer, {})


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ConfigError, match="there is no file"):
        load(tmp_path / "none.yaml", Outer, {})
    with pytest.raises(ConfigError, match="can't read"):
        load(tmp_path, Outer, {})


def test_load_keeps_the_source(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("name: n")
    loaded = load(file, Outer, {})
    assert (loaded.value.name, loaded.source, loaded.lines[("name",)]) == ("n", file, 1)


def test_environment_inside_text():
    assert read('name: "http://${HOST}:${PORT}/v1"', HOST="h", PORT="1").name == "http://h:1/v1"
    assert read("name: a$${b}").name == "a${b}"
    assert read("name: ${A}", A="${B}").name == "${B}"  # a value is never filled in again


def test_environment_only_where_text_is_wanted():
    says = problem('name: n\ninner: {size: "${N}"}', N="3")
    assert says.startswith("line 2: inner.size: must be a whole number")
    assert "${NAME} stands only where text is wanted" in says


@pytest.mark.parametrize(("text", "says"), [
    ("name: ${NOPE}", "line 1: name: the environment variable NOPE is not set"),
    ("name: ${A-b}", "a `${` that is no ${NAME}"),
    ("name: '${A'", "a `${` that is no ${NAME}"),
])  # fmt: skip
def test_environment_mistakes(text, says):
    assert says in problem(text, A="1")


def test_secrets_come_from_the_environment():
    assert read('name: n\ninner: {key: "${K}"}', K=SECRET).inner.key == SECRET


@pytest.mark.parametrize("written", [SECRET, f"'{SECRET}'", "'sk-${K}'", "12345678"])
def test_a_literal_secret_is_refused_and_not_repeated(written):
    says = problem(f"name: n\nitems: {{open-ai: {{key: {written}}}}}", K=SECRET)
    assert says.startswith("line 2: items.open-ai.key: a secret may not stand in the file")
    assert "${OPEN_AI_API_KEY}" in says
    assert SECRET not in says
    assert "12345678" not in says


def test_an_empty_secret_is_a_mistake():
    assert "environment variable K is empty" in problem('name: n\ninner: {key: "${K}"}', K=" ")


@given(st.sampled_from(["name", "items.x.key", "items.x.size", "inner.mode", "inner.class", "target"]))
def test_no_message_ever_holds_a_variable_s_value(path):
    *outer, last = path.split(".")
    tree = {last: "${K} ${NOPE}"}
    for part in reversed(outer):
        tree = {part: tree}
    tree.setdefault("name", "n")
    assert not any(SECRET in line for line in problems(yaml.safe_dump(tree), K=SECRET))


def test_no_syntax_error_shows_the_file_s_text():
    assert SECRET not in " ".join(problems(f"name: n\ninner: {{key: {SECRET}: x]"))


def test_a_bomb_of_aliases_is_bounded():
    lines = ["a0: &a0 {x: &b [" + ", ".join(["p"] * 500) + "]}", "name: n", "rows:"]
    lines += ["  - &r {" + ", ".join(f"k{n}: *b" for n in range(500)) + "}"] + ["  - *r"] * 500
    found = problems("\n".join(lines))
    assert any("aliases unfold to more than" in line for line in found)
    assert len(found) < 10


def test_an_alias_of_itself_ends():
    assert problems("name: n\nitems: &a {x: *a}")


class Dial(msgspec.Struct):
    threshold: Literal["certified"] | float = "certified"


@pytest.mark.parametrize(("written", "read"), [("certified", "certified"), ("0.9", 0.9), ("1", 1.0)])
def test_a_word_or_a_number(written, read):
    assert parse(f"threshold: {written}".encode(), Dial, {})[0].threshold == read
    with pytest.raises(ConfigError, match="must be a number, not text"):
        parse(b"threshold: sure", Dial, {})


def test_sections_of_later_versions_are_known(monkeypatch):
    monkeypatch.setattr("smallfirst.config.reader.SECTIONS", frozenset({("later",)}))
    says = problem("name: n\nlater: {support: {rpm: 1}}")
    assert says == "line 2: later: known, but not in this version"


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["name", "inner", "items", "target", "rows", "class", "key", "size", "x"]), inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_whatever_stands_there_it_is_settings_or_problems(tree):
    try:
        value, _ = parse(yaml.safe_dump(tree).encode(), Outer, {})
    except ConfigError as error:
        said = error.problems
    else:
        assert msgspec.convert(msgspec.to_builtins(value), Outer) == value
        return
    assert said
    assert all(line and "\n" not in line for line in said)
