"""Drives one policy with real calls: obeys its commands, feeds it what happens, books what every call cost.

Knows asyncio, the policy protocol, and a performer that makes calls. Does not know HTTP, tiers or prices. The same
policies run on a virtual clock in engine/virtual.py.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

from smallfirst.core import Attempt, Decision, Outcome
from smallfirst.engine.replicas import Begun
from smallfirst.errors import PolicyError, PolicyStalled
from smallfirst.models.sender import AnswerStream
from smallfirst.policy.hand_over import drafted
from smallfirst.policy.protocol import Cancel, Command, Done, Event, Gone, Plan, Progress, Release, Start, Wake, Woke


class Performer(Protocol):
    """Makes the calls: engine/replicas.py live, a double in tests."""

    def ask(self, start: Start) -> Coroutine[Any, Any, Outcome]: ...

    def stream(self, start: Start) -> Coroutine[Any, Any, Begun | Outcome]: ...

    def abandoned(self, start: Start, started_us: int) -> Outcome: ...


class Listener(Protocol):
    """Whoever waits for a streamed answer: told when one is released, then fed its bytes."""

    async def opened(self, start: Start) -> None: ...

    def relay(self, block: bytes) -> Coroutine[Any, Any, None]: ...


class Flight:
    """One request's calls in the air."""

    def __init__(self, performer: Performer, listener: Listener | None = None) -> None:
        self.attempts: list[Attempt] = []  # in the order in which they ended
        self.released: int | None = None
        self.held: dict[int, list[bytes]] = {}  # streamed and not (yet) released, by attempt
        self.tails: dict[int, tuple[bytes, ...]] = {}  # a stream's last events, withheld for the decision
        self.waiting_us = 0  # time in which at least one call was in the air
        self._performer, self._listener = performer, listener
        self._tasks: dict[int, asyncio.Task[Outcome]] = {}
        self._cancelled: set[int] = set()
        self._crash: BaseException | None = None
        self._starts: dict[int, tuple[Start, int]] = {}
        self._timers: list[asyncio.TimerHandle] = []
        self._pending_wakes = 0
        self._events: deque[tuple[Event, asyncio.Future[None] | None]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._airborne_us = 0
        self._alone: asyncio.Task[object] | None = None
        self._gone = ""

    async def fly(self, plan: Plan) -> Decision:
        """Run `plan` to its end. Raises PolicyError when it breaks the protocol; cancels what still runs."""
        told: asyncio.Future[None] | None = None
        try:
            commands = next(plan)
            while True:
                if len(commands) == 1 and self._idle and type(only := commands[0]) is Start and not only.watch:
                    commands = plan.send(await self._ask_alone(only))
                    continue
                for command in commands:
                    self._obey(command)
                if told is not None and not told.done():
                    told.set_result(None)
                event, told = await self._next_event()
                commands = plan.send(event)
        except StopIteration as stop:
            decision: Decision = stop.value
            return decision
        finally:
            plan.close()
            await self._land()
            self._listener = (
                None  # it holds the exchange, and that holds us: what is over need not wait for the collector
            )

    def gone(self, cause: str) -> None:
        """The client has left: the policy hears of it, and its return cancels the calls."""
        if self._alone is not None:
            self._gone = cause
            self._alone.cancel()
        else:
            self._post(Gone(cause))

    @property
    def _idle(self) -> bool:
        """Nothing is in the air and nothing will happen by itself."""
        return not (self._tasks or self._events or self._pending_wakes)

    async def _ask_alone(self, start: Start) -> Event:
        """One call with nothing beside it, the usual case: made here, without a task and a queue of its own."""
        began_us = self._book_start(start)
        self._alone = asyncio.current_task()
        try:
            outcome = await self._performer.ask(start)
        except asyncio.CancelledError:
            self._book(start, self._performer.abandoned(start, began_us), began_us)
            if not self._gone or self._alone is None or self._alone.uncancel() > 0:
                raise
            return Gone(self._gone)
        finally:
            self._alone = None
        self._book(start, outcome, began_us)
        return Done(start.id, outcome)

    def _obey(self, command: Command) -> None:
        match command:
            case Start():
                self._start(command)
            case Release(id=id):
                if self.released not in (None, id):
                    raise PolicyError(f"attempt {id} can't be released: {self.released} already is")
                self.released = id
            case Cancel(id=id):
                self._cancelled.add(id)
                if task := self._tasks.get(id):
                    task.cancel()
            case Wake(tag=tag, after_ms=after_ms):
                self._pending_wakes += 1
                loop = asyncio.get_running_loop()
                self._timers.append(loop.call_later(after_ms / 1000, self._woke, tag))

    def _book_start(self, start: Start) -> int:
        if start.id in self._starts:
            raise PolicyError(f"attempt {start.id} was started twice")
        now = time.monotonic_ns() // 1000
        self._starts[start.id] = (start, now)
        if start.edit is not None and start.edit.draft is not None:
            drafted(self.attempts, start.edit.draft)
        return now

    def _book(self, start: Start, outcome: Outcome, airborne_us: int | None) -> None:
        """Write a call down; `airborne_us`: since when calls were in the air, where this was the last of them."""
        if airborne_us is not None:
            self.waiting_us += time.monotonic_ns() // 1000 - airborne_us
        self.attempts.append(Attempt(start.id, start.role, outcome, released=self.released == start.id))

    def _start(self, start: Start) -> None:
        now = self._book_start(start)
        if not self._tasks:
            self._airborne_us = now
        call = self._stream(start) if start.watch else self._performer.ask(start)
        task = self._tasks[start.id] = asyncio.get_running_loop().create_task(call)
        task.add_done_callback(lambda done: self._settle(start.id, done))

    async def _stream(self, start: Start) -> Outcome:
        begun = await self._performer.stream(start)
        if isinstance(begun, Outcome):
            return begun
        held = self.held[start.id] = [begun.first] if begun.first else []
        stream, watching = begun.stream, True
        try:
            while True:
                if watching and stream.tokens >= start.watch:
                    watching = False
                    told = asyncio.get_running_loop().create_future()
                    self._post(Progress(start.id, stream.tokens, stream.logprob), told)
                    await told  # the policy may release it now, before the next byte is read
                if self.released == start.id:
                    await self._relay(start, held, stream)
                    break
                block = await anext(begun.rest, None)
                if block is None:
                    break
                held.append(block)
        except asyncio.CancelledError:
            pass  # what had come is in the outcome, and is booked
        finally:
            outcome = await begun.close()
        self.tails[start.id] = stream.tail
        return outcome

    async def _relay(self, start: Start, held: list[bytes], stream: AnswerStream) -> None:
        """Pass on what was held, then each block as it comes."""
        listener = self._listener
        if listener is None:
            raise PolicyError("an answer was released and nobody listens")
        await listener.opened(start)
        if held:
            await listener.relay(b"".join(held))
            held.clear()
        await stream.pour(listener.relay)

    def _settle(self, id: int, task: asyncio.Task[Outcome]) -> None:
        """Book a call that has ended, in whatever way, exactly once."""
        if self._tasks.pop(id, None) is None:
            return
        start, started_us = self._starts[id]
        if task.cancelled():
            outcome = self._performer.abandoned(start, started_us)
            self._cancelled.add(id)
        elif (fault := task.exception()) is not None:
            self._crash = fault
            outcome = self._performer.abandoned(start, started_us)
        else:
            outcome = task.result()
        self._book(start, outcome, None if self._tasks else self._airborne_us)
        if id not in self._cancelled or self._crash is not None:
            self._post(Done(id, outcome))

    def _woke(self, tag: str) -> None:
        self._pending_wakes -= 1
        self._post(Woke(tag))

    def _post(self, event: Event, told: asyncio.Future[None] | None = None) -> None:
        self._events.append((event, told))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _next_event(self) -> tuple[Event, asyncio.Future[None] | None]:
        while not self._events:
            if not self._tasks and not self._pending_wakes:
                raise PolicyStalled("the policy waits and nothing is pending")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._waiter = None
        if self._crash is not None:
            raise self._crash
        return self._events.popleft()

    async def _land(self) -> None:
        for timer in self._timers:
            timer.cancel()
        if not self._tasks:
            return
        running = dict(self._tasks)
        for task in running.values():
            task.cancel()
        await asyncio.wait(running.values())
        for id, task in running.items():
            self._settle(id, task)
