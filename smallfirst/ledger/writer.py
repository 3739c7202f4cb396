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
from collections.abc import Sequence
from pathlib import Path

import msgspec

from smallfirst.core import DataClass, Entry, Intent
from smallfirst.errors import LedgerError, SetupError
from smallfirst.ledger.anchors import Anchors
from smallfirst.ledger.chain import Chain, Draft, Shadowed, decision_draft, intent_draft, shadow_draft
from smallfirst.ledger.commits import NotARow, Unwritten, write_chain, write_entries, write_intents
from smallfirst.ledger.content import Content, Keeper, require_master
from smallfirst.ledger.heads import head, start_draft
from smallfirst.ledger.migrations import ROOM, STEPS
from smallfirst.ledger.notes import Note, NoteQueue
from smallfirst.ledger.pseudonyms import pseudonyms
from smallfirst.ledger.rows import Row, Rows, entry_rows, intent_row
from smallfirst.ledger.sealing import read_master
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.waiting import Ask, give_up, settle
from smallfirst.privacy.classes import parse_class
from smallfirst.store.connection import Connection, Place, is_postgres, open_to_write
from smallfirst.store.migrations import migrate
from smallfirst.store.sqlite import sqlite_path

log = logging.getLogger(__name__)

INTENT_TIMEOUT_S = 10.0
"""A disk that takes longer than this for an intent is treated as one that refused it."""
CROWD, GATHER_S = 3, 0.004
"""Where the last commit held so many intents, the next waits up to so long for others on their way: a commit takes
as much of a core for ten as for one, and at 64 in flight each stands in line for that work, not for the wait."""
MOST_LINKS = 10_000
"""Links that are committed together: an intent never waits for more."""
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

    def __init__(self, conn: Connection, settings: LedgerSettings) -> None:
        """Takes over `conn`, whose tables must be there (`Ledger.open` sees to both). Raises LedgerError."""
        self._conn, self._settings = conn, settings
        self.names = pseudonyms(conn)
        master = read_master(settings.master_key) if settings.content == "encrypted" else None
        if master is not None:
            require_master(conn, master)
        self._keeper = Keeper(self.names, master, settings.content_days)
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
        self._together = 0  # intents in the last commit
        self._unsure = False  # the last links may be in the database, or not: its answer was lost
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
    def open(cls, settings: LedgerSettings, place: Place) -> Ledger:
        """The ledger at `place`, made or brought up to date.

        Raises LedgerError, SetupError; also for a master key that is missing, or not the ledger's.
        """
        conn = open_to_write(place)
        try:
            migrate(conn, ROOM, STEPS)
            return cls(conn, settings)
        except (LedgerError, SetupError):
            conn.close()
            raise

    # What callers see

    def keeps(self, data_class: DataClass) -> bool:
        """Whether content of this class is to be given to `record`."""
        return self._keeper.wants(data_class)

    def record(self, entry: Entry, content: Content | None = None) -> None:
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
        if content is not None or entry.subject is not None:
            self._keeper.put(entry.id, entry.subject, content)
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
        ask = Ask(row, intent_draft(intent), loop, loop.create_future())
        patience = loop.call_later(INTENT_TIMEOUT_S, give_up, ask)
        self._asks.append(ask)
        self._wake.set()
        try:
            await ask.done
        finally:
            patience.cancel()

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
                self._purge()
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
        if self._asks and self._together >= CROWD:
            self._gather()
        asks = [self._asks.popleft() for _ in range(len(self._asks))]
        if not asks:
            return
        self._together = len(asks)
        drafts = [ask.draft for ask in asks]
        try:
            self._find_head()
            links = self._chain.link(drafts)
            write_intents(self._conn, [ask.row for ask in asks], links, _salts(drafts))
            self._chain.advance(links)
        except LedgerError as fault:
            self._unsure = True
            log.error("the ledger can't commit intents: %s; %d requests were refused", fault, len(asks))
            settle(asks, f"the ledger can't commit an intent ({fault}); nothing was sent")
        else:
            settle(asks, None)

    def _gather(self) -> None:
        """Wait for more intents for as long as they keep coming."""
        until, seen = time.monotonic() + GATHER_S, 0
        while seen < len(self._asks) and time.monotonic() < until:
            seen = len(self._asks)
            time.sleep(GATHER_S / 8)

    def _write_entries(self) -> None:
        """Batch after batch while they are due."""
        while self._entries_due():
            rows, room = self._rows, self._settings.batch_rows - len(self._batch)
            self._batch += [rows.popleft() for _ in range(min(len(rows), room))]
            if not self._batch:
                break
            try:
                kept = write_entries(self._conn, self._batch, self._keeper)
            except Unwritten as fault:
                self._keeper.failed()
                self._failed(fault)
                return
            self._keeper.written([str(request[0]) for _, request, _ in self._batch])
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
        while self._drafts and not self._rows and not self._batch:
            if self._pause_s and not self._closing and time.monotonic() < (self._due or 0):
                return
            drafts = [self._drafts.popleft() for _ in range(min(len(self._drafts), MOST_LINKS))]
            try:
                self._link(drafts)
            except Unwritten as fault:
                self._drafts.extendleft(reversed(drafts))
                self._failed(fault)
                return
            if self._pause_s:
                self._worked()
            self._anchors.keep(self._chain)
            if self._asks and not self._closing:
                return  # intents come first

    def _link(self, drafts: Sequence[Draft]) -> None:
        """Append to the chain. Raises Unwritten, and then none of it is there."""
        self._find_head()
        links = self._chain.link(drafts)
        try:
            write_chain(self._conn, links, _salts(drafts))
        except Unwritten:
            self._unsure = True
            self._find_head()
            if self._chain.head != links[-1][-1]:  # else the database has them, and only its answer was lost
                raise
        except NotARow as fault:
            if len(drafts) == 1:
                log.error("the audit chain dropped an entry of %s: %s", drafts[0].request_id, fault)
            else:
                for draft in drafts:
                    self._link((draft,))
        else:
            self._chain.advance(links)

    def _find_head(self) -> None:
        """After a fault: where the chain really stands, so that no number is given twice. Raises Unwritten."""
        if self._unsure:
            try:
                self._chain.stand(*head(self._conn, self.writer))
            except sqlite3.Error as fault:
                raise Unwritten(str(fault)) from fault
            self._unsure = False

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

    def _purge(self) -> None:
        """Content that has expired goes; where that fails it is tried again."""
        try:
            self._keeper.purge(self._conn)
        except sqlite3.Error as fault:
            log.error("the ledger could not remove expired content: %s", fault)

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


def place_of(url: str | None, default: Path) -> Place:
    """Where the ledger is: at its URL, else in the file `default`. Raises LedgerError."""
    if url is None:
        return default
    return url if is_postgres(url) else sqlite_path(url)


def _salts(drafts: Sequence[Draft]) -> list[Row]:
    return [(draft.request_id, draft.salt.hex()) for draft in drafts if draft.salt]
