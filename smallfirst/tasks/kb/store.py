"""A knowledge base on disk: documents, their passages, an index of words, and vectors for each passage.

Knows one SQLite file (`kb.db` in the folder) and its tables. Does not know where documents come from (building.py) or
how passages are ranked (search.py). Words are indexed by FTS5 (Porter's stems); the vectors of a passage, one for each
window of it, lie beside it as float16 and are read into one matrix. A build that was killed leaves whole documents,
some of which wait for vectors.

One file keeps what belongs together in one transaction: a passage can't be found by its words and missed by its text.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.errors import DataError

Floats = npt.NDArray[np.float32]

FORMAT = 1
FILE = "kb.db"

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE document (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, passages INTEGER NOT NULL);
CREATE TABLE passage (
    id INTEGER PRIMARY KEY AUTOINCREMENT, document_id INTEGER NOT NULL REFERENCES document (id) ON DELETE CASCADE,
    title TEXT NOT NULL, text TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, vector BLOB);
CREATE INDEX passage_of ON passage (document_id);
CREATE INDEX passage_waits ON passage (id) WHERE vector IS NULL;
CREATE VIRTUAL TABLE words USING fts5(
    title, text, content = 'passage', content_rowid = 'id', tokenize = 'porter unicode61 remove_diacritics 2');
CREATE TRIGGER passage_in AFTER INSERT ON passage BEGIN
    INSERT INTO words (rowid, title, text) VALUES (new.id, new.title, new.text); END;
CREATE TRIGGER passage_out AFTER DELETE ON passage BEGIN
    INSERT INTO words (words, rowid, title, text) VALUES ('delete', old.id, old.title, old.text); END;
"""

_PASSAGE = (
    "SELECT p.id, d.name, p.title, p.text, p.start, p.stop FROM passage p JOIN document d ON d.id = p.document_id"
)


class Passage(msgspec.Struct, frozen=True):
    """A stretch of a document: `start..end` are characters of its text as `text/documents.py` reads it."""

    id: int
    document: str  # its name: the path inside the folder that was read
    title: str
    text: str
    start: int
    end: int


class Document(msgspec.Struct, frozen=True):
    """One document as the store knows it. `digest` is of the file's bytes."""

    name: str
    digest: str
    passages: int


