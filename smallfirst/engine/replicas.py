"""One call to one model: which replica gets it, and what is tried again.

Knows replicas, retries and back-off. Does not know policies: changing the *model* is always the policy's doing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial

import msgspec

from smallfirst.core import Model, Outcome, Permit, Query, Replica, Status, Usage
from smallfirst.models.sender import AnswerStream, Call, Sender
from smallfirst.policy.protocol import Start
from smallfirst.privacy.redaction import Redaction
from smallfirst.privacy.restoring import RestoringStream

TRY_AGAIN = frozenset((Status.rate_limited, Status.unavailable, Status.broken))
"""Faults that another replica, or a moment's patience, may mend. Not a time-out: the caller has waited enough."""

BACK_OFF_S = 0.1
LONGEST_WAIT_S = 1.0
"""An upstream that asks for more patience than this is left to the policy, which has other models."""

_FULL = "every place at its replica (max_parallel) stayed taken"


class Balancer:
    """Spreads a model's calls over its replicas: weighted, the least busy first, those with a free place before all."""

    def __init__(self) -> None:
        self.busy: dict[tuple[str, str], int] = {}
        self._places: dict[tuple[str, str], asyncio.Semaphore] = {}  # of replicas with max_parallel

    def order(self, model: Model, permit: Permit) -> list[Replica]:
        """The replicas that `permit` covers, in the order in which to try them."""
        if len(model.replicas) == 1:
            only = model.replicas[0]
            return [only] if (model.name, only.provider) in permit.replicas else []
        allowed = [r for r in model.replicas if (model.name, r.provider) in permit.replicas]
        allowed.sort(key=partial(self._rank, model))
        return allowed

    def _rank(self, model: Model, replica: Replica) -> tuple[bool, float, float]:
        busy = self.busy.get((model.name, replica.provider), 0)
        return 0 < replica.max_parallel <= busy, busy / replica.weight, -replica.weight * random.random()

    async def enter(self, model: Model, replica: Replica) -> bool:
        """Take a place; where all of `max_parallel` are taken, wait. False: none became free in the model's time."""
        at = (model.name, replica.provider)
        if replica.max_parallel:
            places = self._places.get(at) or self._places.setdefault(at, asyncio.Semaphore(replica.max_parallel))
            try:
                async with asyncio.timeout(model.timeout_s):
                    await places.acquire()
            except TimeoutError:
                return False
        self.busy[at] = self.busy.get(at, 0) + 1
        return True

    def leave(self, model: Model, replica: Replica) -> None:
        at = (model.name, replica.provider)
        self.busy[at] -= 1
        if replica.max_parallel:
            self._places[at].release()


class Tried(msgspec.Struct):
    """What one call has come to so far."""

    replica: Replica | None = None  # the last one that was sent to; None: nothing has left yet
    tries: int = 0
    lost: int = 0  # nano-dollars, of tries that brought no answer

    def sum(self, outcome: Outcome) -> Outcome:
        """The last try's outcome, with what the tries before it cost."""
        if self.tries == 1:
            return outcome
        return msgspec.structs.replace(outcome, tries=self.tries, cost=outcome.cost + self.lost)


class Begun:
    """A stream that has begun: its first block, the rest to iterate, and what to do when it is over."""

    def __init__(
        self,
        stream: AnswerStream,
        rest: AsyncIterator[bytes],
        first: bytes | None,
        tried: Tried,
        leave: Callable[[], None],
    ) -> None:
        self.stream, self.rest, self.first = stream, rest, first
        self._tried, self._leave = tried, leave

    async def close(self) -> Outcome:
        """End it, wherever it is, and say how it ended."""
        await self.stream.aclose()
        if self.first is not None:
            self._leave()
            self.first = None
        return self._tried.sum(self.stream.outcome)


