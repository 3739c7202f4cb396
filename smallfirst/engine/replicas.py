"""One call to one model: which replica gets it, and what is tried again.

Knows replicas, retries and back-off. Does not know policies: changing the *model* is always the policy's doing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from smallfirst.core import Model, Outcome, Permit, Query, Replica, Status, Usage
from smallfirst.engine.gates import Balancer, Blocked, Gate
from smallfirst.engine.hedging import Hedger, race
from smallfirst.models.sender import AnswerStream, Call, Sender
from smallfirst.policy.protocol import Start
from smallfirst.privacy.redaction import Redaction
from smallfirst.privacy.restoring import RestoringStream

TRY_AGAIN = frozenset((Status.rate_limited, Status.unavailable, Status.broken))
"""Faults that another replica, or a moment's patience, may mend. Not a time-out: the caller has waited enough."""

BACK_OFF_S = 0.1
LONGEST_WAIT_S = 1.0
"""An upstream that asks for more patience than this is left to the policy, which has other models."""


class Tried(msgspec.Struct):
    """What one call has come to so far."""

    replica: Replica | None = None  # the last one that was sent to; None: nothing has left yet
    tries: int = 0  # replicas that were looked at, sent to or not
    lost: int = 0  # nano-dollars, of tries that brought no answer

    def sum(self, outcome: Outcome) -> Outcome:
        """The last try's outcome, with what the tries before it cost."""
        if self.tries == 1:
            return outcome
        return msgspec.structs.replace(outcome, tries=self.tries, cost=outcome.cost + self.lost)


class Begun:
    """A stream that has begun: its first block, the rest to iterate, and what to do when it is over."""

    def __init__(
        self, stream: AnswerStream, rest: AsyncIterator[bytes], first: bytes | None, tried: Tried, gate: Gate
    ) -> None:
        self.stream, self.rest, self.first = stream, rest, first
        self._tried, self._gate = tried, gate

    async def close(self) -> Outcome:
        """End it, wherever it is, and say how it ended."""
        return self._tried.sum(await self.stream_closed())

    async def stream_closed(self) -> Outcome:
        """The same for this stream alone, without the tries before it."""
        await self.stream.aclose()
        outcome = self.stream.outcome
        if self.first is not None:
            self.first = None
            self._gate.leave(outcome.status, outcome.retry_after_s)
        return outcome


