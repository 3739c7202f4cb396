"""The contract of a ledger, on SQLite and on PostgreSQL: what is written can be read, proved, exported and erased."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap

import pytest

from smallfirst.core import DataClass, Feedback, Grade
from smallfirst.errors import DataError, LedgerError
from smallfirst.ledger import audit as audit_queries
from smallfirst.ledger.anchors import read_anchors
from smallfirst.ledger.audit import erasures, lines, reached, verify
from smallfirst.ledger.chain import Shadowed
from smallfirst.ledger.compact import compact
from smallfirst.ledger.erasure import access, commitment, erase
from smallfirst.ledger.exported import verify_export, write_export
from smallfirst.ledger.notes import Audit, Detector, read_audits, read_detectors, read_grades
from smallfirst.ledger.queries import open_intents, open_ledger, summary
from smallfirst.ledger.retention import retain
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.timings import timings
from smallfirst.ledger.writer import Ledger
from smallfirst.store.connection import open_to_write
from tests.ledger.entries import NOW, attempt
from tests.ledger.stores import change, entry, intent, rows, write

ALL = (0, 1 << 60)


def test_what_is_written_is_counted_and_proved(place):
    made = [entry(n, attempts=(attempt(cost=7, tokens=3),)) for n in range(70)]
    write(place, [*made, entry(99, DataClass.internal)], [intent(0), intent(200)])
    conn = open_ledger(place)
    found = summary(conn, *ALL)
    assert (found.requests, found.cost, found.with_baseline) == (71, 70 * 7 + 10, 71)
    assert isinstance(found.cost, int)
    assert found.tiers[0].latency.p50_us == 1000
    verified = verify(conn)
    assert verified.whole
    assert (verified.entries, verified.writers) == (1 + 2 + 70, 1)
    assert [one.request_id for one in open_intents(conn, 1 << 60)] == ["sf-0200"]
    assert len(timings(conn)) == 71
    sent, unsure = reached(conn, [DataClass.health], "premises", *ALL)
    assert (len(sent), [one.request_id for one in unsure]) == (70, ["sf-0200"])
    conn.close()


def test_a_second_start_goes_on_with_a_chain_of_its_own(place):
    for number in range(2):
        write(place, [entry(number)])
    found = verify(open_ledger(place))
    assert (found.whole, found.writers, found.entries) == (True, 2, 4)


@pytest.mark.parametrize(("statement", "says"), [
    ("UPDATE chain SET locations = '[]' WHERE seq = 3", "a column was changed"),
    ("UPDATE chain SET data_class = 0 WHERE seq = 3", "a column was changed"),
    ("DELETE FROM chain WHERE seq = 3", "entries 3 to 3 are missing"),
    ("UPDATE request SET data_class = 0 WHERE id = 'sf-0001'", "its request says another data class"),
    ("UPDATE request SET key_id = 'bob' WHERE id = 'sf-0001'", "its request names another key"),
])  # fmt: skip
def test_what_was_changed_is_found(place, statement, says):
    write(place, [entry(n, key_id="ann") for n in range(4)])
    assert verify(open_ledger(place)).whole
    change(place, statement)
    found = verify(open_ledger(place))
    assert any(says in damage.what for damage in found.damages), found.damages


def test_anchors_outside_find_a_tail_that_was_cut_off(place, tmp_path, request):
    elsewhere = str(tmp_path / "anchors.jsonl")
    if not isinstance(place, str):  # a file's anchors go into a database, and the other way round
        elsewhere = request.getfixturevalue("postgres_place")
    write(place, [entry(n) for n in range(4)], anchor=elsewhere, anchor_s=0)
    change(place, "DELETE FROM chain WHERE seq > 3")
    assert verify(open_ledger(place)).whole
    anchors = list(read_anchors(elsewhere))
    found = verify(open_ledger(place), anchors)
    assert [damage.seq for damage in found.damages] == [anchors[-1].seq]


def test_notes_are_kept_and_replaced(place):
    ledger = Ledger.open(LedgerSettings(), place)
    for value in (0.0, 1.0):
        ledger.note(Grade("sf-1", "m", value, "person:ada", 0.5))
        ledger.note(Feedback("sf-1", value, "k", NOW))
        ledger.note(Detector("c", "all", 1, f"[{value}]", None, NOW))
    for name in ("b", "a"):
        ledger.note(Audit(name, NOW, "auto", None, False, "all", 0.1, None, "best", "ok"))
    ledger.note(Shadowed("sf-1", NOW, DataClass.health, "rule 1", (("best", "p", "cloud/us", False),)))
    ledger.close()
    conn = open_ledger(place)
    assert [(one.score, one.sample_prob) for one in read_grades(conn)] == [(1.0, 0.5)]
    assert [one.state for one in read_detectors(conn, "c")] == ["[1.0]"]
    assert [one.request_id for one in read_audits(conn)] == ["b", "a"], "in the order in which they were written"
    assert rows(place, "SELECT value FROM feedback") == [(1.0,)]
    assert [line.kind for line in lines(conn, *ALL) if line.locations] == ["shadow"]


def test_an_entry_that_no_database_takes_is_left_out_alone(place, caplog):
    write(place, [entry(1), entry(2, cost=1 << 70), entry(1), entry(3)])
    assert rows(place, "SELECT id FROM request ORDER BY id") == [("sf-0001",), ("sf-0003",)]
    assert "dropped entry sf-0002" in caplog.text


def test_erasing_by_each_name(place):
    made = [
        entry(1, session="s", key_id="ann", tags=("team:quay",), subject="p-1"),
        entry(2, session="t", key_id="ann", tags=("team:quay",)),
        entry(3, session="s", key_id="bob", tags=("Team:quay",)),
        entry(4, key_id="bob", subject="p-1"),
        entry(5, key_id="zoe"),
    ]
    write(place, made, [intent(n) for n in range(1, 6)])
    conn = open_to_write(place)
    for scope, name, whose in (
        ("request", "sf-0005", ["sf-0005"]),
        ("team", "quay", ["sf-0001", "sf-0002"]),
        ("session", "s", ["sf-0003"]),
        ("subject", "p-1", ["sf-0004"]),
        ("key", "bob", []),
    ):
        assert list(erase(conn, scope, name, f"e-{scope}").requests) == whose
        assert scope == "request" or erase(conn, scope, name, f"again-{scope}").requests == ()
    assert rows(place, "SELECT DISTINCT key_id, tags, session_id FROM request") == [("(erased)", "[]", None)]
    assert rows(place, "SELECT * FROM salt") == []
    assert verify(conn).whole
    everything = json.dumps([dump(one) for one in lines(conn, *ALL)])
    assert not any(f'"{name}' in everything for name in ("ann", "bob", "zoe", "quay", "p-1"))
    conn.close()


def test_a_receipt_finds_its_erasure_and_nobody_elses(place):
    write(place, [entry(1, key_id="ann"), entry(2, key_id="bob")])
    conn = open_to_write(place)
    done = erase(conn, "key", "ann", "e1")
    erase(conn, "key", "bob", "e2")
    (line,) = erasures(conn, commitment("key", "ann", done.receipt))
    assert (line.writer, line.detail["requests"]) == ("e1", 1)
    assert erasures(conn, commitment("key", "bob", done.receipt)) == []
    conn.close()


def test_access_shows_all_there_is(place):
    write(place, [entry(1, key_id="ann", subject="p-1"), entry(2)], [intent(1)])
    (one,) = access(open_ledger(place), "subject", "p-1")
    assert (one["key_id"], len(one["calls"]), one["sealed_parts"]) == ("ann", 1, 0)
    assert {line["kind"] for line in one["audit"]} == {"intent", "decision"}


def test_retention_and_compaction(place):
    write(place, [entry(1), entry(2, DataClass.internal)], [intent(1)])
    conn = open_to_write(place)
    later = NOW + 40 * 86_400_000_000
    assert retain(conn, {"health": 30, "internal": 90}, later, "r") == {"health": 1, "internal": 0}
    compact(conn)
    assert rows(place, "SELECT id FROM request") == [("sf-0002",)]
    assert verify(open_ledger(place)).whole
    conn.close()


def dump(line):
    return [line.kind, line.rule, line.detail, line.models]


def test_an_export_is_verified_without_the_ledger(place, tmp_path):
    write(place, [entry(n) for n in range(3)])
    write(place, [entry(n) for n in range(3, 6)])
    file = tmp_path / "trail.jsonl"
    whole = list(write_export(lines(open_ledger(place), *ALL)))
    file.write_bytes(b"".join(whole))
    found = verify_export(file)
    assert (found.whole, found.entries, found.writers) == (True, 8, 2)
    edited = [line.replace(b"gemma", b"other") if n == 2 else line for n, line in enumerate(whole)]
    file.write_bytes(b"".join(edited))
    assert {damage.what for damage in verify_export(file).damages} > {"a column was changed after it was written"}
    file.write_bytes(b"".join(whole[:3] + whole[4:]))
    assert not verify_export(file).whole
    file.write_bytes(b"".join(whole[:-1]))
    with pytest.raises(DataError, match=r"trail\.jsonl:8: the file was cut off"):
        verify_export(file)
    file.write_bytes(b"".join(whole)[:-300])
    with pytest.raises(DataError, match=r"trail\.jsonl:\d: the file was cut off"):
        verify_export(file)
    file.write_bytes(b"".join([*whole[:2], b"nonsense\n", *whole[2:]]))
    with pytest.raises(DataError, match=r"trail\.jsonl:3: not an entry"):
        verify_export(file)


PROCESS = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from smallfirst.ledger.settings import LedgerSettings
    from smallfirst.ledger.writer import Ledger
    from tests.ledger.stores import entry, intent

    async def live(ledger, first):
        for start in range(first, first + 60, 20):
            await asyncio.gather(*(ledger.intent(intent(n)) for n in range(start, start + 20)))
            for n in range(start, start + 20):
                ledger.record(entry(n))

    place = sys.argv[1] if "://" in sys.argv[1] else Path(sys.argv[1])
    ledger = Ledger.open(LedgerSettings(batch_ms=5, batch_rows=20), place)
    asyncio.run(live(ledger, int(sys.argv[2])))
    ledger.close()
""")


