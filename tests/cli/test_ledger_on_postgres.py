"""A gateway whose ledger is in PostgreSQL, and the verbs that read it there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from click.testing import CliRunner

from smallfirst.cli.audit_cmd import audit
from smallfirst.cli.build import App
from smallfirst.cli.report_cmd import report
from smallfirst.cli.running import running
from smallfirst.cli.settings import Settings
from smallfirst.cli.tail_cmd import tail
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.models.loopback import ScriptedUpstream
from smallfirst.models.settings import CostSettings, ModelSettings, ProviderSettings


def run(command: Any, *arguments: str) -> str:
    done = CliRunner().invoke(command, list(arguments), env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_report_tail_and_audit_read_what_two_gateways_wrote(postgres: str, tmp_path: Path) -> None:
    with ScriptedUpstream(lambda _: "noted") as upstream:
        settings = Settings(
            ledger=LedgerSettings(url=postgres),
            providers={"p": ProviderSettings(url=upstream.url, location="premises")},
            models={"best": ModelSettings(provider="p", cost=CostSettings(input_per_m=1, output_per_m=1))},
            tiers=({"frontier": ("best",)},),
        )
        for text, session in (("my wife has leukemia", "s"), ("thank you", "s"), ("hello", "t")):
            app = App(settings, {"SMALLFIRST_HOME": str(tmp_path)}, probes={"best": None})
            with running(app) as url:
                client = openai.OpenAI(base_url=url, api_key="x", max_retries=0)
                client.chat.completions.create(
                    model="auto",
                    messages=[{"role": "user", "content": text}],
                    extra_body={"smallfirst": {"session": session}},
                )
    at = ("--ledger", postgres)
    assert json.loads(run(report, *at, "--json"))["requests"] == 3
    lines = [json.loads(line) for line in run(tail, *at, "--no-follow", "--json").splitlines()]
    assert [line["status"] for line in lines] == [200, 200, 200]
    assert "are whole" in run(audit, "verify", *at)
    assert "2 queries of class health reached premises" in run(
        audit, "query", "--class", "health", "--location", "premises", *at
    )
    assert "2 requests erased" in run(audit, "erase", "--session", "s", *at)
    assert json.loads(run(audit, "access", "--session", "s", *at)) == []
    assert "are whole" in run(audit, "verify", *at)


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    done = CliRunner().invoke(audit, ["verify", "--ledger", str(tmp_path)])
    assert done.exit_code == 2
    assert "is a folder" in done.output


@pytest.mark.parametrize("command", [("erase", "--key", "a"), ("compact",), ("retain",)])
def test_what_would_write_makes_no_ledger(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(audit, [*command, "--ledger", str(tmp_path / "none.db")])
    assert "there is no ledger at" in str(done.exception)
    assert not (tmp_path / "none.db").exists()
