"""Runs: what is sure stays, only the doubtful fields go up, what comes back must stand in the document."""

from __future__ import annotations

import json

import msgspec
import pytest
from click.testing import CliRunner

from smallfirst.cli.extract_cmd import extract
from smallfirst.errors import DataError
from smallfirst.models.loopback import ScriptedUpstream, Wire
from smallfirst.tasks.extract.above import Gateway
from smallfirst.tasks.extract.model import Extractor, unfitted
from smallfirst.tasks.extract.question import LONGEST, Question, excerpt
from smallfirst.tasks.extract.run import Input, Line, done_before, extract_line, read_inputs
from smallfirst.tasks.extract.schema import parse_schema
from tests.tasks.receipts import EXAMPLE, SURE, model_file, small_model, small_schema

HEADERS = (("x-smallfirst-model", "mini"), ("x-smallfirst-cost-usd", "0.001"))
SHOPLESS = SURE.replace("Moreau Garden Centre Ltd\n", "4711\nNo. 12\n")


def reply(fields):
    content = fields if isinstance(fields, str) else json.dumps(fields)
    body = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
    return lambda request: Wire(steps=(body,), headers=HEADERS)


@pytest.fixture(scope="module")
def extractor():
    return Extractor(small_model())


@pytest.fixture(scope="module")
def plain():
    return Extractor(unfitted(small_schema()))


def test_what_is_sure_stays_and_nobody_is_asked(extractor) -> None:
    with ScriptedUpstream(reply({})) as upstream:
        line = extract_line(Input("a", SURE), extractor, Gateway(upstream.url))
    assert upstream.requests == []
    assert line.doubtful == line.asked == ()
    assert line.fields["total"][0].normal == "9.73 EUR"
    assert {one.by for values in line.fields.values() for one in values} == {"extract"}


def test_only_doubtful_fields_are_asked_for(extractor) -> None:
    assert extract_line(Input("a", SHOPLESS), extractor, None).doubtful == ("shop",)
    with ScriptedUpstream(reply({"shop": "No. 12"})) as upstream:
        line = extract_line(Input("a", SHOPLESS), extractor, Gateway(upstream.url, key="sk-1"))
    (request,) = upstream.requests
    sent = json.loads(request.body)
    assert request.headers["authorization"] == "Bearer sk-1"
    assert sent["messages"][-1]["content"] == SHOPLESS
    assert list(sent["response_format"]["json_schema"]["schema"]["properties"]) == ["shop"]
    assert (line.asked, line.doubtful, line.by, line.cost_usd) == (("shop",), (), "mini", 0.001)
    (value,) = line.fields["shop"]
    assert (SHOPLESS[value.start : value.end], value.by, value.confidence) == ("No. 12", "mini", None)


def test_an_answer_that_the_document_does_not_say_is_refused(plain) -> None:
    said = {"shop": "Invented Ltd", "total": "9.73", "vat_id": None}
    with ScriptedUpstream(reply(said)) as upstream:
        line = extract_line(Input("a", SURE), plain, Gateway(upstream.url))
    assert line.refused == {"shop": ("Invented Ltd",)}
    assert line.doubtful == ("shop",)
    assert line.fields["total"][0].by == "extract+mini"  # both say so
    assert line.fields["vat_id"] == ()
    assert line.local == {"vat_id": ("DE165083189",)}


def test_that_a_required_value_is_missing_is_no_answer(plain) -> None:
    with ScriptedUpstream(reply({"shop": None, "total": "9.73 EUR", "vat_id": "DE165083189"})) as upstream:
        line = extract_line(Input("a", SURE), plain, Gateway(upstream.url))
    assert line.doubtful == ("shop",)
    assert line.fields["shop"][0].by == "extract (not sure)"


@pytest.mark.parametrize("said", ["no JSON", "{}", '{"shop": 3, "total": null, "vat_id": null}', "[]"])
def test_an_answer_in_no_form_is_none(plain, said) -> None:
    with ScriptedUpstream(reply(said)) as upstream:
        line = extract_line(Input("a", SURE), plain, Gateway(upstream.url))
    assert line.error == "no usable answer from above; what extraction would have said is in `fields`"
    assert line.doubtful == ("shop", "total", "vat_id")
    assert line.fields["total"]


def test_the_whole_document_may_be_asked_for(extractor) -> None:
    with ScriptedUpstream(reply({"shop": "No. 12", "total": "8.18", "vat_id": None})) as upstream:
        line = extract_line(Input("a", SHOPLESS), extractor, Gateway(upstream.url), whole=True)
    assert line.asked == ("shop", "total", "vat_id")
    assert line.fields["total"][0].normal == "8.18 EUR"
    assert line.local["total"] == ("9.73 EUR",)


