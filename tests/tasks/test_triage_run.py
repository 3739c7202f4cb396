"""Runs over files and folders: resumable, nothing lost, uncertain texts asked above with the labels as a constraint."""

from __future__ import annotations

import json

import msgspec
import pytest

from smallfirst.errors import DataError
from smallfirst.models.loopback import ScriptedUpstream, Wire
from smallfirst.tasks.triage.above import Gateway
from smallfirst.tasks.triage.model import Triage
from smallfirst.tasks.triage.rows import read_labelled
from smallfirst.tasks.triage.run import Input, batches, done_before, label, opened, read_inputs
from tests.tasks.tickets import SURE, UNSURE, fitted


@pytest.fixture(scope="module")
def triage():
    return Triage(fitted())


HEADERS = (("x-smallfirst-model", "mini"), ("x-smallfirst-cost-usd", "0.001"))


def reply(labels):
    content = labels if isinstance(labels, str) else json.dumps({"labels": labels})
    body = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
    return lambda request: Wire(steps=(body,), headers=HEADERS)


def test_what_is_sure_is_kept_and_the_rest_is_asked_above(triage) -> None:
    with ScriptedUpstream(reply(["delivery"])) as upstream:
        above = Gateway(upstream.url, model="auto", key="sk-1")
        lines = list(label([Input("a", SURE), Input("b", UNSURE), Input("c", error="unreadable")], triage, above))
    assert [line.by for line in lines] == ["triage", "mini", ""]
    assert [line.labels for line in lines] == [("billing",), ("delivery",), ()]
    assert lines[2].error == "unreadable"
    assert lines[1].cost_usd == 0.001
    (request,) = upstream.requests
    sent = json.loads(request.body)
    assert sent["messages"][-1]["content"] == UNSURE
    shape = sent["response_format"]["json_schema"]["schema"]["properties"]["label"]
    assert shape["enum"] == ["account", "billing", "delivery"]
    assert request.headers["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("said", [["made up"], [], ["billing", "delivery"], "no JSON"])
def test_a_label_that_was_not_offered_is_no_answer(triage, said) -> None:
    with ScriptedUpstream(reply(said)) as upstream:
        (line,) = label([Input("a", UNSURE)], triage, Gateway(upstream.url))
    assert line.by == "triage (not sure)"
    assert line.error is not None
    assert len(line.labels) == 1


def test_nobody_above_and_nobody_listening(triage) -> None:
    (line,) = label([Input("a", UNSURE)], triage, None)
    assert (line.by, line.error) == ("triage (not sure)", None)


def test_inputs_of_a_folder(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("plain")
    (tmp_path / "b.eml").write_bytes(b"Subject: Late parcel\r\nContent-Type: text/plain\r\n\r\nWhere is it?")
    (tmp_path / "c.html").write_text("<p>Hello<script>x()</script> <b>you</b></p>")
    (tmp_path / "d.txt").write_bytes(b"caf\xe9")
    (tmp_path / "e.txt").write_text("  ")
    (tmp_path / "f.bin").write_bytes(b"\0")
    found = {one.id: opened(one) for one in read_inputs(tmp_path, "text", None)}
    assert list(found) == ["a.txt", "b.eml", "c.html", "d.txt", "e.txt"]
    assert found["b.eml"].text == "Late parcel\nWhere is it?"
    assert found["c.html"].text == "Hello you"
    assert "line 1: not UTF-8" in found["d.txt"].error
    assert "no text in it" in found["e.txt"].error


def test_long_documents_are_read_a_few_at_a_time(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("smallfirst.tasks.triage.run.MOST_CHARACTERS", 100)
    for n in range(6):
        (tmp_path / f"{n}.txt").write_text("word " * (30 if n < 2 else 2))
    inputs = list(read_inputs(tmp_path, "text", None))
    assert not any(one.text for one in inputs)  # nothing is read before its turn
    heaps = [[one.id for one in heap] for heap in batches(inputs)]
    assert heaps == [["0.txt"], ["1.txt"], ["2.txt", "3.txt", "4.txt", "5.txt"]]


def test_records_and_their_mistakes(tmp_path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"id": "x", "body": "hello"}\n\n{"id": "y", "body": ""}\n')
    first, second = read_inputs(file, "body", "id")
    assert (first.id, first.text) == ("x", "hello")
    assert second.error == "in.jsonl, line 3: body is empty"
    with pytest.raises(DataError, match="no field 'text'; there are: id, body"):
        list(read_inputs(file, "text", None))
    file.write_text("{")
    with pytest.raises(DataError, match="line 1"):
        list(read_inputs(file, "text", None))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no file in it"):
        list(read_inputs(tmp_path / "empty", "text", None))


def test_a_stopped_run_goes_on(tmp_path) -> None:
    out = tmp_path / "out.jsonl"
    assert done_before(out) == set()
    out.write_bytes(b'{"id":"1","by":"triage"}\n{"id":"2","by":"tri')
    assert done_before(out) == {"1"}
    assert out.read_bytes() == b'{"id":"1","by":"triage"}\n'  # the line that was cut off is done again
    out.write_bytes(b"something else\n")
    with pytest.raises(DataError, match="line 1: not a line of triage"):
        done_before(out)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"text,label\nhello,\n", "line 2: label is empty"),
        (b"text,label\n ,x\n", "line 2: text is empty"),
        (b"text,label\na,b,c\n", "more fields"),
        (b"text,kind\na,b\n", "no field 'label'; there are: text, kind"),
        (b"text,label\ncaf\xe9,x\n", "not UTF-8"),
        (b"", "no records"),
    ],
)
def test_training_files_with_mistakes(tmp_path, data, words) -> None:
    file = tmp_path / "train.csv"
    file.write_bytes(data)
    with pytest.raises(DataError, match=words):
        read_labelled(file, "text", "label")


def test_several_labels_in_a_field(tmp_path) -> None:
    file = tmp_path / "train.csv"
    file.write_text("text,label\nboth,b; a\nnone,\n")
    rows = read_labelled(file, "text", "label", separator=";")
    assert [row.labels for row in rows] == [("b", "a"), ()]


def test_lines_stay_readable() -> None:
    from smallfirst.tasks.triage.run import Line

    assert msgspec.json.decode(msgspec.json.encode(Line("1", ("a",), 0.5, "triage")), type=Line).labels == ("a",)
