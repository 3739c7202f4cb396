"""Limits, queues and breakers before replicas, on a clock that the test holds."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from smallfirst.core import DataClass, Model, Permit, Replica, Status
from smallfirst.engine.gates import Balancer, Gate, ResilienceSettings

SETTINGS = ResilienceSettings(break_after=3, rest_s=10, longest_rest_s=40, queue_s=0.05, queue=2)


def gate(clock: list[float], **more: int) -> Gate:
    return Gate(Replica("here", "http://x", "m", **more), SETTINGS, lambda: clock[0])


def fail(one: Gate, times: int = 1) -> None:
    for _ in range(times):
        one.busy += 1
        one.leave(Status.unavailable)


def test_faults_in_a_row_open_the_breaker_and_an_answer_between_them_does_not() -> None:
    one = gate([0.0])
    fail(one, 2)
    one.busy += 1
    one.leave(Status.ok)
    fail(one, 2)
    assert one.blocked is None
    assert not one.guarded
    fail(one)
    assert one.guarded
    assert one.blocked is not None
    assert one.blocked.status is Status.unavailable


@pytest.mark.parametrize("status", [Status.refused, Status.unauthorized, Status.rate_limited, None])
def test_what_does_not_speak_against_a_replica(status: Status | None) -> None:
    one = gate([0.0])
    for _ in range(10):
        one.busy += 1
        one.leave(status)
    assert one.blocked is None


def test_one_probe_after_the_rest_decides() -> None:
    async def run() -> None:
        clock = [100.0]
        one = gate(clock)
        fail(one, 3)
        clock[0] += 7
        assert await one.enter(None) is not None  # still resting: 10 s, give or take a quarter
        clock[0] += 6
        assert await one.enter(None) is None  # the probe
        assert await one.enter(None) is not None  # one at a time
        one.leave(Status.timed_out)
        clock[0] += 14
        assert await one.enter(None) is not None  # twice as long now
        clock[0] += 12
        assert await one.enter(None) is None
        one.leave(Status.ok)
        assert (one.blocked, one.guarded, one.busy) == (None, False, 0)

    asyncio.run(run())


def test_a_probe_that_is_given_up_leaves_the_breaker_as_it_was() -> None:
    async def run() -> None:
        clock = [0.0]
        one = gate(clock)
        fail(one, 3)
        clock[0] = 20
        assert await one.enter(None) is None
        one.leave(None)
        assert one.guarded
        assert await one.enter(None) is None

    asyncio.run(run())


def test_calls_from_before_it_opened_do_not_lengthen_the_rest() -> None:
    clock = [0.0]
    one = gate(clock)
    fail(one, 50)
    clock[0] = 13
    assert one.blocked is None


def test_a_retry_after_is_believed_but_not_for_ever() -> None:
    clock = [0.0]
    one = gate(clock)
    one.busy += 1
    one.leave(Status.rate_limited, 5.0)
    assert one.blocked is not None
    assert (one.blocked.status, one.blocked.retry_after_s) == (Status.rate_limited, 5.0)
    clock[0] = 5
    assert one.blocked is None
    one.busy += 1
    one.leave(Status.rate_limited, 86400.0)
    assert one.blocked is not None
    assert one.blocked.retry_after_s == 60


def test_no_more_calls_at_once_than_its_limit_and_the_others_wait_in_turn() -> None:
    async def run() -> None:
        one = gate([0.0], max_parallel=2)
        most, order = 0, []

        async def call(n: int) -> None:
            nonlocal most
            assert await one.enter(None) is None
            most = max(most, one.busy)
            order.append(n)
            await asyncio.sleep(0)
            one.leave(Status.ok)

        await asyncio.gather(*[call(n) for n in range(4)])
        assert (most, order, one.busy) == (2, [0, 1, 2, 3], 0)

    asyncio.run(run())


def test_a_full_queue_and_a_long_one_turn_callers_away() -> None:
    async def run() -> None:
        one = gate([0.0], max_parallel=1)
        assert await one.enter(None) is None
        waiting = [asyncio.ensure_future(one.enter(None)) for _ in range(2)]
        await asyncio.sleep(0)
        third = await one.enter(None)
        assert third is not None
        assert (third.status, third.words) == (Status.overloaded, "max_parallel calls run, and its queue is full")
        found = await asyncio.gather(*waiting)
        assert all(b is not None and b.status is Status.overloaded for b in found)
        assert one.busy == 1
        hasty = await one.enter(0.0)
        assert hasty is not None

    asyncio.run(run())


def test_whoever_waits_and_is_cancelled_gives_its_place_on() -> None:
    async def run() -> None:
        one = gate([0.0], max_parallel=1)
        assert await one.enter(None) is None
        first, second = (asyncio.ensure_future(one.enter(None)) for _ in range(2))
        await asyncio.sleep(0)
        one.leave(Status.ok)  # hands its place to the first
        first.cancel()
        assert await second is None
        assert one.busy == 1
        one.leave(Status.ok)
        assert one.busy == 0

    asyncio.run(run())


def balanced(*weights: int) -> tuple[Balancer, Model, Permit]:
    replicas = tuple(Replica(f"p{n}", "http://x", "m", weight=w) for n, w in enumerate(weights))
    model = Model("m", "slm", replicas)
    permit = Permit(DataClass.public, frozenset(("m", r.provider) for r in replicas), "test")
    return Balancer(SETTINGS, clock=lambda: 0.0), model, permit


def test_idle_replicas_are_chosen_by_weight() -> None:
    balancer, model, permit = balanced(3, 1)
    first = Counter(balancer.order(model, permit)[0].replica.provider for _ in range(4000))
    assert 0.72 < first["p0"] / 4000 < 0.78


def test_the_least_busy_for_its_weight_comes_first_and_the_broken_last() -> None:
    balancer, model, permit = balanced(2, 1, 1)
    heavy, light, broken = balancer.gates(model)
    heavy.busy, light.busy = 3, 1
    fail(broken, 3)
    assert [gate.replica.provider for gate in balancer.order(model, permit)] == ["p1", "p0", "p2"]
    heavy.busy = 1
    assert balancer.order(model, permit)[0] is heavy


def test_a_replica_without_a_permit_is_never_chosen() -> None:
    balancer, model, _ = balanced(1, 1)
    permit = Permit(DataClass.secret, frozenset({("m", "p1")}), "test")
    assert [gate.replica.provider for gate in balancer.order(model, permit)] == ["p1"]
