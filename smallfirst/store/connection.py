"""What the ledger asks of a database connection: the part of sqlite3.Connection that it uses, which PostgreSQL behind
store/postgres_connection.py has too.

Knows shapes and how a place is opened. Does not know tables. The SQL is what both take; faults are sqlite3's classes,
whose tree is that of PEP 249, so that whoever reads or writes catches one tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from smallfirst.store.sqlite import open_database, open_readonly

Place = Path | str
"""A SQLite file, or a URL that begins with postgresql://."""


class Cursor(Protocol):
    """Rows of one statement."""

    @property
    def description(self) -> Any: ...

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """One connection, for one thread at a time. Every method raises sqlite3.Error."""

    @property
    def in_transaction(self) -> bool: ...

    def execute(self, sql: str, parameters: Any = ..., /) -> Cursor: ...

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Cursor: ...

    def close(self) -> None: ...


@runtime_checkable
class Server(Connection, Protocol):
    """A connection to a database server: it takes many rows at once, and gives them a few at a time."""

    def copy(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, all or none."""
        ...

    def walk(self, statement: str, values: Any) -> Iterator[Any]:
        """The rows of a SELECT, of one moment, in memory that does not grow with them."""
        ...


def walk(conn: Connection, statement: str, values: Sequence[Any] = ()) -> Iterator[Any]:
    """The rows of a SELECT, of one moment, in memory that does not grow with them."""
    return conn.walk(statement, values) if isinstance(conn, Server) else iter(conn.execute(statement, values))


def is_postgres(place: Place) -> bool:
    """Whether `place` is the URL of a PostgreSQL database."""
    return isinstance(place, str) and place.startswith(("postgresql://", "postgres://"))


def open_to_write(place: Place) -> Connection:
    """A connection that may write; a SQLite file is made where it is missing. Raises LedgerError, SetupError."""
    if isinstance(place, Path):
        return open_database(place)
    from smallfirst.store.postgres_connection import PostgresConnection  # noqa: PLC0415 - an extra, and only some need it

    return PostgresConnection(place)


def open_to_read(place: Place) -> Connection:
    """A connection that can only read; what it names must be there. Raises LedgerError, SetupError."""
    if isinstance(place, Path):
        return open_readonly(place)
    from smallfirst.store.postgres_connection import PostgresConnection  # noqa: PLC0415 - as above

    return PostgresConnection(place, readonly=True)


def shown(place: Place) -> str:
    """`place` as a message may show it: a URL's user and password are left out."""
    if isinstance(place, Path):
        return str(place)
    scheme, _, rest = place.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
