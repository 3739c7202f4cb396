"""Times of calls as latency laws are fitted to them: the newest, only those that went well at the first try."""

from __future__ import annotations

import sqlite3

import pytest

from smallfirst.core import Status
from smallfirst.errors import LedgerError
from smallfirst.ledger.queries import open_ledger
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.timings import Timing, timings
from smallfirst.ledger.writer import Ledger
from tests.ledger.entries import attempt, entry


def test_only_calls_that_went_well_at_once(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = Ledger.open(LedgerSettings(), path)
    ledger.record(entry(0, attempts=(attempt(1, ttft_us=20), attempt(2, status=Status.timed_out), attempt(3, tries=2))))
    ledger.record(entry(1, attempts=(attempt(1, model="large", tokens=0), attempt(2, model="large", tokens=7))))
    ledger.close()
    conn = open_ledger(path)
    assert timings(conn) == [Timing("large", None, 50, 7, 7), Timing("small", 20, 50, 5, 5)]
    assert timings(conn, most=1) == [Timing("large", None, 50, 7, 7)]
    conn.close()


def test_what_is_no_ledger_is_said_so():
    with pytest.raises(LedgerError, match="can't be read"):
        timings(sqlite3.connect(":memory:"))
