"""The sums by the hour are the sums of the rows, whatever is written, killed or removed in between."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from entries import NOW, attempt, entry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smallfirst.core import DataClass, OutReason, Reason
from smallfirst.ledger.commits import write_entries
from smallfirst.ledger.content import DAY_US
from smallfirst.ledger.erasure import erase
from smallfirst.ledger.migrations import HOUR_US, ROOM, STEPS
from smallfirst.ledger.queries import open_ledger, summary
from smallfirst.ledger.retention import retain
from smallfirst.ledger.rollups import bucket, middle, rebuild
from smallfirst.ledger.rows import entry_rows
from smallfirst.store.migrations import migrate
from smallfirst.store.sqlite import open_database

START = NOW // HOUR_US * HOUR_US
"""The beginning of an hour."""


def kept(conn):
    """All four tables, in order."""
    found = [sorted(conn.execute(f"SELECT * FROM {name}")) for name in TABLES]
    return found[:2] + [[(*key, json.loads(sketch)) for *key, sketch in rows] for rows in found[2:]]


TABLES = ("rollup_hour", "rollup_day", "latency_hour", "latency_day")


def summed(conn):
    """The tables as the rows of now give them."""
    found = kept(conn)
    conn.execute("BEGIN")
    for name in TABLES:
        conn.execute(f"DELETE FROM {name}")
    rebuild(conn, [row[0] for row in conn.execute(f"SELECT DISTINCT at / {HOUR_US} FROM request")])
    again = kept(conn)
    conn.execute("ROLLBACK")
    assert kept(conn) == found
    return again


@st.composite
def some_entries(draw):
    """Over two days, in no order of time: long requests are written after shorter ones that came later."""
    found = []
    for i in range(draw(st.integers(1, 25))):
        tier = draw(st.sampled_from(["slm", "frontier", None]))
        inside = draw(st.booleans())
        found.append(
            entry(
                i,
                at_us=START + draw(st.integers(0, 47)) * HOUR_US + draw(st.sampled_from([0, 1, HOUR_US - 1])),
                attempts=tuple(attempt(n, cost=draw(st.integers(0, 9))) for n in range(draw(st.integers(0, 2)))),
                served_tier=tier,
                reason=Reason.accepted if tier else Reason.failed,
                status=200 if tier else 502,
                kind=draw(st.sampled_from(["faq", "code"])),
                baseline_cost=draw(st.none() | st.integers(0, 500)) if tier else None,
                latency_us=draw(st.integers(0, 10**8)),
                data_class=draw(st.sampled_from([DataClass.public, DataClass.health])),
                deferrals=tuple(draw(st.lists(st.sampled_from(["invalid", "unprobed"]), max_size=1))),
                certificate_id=draw(st.sampled_from([None, "c1"])),
                in_certificate=inside,
                out_reason=None if inside else draw(st.sampled_from([None, OutReason.alarm])),
                session=draw(st.sampled_from(["s", "t"])),
            )
        )
    return found


def fresh(folder):
    conn = open_database(folder / "ledger.db")
    migrate(conn, ROOM, STEPS)
    return conn


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=some_entries(), at_once=st.integers(1, 9), days=st.integers(0, 3))
def test_they_are_the_sums_of_the_rows(tmp_path_factory, entries, at_once, days):
    conn = fresh(tmp_path_factory.mktemp("r"))
    made = [entry_rows(each, "w", seq) for seq, each in enumerate(entries, 1)]
    for at in range(0, len(made), at_once):
        assert write_entries(conn, made[at : at + at_once]) == len(made[at : at + at_once])
    assert kept(conn) == summed(conn)
    erase(conn, "session", "s", "e")
    assert kept(conn) == summed(conn)
    retain(conn, {"health": 0, "public": 1}, START + days * DAY_US, "r")
    assert kept(conn) == summed(conn)
    conn.close()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=some_entries(), ends=st.tuples(st.integers(0, 48), st.integers(0, 48)), off=st.integers(-2, 2))
def test_a_window_that_cuts_hours_is_answered_as_from_the_rows(tmp_path_factory, entries, ends, off):
    conn = fresh(tmp_path_factory.mktemp("w"))
    write_entries(conn, [entry_rows(each, "w", seq) for seq, each in enumerate(entries, 1)])
    since, until = START + min(ends) * HOUR_US + off, START + max(ends) * HOUR_US - off
    found = summary(conn, since, until)
    mine = [each for each in entries if since <= each.at_us < until]
    assert (found.requests, found.cost) == (len(mine), sum(each.cost for each in mine))
    assert (found.first_us, found.last_us) == (
        min((each.at_us for each in mine), default=None), max((each.at_us for each in mine), default=None),
    )  # fmt: skip
    assert found.compared_cost == sum(e.cost for e in mine if e.baseline_cost is not None or not e.served_tier)
    asked = [each for each in mine if each.certificate_id or each.out_reason]
    assert found.promises.inside + sum(found.promises.outside.values()) == len(asked)
    latencies = sorted(each.latency_us for each in mine)
    if latencies:
        for percent, value in ((50, found.latency.p50_us), (95, found.latency.p95_us)):
            assert value == pytest.approx(latencies[-(-len(latencies) * percent // 100) - 1], rel=0.016)
    conn.close()


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_buckets_rise_and_their_middles_are_near(one, other):
    assert (bucket(one) <= bucket(other)) == (one <= other) or bucket(one) == bucket(other)
    assert middle(bucket(one)) == pytest.approx(one, rel=1 / 64)
    assert one >= 64 or middle(bucket(one)) == one


def test_an_older_ledger_is_summed_when_it_is_brought_up_to_date(tmp_path):
    conn = open_database(tmp_path / "ledger.db")
    migrate(conn, ROOM, STEPS[:3])
    marks = ", ".join("?" * 32)
    made = [entry_rows(entry(i, at_us=NOW + i * HOUR_US // 3, latency_us=i * 977), "w", i)[1] for i in range(30)]
    conn.executemany(f"INSERT INTO request VALUES ({marks})", made)
    migrate(conn, ROOM, STEPS)
    assert sum(row[11] for row in kept(conn)[0]) == 30
    other = fresh(tmp_path / "other")
    write_entries(
        other, [entry_rows(entry(i, at_us=NOW + i * HOUR_US // 3, latency_us=i * 977), "w", i) for i in range(30)]
    )
    assert kept(conn) == kept(other)
    conn.close()
    other.close()


def test_an_entry_that_no_database_takes_adds_nothing(tmp_path):
    conn = fresh(tmp_path)
    good = [entry_rows(entry(i), "w", i) for i in range(3)]
    spoiled = entry_rows(entry(1), "w", 9)  # its id is there already
    assert write_entries(conn, [*good, spoiled]) == 3
    assert [row[11] for row in kept(conn)[0]] == [3]
    conn.close()


CHILD = """
import sys
from pathlib import Path
from smallfirst.ledger.retention import retain
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.writer import Ledger
from entries import NOW, entry

