"""`smallfirst keys` by hand, on the database that a gateway of the same config uses."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from smallfirst.cli.keys_cmd import keys
from smallfirst.errors import SmallfirstError

CONFIG = """\
providers: {gpu: {url: "http://gpu.internal:8000/v1"}}
models: {small: {provider: gpu}, large: {provider: gpu}}
tiers: [{slm: [small]}, {frontier: [large]}]
teams: {clinic: {usd_per_month: 50}}
keys: {accept: [{name: listed, key: "${LISTED_KEY}"}]}
"""


@pytest.fixture
def run(tmp_path):
    config = tmp_path / "smallfirst.yaml"
    config.write_text(CONFIG)
    env = {"SMALLFIRST_HOME": str(tmp_path / "home"), "LISTED_KEY": "s3cret"}

    def go(*args):
        return CliRunner().invoke(keys, [*args, "--config", str(config)], env=env)

    return go


def test_a_key_is_created_shown_once_and_listed_without_its_secret(run):
    made = run("create", "support", "--team", "clinic", "--usd-per-day", "2", "--rpm", "60", "--model", "small")
    assert made.exit_code == 0, made.output
    secret = made.output.split()[0]
    assert secret.startswith("sf-")
    listed = run("list")
    assert secret not in listed.output
    for words in ("support", "clinic", "small", "good"):
        assert words in listed.output
    (one,) = json.loads(run("list", "--json").output)["keys"]
    assert one["terms"] == {"team": "clinic", "usd_per_day": 2.0, "rpm": 60, "models": ["small"]}


def test_rotate_and_revoke(run):
    first = json.loads(run("create", "ci", "--expires", "30d", "--json").output)["key"]
    second = run("rotate", "ci", "--grace", "1h").output.split()[0]
    assert first != second
    assert run("revoke", "ci").exit_code == 0
    assert "no keys" in run("list").output
    assert "revoked" in run("list", "--all").output


@pytest.mark.parametrize(("args", "says"), [
    (("create", "listed"), "a key of the config is called listed"),
    (("create", "a", "--model", "larg"), "did you mean `large`"),
    (("create", "a", "--team", "klinic"), "did you mean `clinic`"),
    (("create", "a", "--usd-per-day", "0"), "must be above 0"),
    (("create", "a", "--class", "helth"), "did you mean `health`"),
    (("revoke", "nobody"), "there is no key called 'nobody'"),
])  # fmt: skip
def test_mistakes_are_one_line(run, args, says):
    result = run(*args)
    assert isinstance(result.exception, SmallfirstError)
    assert says in str(result.exception)


def test_a_span_that_is_none_is_wrong_usage(run):
    result = run("create", "a", "--expires", "soon")
    assert result.exit_code == 2
    assert "no span of time" in result.output
