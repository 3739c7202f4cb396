"""What is recorded is written; what can't be is counted; an intent is on the disk or refused."""

import asyncio
import logging
import sqlite3
import threading

import pytest
from entries import TOLD, attempt, entry, intent

from smallfirst.core import Signals
from smallfirst.errors import LedgerError
from smallfirst.ledger import writer as writer_module
from smallfirst.ledger.migrations import ROOM, STEPS
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.writer import Ledger, place_of
from smallfirst.store.migrations import migrate
from smallfirst.store.sqlite import open_database


def rows(path, query):
    conn = sqlite3.connect(path)
    try:
        return conn.execute(query).fetchall()
    finally:
        conn.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path):
    ledger = Ledger.open(LedgerSettings(batch_ms=10), path)
    yield ledger
    ledger.close(1)


class Log(logging.Handler):
    """Sets `heard` when a line with `word` is logged."""

    def __init__(self, word):
        super().__init__()
        self.word, self.heard, self.lines = word, threading.Event(), []

    def emit(self, record):
        self.lines.append(record.getMessage())
        if self.word in self.lines[-1]:
            self.heard.set()

    def __enter__(self):
        logging.getLogger("smallfirst.ledger").addHandler(self)
        return self

    def __exit__(self, *_):
        logging.getLogger("smallfirst.ledger").removeHandler(self)


def test_an_entry_is_a_request_row_and_a_row_for_each_attempt(ledger, path):
    ledger.record(entry(0, attempts=(attempt(0), attempt(1, model="mid")), deferrals=("invalid",)))
    assert ledger.flush()
    assert rows(path, "SELECT id, seq, tags, deferrals, attempts, cost FROM request") == [
        ("req_00000000", 1, '["a","b"]', '["invalid"]', 2, 20)
    ]
    assert rows(path, "SELECT n, model, after_us, status, in_tokens FROM attempt ORDER BY n") == [
        (0, "small", 0, "ok", 5),
        (1, "mid", 1, "ok", 5),
    ]


def test_entries_are_written_without_being_asked(ledger, path):
    """batch_ms alone brings them to the disk: seen from another connection."""
    ledger.record(entry(0))
    conn = sqlite3.connect(path)
    while not conn.execute("SELECT count(*) FROM request").fetchone()[0]:
        ledger._thread.join(0.005)
    conn.close()


def test_no_text_of_prompt_answer_or_error_is_stored(ledger, path):
    ledger.record(entry(0, attempts=(attempt(0),)))
    ledger.close()
    stored = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert TOLD.encode() not in stored


def test_callers_words_are_cut_to_the_length_of_a_name(ledger, path):
    ledger.record(entry(0, asked="x" * 5000, session="s" * 5000, tags=("t" * 5000,)))
    ledger.flush()
    assert rows(path, "SELECT length(asked), length(session_id), length(tags) FROM request") == [(200, 200, 204)]


def test_many_batches_arrive_whole_and_in_order(path):
    ledger = Ledger.open(LedgerSettings(batch_ms=5, batch_rows=50), path)
    for i in range(1234):
        ledger.record(entry(i, attempts=tuple(attempt(n) for n in range(i % 3))))
    ledger.close()
    assert rows(path, "SELECT id FROM request ORDER BY seq") == [(f"req_{i:08d}",) for i in range(1234)]
    assert rows(path, "SELECT count(*) FROM attempt") == rows(path, "SELECT sum(attempts) FROM request")
    assert ledger.state.written == 1234
    assert (ledger.backlog, ledger.dropped) == (0, 0)


def test_signals_and_unknown_prices(ledger, path):
    ledger.record(
        entry(
            0,
            attempts=(
                attempt(0, cost=0, signals=Signals(first_logprob=-0.5)),
                attempt(1, cost=0, tokens=0),
                attempt(2, cost=0, priced=True),
                attempt(3, cost=7, priced=False),
            ),
        )
    )
    ledger.flush()
    assert rows(path, "SELECT cost FROM attempt ORDER BY n") == [(None,), (0,), (0,), (None,)]
    assert rows(path, "SELECT unpriced FROM request") == [(2,)]
    assert rows(path, "SELECT json_extract(signals, '$.first_logprob') FROM attempt ORDER BY n LIMIT 2") == [
        (-0.5,),
        (None,),
    ]


def test_entries_that_no_database_takes_do_not_hold_the_others_up(ledger, path):
    ledger.record(entry(0))
    with Log("dropped entry") as log:
        ledger.record(entry(0, cost=1))  # the same id again
        ledger.record(entry(1, cost=2**70))
        ledger.record(entry(2, policy="\ud800"))
        ledger.record(entry(3))
        assert ledger.flush()
    assert rows(path, "SELECT id, cost FROM request ORDER BY seq") == [("req_00000000", 10), ("req_00000003", 10)]
    assert ledger.dropped == 3
    assert len(log.lines) == 3
    assert ledger.backlog == 0


def test_something_that_is_not_an_entry_is_dropped_not_raised(ledger):
    ledger.record(None)
    assert ledger.dropped == 1


