"""PostgreSQL as the ledger knows SQLite: the same statements, the same faults.

Knows psycopg (the extra `postgres`) and what of SQLite's dialect the ledger writes: `?` and `:name` for values, BEGIN
IMMEDIATE, PRAGMA synchronous. Does not know tables. A connection that was lost is made again with the next
statement.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from smallfirst.errors import LedgerError, SetupError

try:
    import psycopg
    from psycopg import adapt, conninfo, sql
except ImportError as missing:  # pragma: no cover - the extra is installed wherever this is tested
    raise SetupError("ledger.url names PostgreSQL: pip install 'smallfirst[postgres]'") from missing

CONNECT_S = 5
WRITE_MS = 10_000
"""A statement of a writer that takes longer, be it for a lock, is given up. Readers may take as long as they like."""
TAKING_TURNS = 0x5F1258
"""The advisory lock of writers."""
AT_A_TIME = 2000
"""Rows that a reader holds: a chain of any length is walked in the same memory."""

_TO_JSON = ("json_group_object(", "json_object_agg(")
_NAMED = re.compile(r"(?<!:):([a-z_]+)\b")


class _Number(adapt.Loader):
    """Sums of whole numbers are NUMERIC in PostgreSQL; the ledger's are whole numbers."""

    def load(self, data: Any) -> int | float:
        text = bytes(data)
        return int(text) if text.lstrip(b"-").isdigit() else float(text)


class PostgresConnection:
    """store/connection.py's Connection. In a transaction only between BEGIN and COMMIT or ROLLBACK."""

    def __init__(self, url: str, *, readonly: bool = False) -> None:
        """Raises LedgerError when it can't be reached. `url` may hold a password: no message repeats it."""
        self._url, self._readonly = url, readonly
        self._durable = True
        self._cursors = 0
        try:
            self._conn = self._connect()
        except sqlite3.Error as fault:
            raise LedgerError(str(fault)) from None

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        try:
            options = f"{conninfo.conninfo_to_dict(self._url).get('options') or ''} -c client_min_messages=warning"
            options += " -c default_transaction_read_only=on" if self._readonly else f" -c statement_timeout={WRITE_MS}"
            conn = psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_S, options=options)
        except psycopg.Error as fault:
            words = f"PostgreSQL can't be reached ({type(fault).__name__}); see ledger.url"
            raise sqlite3.OperationalError(words) from None
        conn.adapters.register_loader("numeric", _Number)
        return conn

    @property
    def in_transaction(self) -> bool:
        status = psycopg.pq.TransactionStatus
        return not self._conn.closed and self._conn.info.transaction_status in (status.INTRANS, status.INERROR)

    def execute(self, statement: str, values: Any = (), /) -> psycopg.Cursor[Any]:
        if statement.startswith("PRAGMA synchronous"):
            self._durable = statement.endswith("FULL")
            return self._conn.cursor()
        if statement.startswith("BEGIN"):
            statement = self._begin(statement)
        if self._conn.closed and statement not in ("COMMIT", "ROLLBACK"):
            self._conn = self._connect()  # a transaction ends with its first fault, so that none is gone on with here
        try:
            return self._conn.execute(*_spoken(statement, values))
        except psycopg.Error as fault:
            raise _fault(fault) from None

    def executemany(self, statement: str, rows: Iterable[Any], /) -> psycopg.Cursor[Any]:
        cursor = self._conn.cursor()
        try:
            cursor.executemany(_translated(statement), rows)
        except psycopg.Error as fault:
            raise _fault(fault) from None
        return cursor

    def copy(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, many at once; all or none. A key that is there already is an error."""
        names = sql.SQL(", ").join([sql.Identifier(name) for name in columns])
        query = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
        try:
            with self._conn.cursor() as cursor, cursor.copy(query) as into:
                for row in rows:
                    into.write_row(row)
        except psycopg.Error as fault:
            raise _fault(fault) from None

    def walk(self, statement: str, values: Any) -> Iterator[tuple[Any, ...]]:
        """The rows, a few at a time, of one moment."""
        self._cursors += 1
        try:
            with self._conn.transaction(), self._conn.cursor(f"walk_{self._cursors}") as cursor:
                cursor.itersize = AT_A_TIME
                yield from cursor.execute(*_spoken(statement, values))
        except psycopg.Error as fault:
            raise _fault(fault) from None

    def close(self) -> None:
        self._conn.close()

    def _begin(self, statement: str) -> str:
        """IMMEDIATE: to write. Else to read, all at one moment.

        Writers that need no sync take turns, as on SQLite, so that what one reads and writes back no other has changed
        meanwhile; their commits take no time. Those with a sync (an intent's) do not wait for each other's disks.
        """
        if "IMMEDIATE" not in statement:
            return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        if self._durable:
            return "BEGIN; SET LOCAL synchronous_commit = on"
        return f"BEGIN; SET LOCAL synchronous_commit = off; SELECT pg_advisory_xact_lock({TAKING_TURNS})"


def _spoken(statement: str, values: Any) -> tuple[str, Any]:
    """In psycopg's notation. Without values nothing is put in, and a statement may be several."""
    if not values:
        return statement.replace(*_TO_JSON), None
    return _translated(statement), values if isinstance(values, Mapping) else tuple(values)


@lru_cache(maxsize=512)
def _translated(statement: str) -> str:
    """`:name` for values, or else `?`: never both, so that a literal '?' may stand beside names."""
    said = statement.replace("%", "%%").replace(*_TO_JSON)
    named = _NAMED.sub(r"%(\1)s", said)
    return named if named != said else said.replace("?", "%s")


def _fault(fault: psycopg.Error) -> sqlite3.Error:
    """The server's words without the values they may quote."""
    words = fault.diag.message_primary or type(fault).__name__
    if isinstance(fault, psycopg.IntegrityError):
        return sqlite3.IntegrityError(words)
    if isinstance(fault, psycopg.DataError):
        return sqlite3.DataError(words)
    if isinstance(fault, psycopg.ProgrammingError) and fault.sqlstate is None:  # a value that is none
        return sqlite3.ProgrammingError(words)
    return sqlite3.OperationalError(words)