class Store:
    """One knowledge base. Any thread may call it; calls take turns."""

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        """Raises DataError where there is none (and `create` does not ask for one), or it can't be used."""
        self.path = folder / FILE
        if not create and not self.path.is_file():
            raise DataError(
                f"{folder}: no knowledge base there; make one with `smallfirst kb build DIR --out {folder}`"
            )
        self._lock = threading.RLock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._conn = sqlite3.connect(self.path, timeout=5, isolation_level=None, check_same_thread=False)
            self._peek = sqlite3.connect(self.path, timeout=5, isolation_level=None, check_same_thread=False)
            self._conn.execute("PRAGMA journal_mode = WAL")
            self._conn.execute("PRAGMA synchronous = NORMAL")
            self._conn.execute("PRAGMA foreign_keys = ON")
            self._prepare()
        except (sqlite3.Error, OSError) as fault:
            raise DataError(f"{self.path}: can't be used as a knowledge base ({fault})") from fault

    def _prepare(self) -> None:
        there = "SELECT 1 FROM sqlite_master WHERE name = 'meta'"
        if not self._conn.execute(there).fetchone():
            with self.writing():
                if not self._conn.execute(there).fetchone():  # another process may have been quicker
                    for statement in _statements(_TABLES):
                        self._conn.execute(statement)
                    self.note("format", str(FORMAT))
        if self.said("format") != str(FORMAT):
            found = self.said("format")
            raise DataError(
                f"{self.path}: format {found}; this version reads {FORMAT}: build it anew in another folder"
            )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: all of it or nothing."""
        with self._lock:
            self._conn.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._conn.execute("COMMIT")
            finally:
                if self._conn.in_transaction:
                    self._conn.execute("ROLLBACK")

    def said(self, key: str) -> str | None:
        """What was noted under `key`."""
        with self._lock:
            row = self._conn.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def note(self, key: str, value: str) -> None:
        with self._lock:
            self._conn.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def documents(self) -> dict[str, Document]:
        """By name."""
        with self._lock:
            rows = self._conn.execute("SELECT name, digest, passages FROM document ORDER BY name").fetchall()
        return {name: Document(name, digest, passages) for name, digest, passages in rows}

    def put(self, name: str, digest: str, pieces: Sequence[tuple[str, str, int, int]]) -> None:
        """A document with its passages (title, text, start, end), in place of the one of that name.

        A passage that stood in the old one word for word keeps its vector.
        """
        with self.writing():
            known = self._vectors_of(name)
            self._conn.execute("DELETE FROM document WHERE name = ?", (name,))
            made = self._conn.execute(
                "INSERT INTO document (name, digest, passages) VALUES (?, ?, ?)", (name, digest, len(pieces))
            )
            self._conn.executemany(
                "INSERT INTO passage (document_id, title, text, start, stop, vector) VALUES (?, ?, ?, ?, ?, ?)",
                ((made.lastrowid, title, text, at, to, known.get((title, text))) for title, text, at, to in pieces),
            )

    def _vectors_of(self, name: str) -> dict[tuple[str, str], bytes]:
        rows = self._conn.execute(
            "SELECT p.title, p.text, p.vector FROM passage p JOIN document d ON d.id = p.document_id"
            " WHERE d.name = ? AND p.vector IS NOT NULL",
            (name,),
        )
        return {(title, text): vector for title, text, vector in rows}

    def remove(self, name: str) -> None:
        """Forget a document and its passages."""
        with self.writing():
            self._conn.execute("DELETE FROM document WHERE name = ?", (name,))

    def forget_vectors(self) -> None:
        """All passages wait for vectors again: another encoder is used from now on."""
        with self.writing():
            self._conn.execute("UPDATE passage SET vector = NULL")

    def waiting(self, most: int) -> list[tuple[int, str, str]]:
        """(id, title, text) of up to `most` passages that have no vector yet."""
        with self._lock:
            rows = self._conn.execute(
                "SELECT id, title, text FROM passage WHERE vector IS NULL ORDER BY id LIMIT ?", (most,)
            )
            return rows.fetchall()

    def give_vectors(self, ids: Sequence[int], vectors: Sequence[Floats]) -> None:
        """To each passage the (w, d) unit rows of its w windows, kept as float16."""
        packed = [rows.astype(np.float16).tobytes() for rows in vectors]
        with self.writing():
            self.note("dimensions", str(vectors[0].shape[1]))
            self._conn.executemany("UPDATE passage SET vector = ? WHERE id = ?", zip(packed, ids, strict=True))

    def counts(self) -> tuple[int, int, int]:
        """(documents, passages, passages that wait for a vector)."""
        with self._lock:
            row = self._conn.execute(
                "SELECT (SELECT count(*) FROM document), (SELECT count(*) FROM passage),"
                " (SELECT count(*) FROM passage WHERE vector IS NULL)"
            ).fetchone()
        return row[0], row[1], row[2]

    def ids(self) -> npt.NDArray[np.int64]:
        """(n,) of all passages, ascending."""
        with self._lock:
            rows = self._conn.execute("SELECT id FROM passage ORDER BY id").fetchall()
        return np.array([id for (id,) in rows], dtype=np.int64)

    def matrix(self) -> tuple[npt.NDArray[np.int64], Floats]:
        """((n,) passage ids ascending, (n, d) unit rows): a row for each window that has been embedded."""
        with self._lock:
            rows = self._conn.execute("SELECT id, vector FROM passage WHERE vector IS NOT NULL ORDER BY id").fetchall()
            width = int(self.said("dimensions") or 1)
        counts = [len(vector) // (2 * width) for _, vector in rows]
        ids = np.repeat(np.array([id for id, _ in rows], dtype=np.int64), counts)
        vectors = np.frombuffer(b"".join(vector for _, vector in rows), dtype=np.float16)
        return ids, vectors.reshape(-1, width).astype(np.float32)

    def matching(self, expression: str, most: int, title_weight: float) -> list[tuple[int, float]]:
        """(passage id, BM25) for an FTS5 expression, best first; higher is better."""
        with self._lock:
            rows = self._conn.execute(
                "SELECT rowid, -bm25(words, ?, 1.0) AS score FROM words WHERE words MATCH ? ORDER BY score DESC, rowid"
                " LIMIT ?",
                (title_weight, expression, most),
            )
            return rows.fetchall()

    def passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        """By id; those that are not there any more are left out."""
        marks = ", ".join("?" * len(ids))
        with self._lock:
            rows = self._conn.execute(f"{_PASSAGE} WHERE p.id IN ({marks})", tuple(ids)).fetchall()
        return {row[0]: Passage(*row) for row in rows}

    def of_document(self, name: str) -> list[Passage]:
        """A document's passages in order."""
        with self._lock:
            rows = self._conn.execute(f"{_PASSAGE} WHERE d.name = ? ORDER BY p.start", (name,)).fetchall()
        return [Passage(*row) for row in rows]

    def stamp(self) -> str:
        """Changes with every build that ends. Never waits for whoever searches: a few microseconds."""
        row = self._peek.execute("SELECT value FROM meta WHERE key = 'built'").fetchone()
        return "" if row is None else str(row[0])

    def close(self) -> None:
        with self._lock:
            self._conn.close()
            self._peek.close()


def _statements(script: str) -> Iterator[str]:
    """One statement at a time, so that they stay inside the transaction (executescript would end it)."""
    held = ""
    for line in script.strip().splitlines():
        held += line + "\n"
        if sqlite3.complete_statement(held):
            yield held
            held = ""
