"""Before each replica a gate: so many calls at once, a short queue, and a circuit breaker.

Knows how a replica has been doing, and who waits for it. Does not know models, queries or HTTP. All of it belongs to
one event loop. A replica without a limit that is doing well costs a counter up and a counter down.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

from smallfirst.core import Model, Permit, Replica, Status

FAULTS = frozenset((Status.unavailable, Status.timed_out, Status.broken))
"""Ends of a call that speak against a replica. A refusal speaks against the request; a wrong key is the config's."""
BLOCKED = frozenset((Status.overloaded, Status.unavailable, Status.rate_limited))
LONGEST_PATIENCE_S = 60.0
"""A retry-after of more than this is believed no longer than this."""


class ReplicaHedgeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call that takes unusually long is made a second time at another replica of the same model; the first good
    answer counts, the other call is stopped and paid for. A stream only before its first event. Never a request that
    the upstream is asked to keep (`store`) or that runs tools there."""

    after: Literal["p95"] | float = "p95"  # milliseconds; `p95`: what the quickest replica stays within 19 times in 20
    most: float = 0.05  # second calls, as a share of all calls of this process


class ResilienceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Retries, circuit breakers and queues before replicas."""

    tries: int = 2  # calls to a model at most, where it has fewer replicas than that; each replica gets one in any case
    break_after: int = 5  # faults in a row after which a replica is left alone for a while
    rest_s: float = 1.0  # how long at first; then one call probes it, and each fault doubles the rest
    longest_rest_s: float = 30.0  # and how long at most
    queue_s: float = 10.0  # how long a call waits for a replica that has `max_parallel` calls already
    queue: int = 100  # how many may wait for one replica; the next is told to come back later
    hedge: ReplicaHedgeSettings | None = None  # off unless given


USUAL = ResilienceSettings()


class Blocked(msgspec.Struct, frozen=True):
    """Why a replica is not called now, and when to try again."""

    status: Status
    words: str
    retry_after_s: float


