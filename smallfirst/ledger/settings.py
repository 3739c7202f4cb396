"""The `ledger` section of the config, as a user writes it."""

from __future__ import annotations

from typing import Literal

import msgspec


class LedgerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`intent_from`: the data class from which an intent is committed before the first byte leaves."""

    url: str | None = None  # sqlite:///path; default: ledger.db in the user's data folder
    intent_from: str = "personal"
    content: Literal["none"] = "none"  # prompts and answers are not stored
    batch_ms: float = 100.0  # a killed process loses at most this much of the past,
    batch_rows: int = 1000  # and at most this many entries, while the disk keeps up
    on_fault: Literal["serve", "refuse"] = "serve"  # when it can't be written: serve on and count, or answer 503
    queue_rows: int = 100_000  # entries held while the disk doesn't; more are dropped
