"""The driver obeys a policy, books every call once, and cleans up whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from smallfirst.core import Decision, Outcome, Reason, Status
from smallfirst.engine.driver import Flight
from smallfirst.errors import PolicyError, PolicyStalled
from smallfirst.policy.protocol import Cancel, Done, Gone, Plan, Start, Wake, Woke


class Calls:
    """A performer whose calls end when the test says so, or at once."""

    def __init__(self, *slow: str) -> None:
        self.slow, self.gate = slow, asyncio.Event()
        self.started: list[str] = []

    async def ask(self, start: Start) -> Outcome:
        self.started.append(start.model)
        if start.model in self.slow:
            await self.gate.wait()
        if start.model == "crash":
            raise ZeroDivisionError
        return Outcome(model=start.model, status=Status.ok, text=start.model, cost=1)

    async def stream(self, start: Start) -> Any:
        raise NotImplementedError

    def abandoned(self, start: Start, started_us: int) -> Outcome:
        return Outcome(model=start.model, status=Status.cancelled, started_us=started_us, cost=1)


def fly(make: Callable[[], Plan], calls_for: tuple[str, ...] = ()) -> tuple[Flight, Decision]:
    async def run() -> tuple[Flight, Decision]:
        flight = Flight(Calls(*calls_for))
        return flight, await flight.fly(make())

    return asyncio.run(run())


def served(id: int | None) -> Decision:
    return Decision(id, Reason.accepted)


def test_asks_in_turn_and_books_both() -> None:
    def plan() -> Plan:
        first = yield (Start(1, "small"),)
        assert isinstance(first, Done)
        second = yield (Start(2, "large"),)
        assert isinstance(second, Done)
        return served(second.id)

    flight, decision = fly(plan)
    assert decision.served == 2
    assert [(a.n, a.outcome.model) for a in flight.attempts] == [(1, "small"), (2, "large")]


def test_returning_cancels_and_books_what_still_runs() -> None:
    def plan() -> Plan:
        event = yield (Start(1, "quick"), Start(2, "slow"))
        assert isinstance(event, Done)
        return served(event.id)

    flight, decision = fly(plan, ("slow",))
    assert decision.served == 1
    assert {a.n: a.outcome.status for a in flight.attempts} == {1: Status.ok, 2: Status.cancelled}


def test_a_cancelled_call_gives_no_done() -> None:
    def plan() -> Plan:
        yield (Start(1, "slow"),)
        raise AssertionError("not reached: the wake comes first")

    def cancelling() -> Plan:
        event = yield (Start(1, "slow"), Wake("tired", 0))
        assert isinstance(event, Woke)
        event = yield (Cancel(1), Start(2, "quick"))
        assert isinstance(event, Done)
        assert event.id == 2
        return served(2)

    flight, _ = fly(cancelling, ("slow",))
    assert {a.n for a in flight.attempts} == {1, 2}


def test_waiting_for_nothing_is_an_error() -> None:
    def plan() -> Plan:
        yield ()
        return served(None)

    with pytest.raises(PolicyStalled):
        fly(plan)


def test_starting_an_id_twice_is_an_error() -> None:
    def plan() -> Plan:
        yield (Start(1, "a"), Start(1, "b"))
        return served(None)

    with pytest.raises(PolicyError):
        fly(plan)


def test_an_unforeseen_fault_in_a_call_surfaces_and_leaves_nothing_running() -> None:
    def plan() -> Plan:
        yield (Start(1, "crash"), Start(2, "slow"))
        return served(None)

    with pytest.raises(ZeroDivisionError):
        fly(plan, ("slow",))


def test_the_client_leaving_reaches_the_policy_and_cancels() -> None:
    def plan() -> Plan:
        event = yield (Start(1, "slow"),)
        assert isinstance(event, Gone)
        return Decision(None, Reason.client_gone)

    async def run() -> tuple[Flight, Decision]:
        flight = Flight(Calls("slow"))
        task = asyncio.create_task(flight.fly(plan()))
        await asyncio.sleep(0)
        flight.gone("test")
        return flight, await task

    flight, decision = asyncio.run(run())
    assert decision.reason is Reason.client_gone
    assert [a.outcome.status for a in flight.attempts] == [Status.cancelled]


def test_cancelling_the_request_itself_still_books() -> None:
    def plan() -> Plan:
        yield (Start(1, "slow"),)
        return served(None)

    async def run() -> Flight:
        flight = Flight(Calls("slow"))
        task: asyncio.Task[Decision] = asyncio.create_task(flight.fly(plan()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return flight

    assert [a.outcome.status for a in asyncio.run(run()).attempts] == [Status.cancelled]