class Caller:
    """Makes the calls that a policy asks for, for one query: the driver's performer."""

    def __init__(
        self,
        sender: Sender,
        balancer: Balancer,
        models: Mapping[str, Model],
        query: Query,
        permit: Permit,
        redaction: Redaction | None = None,
    ) -> None:
        self._sender, self._balancer, self._models = sender, balancer, models
        self._query, self._permit, self._redaction = query, permit, redaction
        self.reached: list[tuple[str, str, str, bool]] = []  # (model, provider, location, redacted) of every try
        self._tried: dict[int, Tried] = {}

    async def ask(self, start: Start) -> Outcome:
        """Try each permitted replica until one answers. Never raises for an upstream's fault."""
        model = self._models[start.model]
        replicas = self._balancer.order(model, self._permit)
        tried, began = self._tried.setdefault(start.id, Tried()), _now()
        while True:
            replica = replicas[tried.tries % len(replicas)]
            if not await self._balancer.enter(model, replica):
                return self._outcome(start, Status.timed_out, began, _FULL)
            tried.replica, tried.tries = replica, tried.tries + 1
            try:
                outcome = await self._sender.ask(self._call(model, replica, start), self._permit)
                if (redaction := self._redacts(model, replica)) is not None:
                    outcome = redaction.outcome(outcome)
            finally:
                self._balancer.leave(model, replica)
            if not await _again(outcome, tried.tries, len(replicas)):
                return tried.sum(outcome)
            tried.lost += outcome.cost

    async def stream(self, start: Start) -> Begun | Outcome:
        """A stream whose first event has come, or the outcome that says why there is none."""
        model = self._models[start.model]
        replicas = self._balancer.order(model, self._permit)
        tried, began = self._tried.setdefault(start.id, Tried()), _now()
        while True:
            replica = replicas[tried.tries % len(replicas)]
            if not await self._balancer.enter(model, replica):
                return self._outcome(start, Status.timed_out, began, _FULL)
            tried.replica, tried.tries = replica, tried.tries + 1
            stream = self._sender.stream(self._call(model, replica, start), self._permit)
            if (redaction := self._redacts(model, replica)) is not None:
                stream = RestoringStream(stream, redaction)
            first: bytes | None = None
            blocks = aiter(stream)
            try:
                first = await anext(blocks, None)
            finally:
                if first is None:
                    self._balancer.leave(model, replica)
                    await stream.aclose()
            if first is not None or stream.outcome.ok:
                return Begun(stream, blocks, first, tried, partial(self._balancer.leave, model, replica))
            if not await _again(stream.outcome, tried.tries, len(replicas)):
                return tried.sum(stream.outcome)
            tried.lost += stream.outcome.cost

    def abandoned(self, start: Start, started_us: int) -> Outcome:
        """What is booked for a call that was cancelled: its input, and what it may have written is not known."""
        return self._outcome(start, Status.cancelled, started_us, "")

    def _outcome(self, start: Start, status: Status, started_us: int, error: str) -> Outcome:
        """Of a call that brought nothing, at the replica that it really went to; one that was never sent is free."""
        model = self._models[start.model]
        tried = self._tried.get(start.id) or Tried()
        sent = tried.replica is not None and status is Status.cancelled
        usage = Usage(self._query.needs.input_tokens if sent else 0, 0, 0, estimated=True)
        at = tried.replica or self._balancer.order(model, self._permit)[0]
        return Outcome(
            model=model.name,
            status=status,
            usage=usage,
            started_us=started_us,
            latency_us=_now() - started_us,
            provider=at.provider,
            location=at.location,
            tries=max(1, tried.tries),
            error=error,
            cost=tried.lost + (model.price.cost(usage) if model.price else 0),
        )

    def _call(self, model: Model, replica: Replica, start: Start) -> Call:
        redaction = self._redacts(model, replica)
        self.reached.append((model.name, replica.provider, replica.location, redaction is not None))
        wanted = start.signals and model.abilities.logprobs and not self._query.needs.logprobs
        if redaction is None:
            return Call(model, replica, self._query, start.edit, wanted, model.timeout_s)
        query, edit = redaction.query(self._query), redaction.edit(start.edit)
        return Call(model, replica, query, edit, wanted, model.timeout_s)

    def _redacts(self, model: Model, replica: Replica) -> Redaction | None:
        """The request's placeholders, where this replica may see only them."""
        return self._redaction if (model.name, replica.provider) in self._permit.redact else None


async def _again(outcome: Outcome, tries: int, replicas: int) -> bool:
    """Whether to try once more: every replica gets one try, a lone one gets two, a little later."""
    if outcome.status not in TRY_AGAIN or tries >= max(2, replicas):
        return False
    if tries < replicas:
        return True
    wait = BACK_OFF_S * (0.5 + random.random())
    if outcome.retry_after_s is not None:
        if outcome.retry_after_s > LONGEST_WAIT_S:
            return False
        wait = max(wait, outcome.retry_after_s)
    await asyncio.sleep(wait)
    return True


def _now() -> int:
    return time.monotonic_ns() // 1000
