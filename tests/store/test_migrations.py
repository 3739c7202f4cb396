"""Databases come to the version that the code knows, and no further."""

import sqlite3
import threading

import pytest

from smallfirst.errors import LedgerError
from smallfirst.store.migrations import check, migrate, version
from smallfirst.store.sqlite import open_database, open_readonly, sqlite_path

STEPS = (("CREATE TABLE a (x INTEGER)", "CREATE INDEX a_x ON a (x)"), ("ALTER TABLE a ADD COLUMN y INTEGER",))


def test_steps_are_taken_in_order_and_once(tmp_path):
    conn = open_database(tmp_path / "new" / "x.db")
    migrate(conn, "room", STEPS[:1])
    conn.execute("INSERT INTO a VALUES (1)")
    migrate(conn, "room", STEPS)
    migrate(conn, "room", STEPS)
    assert conn.execute("SELECT x, y FROM a").fetchall() == [(1, None)]
    assert version(conn, "room") == 2
    conn.close()


def test_rooms_count_their_own_steps(tmp_path):
    conn = open_database(tmp_path / "x.db")
    migrate(conn, "room", STEPS)
    migrate(conn, "other", (("CREATE TABLE b (x INTEGER)",),))
    assert (version(conn, "room"), version(conn, "other"), version(conn, "none")) == (2, 1, 0)
    conn.close()


def test_a_newer_database_is_refused_and_left_alone(tmp_path):
    conn = open_database(tmp_path / "x.db")
    migrate(conn, "room", STEPS)
    with pytest.raises(LedgerError, match="newer version"):
        migrate(conn, "room", STEPS[:1])
    with pytest.raises(LedgerError, match="newer version"):
        check(conn, "room", STEPS[:1])
    assert version(conn, "room") == 2
    conn.close()


def test_a_step_that_fails_leaves_the_version_before_it(tmp_path):
    conn = open_database(tmp_path / "x.db")
    with pytest.raises(LedgerError, match="can't be brought up to date"):
        migrate(conn, "room", (*STEPS, ("CREATE TABLE c (x INTEGER)", "NONSENSE")))
    assert version(conn, "room") == 2
    assert conn.execute("SELECT count(*) FROM sqlite_master WHERE name = 'c'").fetchone() == (0,)
    assert not conn.in_transaction
    conn.close()


def test_processes_that_start_together_take_turns(tmp_path):
    conns = [open_database(tmp_path / "x.db") for _ in range(4)]
    threads = [threading.Thread(target=migrate, args=(conn, "room", STEPS)) for conn in conns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [version(conn, "room") for conn in conns] == [2] * 4
    for conn in conns:
        conn.close()


def test_readers_of_an_older_or_foreign_database_are_told(tmp_path):
    conn = open_database(tmp_path / "x.db")
    with pytest.raises(LedgerError, match="holds no tables"):
        check(conn, "room", STEPS)
    migrate(conn, "room", STEPS[:1])
    with pytest.raises(LedgerError, match=r"older version \(room 1 of 2\)"):
        check(conn, "room", STEPS)
    conn.close()


def test_a_database_is_opened_with_a_log_and_checked_keys(tmp_path):
    conn = open_database(tmp_path / "x.db")
    pragmas = {name: conn.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "foreign_keys")}
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1}
    assert conn.execute("PRAGMA busy_timeout").fetchone()[0] >= 1000
    conn.close()


def test_a_reader_cannot_write(tmp_path):
    open_database(tmp_path / "x #1?.db").close()
    conn = open_readonly(tmp_path / "x #1?.db")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        conn.execute("CREATE TABLE t (x INTEGER)")
    conn.close()


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)
    with pytest.raises(LedgerError, match=r"notes\.txt"):
        open_database(path)
    with pytest.raises(LedgerError, match=r"notes\.txt"):
        open_readonly(path)
    with pytest.raises(LedgerError, match="no ledger at"):
        open_readonly(tmp_path / "absent.db")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="folder"):
        open_database(tmp_path / "file" / "x.db")


def test_urls(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(sqlite_path("sqlite:///ledger.db")) == "ledger.db"
    assert str(sqlite_path("sqlite:////var/ledger.db")) == "/var/ledger.db"
    assert sqlite_path("sqlite:///~/ledger.db") == tmp_path / "ledger.db"


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://u:hunter2@db/x", "postgres://u:hunter2@db/x", "x.db"],
)
def test_urls_that_name_no_file(url):
    with pytest.raises(LedgerError, match=r"ledger\.url") as caught:
        sqlite_path(url)
    assert "hunter2" not in str(caught.value)