class Gate:
    """One replica of one model."""

    __slots__ = (
        "_clock",
        "_open_until",
        "_probing",
        "_rest_s",
        "_resting_until",
        "_settings",
        "_waiting",
        "busy",
        "faults",
        "guarded",
        "limit",
        "replica",
    )

    def __init__(self, replica: Replica, settings: ResilienceSettings, clock: Callable[[], float]) -> None:
        self.replica, self._settings, self._clock = replica, settings, clock
        self.limit = replica.max_parallel
        self.busy = self.faults = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._open_until = 0.0  # > 0: the breaker is open; past: the next call is a probe
        self._probing = False
        self._rest_s = settings.rest_s
        self._resting_until = 0.0  # it asked for patience (429 with retry-after)
        self.guarded = self.limit > 0  # whether `enter` has anything to look at

    @property
    def blocked(self) -> Blocked | None:
        """Why it is not called now, though there may be room; None where it may be."""
        now = self._clock()
        if self._open_until and (self._probing or now < self._open_until):
            wait = max(0.1, self._open_until - now)
            return Blocked(Status.unavailable, f"left alone after {self.faults} faults in a row", wait)
        if now < self._resting_until:
            return Blocked(Status.rate_limited, "it asked for patience", self._resting_until - now)
        return None

    @property
    def load(self) -> float:
        """Calls that run or wait, by weight."""
        return (self.busy + len(self._waiting)) / self.replica.weight

    @property
    def full(self) -> bool:
        return bool(self.limit) and self.busy >= self.limit

    async def enter(self, patience_s: float | None) -> Blocked | None:
        """Take a place, waiting for one within the queue's time and `patience_s`. What is returned: there is none."""
        if (blocked := self.blocked) is not None:
            return blocked
        settings = self._settings
        if self.full:
            if len(self._waiting) >= settings.queue:
                return Blocked(Status.overloaded, "max_parallel calls run, and its queue is full", 1.0)
            wait = settings.queue_s if patience_s is None else min(settings.queue_s, patience_s)
            if not await self._queue(wait):
                return Blocked(Status.overloaded, f"max_parallel calls run, and none ended within {wait:.1f} s", 1.0)
            if (blocked := self.blocked) is not None:  # it broke meanwhile
                self.busy -= 1
                self._next()
                return blocked
        else:
            self.busy += 1
            self.guarded = bool(self.limit or self._open_until)  # what it was guarded for may be over
        self._probing = self._open_until > 0
        return None

    async def _queue(self, wait_s: float) -> bool:
        """Wait for a place; whoever leaves hands its own over."""
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(wait_s):
                await place
        except TimeoutError:
            return self._give_up(place)
        except asyncio.CancelledError:
            if self._give_up(place):
                self.busy -= 1
                self._next()
            raise
        return True

    def _give_up(self, place: asyncio.Future[None]) -> bool:
        """Whether the place had been handed over all the same."""
        if place.done() and not place.cancelled():
            return True
        if place in self._waiting:
            self._waiting.remove(place)
        return False

    def _next(self) -> None:
        while self._waiting and not self.full:
            place = self._waiting.popleft()
            if not place.done():
                self.busy += 1
                place.set_result(None)

    def leave(self, status: Status | None, retry_after_s: float | None = None) -> None:
        """A call has ended so; None: it was given up, which says nothing about the replica."""
        self.busy -= 1
        if status is Status.ok:
            if self.faults:
                self._well()
        elif status in FAULTS:
            self._fault()
        elif status is Status.rate_limited and retry_after_s:
            self._resting_until = self._clock() + min(retry_after_s, LONGEST_PATIENCE_S)
            self.guarded = True
        elif status is not None and self._probing:
            self._well()  # it answers, whatever it says
        self._probing = False
        if self._waiting:
            self._next()

    def _well(self) -> None:
        self.faults, self._open_until, self._rest_s = 0, 0.0, self._settings.rest_s
        self.guarded = self.limit > 0

    def _fault(self) -> None:
        self.faults += 1
        already = self._open_until and not self._probing  # a call from before it was left alone
        if self.faults < self._settings.break_after or already:
            return
        rest = self._rest_s * (0.75 + random.random() / 2)  # processes do not probe in step
        self._open_until = self._clock() + rest
        self._rest_s = min(self._rest_s * 2, self._settings.longest_rest_s)
        self.guarded = True


class Balancer:
    """All gates; which of a model's replicas is called next."""

    def __init__(self, settings: ResilienceSettings = USUAL, clock: Callable[[], float] | None = None) -> None:
        self.settings = settings
        self.clock = clock or (lambda: asyncio.get_running_loop().time())
        self._gates: dict[str, tuple[Gate, ...]] = {}

    def gates(self, model: Model) -> tuple[Gate, ...]:
        found = self._gates.get(model.name)
        if found is None:
            made = (Gate(replica, self.settings, self._now) for replica in model.replicas)
            found = self._gates[model.name] = tuple(made)
        return found

    def _now(self) -> float:
        return self.clock()

    def order(self, model: Model, permit: Permit) -> list[Gate]:
        """The gates of the replicas that `permit` covers, in the order in which to try them: those that may be called
        now, the least busy for its weight first; among equals by chance, a heavier one more often."""
        gates = self.gates(model)
        if len(gates) == 1:
            only = gates[0]
            return [only] if (model.name, only.replica.provider) in permit.replicas else []
        allowed = [gate for gate in gates if (model.name, gate.replica.provider) in permit.replicas]
        allowed.sort(key=_rank)
        return allowed


def _rank(gate: Gate) -> tuple[bool, bool, float, float]:
    blocked = gate.guarded and gate.blocked is not None
    # the largest of n draws u^(1/w) is that of weight w with probability w / sum
    return (blocked, gate.full, gate.load, -(random.random() ** (1 / gate.replica.weight)))
