"""Building: only what changed is done again, a killed build goes on, and a bad file stops nothing."""

from __future__ import annotations

import os
import signal
import sqlite3

import numpy as np
import pytest

from smallfirst.errors import DataError, SetupError
from smallfirst.tasks.kb.building import BATCH, build
from smallfirst.tasks.kb.search import Index
from smallfirst.tasks.kb.store import Store
from tests.tasks.letters import Letters


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "docs"
    made.mkdir()
    (made / "leave.md").write_text("# Leave\n\nStaff have 27 days of leave.\n\n## Sick\n\nA note from day four.")
    (made / "sub").mkdir()
    (made / "sub" / "vpn.txt").write_text("The VPN is called Causeway.")
    return made


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "kb", create=True)
    yield store
    store.close()


def whole(store) -> None:
    """The index of words agrees with the passages."""
    with sqlite3.connect(store.path) as conn:
        conn.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")


def test_only_what_changed_is_embedded_again(folder, store) -> None:
    encoder = Letters()
    built = build(folder, store, encoder)
    assert (built.added, built.embedded) == (2, 3)
    again = build(folder, store, encoder)
    assert (again.unchanged, again.embedded) == (2, 0)
    (folder / "leave.md").write_text("# Leave\n\nStaff have 27 days of leave.\n\n## Sick\n\nA note from day three.")
    (folder / "sub" / "vpn.txt").unlink()
    changed = build(folder, store, encoder)
    assert (changed.changed, changed.removed, changed.unchanged, changed.embedded) == (1, 1, 0, 1)
    assert len(encoder.seen) == 4
    assert list(store.documents()) == ["leave.md"]
    assert not store.matching('"causeway"', 5, 1.0)
    assert not store.matching('"four"', 5, 1.0)
    assert store.matching('"three"', 5, 1.0)
    whole(store)


def test_another_encoder_embeds_everything_again_and_none_leaves_it(folder, store) -> None:
    build(folder, store, Letters())
    assert build(folder, store, None).embedded == 0
    assert store.counts() == (2, 3, 0)
    assert build(folder, store, Letters("others")).embedded == 3


class Killed(Exception):
    pass


class Mortal(Letters):
    """Dies when it is asked the second time."""

    def embed(self, texts, told=None):
        if self.seen:
            raise Killed
        return super().embed(texts, told)


def test_a_build_killed_in_the_middle_goes_on_where_it_was(tmp_path, store) -> None:
    docs = tmp_path / "many"
    docs.mkdir()
    count = 2 * BATCH + 5
    for n in range(count):
        (docs / f"{n:03}.txt").write_text(f"Shelf {n} holds part {n * 7}.")
    with pytest.raises(Killed):
        build(docs, store, Mortal())
    assert store.counts() == (count, count, count - BATCH)
    index = Index(store.path.parent, Letters())
    assert index.search("part 35", 1)[0].passage.text == "Shelf 5 holds part 35."  # by words: it has no vector yet
    built = build(docs, store, Letters())
    assert (built.unchanged, built.embedded) == (count, count - BATCH)
    assert store.counts()[2] == 0
    whole(store)


def test_a_process_that_is_killed_loses_at_most_a_batch(tmp_path, store) -> None:
    docs = tmp_path / "many"
    docs.mkdir()
    count = 2 * BATCH + 5
    for n in range(count):
        (docs / f"{n:03}.txt").write_text(f"Shelf {n} holds part {n * 7}.")

    class Killing(Letters):
        def embed(self, texts, told=None):
            if self.seen:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().embed(texts, told)

    child = os.fork()
    if child == 0:
        build(docs, Store(store.path.parent), Killing())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert build(docs, store, Letters()).embedded == count - BATCH
    whole(store)


def test_killed_between_two_documents(folder, store, monkeypatch) -> None:
    put = Store.put

    def dies(self, name, *rest):
        put(self, name, *rest)
        raise Killed

    monkeypatch.setattr(Store, "put", dies)
    with pytest.raises(Killed):
        build(folder, store, Letters())
    monkeypatch.undo()
    assert list(store.documents()) == ["leave.md"]
    built = build(folder, store, Letters())
    assert (built.added, built.unchanged) == (1, 1)


def test_rubbish_is_named_and_left_out(folder, store) -> None:
    (folder / "latin.txt").write_bytes("Büro".encode("latin-1"))
    (folder / "empty.md").write_text("")
    (folder / "torn.pdf").write_bytes(b"%PDF-1.7 torn")
    (folder / "torn.docx").write_bytes(b"PK\x03\x04 torn")
    (folder / "headings.md").write_text("# Only\n\n## Headings\n")
    (folder / "nul.html").write_bytes(b"<p>\x00\x01<![CDATA[<!DOCTYPE<")
    (folder / ".hidden.md").write_text("not for us")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8")
    built = build(folder, store, Letters())
    assert {name for name, _ in built.failed} >= {"latin.txt", "empty.md", "torn.pdf", "torn.docx", "headings.md"}
    assert all(name in why for name, why in built.failed)
    assert "not UTF-8" in dict(built.failed)["latin.txt"]
    assert {"leave.md", "sub/vpn.txt"} <= set(store.documents()) <= {"leave.md", "sub/vpn.txt", "nul.html"}


def test_what_was_known_of_a_file_stays_while_it_cannot_be_read(folder, store) -> None:
    build(folder, store, Letters())
    (folder / "leave.md").write_bytes(b"\xff\xfe\xff")
    assert [name for name, _ in build(folder, store, Letters()).failed] == ["leave.md"]
    assert "leave.md" in store.documents()


def test_a_folder_without_documents_and_a_folder_without_a_knowledge_base(tmp_path, store) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no file in it that can be read"):
        build(tmp_path / "none", store, None)
    with pytest.raises(DataError, match="kb build"):
        Index(tmp_path / "none")
    (tmp_path / "none" / "kb.db").write_bytes(b"not a database, but long enough to be looked at as one" * 20)
    with pytest.raises(DataError, match="can't be used"):
        Index(tmp_path / "none")


def test_an_open_index_follows_a_later_build(folder, store) -> None:
    build(folder, store, Letters())
    index = Index(store.path.parent, Letters())
    (folder / "fire.md").write_text("# Fire\n\nMeet at the anchor on the quay.")
    build(folder, store, Letters())
    assert index.search("anchor quay", 1)[0].passage.document == "fire.md"
    (folder / "fire.md").unlink()
    build(folder, store, Letters())
    assert all(hit.passage.document != "fire.md" for hit in index.search("anchor quay", 5))


def test_vectors_of_another_encoder_are_refused(folder, store) -> None:
    build(folder, store, Letters())
    with pytest.raises(SetupError, match="vectors of letters"):
        Index(store.path.parent, Letters("others"))


def test_words_alone(folder, store) -> None:
    build(folder, store, None)
    index = Index(store.path.parent)
    hit = index.search("what is the VPN called?", 1)[0]
    assert (hit.passage.document, hit.cosine) == ("sub/vpn.txt", 0.0)
    assert index.search('"?* OR ( NEAR') == []  # FTS5's own syntax is only words here
    assert index.search("") == []


def test_meaning_finds_what_shares_no_word(folder, store) -> None:
    encoder = Letters()
    build(folder, store, encoder)
    hits = Index(store.path.parent, encoder).search("uaseycaw", 3)
    assert hits[0].passage.document == "sub/vpn.txt"
    assert hits[0].bm25 == 0.0
    assert np.isclose(hits[0].cosine, max(hit.cosine for hit in hits))
