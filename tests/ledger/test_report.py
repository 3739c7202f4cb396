"""The report's figures, as data, as JSON and on the terminal."""

import datetime as dt
import io
import json

import click
import msgspec
import pytest
from click.testing import CliRunner
from entries import NOW, attempt, entry
from rich.console import Console

from smallfirst.cli.report_cmd import render_report, report, usd
from smallfirst.core import NANO, Feedback, OutReason
from smallfirst.errors import LedgerError
from smallfirst.ledger.notes import Audit, CertificateInUse, Detector
from smallfirst.ledger.promises import Alarm, Audits, Kept, Opinion, Promises
from smallfirst.ledger.queries import open_ledger, summary
from smallfirst.ledger.report import make_report, since
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.summary import Percentiles, Summary, TierLine
from smallfirst.ledger.writer import Ledger

HERE = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
SUMMARY = Summary(
    since_us=0,
    until_us=NOW,
    first_us=NOW,
    last_us=NOW + 1,
    requests=100,
    tiers=(TierLine("slm", 80, 0.8, NANO, Percentiles(100_000, 200_000)),),
    failed=5,
    attempts=120,
    cost=2 * NANO,
    baseline_cost=10 * NANO,
    with_baseline=50,
    compared_cost=2 * NANO,
    baseline_methods={"served": 50},
    deferrals={"low_confidence": 20},
    decisions={"accepted": 95, "failed": 5},
)


def shown(summary, *args, **kwargs):
    console = Console(file=io.StringIO(), width=120, highlight=False)
    render_report(summary, console, *args, **kwargs)
    return console.file.getvalue()


