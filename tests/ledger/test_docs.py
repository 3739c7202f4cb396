"""The queries of docs/ledger.md run, and its tables name every column."""

import asyncio
import re
import sqlite3
from pathlib import Path

import pytest
from entries import entry, intent

from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.writer import Ledger

PAGE = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text()
TABLES = (
    "request", "attempt", "intent", "grade", "feedback", "certificate", "audit", "monitor", "chain", "salt", "subject",
    "rollup_hour", "latency_day",
    "session", "tenant_key", "item_key", "content", "ledger_secret",
)  # fmt: skip
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def conn(tmp_path_factory):
    path = tmp_path_factory.mktemp("docs") / "ledger.db"
    ledger = Ledger.open(LedgerSettings(), path)
    ledger.record(entry(0, at_us=1, data_class=list(type(entry().data_class))[3]))
    asyncio.run(ledger.intent(intent(1, at_us=1)))
    ledger.close()
    conn = sqlite3.connect(path)
    yield conn
    conn.close()


@pytest.mark.parametrize("query", QUERIES)
def test_each_query_runs_and_finds_something(conn, query):
    assert conn.execute(query).fetchall()


def test_every_column_is_explained(conn):
    for table in TABLES:
        for (name,) in conn.execute("SELECT name FROM pragma_table_info(?)", (table,)):
            assert re.search(rf"\b{name}\b", PAGE), f"{table}.{name}"
