"""The audit chain: what was edited, removed or moved is found by its place; erasing keeps it whole."""

from __future__ import annotations

import asyncio
import json
import sqlite3

import pytest

from smallfirst.core import DataClass, Intent
from smallfirst.errors import DataError, LedgerError
from smallfirst.ledger.anchors import read_anchors
from smallfirst.ledger.audit import lines, reached, verify
from smallfirst.ledger.chain import Shadowed, digest_of, salted
from smallfirst.ledger.erasure import access, erase
from smallfirst.ledger.queries import open_ledger
from smallfirst.ledger.retention import retain
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.writer import Ledger
from tests.ledger.entries import NOW
from tests.ledger.entries import entry as plain_entry

WORDS = [b'"my biopsy"']


def entry(number, data_class=DataClass.health, location="premises", **more):
    model = {"premises": "gemma", "cloud/us": "best"}.get(location, "eu")
    reached_ = ((model, "p", location, False),)
    return plain_entry(number, id=f"sf-{number:04}", data_class=data_class, reached=reached_, **more)


def intent(number, data_class=DataClass.health):
    content, salt = salted(WORDS)
    return Intent(f"sf-{number:04}", 1, data_class, ("gemma",), ("premises", "cloud/us"), "rule 1", content, salt)


async def fill(ledger, entries, intents=()):
    await asyncio.gather(*(ledger.intent(one) for one in intents))
    for one in entries:
        ledger.record(one)
    assert await asyncio.to_thread(ledger.flush)


def write(path, entries, intents=(), **settings):
    ledger = Ledger.open(LedgerSettings(**settings), path)
    asyncio.run(fill(ledger, entries, intents))
    ledger.close()


def test_only_what_is_sensitive_is_chained_and_the_chain_is_whole(tmp_path):
    path = tmp_path / "l.db"
    write(path, [entry(n) for n in range(5)] + [entry(9, DataClass.internal)], [intent(0)])
    found = verify(open_ledger(path))
    assert found.whole
    assert found.entries == 1 + 1 + 5
    kinds = [line.kind for line in lines(open_ledger(path), 0, 1 << 60)]
    assert sorted(kinds) == ["decision"] * 5 + ["intent", "start"]


COLUMNS = ("at", "kind", "request_id", "data_class", "rule", "models", "locations", "detail", "content", "prev", "hash")


@pytest.mark.parametrize("column", COLUMNS)
def test_an_edited_column_is_found_by_its_place(tmp_path, column):
    path = tmp_path / "l.db"
    write(path, [entry(n) for n in range(6)])
    conn = sqlite3.connect(path)
    value = 1 if column in ("at", "data_class") else "x"
    conn.execute(f"UPDATE chain SET {column} = ? WHERE seq = 4", (value,))
    conn.commit()
    found = verify(open_ledger(path))
    assert not found.whole
    assert found.damages[0].seq in (4, 5)


@pytest.mark.parametrize("change", [
    "DELETE FROM chain WHERE seq = 3",
    "DELETE FROM chain WHERE seq = 1",
    "UPDATE chain SET seq = 100 WHERE seq = 3",
    "UPDATE chain SET seq = seq - 7 WHERE seq IN (3, 4);UPDATE chain SET seq = -seq WHERE seq < 0",
])  # fmt: skip
def test_what_was_removed_or_moved_is_found(tmp_path, change):
    path = tmp_path / "l.db"
    write(path, [entry(n) for n in range(6)])
    conn = sqlite3.connect(path)
    for statement in change.split(";"):
        conn.execute(statement)
    conn.commit()
    assert not verify(open_ledger(path)).whole


