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

    @property
    def input_tokens(self) -> int:
        """What the upstream reads, estimated."""
        return self.query.needs.input_tokens + (0 if self.edit is None else self.edit.input_tokens)


Write = Callable[[bytes], Coroutine[Any, Any, None]]
"""Passes a block on to whoever reads the answer; it waits while the reader is slow."""


def check(call: Call, permit: Permit) -> None:
    """What whoever sends asks before the first byte leaves. Raises PermissionError: that is a bug above it."""
    at = (call.model.name, call.replica.provider)
    if at not in permit.replicas:
        raise PermissionError(f"no permit to send to {call.model.name} at {call.replica.provider}")
    if at in permit.redact and not call.query.redacted:
        raise PermissionError(f"{call.model.name} at {call.replica.provider} may see only a redacted query")


class AnswerStream(Protocol):
    """An answer as it comes. Each block is one or more complete SSE events, relayed as the upstream wrote them.

    Never raises for an upstream's fault: iteration ends and `outcome.status` says why.
    """

    @property
    def tokens(self) -> int:
        """Events with content that have come so far."""
        ...

    @property
    def logprob(self) -> float | None:
        """Mean log-probability of the first choice's tokens so far; None where they are not read or not given."""
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