def test_a_full_disk_holds_entries_then_drops_them_and_recovers(path):
    conn = open_database(path)
    migrate(conn, ROOM, STEPS)
    ledger = Ledger(conn, LedgerSettings(batch_ms=5, batch_rows=50, queue_rows=100))
    conn.execute(f"PRAGMA max_page_count = {conn.execute('PRAGMA page_count').fetchone()[0]}")
    with Log("can't write") as failing, Log("writes again") as recovered:
        ledger.record(entry(0))
        while not failing.heard.is_set():  # the first entries may still find room on the pages that are there
            ledger.record(entry(ledger.state.recorded))
            failing.heard.wait(0.001)
        assert ledger.failing
        assert "full" in ledger.state.trouble
        with pytest.raises(LedgerError, match="nothing was sent"):
            asyncio.run(fill_intents(ledger))
        for i in range(10_000, 10_500):
            ledger.record(entry(i))
        assert ledger.dropped >= 350
        conn.execute("PRAGMA max_page_count = 1000000")
        assert recovered.heard.wait(30)
    assert ledger.flush()
    assert not ledger.failing
    state = ledger.state
    assert state.written == state.recorded - state.dropped
    ledger.close()
    kept = [seq for (seq,) in rows(path, "SELECT seq FROM request ORDER BY seq")]
    assert len(kept) == state.written
    assert kept[-1] < state.recorded, "what was dropped shows as missing sequence numbers"


async def fill_intents(ledger):
    for i in range(1000):
        await ledger.intent(intent(i))


def test_an_intent_is_there_when_it_returns(ledger, path):
    async def go():
        await ledger.intent(intent(7))
        return rows(path, "SELECT seq, request_id, data_class, models, locations, rule FROM intent")

    assert asyncio.run(go()) == [(1, "req_00000007", 3, '["small"]', '["device"]', "rule 3")]


def test_intents_in_flight_together_share_a_commit(ledger, path, monkeypatch):
    groups, all_asked = [], threading.Event()
    write = writer_module.write_intents

    def slowly(conn, intents, *links):
        groups.append(len(intents))
        assert all_asked.wait(30)
        write(conn, intents, *links)

    monkeypatch.setattr(writer_module, "write_intents", slowly)

    async def go():
        asked = [asyncio.create_task(ledger.intent(intent(i))) for i in range(64)]
        await asyncio.sleep(0)  # each task has run up to its wait
        all_asked.set()
        await asyncio.gather(*asked)

    asyncio.run(go())
    assert sum(groups) == 64
    assert len(groups) <= 2
    assert rows(path, "SELECT count(*) FROM intent") == [(64,)]


def test_intents_are_synced_to_the_disk(path):
    statements = []

    class Spy(sqlite3.Connection):
        def execute(self, sql, *args):
            statements.append(sql)
            return super().execute(sql, *args)

    open_database(path).close()
    conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Spy)
    migrate(conn, ROOM, STEPS)
    ledger = Ledger(conn, LedgerSettings(batch_ms=5))
    statements.clear()
    asyncio.run(ledger.intent(intent()))
    assert statements[:2] == ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE"]
    assert "COMMIT" in statements
    ledger.close()


def test_a_locked_database_refuses_intents(path, monkeypatch):
    ledger = Ledger.open(LedgerSettings(batch_ms=5), path)
    ledger._conn.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match=r"locked.*nothing was sent"):
        asyncio.run(ledger.intent(intent()))
    other.execute("ROLLBACK")
    asyncio.run(ledger.intent(intent()))
    assert rows(path, "SELECT count(*) FROM intent") == [(1,)]
    other.close()
    ledger.close()


def test_a_disk_that_never_answers_refuses_intents(ledger, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(writer_module, "INTENT_TIMEOUT_S", 0.01)
    monkeypatch.setattr(writer_module, "write_intents", lambda *_: release.wait(10))
    with pytest.raises(LedgerError, match="too long"):
        asyncio.run(ledger.intent(intent()))
    release.set()


def test_a_caller_that_goes_away_disturbs_nobody(ledger, path):
    async def go():
        gone = asyncio.create_task(ledger.intent(intent(0)))
        stays = asyncio.create_task(ledger.intent(intent(1)))
        await asyncio.sleep(0)
        gone.cancel()
        await stays

    asyncio.run(go())
    assert ("req_00000001",) in rows(path, "SELECT request_id FROM intent")


def test_after_close_nothing_is_taken(path):
    ledger = Ledger.open(LedgerSettings(), path)
    ledger.record(entry(0))
    ledger.close()
    ledger.close()
    ledger.record(entry(1))
    assert ledger.dropped == 1
    assert ledger.flush()
    with pytest.raises(LedgerError, match="closed"):
        asyncio.run(ledger.intent(intent()))
    assert rows(path, "SELECT id FROM request") == [("req_00000000",)]


def test_close_on_a_broken_disk_says_what_is_lost(path):
    ledger = Ledger.open(LedgerSettings(batch_ms=5), path)
    ledger._conn.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ledger.record(entry(0))
    with Log("unwritten") as log:
        ledger.close(0.2)
    assert log.heard.is_set()
    assert ledger.dropped == 1
    other.close()


def test_two_writers_share_a_file(path):
    ledgers = [Ledger.open(LedgerSettings(batch_ms=5, batch_rows=20), path) for _ in range(2)]
    for i in range(200):
        ledgers[i % 2].record(entry(i))
    for ledger in ledgers:
        ledger.close()
    assert rows(path, "SELECT writer, count(*), max(seq) FROM request GROUP BY writer ORDER BY writer") == sorted(
        (ledger.writer, 100, 100) for ledger in ledgers
    )


def test_the_url_of_the_settings_goes_before_the_path(tmp_path):
    other = tmp_path / "other.db"
    assert place_of(f"sqlite:///{tmp_path / 'named.db'}", other) == tmp_path / "named.db"
    assert place_of("postgresql://db/x", other) == "postgresql://db/x"
    assert place_of(None, other) == other
    with pytest.raises(LedgerError, match="names no file"):
        place_of("mysql://db/x", other)


def test_a_newer_ledger_is_refused(path):
    Ledger.open(LedgerSettings(), path).close()
    conn = open_database(path)
    conn.execute("UPDATE schema_version SET version = 99")
    conn.close()
    with pytest.raises(LedgerError, match="newer version"):
        Ledger.open(LedgerSettings(), path)
