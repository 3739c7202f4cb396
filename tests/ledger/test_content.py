"""Content is sealed under keys that can be destroyed, kept as long as its class allows, and never without a key."""

from __future__ import annotations

import sys

import pytest

from smallfirst.core import DataClass
from smallfirst.errors import LedgerError, SetupError
from smallfirst.ledger.audit import verify
from smallfirst.ledger.compact import compact
from smallfirst.ledger.content import Content, Reader, expire
from smallfirst.ledger.erasure import access, erase
from smallfirst.ledger.queries import open_ledger
from smallfirst.ledger.rekey import rekey
from smallfirst.ledger.sealing import Lock, master_problem, new_key, read_master
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.writer import Ledger
from smallfirst.store.connection import open_to_write
from tests.ledger.entries import NOW
from tests.ledger.stores import KEPT, MASTER_KEY, change, entry, rows, write

SECRET = b'{"messages":[{"role":"user","content":"my biopsy on Tuesday"}]}'
OTHER_KEY = "cd" * 32
MASTER = read_master(MASTER_KEY)


def content(number, key_id="ann", team="crimson", data_class=DataClass.health):
    id_ = f"sf-{number:04}"
    return Content(id_, NOW, data_class, key_id, team, (("request", SECRET), ("answer", b'"rest"')))


def fill(place, *contents):
    made = [
        entry(int(one.request_id[3:]), one.data_class, key_id=one.key_id, tags=(f"team:{one.team}",),
              subject=f"p-{one.request_id}")
        for one in contents
    ]  # fmt: skip
    return write(place, made, contents={one.request_id: one for one in contents}, **KEPT)


def read(place, request_id, master=MASTER):
    conn = open_ledger(place)
    try:
        return Reader(conn, master).read(request_id)
    finally:
        conn.close()


def bytes_on_disk(place):
    return b"".join(file.read_bytes() for file in place.parent.iterdir() if file.name.startswith(place.name))


def test_what_is_kept_comes_back_and_is_nowhere_in_the_clear(place):
    fill(place, content(1), content(2, key_id="", team=""))
    for id_ in ("sf-0001", "sf-0002"):
        assert read(place, id_) == {"request": SECRET, "answer": b'"rest"'}
    (one,) = access(open_ledger(place), "key", "ann", Reader(open_ledger(place), MASTER).read)
    assert one["content"]["request"]["messages"][0]["content"] == "my biopsy on Tuesday"
    if not isinstance(place, str):
        assert b"biopsy" not in bytes_on_disk(place)


def test_only_classes_that_the_config_names_are_kept(place):
    fill(place, content(1, data_class=DataClass.internal), content(2))
    assert rows(place, "SELECT DISTINCT request_id FROM content") == [("sf-0002",)]


def test_without_a_key_nothing_is_opened_and_nothing_starts(place):
    fill(place, content(1))
    with pytest.raises(LedgerError, match="can't be opened"):
        read(place, "sf-0001", read_master(OTHER_KEY))
    with pytest.raises(LedgerError, match=r"sealed under another master key.*rekey"):
        Ledger.open(LedgerSettings(**KEPT | {"master_key": OTHER_KEY}), place)
    with pytest.raises(LedgerError, match="never kept without a key"):
        Ledger.open(LedgerSettings(**KEPT | {"master_key": None}), place)


@pytest.mark.parametrize(("text", "says"), [
    (None, "never kept without a key"), (" ", "never kept without a key"), ("ab" * 31, "holds|neither"),
    ("not a key!", "neither base64 nor hex"), ("c2hvcnQ=", "holds 5 bytes, not 32"),
])  # fmt: skip
def test_a_master_key_that_is_none_is_told_and_not_shown(text, says):
    with pytest.raises(LedgerError, match=says) as caught:
        read_master(text)
    assert (text or "?").strip() not in str(caught.value).replace(" ", "") or not (text or "").strip()


def test_a_master_key_may_be_hex_or_base64():
    import base64

    same = {read_master(text).id for text in (MASTER_KEY, base64.b64encode(bytes.fromhex(MASTER_KEY)).decode())}
    assert len(same) == 1
    assert master_problem(base64.urlsafe_b64encode(b"\xfb" * 32).decode()) is None


def test_a_sealed_part_opens_at_its_own_place_only(place):
    fill(place, content(1), content(2))
    change(place, "DELETE FROM content WHERE request_id = 'sf-0001' AND part = 'request'",
           "UPDATE content SET part = 'request' WHERE request_id = 'sf-0001'")  # fmt: skip
    with pytest.raises(LedgerError, match="sf-0001 request can't be opened"):
        read(place, "sf-0001")
    change(place, ("UPDATE content SET ciphertext = ? WHERE request_id = 'sf-0002'", (b"x" * 40,)))
    with pytest.raises(LedgerError, match="edited"):
        read(place, "sf-0002")


