"""`smallfirst audit`: the questions an auditor asks, answered from a real gateway's ledger."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from smallfirst.cli.audit_cmd import audit
from smallfirst.cli.build import App
from smallfirst.cli.running import running
from smallfirst.cli.settings import Settings
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.models.loopback import ScriptedUpstream
from smallfirst.models.settings import CostSettings, ModelSettings, ProviderSettings
from smallfirst.privacy.settings import PrivacySettings, RuleSettings


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two health queries that a rule let into a cloud, one that stayed out of reach, and a harmless one."""
    import openai

    folder = tmp_path_factory.mktemp("audit")
    with ScriptedUpstream(lambda _: "noted") as upstream:
        settings = Settings(
            ledger=LedgerSettings(anchor=str(folder / "anchors.jsonl"), anchor_s=0),
            providers={"c": ProviderSettings(url=upstream.url, location="cloud/us")},
            models={"best": ModelSettings(provider="c", cost=CostSettings(input_per_m=1, output_per_m=1))},
            tiers=({"frontier": ("best",)},),
            privacy=PrivacySettings(
                rules=(RuleSettings(classes=("public", "internal", "health"), to="any", do="allow"),), matters=False
            ),
        )
        app = App(settings, {"SMALLFIRST_HOME": str(folder)}, ledger_path=folder / "l.db", probes={"best": None})
        with running(app) as url:
            client = openai.OpenAI(base_url=url, api_key="x", max_retries=0)
            for text in ("my wife has leukemia", "my son has asthma", "say hello"):
                client.chat.completions.create(
                    model="auto",
                    messages=[{"role": "user", "content": text}],
                    extra_body={"smallfirst": {"session": "s"}},
                ) if text != "say hello" else client.chat.completions.create(
                    model="auto", messages=[{"role": "user", "content": text}]
                )
            with pytest.raises(openai.PermissionDeniedError):
                client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "a@example.com"}])
    return folder / "l.db"


def run(ledger: Path, *arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(audit, [*arguments, "--ledger", str(ledger)], env={"COLUMNS": "200"})
    assert done.exit_code == status, done.output
    return done.output


def test_did_any_health_data_reach_a_cloud(ledger: Path) -> None:
    said = run(
        ledger, "query", "--class", "health", "--location", "cloud", "--anchors", str(ledger.parent / "anchors.jsonl")
    )
    assert "2 queries of class health reached cloud" in said
    assert "are whole" in said
    assert "before an anchor" in said
    assert "0 queries of class health reached cloud/eu" in run(
        ledger, "query", "--class", "health", "--location", "cloud/eu"
    )
    assert "0 queries" in run(ledger, "query", "--class", "personal", "--location", "cloud")
    assert "0 queries" in run(ledger, "query", "--class", "health", "--until", "2020-01-01")


def test_a_refused_query_is_in_the_trail_and_reached_nobody(ledger: Path) -> None:
    lines = [json.loads(line) for line in run(ledger, "export").splitlines()[:-1]]
    (refused,) = [one for one in lines if one["data_class"] == "personal"]
    assert (refused["kind"], refused["locations"], refused["detail"]["status"]) == ("decision", [], 403)
    assert refused["detail"]["why"] == ["email"]
    assert "leukemia" not in json.dumps(lines)


def test_exports_hold_the_same_entries(ledger: Path) -> None:
    *lines, end = map(json.loads, run(ledger, "export").splitlines())
    count = len(lines)
    assert (end["kind"], end["entries"]) == ("end", count)
    rows = list(csv.DictReader(io.StringIO(run(ledger, "export", "--format", "csv"))))
    assert len(rows) == count
    assert run(ledger, "export", "--format", "html").count("<tr>") == count + 1


def test_an_edited_ledger_is_told_from_a_whole_one(ledger: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with sqlite3.connect(ledger) as source, sqlite3.connect(copy) as target:
        source.backup(target)
        target.execute("UPDATE chain SET locations = '[\"premises\"]' WHERE data_class = 3 AND kind = 'decision'")
    said = run(copy, "verify", status=1)
    assert "a column was changed" in said
    assert "2 places" in said
    run(copy, "query", "--class", "health", "--location", "cloud", status=1)


def test_erase_and_access(ledger: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with sqlite3.connect(ledger) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    assert len(json.loads(run(copy, "access", "--session", "s"))) == 2
    assert "2 requests erased" in run(copy, "erase", "--session", "s")
    assert json.loads(run(copy, "access", "--session", "s")) == []
    run(copy, "verify")


@pytest.mark.parametrize(("arguments", "says"), [
    (["query", "--location", "clowd"], "unknown location"),
    (["erase"], "give one of"),
    (["erase", "--key", "a", "--session", "b"], "give one of"),
])  # fmt: skip
def test_wrong_usage(ledger: Path, arguments: list[str], says: str) -> None:
    assert says in run(ledger, *arguments, status=2)
