"""One call to one model: which replica gets it, and what is tried again.

Knows replicas, retries and back-off. Does not know policies: changing the *model* is always the policy's doing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping

import msgspec

from smallfirst.core import Model, Outcome, Permit, Query, Replica, Status, Usage
from smallfirst.engine.gates import Balancer, Blocked, Gate
from smallfirst.models.sender import AnswerStream, Call, Sender
from smallfirst.policy.protocol import Start

TRY_AGAIN = frozenset((Status.rate_limited, Status.unavailable, Status.broken))
"""Faults that another replica, or a moment's patience, may mend. Not a time-out: the caller has waited enough."""

BACK_OFF_S = 0.1
LONGEST_WAIT_S = 1.0
"""An upstream that asks for more patience than this is left to the policy, which has other models."""


class Begun:
    """A stream that has begun: its first block, the rest to iterate, and what to do when it is over."""

    def __init__(
        self,
        stream: AnswerStream,
        rest: AsyncIterator[bytes],
        first: bytes | None,
        tries: int,
        lost: int,
        gate: Gate,
    ) -> None:
        self.stream, self.rest, self.first, self.tries = stream, rest, first, tries
        self._lost, self._gate = lost, gate

    async def close(self) -> Outcome:
        """End it, wherever it is, and say how it ended."""
        await self.stream.aclose()
        outcome = self.stream.outcome
        if self.first is not None:
            self.first = None
            self._gate.leave(outcome.status, outcome.retry_after_s)
        return _with_tries(outcome, self.tries, self._lost)


class Caller:
    """Makes the calls that a policy asks for, for one query: the driver's performer."""

    def __init__(
        self,
        sender: Sender,
        balancer: Balancer,
        models: Mapping[str, Model],
        query: Query,
        permit: Permit,
        deadline_us: int | None = None,
    ) -> None:
        """`deadline_us`: when (time.monotonic_ns() / 1000) the caller has waited long enough."""
        self._sender, self._balancer, self._models = sender, balancer, models
        self._query, self._permit, self._deadline_us = query, permit, deadline_us

    async def ask(self, start: Start) -> Outcome:
        """Try each permitted replica until one answers. Never raises for an upstream's fault."""
        model = self._models[start.model]
        gates = self._balancer.order(model, self._permit)
        tries, lost = 0, 0
        while True:
            gate = gates[tries % len(gates)]
            tries += 1
            if not gate.guarded:
                gate.busy += 1
            elif (blocked := await gate.enter(self._left_s())) is not None:
                if tries < len(gates):
                    continue
                return self._not_sent(model, gate, blocked, tries, lost)
            outcome: Outcome | None = None
            try:
                outcome = await self._sender.ask(self._call(model, gate.replica, start), self._permit)
            finally:
                if outcome is None:
                    gate.leave(None)
                else:
                    gate.leave(outcome.status, outcome.retry_after_s)
            if outcome.status is Status.ok or not await self._again(outcome, tries, len(gates)):
                return outcome if tries == 1 else _with_tries(outcome, tries, lost)
            lost += outcome.cost

    async def stream(self, start: Start) -> Begun | Outcome:
        """A stream whose first event has come, or the outcome that says why there is none."""
        model = self._models[start.model]
        gates = self._balancer.order(model, self._permit)
        tries, lost = 0, 0
        while True:
            gate = gates[tries % len(gates)]
            tries += 1
            if not gate.guarded:
                gate.busy += 1
            elif (blocked := await gate.enter(self._left_s())) is not None:
                if tries < len(gates):
                    continue
                return self._not_sent(model, gate, blocked, tries, lost)
            stream = self._sender.stream(self._call(model, gate.replica, start), self._permit)
            first: bytes | None = None
            blocks = aiter(stream)
            try:
                first = await anext(blocks, None)
            except BaseException:
                await stream.aclose()
                gate.leave(None)
                raise
            if first is None:
                await stream.aclose()
                gate.leave(stream.outcome.status, stream.outcome.retry_after_s)
            if first is not None or stream.outcome.ok:
                return Begun(stream, blocks, first, tries, lost, gate)
            if not await self._again(stream.outcome, tries, len(gates)):
                return _with_tries(stream.outcome, tries, lost)
            lost += stream.outcome.cost

    def abandoned(self, start: Start, started_us: int) -> Outcome:
        """What is booked for a call that was cancelled: its input, and what it may have written is not known."""
        model = self._models[start.model]
        usage = Usage(self._query.needs.input_tokens, 0, 0, estimated=True)
        return Outcome(
            model=model.name,
            status=Status.cancelled,
            usage=usage,
            started_us=started_us,
            latency_us=time.monotonic_ns() // 1000 - started_us,
            provider=model.replicas[0].provider,
            location=model.replicas[0].location,
            cost=model.price.cost(usage) if model.price else 0,
        )

    def _call(self, model: Model, replica: Replica, start: Start) -> Call:
        wanted = start.signals and model.abilities.logprobs and not self._query.needs.logprobs
        return Call(model, replica, self._query, start.edit, wanted, model.timeout_s)

    def _left_s(self) -> float | None:
        """How long the caller still waits; None: as long as it takes."""
        if self._deadline_us is None:
            return None
        return max(0.0, (self._deadline_us - time.monotonic_ns() // 1000) / 1e6)

    async def _again(self, outcome: Outcome, tries: int, replicas: int) -> bool:
        """Whether to try once more: every replica gets one try, a lone one some more, each a little later.

        Not where the upstream asks for more patience than the caller has, or than the policy should wait for.
        """
        if outcome.status not in TRY_AGAIN or tries >= max(self._balancer.settings.tries, replicas):
            return False
        if tries < replicas:
            return True
        wait = BACK_OFF_S * 2 ** (tries - replicas) * (0.5 + random.random())
        if outcome.retry_after_s is not None:
            if outcome.retry_after_s > LONGEST_WAIT_S:
                return False
            wait = max(wait, outcome.retry_after_s)
        left = self._left_s()
        if left is not None and wait >= left:
            return False
        await asyncio.sleep(wait)
        return True

    def _not_sent(self, model: Model, gate: Gate, blocked: Blocked, tries: int, lost: int) -> Outcome:
        """The outcome of a call that no replica was open for."""
        replica = gate.replica
        now = time.monotonic_ns() // 1000
        return Outcome(
            model=model.name,
            status=blocked.status,
            started_us=now,
            provider=replica.provider,
            location=replica.location,
            tries=tries,
            error=f"not sent: {blocked.words}",
            retry_after_s=blocked.retry_after_s,
            cost=lost,
        )


def _with_tries(outcome: Outcome, tries: int, lost: int) -> Outcome:
    """What the tries before this one cost is part of what the call cost."""
    if tries == 1:
        return outcome
    return msgspec.structs.replace(outcome, tries=tries, cost=outcome.cost + lost)
