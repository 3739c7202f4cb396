"""Notes are kept beside the requests, the newest word of one thing counts, and an alarm stays."""

import logging
import sqlite3

import msgspec
import pytest
from entries import NOW, entry

from smallfirst.core import DataClass, Feedback, Grade, OutReason
from smallfirst.errors import LedgerError
from smallfirst.ledger import notes
from smallfirst.ledger.commits import NotARow
from smallfirst.ledger.migrations import ROOM, STEPS
from smallfirst.ledger.notes import Audit, CertificateInUse, Detector, data_classes, read_audits, read_detectors
from smallfirst.ledger.queries import open_ledger
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.writer import Ledger
from smallfirst.store.migrations import migrate
from smallfirst.store.sqlite import open_database

AUDIT = Audit("req_1", NOW, "promise", "c1", True, "all", 0.01, "small", "best", "ok", 1, 40, agreement="same")
DETECTOR = Detector("c1", "all", 1, '{"e":1.0}', None, NOW)
CERTIFICATE = CertificateInUse("c1", "promise", "d", "{}", 0.02, 0.95, NOW, NOW)


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger.open(LedgerSettings(batch_ms=10), tmp_path / "ledger.db")
    yield ledger
    ledger.close(1)


@pytest.fixture
def reader(tmp_path, ledger):
    conn = open_ledger(tmp_path / "ledger.db")
    yield conn
    conn.close()


def test_every_kind_of_note_is_kept_and_read_again(ledger, reader):
    grade = Grade("req_1", "small", 0.5, "judge:best@ab", 0.25, False, NOW)
    for note in (grade, Feedback("req_1", 1.0, None, NOW), AUDIT, CERTIFICATE, DETECTOR):
        ledger.note(note)
    assert ledger.flush()
    assert notes.read_grades(reader) == [grade]
    assert read_audits(reader) == [AUDIT]
    assert read_detectors(reader, "c1") == [DETECTOR]
    assert reader.execute("SELECT request_id, key_id, value FROM feedback").fetchall() == [("req_1", "", 1.0)]
    assert reader.execute("SELECT id, policy, max_quality_loss FROM certificate").fetchall() == [
        ("c1", "promise", 0.02)
    ]


def test_a_second_thought_replaces_the_first(ledger, reader):
    for value in (0.0, 1.0):
        ledger.note(Feedback("req_1", value, "support", NOW))
        ledger.note(Grade("req_1", "small", value, "person:ada"))
    ledger.flush()
    assert reader.execute("SELECT value FROM feedback").fetchall() == [(1.0,)]
    assert [grade.score for grade in notes.read_grades(reader)] == [1.0]


def test_an_alarm_is_never_taken_back(ledger, reader):
    for n, alarmed in ((5, None), (6, NOW), (7, None), (8, NOW + 9)):
        ledger.note(msgspec.structs.replace(DETECTOR, n=n, alarmed_us=alarmed))
    ledger.flush()
    (found,) = read_detectors(reader, "c1")
    assert (found.n, found.alarmed_us) == (8, NOW)


def test_what_audits_cost_since_a_moment(ledger, reader):
    for i, at in enumerate((NOW - 1, NOW, NOW + 1)):
        ledger.note(msgspec.structs.replace(AUDIT, request_id=f"r{i}", at_us=at, cost=100, judge_cost=i))
    ledger.flush()
    assert notes.spent_on_audits(reader, NOW) == 203


def test_a_note_that_is_no_row_is_left_out_and_the_others_are_kept(ledger, reader, caplog):
    with caplog.at_level(logging.ERROR):
        ledger.note(Feedback("req_1", 1.0, None, 2**70))
        ledger.note(Feedback("req_2", 1.0, None, NOW))
        assert ledger.flush()
    assert reader.execute("SELECT request_id FROM feedback").fetchall() == [("req_2",)]
    assert "dropped a note (Feedback)" in caplog.text


def test_notes_wait_while_the_disk_takes_none(tmp_path, ledger, reader):
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    ledger._conn.execute("PRAGMA busy_timeout = 10")
    other.execute("BEGIN IMMEDIATE")
    ledger.note(AUDIT)
    assert not ledger.flush(0.2)
    other.execute("ROLLBACK")
    other.close()
    assert ledger.flush()
    assert read_audits(reader) == [AUDIT]
    assert not ledger.failing


def test_too_many_that_wait_give_way_oldest_first(monkeypatch):
    monkeypatch.setattr(notes, "MOST_WAITING", 2)
    waiting = notes.NoteQueue()
    waiting._waiting = type(waiting._waiting)(maxlen=2)
    for i in range(3):
        waiting.put(Feedback(f"req_{i}", 1.0, None, i))
    assert [note.request_id for note in waiting._waiting] == ["req_1", "req_2"]


def test_a_request_remembers_its_certificate(ledger, reader):
    ledger.record(entry(1, certificate_id="c1", in_certificate=True))
    ledger.record(entry(2, certificate_id="c1", out_reason=OutReason.alarm))
    ledger.record(entry(3))
    ledger.flush()
    found = reader.execute("SELECT certificate_id, in_certificate, out_reason FROM request ORDER BY seq").fetchall()
    assert found == [("c1", 1, None), ("c1", 0, "alarm"), (None, 0, None)]


def test_the_data_classes_of_requests(ledger, reader):
    for i in range(3):
        ledger.record(entry(i, data_class=DataClass(i)))
    ledger.flush()
    found = data_classes(reader, ["req_00000000", "req_00000002", "nobody"])
    assert found == {"req_00000000": DataClass.public, "req_00000002": DataClass.personal}


def test_a_ledger_of_the_first_version_is_brought_up_to_date(tmp_path):
    conn = open_database(tmp_path / "old.db")
    migrate(conn, ROOM, STEPS[:1])
    marks = ", ".join("?" * 28)
    old = ("r", 1, "w", 1, "auto", "auto", "", None, "[]", None, 1, "faq", 0.1, "accepted", 200, None, "m", "slm", 1, 0,
           1, 1, "served", 1, 1, 0, 0, "[]")  # fmt: skip
    conn.execute(f"INSERT INTO request VALUES ({marks})", old)
    conn.close()
    Ledger.open(LedgerSettings(), tmp_path / "old.db").close()
    conn = open_ledger(tmp_path / "old.db")
    assert conn.execute("SELECT id, in_certificate, out_reason FROM request").fetchall() == [("r", 0, None)]
    conn.close()


def test_what_can_not_be_read_is_a_ledger_error(tmp_path):
    conn = open_database(tmp_path / "empty.db")
    with pytest.raises(LedgerError):
        read_audits(conn)
    conn.close()


def test_all_or_none(tmp_path):
    conn = open_database(tmp_path / "x.db")
    migrate(conn, ROOM, STEPS)
    with pytest.raises(NotARow):
        notes.write_notes(conn, (Feedback("a", 1.0, None, 1), Feedback("b", 1.0, None, 2**70)))
    assert conn.execute("SELECT count(*) FROM feedback").fetchone() == (0,)
    conn.close()
