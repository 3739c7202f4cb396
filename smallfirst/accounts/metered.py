"""A sender that pays for each call before it is made.

Knows a request's tab. Does not know who is called or why: it stands between the engine and whatever really sends, so
that every try of every call is reserved and settled, once each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Any

from smallfirst.accounts.tab import Hold, Tab
from smallfirst.core import Outcome, Permit
from smallfirst.models.sender import AnswerStream, Call, Sender, Write


class MeteredSender:
    """models/sender.py's Sender, for one request."""

    def __init__(self, sender: Sender, tab: Tab) -> None:
        self._sender, self._tab = sender, tab

    async def ask(self, call: Call, permit: Permit) -> Outcome:
        hold = await self._tab.reserve(call)
        if isinstance(hold, Outcome):
            return hold
        try:
            outcome = await self._sender.ask(hold.call, permit)
        except BaseException:
            hold.lost()
            raise
        hold.settle(outcome)
        return outcome

    def stream(self, call: Call, permit: Permit) -> MeteredStream:
        return MeteredStream(self._sender, self._tab, call, permit)

    async def close(self) -> None:
        """The sender beneath belongs to the engine."""


class MeteredStream:
    """models/sender.py's AnswerStream: pays before its first block, settles at its end."""

    def __init__(self, sender: Sender, tab: Tab, call: Call, permit: Permit) -> None:
        self._sender, self._tab, self._call, self._permit = sender, tab, call, permit
        self._inner: AnswerStream | None = None
        self._hold: Hold | None = None
        self._blocks: AsyncIterator[bytes] | None = None
        self._refused: Outcome | None = None

    @property
    def tokens(self) -> int:
        return self._inner.tokens if self._inner is not None else 0

    @property
    def logprob(self) -> float | None:
        return self._inner.logprob if self._inner is not None else None

    @property
    def outcome(self) -> Outcome:
        if self._refused is not None:
            return self._refused
        if self._inner is None:
            raise RuntimeError("the stream has not ended")
        return self._inner.outcome

    @property
    def tail(self) -> tuple[bytes, ...]:
        return self._inner.tail if self._inner is not None else ()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    def __anext__(self) -> Coroutine[Any, Any, bytes]:
        """Once it runs, the inner stream's own step: an event costs one call more, not a coroutine more."""
        return self._begin() if self._blocks is None else self._blocks.__anext__()  # type: ignore[return-value]

    async def _begin(self) -> bytes:
        hold = await self._tab.reserve(self._call)
        if isinstance(hold, Outcome):
            self._refused = hold
            raise StopAsyncIteration
        self._hold = hold
        self._inner = self._sender.stream(hold.call, self._permit)
        self._blocks = aiter(self._inner)
        return await anext(self._blocks)

    async def pour(self, write: Write) -> None:
        """The inner stream's own: the first block has been read by iteration."""
        if self._inner is not None:
            await self._inner.pour(write)

    async def aclose(self) -> None:
        hold, self._hold = self._hold, None
        try:
            if self._inner is not None:
                await self._inner.aclose()
            elif self._refused is None:
                self._inner = self._sender.stream(self._call, self._permit)  # never begun: it says how that is booked
                await self._inner.aclose()
        except BaseException:
            if hold is not None:
                hold.lost()
            raise
        if hold is not None and self._inner is not None:
            hold.settle(self._inner.outcome)