@pytest.mark.parametrize(("scope", "name", "left"), [
    ("request", "sf-0001", ["sf-0002", "sf-0003"]),
    ("subject", "p-sf-0001", ["sf-0002", "sf-0003"]),
    ("key", "ann", ["sf-0003"]),
    ("team", "crimson", ["sf-0003"]),
])  # fmt: skip
def test_erasing_shreds_keys_and_leaves_the_others(tmp_path, scope, name, left):
    place = tmp_path / "ledger.db"
    fill(place, content(1), content(2), content(3, "bob", "blue"))
    wrapped = rows(place, "SELECT wrapped_key FROM item_key WHERE request_id = 'sf-0001'")
    wrapped += rows(place, "SELECT wrapped_key FROM tenant_key WHERE key_id = 'ann'")
    sealed = rows(place, "SELECT ciphertext FROM content WHERE request_id = 'sf-0001'")
    conn = open_to_write(place)
    done = erase(conn, scope, name, "e1")
    compact(conn)
    destroyed = scope in ("key", "team")
    assert (done.contents, done.keys) == (3 - len(left), int(destroyed))
    assert sorted(rows(place, "SELECT DISTINCT request_id FROM content")) == [(one,) for one in left]
    for id_ in left:
        assert read(place, id_)["request"] == SECRET
    assert read(place, "sf-0001") == {}
    disk = bytes_on_disk(place)
    gone = wrapped if destroyed else wrapped[:1]
    assert not any(key in disk for (key,) in [*gone, *sealed]), "the very bytes are gone from the files"
    assert name.encode() not in disk or scope == "request"
    assert verify(conn).whole
    conn.close()


def test_after_an_erasure_a_key_goes_on_under_a_new_one(place):
    ledger = Ledger.open(LedgerSettings(**KEPT, batch_ms=2), place)
    conn = open_to_write(place)
    for number in (1, 2):
        ledger.record(entry(number, key_id="ann"), content(number))
        assert ledger.flush()
        if number == 1:
            erase(conn, "key", "ann", "e1")
    ledger.close()
    conn.close()
    assert read(place, "sf-0001") == {}
    assert read(place, "sf-0002")["request"] == SECRET
    keys = "SELECT destroyed_at IS NULL, wrapped_key FROM tenant_key ORDER BY created_at"
    (gone, wrapped), (lives, _) = rows(place, keys)
    assert (bool(gone), bytes(wrapped), bool(lives)) == (False, b"", True)


def test_content_expires_by_its_class(place):
    fill(place, content(1), content(2, data_class=DataClass.personal))
    conn = open_to_write(place)
    sooner, later = NOW + 2001 * 86_400_000_000, NOW + 3001 * 86_400_000_000
    assert [expire(conn, at) for at in (NOW, sooner, later)] == [0, 1, 1]
    assert rows(place, "SELECT * FROM item_key") == rows(place, "SELECT * FROM content") == []
    conn.close()


def test_keys_move_to_another_master_key_and_content_stays(place):
    fill(place, content(1), content(2, "bob"))
    conn = open_to_write(place)
    new = read_master(OTHER_KEY)
    with pytest.raises(LedgerError, match=f"under master key {MASTER.id}"):
        rekey(conn, read_master("ef" * 32), new)
    assert rekey(conn, MASTER, new) == 2
    assert rekey(conn, MASTER, new) == 0
    conn.close()
    assert read(place, "sf-0001", new)["request"] == SECRET
    with pytest.raises(LedgerError, match="can't be opened"):
        read(place, "sf-0001")


def test_a_gateway_that_an_old_key_was_taken_from_keeps_entries_without_content(place, caplog):
    ledger = Ledger.open(LedgerSettings(**KEPT, batch_ms=2), place)
    ledger.record(entry(1, key_id="ann"), content(1))
    assert ledger.flush()
    conn = open_to_write(place)
    rekey(conn, MASTER, read_master(OTHER_KEY))
    conn.close()
    ledger.record(entry(2, key_id="bob"), content(2, "bob"))
    ledger.close()
    assert rows(place, "SELECT count(*) FROM request") == [(2,)]
    assert rows(place, "SELECT DISTINCT request_id FROM content") == [("sf-0001",)]
    assert "another master key" in caplog.text


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(SetupError, match=r"smallfirst\[audit\]"):
        read_master(MASTER_KEY)


def test_no_two_seals_are_alike():
    lock = Lock(new_key())
    assert len({lock.seal(SECRET, "x") for _ in range(50)}) == 50
