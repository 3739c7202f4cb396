"""One small interface over SQLite and PostgreSQL, for rooms whose tables several processes share.

Knows transactions and migrations of both. Does not know tables. Statements are written once, with `?` for values, in
the SQL that both take. (The ledger, which writes thousands of rows a second, talks to SQLite itself.)
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from smallfirst.errors import LedgerError, StoreError
from smallfirst.store import migrations
from smallfirst.store.migrations import Step
from smallfirst.store.sqlite import open_database, sqlite_path

Value = str | int | float | None
Run = Callable[[str, Sequence[Value]], list[tuple[Any, ...]]]
"""Runs one statement inside the open transaction; its rows, if it gives any."""


class Database(Protocol):
    """A connection that any thread may use; transactions of one object take turns."""

    def migrate(self, room: str, steps: Sequence[Step]) -> None:
        """Bring the room's tables up to date. Raises StoreError."""
        ...

    def transaction(self) -> AbstractContextManager[Run]:
        """All of it or nothing, and on the disk when it ends. Raises StoreError for a fault of the database."""
        ...

    def close(self) -> None: ...


def open_any(url: str | None, default: Path) -> Database:
    """The database that `url` names: sqlite:///path or postgresql://...; without one, the SQLite file `default`.

    Raises StoreError; SetupError where PostgreSQL's driver is not installed.
    """
    if url is not None and url.startswith(("postgresql://", "postgres://")):
        from smallfirst.store.postgres import PostgresDatabase  # noqa: PLC0415 - an extra, and only some need it

        return PostgresDatabase(url)
    try:
        return SqliteDatabase(default if url is None else sqlite_path(url))
    except LedgerError as fault:
        raise StoreError(
            str(fault).replace("ledger.url", "keys.url").replace("the ledger ", "the database ")
        ) from fault


class SqliteDatabase:
    """One file. Transactions take the write lock at once, so that what they read can't change under them."""

    def __init__(self, path: Path) -> None:
        self._conn = open_database(path)
        self._conn.execute("PRAGMA synchronous = FULL")  # what was spent must not be forgotten by a loss of power
        self._lock = threading.Lock()

    def migrate(self, room: str, steps: Sequence[Step]) -> None:
        try:
            with self._lock:
                migrations.migrate(self._conn, room, steps)
        except LedgerError as fault:
            raise StoreError(str(fault)) from fault

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        with self._lock:
            try:
                self._conn.execute("BEGIN IMMEDIATE")
                yield self._run
                self._conn.execute("COMMIT")
            except sqlite3.Error as fault:
                raise StoreError(f"the database can't be used: {fault}") from fault
            finally:
                if self._conn.in_transaction:
                    self._conn.execute("ROLLBACK")

    def _run(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        return self._conn.execute(sql, tuple(values)).fetchall()

    def close(self) -> None:
        with self._lock:
            self._conn.close()