ledger = Ledger.open(LedgerSettings(batch_rows=64, batch_ms=1), Path(sys.argv[1]))
for i in range(10**9):
    while ledger.backlog >= 64:
        pass
    ledger.record(entry(i, at_us=NOW + i % 7 * 3_600_000_000, latency_us=i))
    if i == 2000:
        print("go", flush=True)
"""


def test_a_kill_leaves_rows_and_sums_that_agree(tmp_path):
    path = tmp_path / "ledger.db"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    assert child.stdout.readline() == b"go\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    conn = sqlite3.connect(path, isolation_level=None)
    assert conn.execute("SELECT count(*) > 1000 FROM request").fetchone() == (1,)
    assert kept(conn) == summed(conn)
    conn.close()


def test_the_report_reads_no_row_of_a_whole_hour(tmp_path):
    """Rows that are gone without their sums show that nobody looked at them."""
    conn = fresh(tmp_path)
    write_entries(conn, [entry_rows(entry(i), "w", i) for i in range(5)])
    conn.execute("DELETE FROM request")
    conn.execute("DELETE FROM rollup_hour")  # but the hours at the edges are looked at, and none is cut
    conn.close()
    conn = open_ledger(tmp_path / "ledger.db")
    assert summary(conn, 0, NOW * 2).requests == 5
    conn.close()
