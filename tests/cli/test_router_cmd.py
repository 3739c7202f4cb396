"""`smallfirst router show` and `add`: reasons a person can read, and heads that gateways find."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from smallfirst.cli.router_cmd import router
from smallfirst.core import Model
from smallfirst.errors import SetupError
from smallfirst.evals.probe import load_probes

PROOF = "Let $f(x)=x^2+3x$. Find the sum of all real roots of $f(f(x))=0$."


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(router, list(arguments), env={"SMALLFIRST_HOME": str(home)})


def test_show_says_what_moved_the_score_and_a_models_chance(tmp_path: Path) -> None:
    shown = run(tmp_path, "show", PROOF, "--model", "gemma-2-9b-it").output
    assert "complexity" in shown
    assert "kind mathematics" in shown
    assert "gemma-2-9b-it: right with a chance of 0." in shown
    assert "worse by" in shown


def test_show_lists_the_heads(tmp_path: Path) -> None:
    assert "llama-3.1-8b-instruct" in run(tmp_path, "show").output


def test_a_recorded_head_becomes_the_probe_of_a_model(tmp_path: Path) -> None:
    done = run(tmp_path, "add", "gemma-9b", "--recorded", "gemma-2-9b-it")
    assert done.exit_code == 0, done.output
    model = Model(name="gemma-9b", tier="slm", replicas=())
    probe = load_probes(tmp_path / "data" / "probes", [model])["gemma-9b"]
    assert probe is not None
    assert probe.head
    assert "gemma-9b: right with a chance of" in run(tmp_path, "show", PROOF, "--model", "gemma-9b").output


def test_a_name_that_is_not_recorded_is_answered_with_near_ones(tmp_path: Path) -> None:
    failed = run(tmp_path, "add", "x", "--recorded", "gema-2-9b")
    assert isinstance(failed.exception, SetupError)
    assert "gemma-2-9b-it" in str(failed.exception)


@pytest.mark.parametrize("arguments", [("add", "x"), ("add",)])
def test_add_needs_a_source(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run(tmp_path, *arguments).exit_code == 2