def test_of_a_long_document_the_places_that_matter_are_shown() -> None:
    document = "a" * LONGEST + " the place " + "b" * LONGEST
    shown = excerpt(document, [LONGEST + 2])
    assert " the place " in shown
    assert len(shown) < LONGEST + 100
    assert shown.startswith("aaa")
    assert shown.endswith("bbb")
    assert " the place " not in excerpt(document)


def test_several_values_and_choices_are_told(plain) -> None:
    schema = parse_schema(b"fields: {a: {several: true, about: who}, k: {type: choice, choices: [x, y]}}")
    question = Question(schema, ("a", "k"))
    system = question.messages("text")[0]["content"]
    assert "- a (text, may be several): who\n- k (one of x, y)" in system
    assert question.read('{"a": ["1", "1", ""], "k": null}') == {"a": ("1",), "k": ()}
    assert question.read('{"a": []}') is None


def test_bad_files_become_lines_and_the_rest_goes_on(tmp_path, plain) -> None:
    (tmp_path / "a.txt").write_text(SURE)
    (tmp_path / "b.txt").write_bytes(b"caf\xe9")
    (tmp_path / "c.txt").write_text("  ")
    (tmp_path / "d.xyz").write_text("x")
    inputs = list(read_inputs([tmp_path, tmp_path / "d.xyz", tmp_path / "none.txt"], "document", None))
    lines = [extract_line(one, plain, None) for one in inputs]
    assert [bool(line.error) for line in lines] == [False, True, True, True, True]
    assert "not UTF-8" in lines[1].error
    assert "no text in it" in lines[2].error
    assert "not a format" in lines[3].error
    assert "No such file" in lines[4].error


def test_records(tmp_path, plain) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"id": "x", "document": "Total 9.00"}\n{"id": "y", "document": ""}\n')
    first, second = read_inputs([file], "document", "id")
    assert extract_line(first, plain, None).fields["total"][0].normal == "9.00 EUR"
    assert extract_line(second, plain, None).error == "in.jsonl, line 2: document is empty"
    with pytest.raises(DataError, match="no field 'text'; there are: id, document"):
        list(read_inputs([file], "text", None))


def test_a_stopped_run_goes_on(tmp_path) -> None:
    out = tmp_path / "out.jsonl"
    assert done_before(out) == set()
    out.write_bytes(b'{"id":"1"}\n{"id":"2","fie')
    assert done_before(out) == {"1"}
    assert out.read_bytes() == b'{"id":"1"}\n'
    out.write_bytes(b"something else\n")
    with pytest.raises(DataError, match="line 1: not a line of extract"):
        done_before(out)


def test_the_short_form_of_the_command(tmp_path) -> None:
    """`smallfirst extract --schema FILE DOCUMENT...`: lines on the standard output; then the same with --out, twice."""
    documents = [str(file) for file in sorted((EXAMPLE / "new").iterdir())]
    schema = ["--schema", str(EXAMPLE / "receipt.yaml")]
    run = CliRunner().invoke(extract, [*schema, *documents], catch_exceptions=False)
    lines = [msgspec.json.decode(line, type=Line) for line in run.stdout.splitlines()]
    assert [line.id for line in lines] == documents
    assert lines[0].fields["vat_id"][0].normal.startswith("DE")
    assert lines[0].doubtful == ("shop", "address", "number", "date", "vat_id", "total", "paid_by")
    out = tmp_path / "out.jsonl"
    for _ in range(2):
        run = CliRunner().invoke(extract, ["run", *schema, *documents, "--out", str(out)], catch_exceptions=False)
        assert run.exit_code == 0
    assert len(out.read_bytes().splitlines()) == len(documents)


def test_a_model_on_the_command_line(tmp_path) -> None:
    file = str(model_file(tmp_path))
    document = tmp_path / "a.txt"
    document.write_text(SURE)
    run = CliRunner().invoke(extract, ["--model", file, str(document)], catch_exceptions=False)
    assert msgspec.json.decode(run.stdout, type=Line).doubtful == ()
    shown = CliRunner().invoke(extract, ["show", file], catch_exceptions=False)
    assert shown.exit_code == 0
    other = ["--model", file, "--schema", str(EXAMPLE / "receipt.yaml"), str(document)]
    with pytest.raises(DataError, match="not the fields that"):
        CliRunner().invoke(extract, other, catch_exceptions=False)
    assert "which fields?" in CliRunner().invoke(extract, [str(document)]).stderr