def test_several_processes_write_a_chain_each(place):
    processes = [subprocess.Popen([sys.executable, "-c", PROCESS, str(place), str(first)]) for first in (0, 1000, 2000)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    found = verify(open_ledger(place))
    assert found.whole, found.damages
    assert (found.writers, found.entries) == (3, 3 * (1 + 60 + 60))
    assert rows(place, "SELECT count(*) FROM request") == [(180,)]


def test_a_clock_that_was_set_back_is_told_and_is_no_damage(place):
    write(place, [entry(n, at_us=NOW + at) for n, at in enumerate((5_000_000, 9_000_000, 2_000_000, 3_000_000))])
    found = verify(open_ledger(place))
    assert found.whole
    (back,) = [us for _, _, us in found.jumps if us < 1e9]
    assert back == 7_000_000


def test_a_ledger_of_an_older_version_or_none_is_refused_to_readers(place, tmp_path):
    with pytest.raises(LedgerError, match=r"no ledger at|holds no tables"):
        open_ledger(place)
    write(place, [])
    change(place, "UPDATE schema_version SET version = 1 WHERE room = 'ledger'")
    with pytest.raises(LedgerError, match=r"older version \(ledger 1 of") as caught:
        open_ledger(place)
    assert "search_path" not in str(caught.value), "nothing of a URL but host and database is shown"


def test_a_chain_too_long_to_hold_is_walked(place, monkeypatch):
    if isinstance(place, str):
        monkeypatch.setattr("smallfirst.store.postgres_connection.AT_A_TIME", 3)
    write(place, [entry(n) for n in range(10)])
    conn = open_ledger(place)
    assert len(list(audit_queries.walk(conn, "SELECT seq FROM chain WHERE seq > ?", (1,)))) == 10
    assert verify(conn).entries == 11
    conn.close()


CUT_OFF = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND datname = current_database()
"""


def test_a_lost_connection_is_made_again_and_nothing_is_written_twice(postgres_place):
    ledger = Ledger.open(LedgerSettings(batch_ms=5), postgres_place)

    async def live():
        for number in range(6):
            await ledger.intent(intent(number))
            ledger.record(entry(number))
            assert await asyncio.to_thread(ledger.flush)
            if number % 2:
                change(postgres_place, CUT_OFF)
                with pytest.raises(LedgerError, match="nothing was sent"):
                    await ledger.intent(intent(100 + number))

    asyncio.run(live())
    ledger.close()
    found = verify(open_ledger(postgres_place))
    assert found.whole
    assert rows(postgres_place, "SELECT count(*) FROM request") == [(6,)]


def test_a_server_that_is_not_there_is_an_error_without_its_password():
    with pytest.raises(LedgerError, match="PostgreSQL can't be reached") as caught:
        Ledger.open(LedgerSettings(), "postgresql://u:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in str(caught.value)
