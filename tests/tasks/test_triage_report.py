"""What a run comes to against true labels: kept and handed up joined, other models beside, one page, bad files."""

from __future__ import annotations

import json

import msgspec
import pytest
from click.testing import CliRunner

from smallfirst.cli.triage_cmd import triage as verb
from smallfirst.errors import DataError
from smallfirst.tasks.triage.overview import Said, join, overview
from smallfirst.tasks.triage.overview_page import page
from smallfirst.tasks.triage.run import Line
from tests.tasks.tickets import model_file, tickets

A, B, NONE = frozenset("a"), frozenset("b"), frozenset()
GOLD = {"1": A, "2": B, "3": A, "4": NONE, "5": A}
LINES = [
    Line("1", ("a",), 0.99, "triage", ms=2, local_ms=2),
    Line("2", ("a",), 0.9, "triage", ms=2, local_ms=2),  # kept, and wrong
    Line("3", ("a",), 0.4, "large", ("b",), 0.002, ms=202, local_ms=2),  # handed up, and mended
    Line("4", (), 0.3, "triage (not sure)", ms=2, local_ms=2),
    Line("5", error="unreadable"),
]


def found(**more):
    answered, unread = join(LINES, GOLD)
    return overview(answered, unread=unread, **more)


def test_kept_and_handed_up_are_joined() -> None:
    all_ = found()
    assert (all_.texts, all_.unread) == (4, 1)
    assert (all_.total.right, all_.total.n) == (3, 4)
    assert all_.total.low < 0.75 < all_.total.high
    assert [(s.right, s.n) for s in (all_.kept, all_.handed, all_.unsure, all_.local)] == [
        (1, 2), (1, 1), (1, 1), (2, 4)
    ]  # fmt: skip
    assert all_.at_coverage["50%"] == 0.5  # of triage's own answers, the surest two
    assert all_.confusion == {"(out of scope)": {"(out of scope)": 1}, "a": {"a": 2}, "b": {"a": 1}}
    assert {name: (s.right, s.n) for name, s in all_.by_label.items()} == {
        "(out of scope)": (1, 1), "a": (2, 2), "b": (0, 1)
    }  # fmt: skip
    assert (all_.cost_usd, all_.cost_all_up_usd) == (0.002, 0.008)
    assert (all_.ms, all_.local_ms, all_.handed_ms) == (52, 2, 200)


def test_a_model_beside_it_alone_and_for_what_is_not_kept() -> None:
    large = {"1": Said(A, 2.0), "2": Said(B, 2.0), "3": Said(A, 4.0), "4": Said(A, 4.0)}
    (one,) = found(others={"large": large}).beside
    assert (one.alone.right, one.together.right, one.calls) == (3, 2, 0.5)
    assert one.seconds == 3.0
    assert one.seconds_together == pytest.approx(2.0 + 0.002)
    assert one.cost_usd is None
    with pytest.raises(DataError, match="large lack the text '4'"):
        found(others={"large": {k: v for k, v in large.items() if k != "4"}})


def test_a_run_and_labels_that_do_not_fit_together() -> None:
    with pytest.raises(DataError, match=r"a text '9'.*--id"):
        join([Line("9", ("a",), 0.9, "triage")], GOLD)
    with pytest.raises(DataError, match="no text with an answer"):
        join([LINES[-1]], GOLD)


def test_the_page_stands_alone_and_escapes() -> None:
    lines = [Line("1", ("<b>x",), 0.9, "triage"), Line("2", ("y",), 0.5, "la<i>rge", ("<b>x",), 0.1, 9, 1)]
    answered, _ = join(lines, {"1": frozenset(("y",)), "2": frozenset(("y",))})
    text = page("tick<et>s", overview(answered))
    assert "<b>x" not in text
    assert "&lt;b&gt;x" in text
    assert "la&lt;i&gt;rge" in text
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")
    many = [Line(str(n), (f"l{n}",), 0.9, "triage") for n in range(60)]
    answered, _ = join(many, {str(n): frozenset((f"l{n // 2}",)) for n in range(60)})
    assert "commonest of" in page("many labels", overview(answered))


@pytest.fixture
def files(tmp_path):
    """A labelled file with ids and parts, and the model."""
    rows = tickets(40, seed=9, mixed=20)
    lines = [
        json.dumps({"name": f"t{n}", "body": text, "queue": queue, "part": "test" if n % 2 else "train"})
        for n, (text, queue) in enumerate(rows)
    ]
    data = tmp_path / "tickets.jsonl"
    data.write_text("\n".join(lines))
    return data, model_file(tmp_path), tmp_path


FIELDS = ["--text", "body", "--label", "queue", "--id", "name"]


def run(*words: object):
    return CliRunner().invoke(verb, [str(word) for word in words], catch_exceptions=False)


def test_run_and_report_from_the_command_line(files) -> None:
    data, model, folder = files
    out = folder / "out.jsonl"
    assert run("run", data, "--model", model, "--text", "body", "--id", "name", "--out", out).exit_code == 0
    said = run("report", "--data", data, *FIELDS, "--run", out, "--json", "--html", folder / "page.html")
    report = json.loads(said.stdout)
    assert (report["schema"], report["texts"]) == ("smallfirst.triage/1", 60)
    assert report["kept"]["n"] + report["unsure"]["n"] == 60
    assert 0 < report["unsure"]["n"] < 40
    assert "<h2>Confusion</h2>" in (folder / "page.html").read_text()
    shown = run("report", "--data", data, *FIELDS, "--model", model, "--where", "part=test")
    assert "30 texts with a known label" in shown.output
    assert "certified: at least 90.0%" in shown.output


def test_predictions_of_other_models(files) -> None:
    data, model, folder = files
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    recorded = folder / "llms.jsonl"
    recorded.write_text(
        "\n".join(
            json.dumps({"id": row["name"], "model": "big", "prediction": row["queue"], "seconds": 1.5}) for row in rows
        )
    )
    asked = ("report", "--data", data, *FIELDS, "--model", model, "--predictions", recorded, "--json")
    (beside,) = json.loads(run(*asked).stdout)["beside"]
    assert (beside["model"], beside["alone"]["right"]) == ("big", 60)
    assert beside["calls"] < 0.6
    assert beside["seconds_together"] < beside["seconds"]
    assert beside["together"]["right"] >= 57
    recorded.write_text('{"id": "t0", "model": "big"}')
    with pytest.raises(DataError, match="no field 'prediction'"):
        run(*asked)


def test_mistakes_on_the_command_line(files) -> None:
    data, model, folder = files
    assert "give --run FILE, or --model FILE" in run("report", "--data", data).output
    with pytest.raises(DataError, match="FIELD=VALUE"):
        run("report", "--data", data, *FIELDS, "--model", model, "--where", "part")
    with pytest.raises(DataError, match="triage run` writes"):
        run("report", "--data", data, *FIELDS, "--run", folder / "none.jsonl")
    twice = folder / "twice.jsonl"
    twice.write_text('{"name": 1, "body": "a", "queue": "x"}\n{"name": 1, "body": "b", "queue": "x"}\n')
    with pytest.raises(DataError, match="line 2: a second record of the name '1'"):
        run("report", "--data", twice, *FIELDS, "--model", model)


def test_lines_of_a_run_keep_their_time(files) -> None:
    data, model, folder = files
    out = folder / "out.jsonl"
    run("run", data, "--model", model, "--text", "body", "--out", out)
    lines = [msgspec.json.decode(line, type=Line) for line in out.read_bytes().splitlines()]
    assert all(line.ms > 0 and line.ms == line.local_ms for line in lines)