@pytest.mark.parametrize("place", ["anchors.jsonl", "sqlite:///{}/anchors.db"])
def test_a_tail_that_was_cut_off_before_an_anchor_is_found(tmp_path, place):
    path = tmp_path / "l.db"
    where = place.format(tmp_path) if "{}" in place else str(tmp_path / place)
    write(path, [entry(n) for n in range(6)], anchor=where, anchor_s=0)
    anchors = list(read_anchors(where))
    assert verify(open_ledger(path), anchors).anchored == 7
    conn = sqlite3.connect(path)
    conn.execute("DELETE FROM chain WHERE seq > 4")
    conn.commit()
    assert verify(open_ledger(path)).whole, "the cut itself leaves no trace inside"
    found = verify(open_ledger(path), anchors)
    assert [damage.seq for damage in found.damages] == [7]


def test_a_whole_chain_that_vanished_is_missed_by_the_next(tmp_path):
    path = tmp_path / "l.db"
    write(path, [entry(n) for n in range(3)])
    write(path, [entry(n) for n in range(3, 6)])
    assert verify(open_ledger(path)).writers == 2
    first = lines(open_ledger(path), 0, 1 << 60)
    named = next(json.dumps(line.detail) for line in first if line.kind == "start" and line.detail["heads"])
    conn = sqlite3.connect(path)
    conn.execute("DELETE FROM chain WHERE writer = ?", (json.loads(named)["heads"][0][0],))
    conn.commit()
    assert "missing" in verify(open_ledger(path)).damages[0].what


def test_what_reached_where(tmp_path):
    path = tmp_path / "l.db"
    entries = [
        entry(1),
        entry(2, location="cloud/us"),
        entry(3, DataClass.personal, "cloud/eu"),
        entry(4, location="cloud"),
    ]
    write(path, entries, [intent(n) for n in (1, 2, 8)])
    conn = open_ledger(path)
    sent, open_ = reached(conn, [DataClass.health], "cloud", 0, 1 << 60)
    assert [line.request_id for line in sent] == ["sf-0002", "sf-0004"]
    assert [line.request_id for line in open_] == ["sf-0008"], "its process died before it could say"
    assert reached(conn, [DataClass.personal], "cloud/us", 0, 1 << 60) == ([], [])
    assert len(reached(conn, list(DataClass), None, 0, 1 << 60)[0]) == 4


def test_what_the_monitor_sends_afterwards_is_in_the_trail(tmp_path):
    path = tmp_path / "l.db"
    ledger = Ledger.open(LedgerSettings(), path)
    ledger.record(entry(1))
    for data_class in (DataClass.health, DataClass.internal):
        ledger.note(Shadowed("sf-0001", NOW, data_class, "rule 1", (("best", "p", "cloud/us", False),)))
    ledger.close()
    sent, _ = reached(open_ledger(path), [DataClass.health], "cloud", 0, 1 << 60)
    assert [(line.kind, line.models) for line in sent] == [("shadow", ("best",))]
    assert verify(open_ledger(path)).whole


def test_a_broken_anchor_file_is_named_by_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"writer":"w","seq":1,"hash":"h","at":1}\nnonsense\n')
    with pytest.raises(DataError, match=r"a\.jsonl:2"):
        list(read_anchors(str(tmp_path / "a.jsonl")))


ANCHOR = '{{"writer":"{}","seq":{},"hash":"{}","at":1}}\n'


@pytest.mark.parametrize(("text", "says"), [
    (ANCHOR.format("w", 1, "h") + ANCHOR.format("w", 2, "h")[:-9], r"a\.jsonl:2: the file was cut off in this line"),
    (ANCHOR.format("w", 5, "h") + ANCHOR.format("v", 1, "h") + ANCHOR.format("w", 3, "h"),
     r"a\.jsonl:3: entry 3 after 5 \(line 1\): anchors only grow"),
    ('{"writer":"w","seq":"1"}\n', r"a\.jsonl:1: not an anchor"),
])  # fmt: skip
def test_an_anchor_file_that_was_cut_off_or_edited_is_named_by_line(tmp_path, text, says):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(DataError, match=says):
        list(read_anchors(str(tmp_path / "a.jsonl")))


