"""`smallfirst evaluate` as a user runs it."""

import json
import os
import subprocess
import sys

import msgspec
import pytest

from smallfirst.cli.main import main
from smallfirst.evals import example
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.writer import Ledger
from tests.ledger.entries import attempt, entry


def in_a_shell(*arguments, cwd):
    command = [sys.executable, "-m", "smallfirst.cli.main", "evaluate", *map(str, arguments)]
    environ = {**os.environ, "SMALLFIRST_HOME": str(cwd / "home"), "COLUMNS": "80"}
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def evaluate(monkeypatch, capsys, made):
    """(exit status, standard output, standard error) of one run in this process, inside the folder."""

    def call(*arguments):
        monkeypatch.chdir(made)
        monkeypatch.setenv("SMALLFIRST_HOME", str(made / "home"))
        monkeypatch.setattr(sys, "argv", ["smallfirst", "evaluate", *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    example.write(folder, n=150)
    (folder / "empty").mkdir()
    return folder


def test_a_folder_with_a_config_gives_all_three(made):
    done = in_a_shell(made, "-c", made / "config.yaml", "--page", "p.html", "--out", "r.json", "--draws", 50, cwd=made)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((made / "r.json").read_text())
    assert [one["name"] for one in found["ways"]][:4] == ["cascade", "panel", "by_query", "agreement rule"]
    assert (made / "p.html").read_text().startswith("<!doctype html>")
    for words in (found["digest"], "seed 0", "in row", "APGR", "ahead of", "not certified", "wrote p.html"):
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_on_standard_output_and_one_policy(evaluate):
    _, text, _ = evaluate(".", "-c", "config.yaml", "--policy", "panel", "--json", "--draws", 50)
    found = json.loads(text)
    assert [one["name"] for one in found["ways"] if one["kind"] == "policy"] == ["panel"]


def test_a_model_goes_by_its_name_or_by_the_one_its_endpoint_knows(evaluate, made):
    text = (made / "config.yaml").read_text()
    text = text.replace("made-mid: {provider", "middle: {model: made-mid, provider").replace("[made-mid]", "[middle]")
    (made / "renamed.yaml").write_text(text.replace("made-slm-c: {provider", "made-slm-c: {model: org/c, provider"))
    _, text, _ = evaluate(".", "-c", "renamed.yaml", "--policy", "cascade", "--json", "--draws", 50)
    assert {one["name"] for one in json.loads(text)["models"]} >= {"middle", "made-slm-c"}


def test_laws_of_ones_own_and_prices(evaluate, made):
    (made / "laws.yaml").write_text("models: {made-mid: {first_ms: 7, token_ms: 3, source: measured by hand}}")
    stated = ["--latency", "laws.yaml", "--price", "slm=0.2", "--price", "made-mid=1/2"]
    _, text, _ = evaluate(".", *stated, "--json", "--draws", 50)
    models = {one["name"]: one for one in json.loads(text)["models"]}
    assert (models["made-mid"]["first_ms"], models["made-mid"]["law"]) == (7, "measured by hand")
    assert models["made-slm-a"]["law"].startswith("assumed")
    assert (models["made-mid"]["output_per_m"], models["made-slm-a"]["input_per_m"]) == (2, 0.2)


def test_laws_from_a_ledger(evaluate, made):
    ledger = Ledger.open(LedgerSettings(), made / "ledger.db")
    for i in range(60):
        call = attempt(1, model="made-mid", tokens=10 + i)
        took = msgspec.structs.replace(call.outcome, latency_us=300_000 + 8_000 * (9 + i))
        ledger.record(entry(i, attempts=(msgspec.structs.replace(call, outcome=took),)))
    ledger.close()
    _, text, _ = evaluate(".", "--laws-from", "ledger.db", "--json", "--draws", 50)
    models = {one["name"]: one for one in json.loads(text)["models"]}
    assert (models["made-mid"]["first_ms"], models["made-mid"]["token_ms"]) == (300, 8)
    assert "60 calls in ledger.db" in models["made-mid"]["law"]
    assert models["made-frontier"]["law"].startswith("assumed")


def test_help_teaches(evaluate):
    status, text, _ = evaluate("--help")
    assert status == 0
    assert "smallfirst evaluate --example --page report.html" in text
    assert "docs/evaluation.md" in text


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "give DATA, or --example"),
        (["{made}", "--example"], 2, "not both"),
        (["{made}", "--price", "slm"], 2, "should be NAME=IN/OUT, like gpt-4o=2.50/10"),
        (["{made}", "--price", "slm=a/b"], 2, "should be NAME=IN/OUT"),
        (["{made}", "--policy", "panel"], 2, "give --config too"),
        (["{made}", "-c", "{made}/config.yaml", "--policy", "panels"], 1, "there are cascade, panel, by_query"),
        (["{made}", "-c", "{made}/config.yaml", "--model", "big"], 2, "the config has made-slm-a"),
        (["{made}", "--model", "made-mid"], 1, "one model only"),
        (["{made}", "--latency", "none.yaml"], 1, "none.yaml: no such file"),
        (["{made}", "--latency", "recorded"], 1, "no recorded time of"),
        (["{made}/none"], 2, "does not exist"),
        (["{made}/empty"], 2, "without outcomes.jsonl"),
        (["{made}/config.yaml"], 1, "end in .jsonl or .parquet"),
    ],
)
def test_wrong_use_is_one_clear_line(evaluate, made, arguments, status, words):
    ended, _, said = evaluate(*(one.format(made=made) for one in arguments))
    assert ended == status
    assert words in " ".join(said.split())