R = TypeVar("R", Outcome, Begun | Outcome)


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
        redaction: Redaction | None = None,
        hedger: Hedger | None = None,
        *,
        text: bool = False,
    ) -> None:
        """`deadline_us`: when (time.monotonic_ns() / 1000) the caller has waited long enough. `hedger`: who keeps
        count of waits, and of second calls; None where nobody asks. `text`: outcomes of streams shall hold their text
        too."""
        self._sender, self._balancer, self._models = sender, balancer, models
        self._query, self._permit, self._deadline_us = query, permit, deadline_us
        self._redaction, self._text = redaction, text
        self.reached: list[tuple[str, str, str, bool]] = []  # (model, provider, location, redacted) of every try
        self._tried: dict[int, Tried] = {}
        self._hedger = hedger

    async def ask(self, start: Start) -> Outcome:
        """Try each permitted replica until one answers. Never raises for an upstream's fault."""
        model = self._models[start.model]
        gates = self._balancer.order(model, self._permit)
        tried = self._tried.setdefault(start.id, Tried())
        hedger = self._hedger
        while True:
            gate = await self._enter(model, gates, tried)
            if isinstance(gate, Outcome):
                return gate
            after_s = None if hedger is None else self._after_s(hedger, gates, streamed=False)
            if hedger is None or after_s is None:
                outcome = await self._sent(model, gate, start)
            else:
                outcome = await self._race(hedger, model, gates, gate, start, tried, after_s, self._sent)
            if outcome.status is Status.ok or not await self._again(outcome, tried.tries, len(gates)):
                return tried.sum(outcome)
            tried.lost += outcome.cost

    async def _sent(self, model: Model, gate: Gate, start: Start) -> Outcome:
        """One call to one replica."""
        outcome: Outcome | None = None
        began_us = time.monotonic_ns() // 1000 if self._hedger is not None else 0
        try:
            outcome = await self._sender.ask(self._call(model, gate.replica, start), self._permit)
            if (redaction := self._redacts(model, gate.replica)) is not None:
                outcome = redaction.outcome(outcome)
        finally:
            if outcome is None:
                gate.leave(None)
            else:
                gate.leave(outcome.status, outcome.retry_after_s)
            if self._hedger is not None and (outcome is None or outcome.ok):
                self._hedger.note(gate, _since_s(began_us), streamed=False, stopped=outcome is None)
        return outcome

    async def stream(self, start: Start) -> Begun | Outcome:
        """A stream whose first event has come, or the outcome that says why there is none."""
        model = self._models[start.model]
        gates = self._balancer.order(model, self._permit)
        tried = self._tried.setdefault(start.id, Tried())
        hedger = self._hedger
        while True:
            gate = await self._enter(model, gates, tried)
            if isinstance(gate, Outcome):
                return gate
            after_s = None if hedger is None else self._after_s(hedger, gates, streamed=True)
            if hedger is None or after_s is None:
                begun = await self._opened(model, gate, start)
            else:
                begun = await self._race(hedger, model, gates, gate, start, tried, after_s, self._opened)
            if isinstance(begun, Begun):
                return begun
            if not await self._again(begun, tried.tries, len(gates)):
                return tried.sum(begun)
            tried.lost += begun.cost

    async def _opened(self, model: Model, gate: Gate, start: Start) -> Begun | Outcome:
        """One stream from one replica, up to its first event."""
        stream = self._sender.stream(self._call(model, gate.replica, start), self._permit)
        if (redaction := self._redacts(model, gate.replica)) is not None:
            stream = RestoringStream(stream, redaction)
        first: bytes | None = None
        blocks = aiter(stream)
        began_us = time.monotonic_ns() // 1000 if self._hedger is not None else 0
        try:
            first = await anext(blocks, None)
        except BaseException:
            await stream.aclose()
            gate.leave(None)
            if self._hedger is not None:
                self._hedger.note(gate, _since_s(began_us), streamed=True, stopped=True)
            raise
        if first is None:
            await stream.aclose()
            gate.leave(stream.outcome.status, stream.outcome.retry_after_s)
        elif self._hedger is not None:
            self._hedger.note(gate, _since_s(began_us), streamed=True)
        if first is not None or stream.outcome.ok:
            return Begun(stream, blocks, first, self._tried[start.id], gate)
        return stream.outcome

    def _after_s(self, hedger: Hedger, gates: Sequence[Gate], *, streamed: bool) -> float | None:
        """How long to wait for one replica before another is asked too; None where that may not be."""
        return hedger.after_s(gates, streamed=streamed) if may_be_sent_twice(self._query) else None

    async def _race(
        self,
        hedger: Hedger,
        model: Model,
        gates: Sequence[Gate],
        gate: Gate,
        start: Start,
        tried: Tried,
        after_s: float,
        call: Callable[[Model, Gate, Start], Coroutine[Any, Any, R]],
    ) -> R:
        """`call` at `gate`; where that takes long at another replica beside it. What is stopped is paid for."""

        def another() -> Coroutine[Any, Any, R] | None:
            other = hedger.another(gates, gate)
            if other is None:
                return None
            tried.tries += 1
            return call(model, other, start)

        async def lost(result: R | None) -> None:
            if isinstance(result, Begun):
                tried.lost += (await result.stream_closed()).cost
            else:
                tried.lost += self._stopped(model, start)[1] if result is None else result.cost

        return await race(call(model, gate, start), after_s, another, _good, lost)

    async def _enter(self, model: Model, gates: Sequence[Gate], tried: Tried) -> Gate | Outcome:
        """The next replica that has a place, this call counted in; or the outcome of a call that none was open for."""
        while True:
            gate = gates[tried.tries % len(gates)]
            tried.tries += 1
            if not gate.guarded:
                gate.busy += 1
            elif (blocked := await gate.enter(self._patience_s(model))) is not None:
                if tried.tries < len(gates):
                    continue
                return self._not_sent(model, gate, blocked, tried)
            tried.replica = gate.replica
            return gate

    def abandoned(self, start: Start, started_us: int) -> Outcome:
        """What is booked for a call that was cancelled: its input, and what it may have written is not known.

        At the replica that it really went to; one that was never sent is free.
        """
        model = self._models[start.model]
        tried = self._tried.get(start.id) or Tried()
        usage, cost = self._stopped(model, start) if tried.replica is not None else (Usage(estimated=True), 0)
        at = tried.replica or self._balancer.order(model, self._permit)[0].replica
        return Outcome(
            model=model.name,
            status=Status.cancelled,
            usage=usage,
            started_us=started_us,
            latency_us=time.monotonic_ns() // 1000 - started_us,
            provider=at.provider,
            location=at.location,
            tries=max(1, tried.tries),
            cost=tried.lost + cost,
        )

    def _stopped(self, model: Model, start: Start) -> tuple[Usage, int]:
        """What is known of one call that was stopped: its input, and what that costs."""
        more = start.edit.input_tokens if start.edit is not None else 0
        usage = Usage(self._query.needs.input_tokens + more, 0, 0, estimated=True)
        return usage, model.price.cost(usage) if model.price else 0

    def _call(self, model: Model, replica: Replica, start: Start) -> Call:
        redaction = self._redacts(model, replica)
        self.reached.append((model.name, replica.provider, replica.location, redaction is not None))
        wanted = start.signals and model.abilities.logprobs and not self._query.needs.logprobs
        read = self._text or (start.signals and start.watch > 0)  # a stream that may still be judged, or is kept
        if redaction is None:
            return Call(model, replica, self._query, start.edit, wanted, model.timeout_s, read)
        query, edit = redaction.query(self._query), redaction.edit(start.edit)
        return Call(model, replica, query, edit, wanted, model.timeout_s, read)

    def _redacts(self, model: Model, replica: Replica) -> Redaction | None:
        """The request's placeholders, where this replica may see only them."""
        return self._redaction if (model.name, replica.provider) in self._permit.redact else None

    def _patience_s(self, model: Model) -> float:
        """How long a call waits for a place: no longer than an answer may take, nor than the caller waits."""
        left = self._left_s()
        return model.timeout_s if left is None else min(left, model.timeout_s)

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

    def _not_sent(self, model: Model, gate: Gate, blocked: Blocked, tried: Tried) -> Outcome:
        """The outcome of a call that no replica was open for."""
        replica = gate.replica
        now = time.monotonic_ns() // 1000
        return Outcome(
            model=model.name,
            status=blocked.status,
            started_us=now,
            provider=replica.provider,
            location=replica.location,
            tries=tried.tries,
            error=f"not sent: {blocked.words}",
            retry_after_s=blocked.retry_after_s,
            cost=tried.lost,
        )


def may_be_sent_twice(query: Query) -> bool:
    """Not where the upstream is asked to keep the answer, or to run tools of its own."""
    kept = query.fields.get("store")
    return not query.needs.anthropic and (kept is None or bytes(kept) in (b"false", b"null"))


def _good(result: Begun | Outcome) -> bool:
    return isinstance(result, Begun) or result.ok


def _since_s(began_us: int) -> float:
    return time.monotonic_ns() / 1e9 - began_us / 1e6
