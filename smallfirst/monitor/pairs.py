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
