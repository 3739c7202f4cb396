"""PostgreSQL behind the interface of database.py.

Knows psycopg (the extra `postgres`). Does not know tables. A connection that was lost is made again with the next
transaction; the one that was cut is an error, and nothing of it has happened.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from smallfirst.errors import SetupError, StoreError
from smallfirst.store.database import Run, Value
from smallfirst.store.migrations import MIGRATING, Step

try:
    import psycopg
except ImportError as missing:  # pragma: no cover - the extra is installed wherever this is tested
    raise SetupError("keys.url names PostgreSQL: pip install 'smallfirst[postgres]'") from missing

CONNECT_S = 5
STATEMENT_MS = 5000
"""A statement that takes longer, be it for a lock, is given up."""


class PostgresDatabase:
    """One connection, used by one transaction at a time."""

    def __init__(self, url: str) -> None:
        """Raises StoreError when it can't be reached. `url` may hold a password: no message repeats it."""
        self._url = url
        self._lock = threading.Lock()
        self._conn = self._connect()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        try:
            return psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=CONNECT_S,
                options=f"-c statement_timeout={STATEMENT_MS} -c client_min_messages=warning",
            )
        except psycopg.Error as fault:
            raise StoreError(f"PostgreSQL can't be reached ({type(fault).__name__}); see keys.url") from None

    def migrate(self, room: str, steps: Sequence[Step]) -> None:
        """As store/migrations.py does it for SQLite, all missing steps in one transaction."""
        with self.transaction() as run:
            run("SELECT pg_advisory_xact_lock(?)", (MIGRATING,))
            run("CREATE TABLE IF NOT EXISTS schema_version (room TEXT PRIMARY KEY, version INTEGER NOT NULL)", ())
            rows = run("SELECT version FROM schema_version WHERE room = ?", (room,))
            done = int(rows[0][0]) if rows else 0
            if done > len(steps):
                raise StoreError(
                    f"the database is of a newer version ({room} {done}) than this smallfirst knows "
                    f"({room} {len(steps)}); upgrade smallfirst"
                )
            for step in steps[done:]:
                for statement in step:
                    run(statement, ())
            run(
                "INSERT INTO schema_version VALUES (?, ?) ON CONFLICT (room) DO UPDATE SET version = excluded.version",
                (room, len(steps)),
            )

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        with self._lock:
            if self._conn.closed:
                self._conn = self._connect()
            try:
                with self._conn.transaction():
                    yield self._run
            except psycopg.Error as fault:
                if isinstance(fault, psycopg.OperationalError | psycopg.InterfaceError):
                    self._conn.close()
                raise StoreError(f"the database can't be used: {_brief(fault)}") from None

    def _run(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        cursor = self._conn.execute(sql.replace("?", "%s"), tuple(values))
        return cursor.fetchall() if cursor.description is not None else []

    def close(self) -> None:
        with self._lock:
            self._conn.close()


def _brief(fault: psycopg.Error) -> str:
    """The server's words without the values they may quote."""
    return fault.diag.message_primary or type(fault).__name__