def test_anchors_that_are_not_there_are_an_error(tmp_path):
    for place in (str(tmp_path / "none.jsonl"), f"sqlite:///{tmp_path / 'none.db'}"):
        with pytest.raises(DataError, match="none"):
            list(read_anchors(place))
    assert not (tmp_path / "none.db").exists()


def test_an_entry_that_differs_from_its_anchor_is_named_with_the_anchors_line(tmp_path):
    path, place = tmp_path / "l.db", tmp_path / "a.jsonl"
    write(path, [entry(n) for n in range(3)], anchor=str(place), anchor_s=0)
    said = place.read_text().splitlines(keepends=True)
    last = json.loads(said[-1])
    place.write_text("".join([*said, said[-1].replace(last["hash"], "0" * 64)]))
    (damage,) = verify(open_ledger(path), read_anchors(str(place))).damages
    assert damage.seq == last["seq"]
    assert f"a.jsonl:{len(said)}, and anchored at {place}:{len(said) + 1}" in damage.what
    place.write_text(said[-1].replace(last["hash"], "0" * 64))
    (damage,) = verify(open_ledger(path), read_anchors(str(place))).damages
    assert damage.what == f"it is not the entry that was anchored at {place}:1"


def test_heads_go_to_standard_output(tmp_path, capfd):
    write(tmp_path / "l.db", [entry(1)], anchor="stdout", anchor_s=0)
    lines_ = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [one["seq"] for one in lines_] == sorted(one["seq"] for one in lines_)
    assert lines_[-1]["seq"] == 2


def test_a_ledger_file_that_was_cut_off_is_an_error_that_says_so(tmp_path):
    path = tmp_path / "l.db"
    write(path, [entry(n) for n in range(300)])
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(LedgerError, match=r"malformed|not a database"):
        verify(open_ledger(path))


def test_erasing_unties_and_the_chain_still_verifies(tmp_path):
    path = tmp_path / "l.db"
    write(path, [entry(1, session="s", tags=("ann",)), entry(2, session="t")], [intent(1), intent(2)])
    conn = sqlite3.connect(path, isolation_level=None)
    salt, content = conn.execute(
        "SELECT salt, content FROM salt JOIN chain USING (request_id) WHERE request_id = 'sf-0001' AND content != ''"
    ).fetchone()
    assert digest_of(WORDS, bytes.fromhex(salt)) == content
    assert erase(conn, "session", "s", "e1").requests == ("sf-0001",)
    assert conn.execute("SELECT request_id FROM salt").fetchall() == [("sf-0002",)]
    kept = access(conn, "request", "sf-0001")[0]
    assert (kept["session_id"], kept["tags"], kept["key_id"]) == (None, "[]", "(erased)")
    assert erase(conn, "session", "s", "e2").requests == ()
    found = verify(open_ledger(path))
    assert found.whole
    assert [line.detail["requests"] for line in lines(conn, 0, 1 << 60) if line.kind == "erasure"] == [1, 0]


def test_access_shows_calls_and_trail(tmp_path):
    path = tmp_path / "l.db"
    write(path, [entry(1, session="s")], [intent(1)])
    (one,) = access(open_ledger(path), "session", "s")
    assert len(one["calls"]) == len(plain_entry(1).attempts)
    assert {line["kind"] for line in one["audit"]} == {"intent", "decision"}


def test_retention_by_class(tmp_path):
    path = tmp_path / "l.db"
    write(path, [entry(1), entry(2, DataClass.internal)], [intent(1)])
    conn = sqlite3.connect(path, isolation_level=None)
    later = NOW + 40 * 86_400_000_000
    assert retain(conn, {"health": 30, "internal": 90}, later, "r") == {"health": 1, "internal": 0}
    assert conn.execute("SELECT id FROM request").fetchall() == [("sf-0002",)]
    assert verify(open_ledger(path)).whole
