"""Audited answers in a file of their own, in the outcome format, for whoever has asked for that.

Knows one JSONL file in the user's data folder, readable by its owner alone. Does not know which requests may be kept:
monitor/audit.py asks for the data class first. The ledger never holds a text.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from smallfirst.models.answers import AnswerRow

PAIRS = "audited-answers.jsonl"


def keep(path: Path, rows: Sequence[AnswerRow]) -> None:
    """Append rows, all in one write. The file is made with mode 600. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "ab") as file:
        file.write(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def forget(path: Path, request_ids: Sequence[str]) -> int:
    """Overwrite the rows of these requests with spaces, in place: whoever appends meanwhile is not disturbed.

    Returns how many rows went. Raises OSError.
    """
    if not request_ids or not path.is_file():
        return 0
    gone, ids = 0, frozenset(request_ids)
    with path.open("r+b") as file:
        while line := file.readline():
            if line.strip() and _id(line) in ids:
                file.seek(-len(line), os.SEEK_CUR)
                file.write(b" " * (len(line) - 1) + b"\n")
                gone += 1
        file.flush()
        os.fsync(file.fileno())
    return gone


class _Row(msgspec.Struct):
    query_id: str = ""


_row = msgspec.json.Decoder(_Row)


def _id(line: bytes) -> str:
    try:
        return _row.decode(line).query_id
    except msgspec.MsgspecError:
        return ""
