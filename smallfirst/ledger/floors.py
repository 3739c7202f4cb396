"""The highest class that each session has had, in the ledger: a restart remembers it, and so do all processes that
share the ledger.

Knows the table session and privacy/floors.py's question. Does not know what makes a query sensitive. The table is asked
for every query of a session, because another process may have raised it a moment ago; the asks that wait at the same
moment share one look and one commit, in a thread of their own. What can't be looked up or kept is an error, and the
query is not sent.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Sequence

import msgspec

from smallfirst.core import DataClass
from smallfirst.errors import LedgerError, SetupError
from smallfirst.ledger.pseudonyms import Pseudonyms
from smallfirst.store.connection import Connection, Place, open_to_write

TIMEOUT_S = 10.0
PURGE_S = 600.0
AT_ONCE = 500
"""Sessions in one look."""

_SWEEP = "DELETE FROM session WHERE expires_at <= ?"
_RAISE = """
    INSERT INTO session (id, class_floor, expires_at) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET
        class_floor = CASE WHEN session.class_floor > excluded.class_floor AND session.expires_at > ?
            THEN session.class_floor ELSE excluded.class_floor END,
        expires_at = CASE WHEN session.expires_at > excluded.expires_at
            THEN session.expires_at ELSE excluded.expires_at END
    RETURNING class_floor
"""


class Ask(msgspec.Struct):
    """A query's session and class, and who waits for the floor."""

    id: str
    data_class: DataClass
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[DataClass]


class LedgerFloors:
    """privacy/floors.py's Floors over a ledger. Its thread begins with the first session."""

    def __init__(self, place: Place, names: Pseudonyms, usual: DataClass, days: float) -> None:
        """`usual`: the class that every query has at least; a session that never was above it needs no row. `days`: how
        long after its last turn a session is known."""
        self._place, self._names, self._usual = place, names, usual
        self._ttl_us = int(days * 86_400_000_000)
        self._asks: deque[Ask] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._next_sweep = 0.0

    async def raised(self, key_name: str | None, session: str, data_class: DataClass) -> DataClass:
        """As Floors. Raises LedgerError."""
        if self._closing:
            raise LedgerError("the ledger is closed; nothing may be sent of a session whose class can't be known")
        loop = asyncio.get_running_loop()
        ask = Ask(self._names.of_session(key_name, session), data_class, loop, loop.create_future())
        self._asks.append(ask)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="smallfirst-floors", daemon=True)
            self._thread.start()
        self._wake.set()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await ask.done
        except TimeoutError as fault:
            raise LedgerError("the ledger took too long to say which class a session has had") from fault

    def close(self) -> None:
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(TIMEOUT_S)

    def _run(self) -> None:
        conn: Connection | None = None
        while True:
            self._wake.wait()
            self._wake.clear()
            asks = [self._asks.popleft() for _ in range(min(len(self._asks), AT_ONCE))]
            if self._asks:
                self._wake.set()
            if asks:
                try:
                    conn = open_to_write(self._place) if conn is None else conn
                    found: dict[str, DataClass] | LedgerError = self._look(conn, asks)
                except (LedgerError, SetupError, sqlite3.Error) as fault:
                    found = LedgerError(f"which class a session has had can't be known ({fault}); nothing was sent")
                _answer(asks, found)
            elif self._closing:
                break
        if conn is not None:
            conn.close()

    def _look(self, conn: Connection, asks: Sequence[Ask]) -> dict[str, DataClass]:
        """The floor of each session, raised where need be. Raises sqlite3.Error."""
        now_us = time.time_ns() // 1000
        wanted: dict[str, DataClass] = {}
        for ask in asks:
            wanted[ask.id] = max(ask.data_class, wanted.get(ask.id, ask.data_class))
        marks = ", ".join("?" * len(wanted))
        query = f"SELECT id, class_floor, expires_at FROM session WHERE id IN ({marks}) AND expires_at > ?"  # noqa: S608
        known = {id_: (DataClass(floor), until) for id_, floor, until in conn.execute(query, (*wanted, now_us))}
        floors: dict[str, DataClass] = {}
        raised: list[str] = []
        for id_, data_class in wanted.items():
            floor, until = known.get(id_, (self._usual, 0))
            floors[id_] = max(floor, data_class)
            if floors[id_] > self._usual and (data_class > floor or until < now_us + self._ttl_us // 2):
                raised.append(id_)
        if raised:
            self._keep(conn, floors, raised, now_us)
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + PURGE_S
            conn.execute(_SWEEP, (now_us,))
        return floors

    def _keep(self, conn: Connection, floors: dict[str, DataClass], raised: Sequence[str], now_us: int) -> None:
        """Commit the floors that rose, in the order of their ids, as every process does. Raises sqlite3.Error."""
        try:
            conn.execute("PRAGMA synchronous = FULL")
            conn.execute("BEGIN IMMEDIATE")
            for id_ in sorted(raised):
                row = (id_, floors[id_].value, now_us + self._ttl_us, now_us)
                floors[id_] = max(floors[id_], DataClass(conn.execute(_RAISE, row).fetchone()[0]))
            conn.execute("COMMIT")
        finally:
            if conn.in_transaction:
                conn.execute("ROLLBACK")


def _answer(asks: Sequence[Ask], found: dict[str, DataClass] | LedgerError) -> None:
    """Tell each caller, with one call into each loop; a loop that has been closed has nobody who waits."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Ask]] = {}
    for ask in asks:
        by_loop.setdefault(ask.loop, []).append(ask)
    for loop, mine in by_loop.items():
        try:
            loop.call_soon_threadsafe(_tell, mine, found)
        except RuntimeError:
            continue


def _tell(asks: Sequence[Ask], found: dict[str, DataClass] | LedgerError) -> None:
    for ask in asks:
        if ask.done.done():
            continue
        if isinstance(found, LedgerError):
            ask.done.set_exception(found)
        else:
            ask.done.set_result(max(found[ask.id], ask.data_class))
