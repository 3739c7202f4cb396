"""`smallfirst tail`: past decisions, then each new one."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from smallfirst.cli.tail_cmd import after, in_words, latest, newest, tail
from smallfirst.core import Attempt, DataClass, Entry, Outcome, Reason, Status
from smallfirst.errors import LedgerError
from smallfirst.ledger.queries import open_ledger
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.writer import Ledger


def entry(n, **more):
    attempt = Attempt(1, "answer", Outcome("small", Status.ok))
    fields = {
        "id": f"sf-{n}", "at_us": 1_800_000_000_000_000, "asked": "auto", "policy": "auto", "key_id": "support",
        "tags": (), "session": None, "data_class": DataClass.internal, "kind": "faq", "complexity": 0.2,
        "reason": Reason.accepted, "status": 200, "served_model": "small", "served_tier": "slm",
        "attempts": (attempt,), "cost": 20_000, "baseline_cost": 200_000, "baseline_method": "m", "latency_us": 84_000,
        "overhead_us": 500, "stream": False, "would_escalate": False, "deferrals": (), **more,
    }  # fmt: skip
    return Entry(**fields)


@pytest.fixture
def ledger(tmp_path):
    made = Ledger.open(LedgerSettings(), tmp_path / "ledger.db")
    yield made
    made.close()


def test_the_last_and_then_each_new_one(ledger, tmp_path):
    for n in range(5):
        ledger.record(entry(n))
    ledger.flush()
    conn = open_ledger(tmp_path / "ledger.db")
    assert [line.id for line in latest(conn, 2)] == ["sf-3", "sf-4"]
    last = newest(conn)
    assert list(after(conn, last)) == []
    ledger.record(entry(5, reason=Reason.top_tier, deferrals=("low_confidence",), status=200))
    ledger.flush()
    (line,) = after(conn, last)
    words = in_words(line).plain
    for part in ("200", "slm/small", "top_tier after low_confidence", "$0.0000200", "84 ms", "support"):
        assert part in words
    conn.close()


def test_the_verb(ledger, tmp_path):
    ledger.record(entry(1))
    ledger.record(entry(2, status=502, served_model=None, served_tier=None, error_code="upstream_failed", attempts=()))
    ledger.flush()
    args = ["--ledger", str(tmp_path / "ledger.db"), "--no-follow"]
    plain = CliRunner().invoke(tail, args).output
    assert "slm/small" in plain
    assert "upstream_failed" in plain
    lines = CliRunner().invoke(tail, [*args, "--json"]).output.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["sf-1", "sf-2"]


def test_a_ledger_that_is_not_there(tmp_path):
    result = CliRunner().invoke(tail, ["--ledger", str(tmp_path / "none.db"), "--no-follow"])
    assert isinstance(result.exception, LedgerError)
