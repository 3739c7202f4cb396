"""How long calls took, as the ledger recorded them: what latency laws are fitted to.

Knows the attempt table. Does not know laws (evals/latency_fit.py has those) or who served what.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from smallfirst.errors import LedgerError
from smallfirst.store.connection import Connection

_TIMINGS = """
    SELECT model, ttft_us, latency_us, in_tokens, out_tokens FROM attempt
    WHERE status = 'ok' AND tries = 1 AND latency_us > 0 AND out_tokens > 0
    ORDER BY request_id DESC, n LIMIT ?
"""

MOST = 200_000
"""Calls looked at, the newest (ids sort by time)."""


class Timing(NamedTuple):
    """One call that went well at the first try. `ttft_us` is None where the answer was not streamed."""

    model: str
    ttft_us: int | None
    latency_us: int
    input_tokens: int
    output_tokens: int


def timings(conn: Connection, most: int = MOST) -> list[Timing]:
    """The newest calls, at most so many. Raises LedgerError."""
    try:
        return [Timing(*row) for row in conn.execute(_TIMINGS, (most,))]
    except sqlite3.Error as fault:
        raise LedgerError(f"the ledger can't be read: {fault}") from fault
