"""Intents whose callers wait, and telling them from another thread.

Knows event loops and futures. Does not know what was committed or why it was not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from smallfirst.errors import LedgerError
from smallfirst.ledger.chain import Draft
from smallfirst.ledger.rows import Row


class Ask(msgspec.Struct):
    """An intent's row, and who waits for it."""

    row: Row
    draft: Draft
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


def settle(asks: Sequence[Ask], trouble: str | None) -> None:
    """Tell each caller that its intent is committed (None), or why not; one call into each loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Ask]] = {}
    for ask in asks:
        by_loop.setdefault(ask.loop, []).append(ask)
    for loop, mine in by_loop.items():
        try:
            loop.call_soon_threadsafe(_tell, mine, trouble)
        except RuntimeError:  # the loop has been closed: nobody waits any more
            continue


def give_up(ask: Ask) -> None:
    """In the loop of one who has waited long enough. What may still be written does no harm."""
    if not ask.done.done():
        ask.done.set_exception(LedgerError("the ledger took too long to commit an intent; nothing was sent"))


def _tell(asks: Sequence[Ask], trouble: str | None) -> None:
    """In the loop of those who wait. A caller that has gone is not told; its intent stays, which does no harm."""
    for ask in asks:
        if ask.done.done():
            continue
        if trouble is None:
            ask.done.set_result(None)
        else:
            ask.done.set_exception(LedgerError(trouble))
