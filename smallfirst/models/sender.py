"""What sends: the two calls that the engine makes, whatever stands behind them.

Knows the shape of a call and of a streamed answer. Does not know HTTP (http_sender.py) or scripts (scripted.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol

import msgspec

from smallfirst.core import Edit, Model, Outcome, Permit, Query, Replica


class Call(msgspec.Struct, frozen=True):
    """One query to one replica of one model."""

    model: Model
    replica: Replica
    query: Query
    edit: Edit | None = None
    logprobs: bool = False  # we want token log-probabilities although the client did not ask
    timeout_s: float = 120.0  # for the whole call; a stream: to its first byte, then for each gap
    text: bool = False  # a stream's outcome shall hold its text and tool calls (costs parsing each event)


Write = Callable[[bytes], Coroutine[Any, Any, None]]
"""Passes a block on to whoever reads the answer; it waits while the reader is slow."""


class AnswerStream(Protocol):
    """An answer as it comes. Each block is one or more complete SSE events, relayed as the upstream wrote them.

    Never raises for an upstream's fault: iteration ends and `outcome.status` says why.
    """

    @property
    def tokens(self) -> int:
        """Events with content that have come so far."""
        ...

    @property
    def outcome(self) -> Outcome:
        """How it ended; RuntimeError before the iteration has ended or `aclose` was called."""
        ...

    @property
    def tail(self) -> tuple[bytes, ...]:
        """Withheld events: those with a finish_reason, and the usage event; without `[DONE]`."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def pour(self, write: Write) -> None:
        """Pass each block that is still to come to `write`, until the iteration would end."""
        ...

    async def aclose(self) -> None:
        """Stop it: a stream that has not ended becomes `cancelled`. May be called twice."""
        ...


class Sender(Protocol):
    """Sends calls. Raises PermissionError when the permit does not cover (model, provider): that is a bug above it.

    An upstream's faults are an Outcome with another status than `ok`, never an exception.
    """

    async def ask(self, call: Call, permit: Permit) -> Outcome: ...

    def stream(self, call: Call, permit: Permit) -> AnswerStream: ...

    async def close(self) -> None: ...
