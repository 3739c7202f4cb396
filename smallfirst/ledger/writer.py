"""Writes entries in batches off the request path, and intents before anything leaves.

Knows queues, commits and what to do when the disk is full. Does not know what a row holds (ledger/rows.py) or which
request needs an intent (the engine).

One thread owns the connection. Entries wait in memory until half a batch has come or half of `batch_ms` has passed:
with the half that is being committed a kill loses at most a batch. Intents jump the queue, are committed with a sync
to the disk, all that wait together, and only then is their caller told.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import sqlite3
import threading
import time
from collections import deque
from pathlib import Path

import msgspec

from smallfirst.core import Entry, Intent
from smallfirst.errors import LedgerError
from smallfirst.ledger.anchors import Anchors
from smallfirst.ledger.chain import Chain, Draft, Shadowed, decision_draft, intent_draft, shadow_draft
from smallfirst.ledger.commits import NotARow, Unwritten, write_chain, write_entries, write_intents
from smallfirst.ledger.heads import start_draft
from smallfirst.ledger.migrations import ROOM, STEPS
from smallfirst.ledger.notes import Note, NoteQueue
from smallfirst.ledger.rows import Row, Rows, entry_rows, intent_row
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.waiting import Ask, settle
from smallfirst.privacy.classes import parse_class
from smallfirst.store.migrations import migrate
from smallfirst.store.sqlite import open_database, sqlite_path

log = logging.getLogger(__name__)

INTENT_TIMEOUT_S = 10.0
"""A disk that takes longer than this for an intent is treated as one that refused it."""
RETRY_S = (0.05, 2.0)
"""After a failed write: the first pause, doubling up to the second."""


class State(msgspec.Struct, frozen=True):
    """How the writer is doing, for /ready and /metrics. Counts are of entries since the start."""

    recorded: int
    written: int
    dropped: int
    backlog: int  # recorded, neither written nor dropped yet: what a kill would lose now
    failing: bool
    trouble: str  # the last fault in words; empty when all is well


class Ledger:
    """The append-only record of one process. `record` is for one thread, the event loop's; the rest for any."""

    def __init__(self, conn: sqlite3.Connection, settings: LedgerSettings) -> None:
        """Takes over `conn`, whose tables must be there (`Ledger.open` sees to both)."""
        self._conn, self._settings = conn, settings
        self.writer = secrets.token_hex(6)
        self._half = max(1, settings.batch_rows // 2)
        self._gather_s = settings.batch_ms / 2000
        self._entry_seq, self._intent_seq = itertools.count(1), itertools.count(1)
        self._rows: deque[Rows] = deque()
        self._batch: list[Rows] = []  # taken from _rows, not yet committed
        self._asks: deque[Ask] = deque()
        self._notes = NoteQueue()
        self._flushes: deque[tuple[int, threading.Event]] = deque()  # and the sequence number each waits for
        self._chain = Chain(self.writer)
        self._drafts: deque[Draft] = deque(
            [start_draft(conn)]
        )  # decisions to be chained, in the order of their entries
        self._anchors = Anchors(settings.anchor, settings.anchor_s)
        self._chained_from = parse_class(settings.intent_from)
        self._wake = threading.Event()
        self._due: float | None = None  # time.monotonic() at which entries are written though half a batch has not come
        self._pause_s = 0.0  # > 0: the last write failed
        self._last = 0  # the last sequence number given
        self._written = self._written_seq = self._dropped = self._told = 0
        self._count = threading.Lock()  # for _dropped, which both threads add to
        self._trouble = ""
        self._closing = self._closed = False
        self._thread = threading.Thread(target=self._run, name="smallfirst-ledger", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, settings: LedgerSettings, path: Path) -> Ledger:
        """The ledger at `settings.url`, or else at `path`; made or brought up to date. Raises LedgerError."""
        conn = open_database(sqlite_path(settings.url) if settings.url else path)
        try:
            migrate(conn, ROOM, STEPS)
        except LedgerError:
            conn.close()
            raise
        return cls(conn, settings)

    # What callers see

    def record(self, entry: Entry) -> None:
        """Keep `entry`. Never blocks and never raises: what can't be kept is counted in `dropped` and logged."""
        self._last = seq = next(self._entry_seq)
        if self._closed or len(self._rows) >= self._settings.queue_rows:
            self._drop(1)
            return
        try:
            rows = entry_rows(entry, self.writer, seq)
            draft = decision_draft(entry) if entry.data_class >= self._chained_from else None
        except (AttributeError, TypeError, ValueError) as fault:  # a field that is not what core.py says
            self._drop(1)
            log.error("the ledger dropped an entry that is not one: %s", type(fault).__name__)
            return
        self._rows.append(rows)
        if draft is not None:
            self._drafts.append(draft)
        if (waiting := len(self._rows)) <= 1 or waiting == self._half:  # counted now: the writer may have taken some
            self._wake.set()

    def note(self, note: Note | Shadowed) -> None:
        """Keep a grade, feedback, an audit or a detector's state. Never blocks and never raises, as `record`."""
        if self._closed:
            log.error("the ledger is closed; a note was lost (%s)", type(note).__name__)
            return
        if isinstance(note, Shadowed):
            if note.data_class >= self._chained_from:
                self._drafts.append(shadow_draft(note))
        else:
            self._notes.put(note)
        self._wake.set()

    async def intent(self, intent: Intent) -> None:
        """Returns once `intent` is on the disk. Raises LedgerError if it can't be: then nothing may leave."""
        if self._closed:
            raise LedgerError("the ledger is closed; nothing may be sent without an intent")
        loop = asyncio.get_running_loop()
        row = intent_row(intent, self.writer, next(self._intent_seq))
        salt: Row | None = (intent.request_id, intent.salt.hex()) if intent.salt else None
        ask = Ask(row, intent_draft(intent), salt, loop, loop.create_future())
        self._asks.append(ask)
        self._wake.set()
        try:
            async with asyncio.timeout(INTENT_TIMEOUT_S):
                await ask.done
        except TimeoutError as fault:
            raise LedgerError("the ledger took too long to commit an intent; nothing was sent") from fault

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until all that was recorded so far is written. False: it could not be within `timeout_s` seconds."""
        if self._closed:
            return self.backlog == 0
        done = threading.Event()
        self._flushes.append((self._last, done))
        self._wake.set()
        return done.wait(timeout_s)

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what is left, for at most about `timeout_s` seconds, and close the file. A second call does nothing."""
        if self._closed:
            return
        self.flush(timeout_s)
        self._closing = self._closed = True
        self._wake.set()
        self._thread.join(timeout_s)
        if lost := self.backlog:
            self._drop(lost)
            log.error("the ledger was closed with %d entries unwritten: %s", lost, self._trouble or "out of time")
        if not self._thread.is_alive():
            self._conn.close()

    @property
    def backlog(self) -> int:
        """Entries recorded and neither written nor dropped: what a kill would lose now."""
        return max(0, self._last - self._written - self._dropped)

    @property
    def dropped(self) -> int:
        """Entries that were lost because the disk could not take them. Their sequence numbers are missing."""
        return self._dropped

    @property
    def failing(self) -> bool:
        """The last write failed, or the queue is full: entries are being held in memory, or lost."""
        return bool(self._trouble) or len(self._rows) >= self._settings.queue_rows

    @property
    def state(self) -> State:
        return State(self._last, self._written, self._dropped, self.backlog, self.failing, self._trouble)

    # What the writer's thread does

    def _run(self) -> None:
        while not self._closing:
            self._wait()
            try:
                self._write_intents()
                self._write_entries()
                self._write_chain()
                self._write_notes()
                self._answer_flushes()
            except Exception as fault:  # noqa: BLE001 - whatever it is, a dead writer would lose all that follows
                self._failed(fault)
        self._write_entries()
        self._write_chain()
        self._write_notes()
        settle(list(self._asks), "the ledger is closed; nothing was sent")

    def _wait(self) -> None:
        """Until there is something to do: at once for an intent, a flush or half a batch, else when entries are due."""
        now = time.monotonic()
        if self._asks or (not self._pause_s and (self._flushes or self._notes or len(self._rows) >= self._half)):
            return
        if (self._rows or self._batch) and self._due is None:
            self._due = now + self._gather_s
        self._wake.wait(None if self._due is None else max(0.0, self._due - now))
        self._wake.clear()

    def _write_intents(self) -> None:
        asks = [self._asks.popleft() for _ in range(len(self._asks))]
        if not asks:
            return
        try:
            links = self._chain.link([ask.draft for ask in asks])
            write_intents(self._conn, [ask.row for ask in asks], links, [ask.salt for ask in asks if ask.salt])
            self._chain.advance(links)
        except LedgerError as fault:
            log.error("the ledger can't commit intents: %s; %d requests were refused", fault, len(asks))
            settle(asks, f"the ledger can't commit an intent ({fault}); nothing was sent")
        else:
            settle(asks, None)

    def _write_entries(self) -> None:
        """Batch after batch while they are due."""
        while self._entries_due():
            rows, room = self._rows, self._settings.batch_rows - len(self._batch)
            self._batch += [rows.popleft() for _ in range(min(len(rows), room))]
            if not self._batch:
                break
            try:
                kept = write_entries(self._conn, self._batch)
            except Unwritten as fault:
                self._failed(fault)
                return
            self._written += kept
            self._written_seq = self._batch[-1][0]
            self._drop(spoiled := len(self._batch) - kept)
            self._told += spoiled  # write_entries has said so
            self._batch = []
            self._worked()
            if self._asks:
                return  # intents come first; the rest is still due
        if not self._rows and not self._batch:
            self._due = None

    def _write_chain(self) -> None:
        """Link the decisions whose entries have been written, and anchor the head when it is time."""
        if self._rows or self._batch or not self._drafts or (self._pause_s and not self._closing):
            return
        drafts = [self._drafts.popleft() for _ in range(len(self._drafts))]
        links = self._chain.link(drafts)
        try:
            write_chain(self._conn, links)
        except (Unwritten, NotARow) as fault:
            self._drafts.extendleft(reversed(drafts))
            self._failed(fault)
            return
        self._chain.advance(links)
        self._anchors.keep(self._chain)

    def _write_notes(self) -> None:
        """Those that wait; a pause after a fault holds for them too."""
        if self._notes and (self._closing or not self._pause_s or time.monotonic() >= (self._due or 0)):
            try:
                self._notes.write(self._conn)
            except Unwritten as fault:
                self._failed(fault)
            else:
                if self._pause_s:
                    self._worked()

    def _drop(self, entries: int) -> None:
        with self._count:
            self._dropped += entries

    def _entries_due(self) -> bool:
        if self._closing or (self._due is not None and time.monotonic() >= self._due):
            return True
        return not self._pause_s and (len(self._rows) >= self._half or bool(self._flushes))

    def _failed(self, fault: Exception) -> None:
        """Keep what is in hand, and try again after a pause."""
        first, longest = RETRY_S
        self._pause_s = min(longest, self._pause_s * 2 or first)
        self._due = time.monotonic() + self._pause_s
        self._trouble = str(fault)
        log.error(
            "the ledger can't write: %s; %d entries are held in memory, %d were dropped; trying again in %.2f s",
            fault,
            self.backlog,
            self._dropped,
            self._pause_s,
        )
        self._told = self._dropped

    def _worked(self) -> None:
        if self._pause_s:
            log.warning("the ledger writes again; %d entries were dropped since the start", self._dropped)
        self._pause_s, self._trouble, self._due = 0.0, "", None
        if self._dropped > self._told:
            log.error("the ledger could not keep up and has dropped %d entries since the start", self._dropped)
            self._told = self._dropped

    def _answer_flushes(self) -> None:
        while self._flushes:
            upto, done = self._flushes[0]
            if self._notes or self._drafts or ((self._rows or self._batch) and self._written_seq < upto):
                return
            done.set()
            self._flushes.popleft()