@pytest.fixture
def path(tmp_path):
    ledger = Ledger.open(LedgerSettings(), tmp_path / "ledger.db")
    for i in range(4):
        ledger.record(entry(i, attempts=(attempt(cost=NANO // 4),), baseline_cost=NANO))
    ledger.close()
    return tmp_path / "ledger.db"


def test_a_year_is_carried_from_the_requests_that_have_a_baseline():
    year = make_report(SUMMARY, 1000).year
    assert (year.cost_usd, year.baseline_usd, year.saving_usd) == pytest.approx((480, 2400, 1920))


def test_a_year_without_a_baseline_has_a_cost_only():
    year = make_report(Summary(0, 1, requests=10, cost=NANO), 1000).year
    assert (year.cost_usd, year.baseline_usd) == (pytest.approx(1200), None)
    assert make_report(Summary(0, 1), 1000).year is None


def test_the_terminal_names_the_method_and_what_is_behind_the_saving():
    text = shown(SUMMARY, [("quality", "0.97")], monthly_queries=1000)
    for words in ("80.0%", "method: served", "80.0%  ($2.00 against $10.00)", "low_confidence 20", "quality", "0.97"):
        assert words in text
    assert "$480.00 instead of $2,400.00" in text
    assert "at least" not in text


def test_unknown_prices_make_bounds_of_the_figures():
    summary = Summary(0, 1, requests=1, cost=5, unpriced=1, baseline_cost=10, with_baseline=1, compared_cost=5)
    text = shown(summary, monthly_queries=10)
    assert "at least" in text
    assert "at most 50.0%" in text
    assert "unknown price" in text


def test_names_from_callers_are_not_markup():
    text = shown(Summary(0, 1, requests=1, tiers=(TierLine("[red]x", 1, 1.0, 0, Percentiles(1, 1)),)))
    assert "[red]x" in text


def test_json_and_terminal_from_a_ledger(path):
    found = CliRunner().invoke(report, ["--ledger", str(path), "--json", "--monthly-queries", "1e6"])
    data = json.loads(found.stdout)
    assert (data["requests"], data["cost_usd"], data["saving"]) == (4, 1.0, 0.75)
    assert data["year"]["saving_usd"] == 9e6
    text = CliRunner().invoke(report, ["--ledger", str(path)]).stdout
    assert "4 requests" in text
    assert "75.0%" in text


def test_an_empty_or_absent_ledger_says_how_to_fill_it(tmp_path):
    ran = CliRunner().invoke(report, [], env={"SMALLFIRST_HOME": str(tmp_path)})
    assert ran.exit_code == 0
    assert "smallfirst serve" in ran.output
    assert "smallfirst demo" in ran.output
    assert not (tmp_path / "data" / "ledger.db").exists(), "a report makes no ledger"
    Ledger.open(LedgerSettings(), tmp_path / "ledger.db").close()
    ran = CliRunner().invoke(report, ["--ledger", str(tmp_path / "ledger.db")])
    assert "smallfirst serve" in ran.output
    ran = CliRunner().invoke(report, ["--ledger", str(tmp_path / "ledger.db"), "--json"])
    assert json.loads(ran.stdout)["requests"] == 0


def test_a_ledger_that_was_named_and_is_not_there_is_an_error(tmp_path):
    ran = CliRunner().invoke(report, ["--ledger", str(tmp_path / "typo.db")])
    assert isinstance(ran.exception, LedgerError)
    assert "typo.db" in str(ran.exception)


def test_since(path):
    assert since("7d", HERE) == int((HERE - dt.timedelta(days=7)).timestamp() * 1e6)
    assert since("90m", HERE) == int((HERE - dt.timedelta(minutes=90)).timestamp() * 1e6)
    assert since("2026-11-01", HERE) == int(dt.datetime(2026, 11, 1, tzinfo=dt.UTC).timestamp() * 1e6)
    assert since("2026-11-01T12:00:00+02:00", HERE) == int(
        dt.datetime(2026, 11, 1, 10, tzinfo=dt.UTC).timestamp() * 1e6
    )


@pytest.mark.parametrize("text", ["", "7", "yesterday", "7y", "-3d", "999999w", "2026-13-01"])
def test_a_bad_since_names_the_option(text):
    with pytest.raises(LedgerError, match="--since"):
        since(text, HERE)


def test_volume_must_be_above_zero(path):
    ran = CliRunner().invoke(report, ["--ledger", str(path), "--monthly-queries", "0"])
    assert ran.exit_code == click.UsageError.exit_code
    assert "--monthly-queries" in ran.output


def test_dollars_keep_the_digits_that_matter():
    assert [usd(x) for x in (0, 1234.5, 0.25, 0.00004517, -3)] == [
        "$0.00",
        "$1,234.50",
        "$0.2500",
        "$0.0000452",
        "-$3.00",
    ]


def test_the_report_says_who_is_inside_and_why_not(path):
    promises = Promises(
        inside=60,
        outside={"narrowed": 8, "alarm": 2},
        certificates=(Kept("promise", "c1", 0.02, 0.95, 60, 70),),
        audits=Audits(10, 9, NANO // 100, 6, 8, 4),
        alarms=(Alarm("promise", "c1", "math", 41, NOW),),
        feedback={"slm": Opinion(3, 0.5)},
    )
    found = msgspec.structs.replace(SUMMARY, promises=promises)
    row = make_report(found).promise
    assert (row.inside_share, row.not_asked, row.audit_agreement) == (0.6, 30, 0.75)
    said = shown(found)
    assert "inside the certificate: 60 (60.0%), narrowed 8, alarm 2; 30 asked for none" in said
    assert "promise: at most 2.0% below the baseline, 95% sure (certificate c1): 60 of 70 requests" in said
    assert "audits: 10, 75.0% as the baseline, 4 graded; they cost $0.01" in said
    assert "ALARM since 2026" in said
    assert "(slice math, 41 audits); certify it again" in said
    assert "not tested): slm 0.50 of 3" in said


def test_a_report_without_promises_says_nothing_of_them():
    said = shown(SUMMARY)
    assert "certificate" not in said
    assert "audits" not in said


def test_promises_are_read_from_the_ledger(tmp_path):
    ledger = Ledger.open(LedgerSettings(), tmp_path / "ledger.db")
    for i, reason in enumerate([None, None, OutReason.alarm, OutReason.alarm, OutReason.limit]):
        ledger.record(entry(i, certificate_id="c1", in_certificate=reason is None, out_reason=reason))
    ledger.record(entry(5, out_reason=OutReason.too_strict))
    ledger.record(entry(6))
    ledger.note(CertificateInUse("c1", "promise", "d", "{}", 0.02, 0.95, NOW, NOW))
    ledger.note(Detector("c1", "all", 7, "{}", NOW + 1, NOW + 1))
    ledger.note(Audit("req_00000000", NOW, "promise", "c1", True, "all", 0.1, "small", "best", "ok", 1, 5, 2, "same"))
    ledger.note(Feedback("req_00000001", 1.0, None, NOW))
    ledger.note(Feedback("req_of_nobody", 0.0, None, NOW))
    ledger.close()
    conn = open_ledger(tmp_path / "ledger.db")
    found = summary(conn, 0, NOW * 2).promises
    conn.close()
    assert (found.inside, found.outside) == (2, {"alarm": 2, "limit": 1, "too_strict": 1})
    assert found.certificates == (Kept("promise", "c1", 0.02, 0.95, 2, 5),)
    assert (found.audits.requests, found.audits.cost, found.audits.agreed) == (1, 7, 1)
    assert [(alarm.policy, alarm.slice, alarm.audits) for alarm in found.alarms] == [("promise", "all", 7)]
    assert found.feedback == {"slm": Opinion(1, 1.0)}
