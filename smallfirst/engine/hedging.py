"""A call that takes longer than usual is made a second time at another replica; the first good answer counts.

Knows how long each replica usually takes, how many calls may be made twice, and how two calls race. Does not know HTTP,
queries or policies: between *models* a policy hedges (policy/hedged.py).
Source: Dean and Barroso, The Tail at Scale, CACM 56(2), 2013 ("hedged requests").
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from smallfirst.engine.gates import Gate, ReplicaHedgeSettings
from smallfirst.engine.waits import Sketch

BURST = 5.0
"""Second calls that may be saved up: a replica that hangs is met by many requests at once."""

T = TypeVar("T")


class Hedger:
    """The waits of all replicas, and the allowance for second calls."""

    def __init__(self, settings: ReplicaHedgeSettings | None) -> None:
        """None: waits are only noted, for policies that go by them."""
        self.settings = settings
        self.hedges = 0  # second calls so far
        self._allowance = 0.0
        self._whole: dict[Gate, Sketch] = {}
        self._first: dict[Gate, Sketch] = {}

    def note(self, gate: Gate, wait_s: float, *, streamed: bool, stopped: bool = False) -> None:
        """A call has waited so long: for its answer, or for a stream's first event.

        `stopped`: it would have taken longer. That says something only of one that was longer than usual already.
        """
        kind = self._first if streamed else self._whole
        sketch = kind.get(gate)
        if sketch is None:
            sketch = kind[gate] = Sketch()
        if stopped and ((usual := sketch.usual_s) is None or wait_s < usual):
            return
        sketch.note(wait_s)

    def usual_s(self, gates: Iterable[Gate], *, streamed: bool) -> float | None:
        """What the quickest of these replicas stays within in 19 of 20 calls; None where none is known well enough.

        The quickest: a replica that is always slow would otherwise be waited for as if that were usual.
        """
        kind = self._first if streamed else self._whole
        found = [s for gate in gates if (sketch := kind.get(gate)) is not None and (s := sketch.usual_s) is not None]
        return min(found, default=None)

    def after_s(self, gates: Sequence[Gate], *, streamed: bool) -> float | None:
        """How long to wait before a second call is made; None: there is none. Counts a call."""
        settings = self.settings
        if settings is None or len(gates) < 2:
            return None
        self._allowance = min(BURST, self._allowance + settings.most)
        return self.usual_s(gates, streamed=streamed) if settings.after == "p95" else float(settings.after) / 1000

    def another(self, gates: Iterable[Gate], busy: Gate) -> Gate | None:
        """A replica that is well, has a place and may be called now, its place taken; None: leave it at one call."""
        if self._allowance < 1:
            return None
        for gate in gates:
            if gate is not busy and not gate.full and not gate.faults and (not gate.guarded or gate.blocked is None):
                self._allowance -= 1
                self.hedges += 1
                gate.busy += 1
                return gate
        return None


async def race(
    first: Coroutine[Any, Any, T],
    after_s: float,
    another: Callable[[], Coroutine[Any, Any, T] | None],
    good: Callable[[T], bool],
    lost: Callable[[T | None], Awaitable[None]],
) -> T:
    """What `first` returns, or what `another` does that is begun after `after_s` if it is good and sooner there.

    `lost` is told of each call that does not count: what it returned, or None where it was stopped. Where this is
    cancelled, of each but the first, for which whoever cancels accounts.
    """
    tasks = [asyncio.ensure_future(first)]
    winner: asyncio.Task[T] | None = None
    try:
        done, running = await asyncio.wait(tasks, timeout=after_s)
        if not done and (second := another()) is not None:
            tasks.append(asyncio.ensure_future(second))
            running = set(tasks)
        while running and not any(good(task.result()) for task in tasks if task.done()):
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in tasks if task.done()]
        winner = next((task for task in ended if good(task.result())), ended[0])
        return winner.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks[1:] if winner is None else tasks:
            if task is not winner:
                stopped = task.cancelled() or task.exception() is not None
                await lost(None if stopped else task.result())
