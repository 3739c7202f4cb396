"""Specs: the example fits, runs and is served as the page says; the command line comes first; mistakes have a line."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from smallfirst.cli.triage_cmd import triage as verb
from smallfirst.errors import ConfigError, DataError
from smallfirst.policy.fixed import Fixed
from smallfirst.tasks.task import Opening
from smallfirst.tasks.triage.model import Triage
from smallfirst.tasks.triage.served import open_triage
from smallfirst.tasks.triage.spec import TriageSpec, merged, read_spec
from smallfirst.tasks.triage.store import load_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The example's folder, fitted without sentence vectors so that it is quick."""
    folder = tmp_path_factory.mktemp("example") / "triage"
    shutil.copytree(ROOT / "examples" / "triage", folder)
    said = CliRunner().invoke(verb, ["fit", "--spec", str(folder / "tickets.yaml"), "--words-only", "--json"])
    assert said.exit_code == 0, said.output
    return folder, json.loads(said.stdout)


def test_the_example_fits_and_keeps_its_promise(example) -> None:
    folder, said = example
    assert said["certified"]["accuracy"] == 0.9
    assert said["report"]["kept"]["right"] / said["report"]["kept"]["n"] >= 0.9
    assert said["report"]["kept_share"] > 0.6
    model = load_model(folder / "tickets.triage")
    assert model.labels == ["account", "billing", "delivery"]
    assert model.card.kept_accuracy is not None


def test_the_example_runs_by_its_spec(example, tmp_path) -> None:
    folder, _ = example
    words = ["run", folder / "tickets.csv", "--spec", folder / "tickets.yaml", "--out", tmp_path / "out.jsonl"]
    said = CliRunner().invoke(verb, [str(word) for word in words])
    assert "720 texts" in said.output
    assert (tmp_path / "out.jsonl").read_text().count("\n") == 720


def test_the_example_is_served_by_its_spec(example) -> None:
    folder, _ = example
    opening = Opening("task:tickets", Fixed("auto", "big"), "certified", spec=str(folder / "tickets.yaml"))
    task = open_triage(opening)
    assert task.promise is not None
    assert task.promise.accuracy == 0.9
    with pytest.raises(DataError, match="make a model with"):
        open_triage(msgspec.structs.replace(opening, spec=None, model=str(folder / "none")))


def test_the_pages_python_runs(example, monkeypatch) -> None:
    """The block of Python on docs/triage.md, as it stands there."""
    folder, _ = example
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "triage.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder.parent)
    Path("examples").mkdir(exist_ok=True)
    shutil.copytree(folder, "examples/triage", dirs_exist_ok=True)
    names: dict[str, object] = {}
    exec(compile(code, "docs/triage.md", "exec"), names)
    assert isinstance(names["triage"], Triage)
    assert Path("tickets.triage").is_file()


def test_files_lie_beside_the_spec_and_the_command_line_comes_first(tmp_path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("data: t.csv\nout: ${WHERE}/m.triage\naccuracy: 0.8\nlabel: queue\n")
    spec = read_spec(file, {"WHERE": str(tmp_path)})
    assert spec.data == str(tmp_path / "t.csv")
    assert spec.out == str(tmp_path / "m.triage")
    over = merged(spec, {"accuracy": 0.99, "label": None, "several": None})
    assert (over.accuracy, over.label, over.several) == (0.99, "queue", False)
    assert over.wanted.accuracy == 0.99


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("acuracy: 0.9", "line 1: unknown key `acuracy`; did you mean `accuracy`?"),
        ("data: x\naccuracy: much", "line 2: accuracy: must be a number"),
        ("", "the file is empty"),
    ],
)
def test_mistakes_in_a_spec(tmp_path, text, says) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        read_spec(file, os.environ)
    assert str(file) in str(caught.value)


def test_data_and_out_are_needed() -> None:
    said = CliRunner().invoke(verb, ["fit"])
    assert "give --data and --out, or a --spec that has them" in said.output
    assert TriageSpec().policy == "auto"
