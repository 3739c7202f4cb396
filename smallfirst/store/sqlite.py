"""Opening a SQLite database, and reading the URL that names one.

Knows paths, pragmas and which faults of a file a person can mend. Does not know tables: each room brings its own
(store/migrations.py).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from smallfirst.errors import LedgerError

BUSY_MS = 5000
"""How long a statement waits for another process's write lock before it fails."""
CHECKPOINT_PAGES = 4000
"""The log is copied into the database each 16 MB: at SQLite's own 4 MB the writer spends a fifth of its time on it."""
SCHEME = "sqlite:///"


def sqlite_path(url: str) -> Path:
    """The file that `sqlite:///relative.db` or `sqlite:////absolute.db` names; `~` is the home folder.

    Raises LedgerError for any other URL.
    """
    path = url.removeprefix(SCHEME)
    if path == url or path in ("", ":memory:"):
        raise LedgerError(f"ledger.url: {_scheme(url)!r} names no file; write sqlite:///path/to/ledger.db")
    return Path(path).expanduser()


def _scheme(url: str) -> str:
    """What is safe to show of a URL that may hold a password."""
    return url.split("://", 1)[0] + "://..." if "://" in url else url


def open_database(path: Path) -> sqlite3.Connection:
    """A connection that may write, the file and its folder made where they are missing.

    WAL, so that readers never wait for the writer; explicit transactions; foreign keys checked; usable from one
    thread at a time, whichever that is. Raises LedgerError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise LedgerError(f"the folder of the ledger {path} can't be made: {fault.strerror}") from fault
    try:
        conn = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as fault:
        raise LedgerError(f"the ledger {path} can't be opened: {fault}") from fault
    try:
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = NORMAL")
        conn.execute("PRAGMA fullfsync = ON")  # macOS: a sync is one only with this; elsewhere nothing changes
        conn.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        conn.execute("PRAGMA foreign_keys = ON")
        conn.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten with zeros
    except sqlite3.Error as fault:
        conn.close()
        raise LedgerError(f"the ledger {path} can't be used: {fault}") from fault
    return conn


def open_readonly(path: Path) -> sqlite3.Connection:
    """A connection that can only read; the file must be there. Raises LedgerError."""
    if not path.is_file():
        raise LedgerError(f"there is no ledger at {path}")
    try:
        conn = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=BUSY_MS / 1000, uri=True)
    except sqlite3.Error as fault:
        raise LedgerError(f"the ledger {path} can't be opened: {fault}") from fault
    try:
        conn.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error as fault:
        conn.close()
        raise LedgerError(f"the ledger {path} can't be read: {fault}") from fault
    return conn
