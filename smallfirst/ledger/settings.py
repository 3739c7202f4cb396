"""The `ledger` section of the config, as a user writes it."""

from __future__ import annotations

from typing import Literal

import msgspec


class LedgerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`intent_from`: the data class from which an intent is committed before the first byte leaves."""

    url: str | None = None  # sqlite:///path or postgresql://...; default: ledger.db in the user's data folder
    intent_from: str = "personal"
    anchor: str | None = None  # where the audit chain's heads go: stdout, a file, or another database's URL
    anchor_s: float = 60.0  # how often
    retention_days: dict[str, int] = {}  # data class -> days after which `smallfirst audit retain` removes its requests
    content: Literal["none", "encrypted"] = "none"  # whether prompts and answers are stored
    master_key: str | None = None  # content: what wraps all other keys, 32 bytes in base64 or hex, from the environment
    content_days: dict[str, int] = {}  # data class -> days for which content is kept; of a class not named, none is
    floor_days: float = 30.0  # how long after its last turn a session is known to have been sensitive
    batch_ms: float = 100.0  # a killed process loses at most this much of the past,
    batch_rows: int = 1000  # and at most this many entries, while the disk keeps up
    on_fault: Literal["serve", "refuse"] = "serve"  # when it can't be written: serve on and count, or answer 503
    queue_rows: int = 100_000  # entries held while the disk doesn't; more are dropped
