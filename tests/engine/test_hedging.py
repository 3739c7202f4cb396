"""A call that takes longer than usual is made again at another replica: who wins, what is paid, how often."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from smallfirst.core import DataClass, Model, Needs, Permit, Price, Query, Replica, Status, Usage
from smallfirst.engine.gates import Balancer, ReplicaHedgeSettings
from smallfirst.engine.hedging import BURST, Hedger, race
from smallfirst.engine.replicas import Begun, Caller, may_be_sent_twice
from smallfirst.models.scripted import Reply, ScriptedSender
from smallfirst.policy.protocol import Start

PRICE = Price(input=1_000_000, output=1_000_000, cached=0, source="test")
QUERY = Query("q", "auto", "hi", {}, Needs(input_tokens=7))
MODEL = Model(
    "m", "slm", tuple(Replica(name, f"http://{name}/v1", "up") for name in ("a", "b")), price=PRICE, timeout_s=5
)
PERMIT = Permit(DataClass.public, frozenset({("m", "a"), ("m", "b")}), "test")
GOOD = Reply(text="fine", usage=Usage(7, 3))
HANGS = Reply(text="late", delay_s=60)


def hedger(after: Any = 5.0, most: float = 1.0) -> Hedger:
    return Hedger(ReplicaHedgeSettings(after=after, most=most))


def caller(script: Any, hedging: Hedger | None, query: Query = QUERY) -> tuple[Caller, ScriptedSender, Balancer]:
    """`script`: what the first, second... call is answered, whichever replica it goes to."""
    answers = iter(script)
    sender, balancer = ScriptedSender(lambda _: next(answers)), Balancer()
    return Caller(sender, balancer, {"m": MODEL}, query, PERMIT, hedger=hedging), sender, balancer


def busy(balancer: Balancer) -> int:
    return sum(gate.busy for gate in balancer.gates(MODEL))


def test_the_second_call_wins_and_the_first_is_stopped_and_paid() -> None:
    calls, sender, balancer = caller([HANGS, GOOD], hedger())
    outcome = asyncio.run(calls.ask(Start(1, "m")))
    assert (outcome.text, outcome.tries, outcome.cost) == ("fine", 2, 10 + 7)  # 7: what the stopped one has read
    assert {sent.provider for sent in sender.seen} == {"a", "b"}
    assert {at[1] for at in calls.reached} == {"a", "b"}  # both are in the audit trail
    assert busy(balancer) == 0


def test_a_call_in_time_is_made_once() -> None:
    calls, sender, _ = caller([GOOD], hedger(after=60_000.0))
    assert asyncio.run(calls.ask(Start(1, "m"))).tries == 1
    assert len(sender.seen) == 1


def test_a_second_call_that_fails_does_not_end_the_race() -> None:
    calls, _, balancer = caller(
        [Reply(text="slow", usage=Usage(7, 3), delay_s=0.1), Reply(text="x", status=Status.unavailable)], hedger()
    )
    outcome = asyncio.run(calls.ask(Start(1, "m")))
    assert (outcome.text, outcome.tries) == ("slow", 2)
    assert busy(balancer) == 0


def test_when_both_fail_the_call_has_failed() -> None:
    down = Reply(text="x", status=Status.refused, http_status=400)
    calls, _, balancer = caller([msgspec.structs.replace(down, delay_s=0.05), down], hedger())
    assert asyncio.run(calls.ask(Start(1, "m"))).status is Status.refused
    assert busy(balancer) == 0


def test_a_stream_is_begun_twice_only_before_its_first_event() -> None:
    calls, sender, balancer = caller([HANGS, GOOD], hedger())

    async def main() -> Any:
        begun = await calls.stream(Start(1, "m", watch=1))
        assert isinstance(begun, Begun)
        async for _ in begun.rest:
            pass
        return await begun.close()

    outcome = asyncio.run(main())
    assert (outcome.status, outcome.tries, outcome.cost) == (Status.ok, 2, 10 + 7)
    assert busy(balancer) == 0
    slow_later = Reply(text="one two three", usage=Usage(7, 3), gap_s=0.02)
    calls, sender, _ = caller([slow_later], hedger())
    assert asyncio.run(main()).status is Status.ok
    assert len(sender.seen) == 1


def test_a_client_that_leaves_stops_both_and_both_are_paid() -> None:
    calls, sender, balancer = caller([HANGS, HANGS], hedger())

    async def main() -> Any:
        task = asyncio.create_task(calls.ask(Start(1, "m")))
        await asyncio.sleep(0.05)
        assert len(sender.seen) == 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return calls.abandoned(Start(1, "m"), 0)

    outcome = asyncio.run(main())
    assert (outcome.status, outcome.cost, outcome.tries) == (Status.cancelled, 14, 2)
    assert busy(balancer) == 0


def test_a_call_that_is_stopped_at_once_gives_its_place_back() -> None:
    calls, _, balancer = caller([HANGS], hedger())

    async def main() -> None:
        task = asyncio.create_task(calls.ask(Start(1, "m")))
        await asyncio.sleep(0)  # it has its place, and the task that calls has not begun
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert busy(balancer) == 0


def test_what_was_stopped_early_says_nothing_of_how_long_calls_take() -> None:
    hedging, gates = hedger(after="p95"), Balancer().gates(MODEL)
    for _ in range(30):
        hedging.note(gates[0], 1.0, streamed=False)
    for _ in range(300):
        hedging.note(gates[0], 0.01, streamed=False, stopped=True)
    assert hedging.usual_s(gates, streamed=False) >= 1.0
    for _ in range(300):
        hedging.note(gates[0], 9.0, streamed=False, stopped=True)
    assert hedging.usual_s(gates, streamed=False) >= 9.0


def test_no_more_second_calls_than_allowed() -> None:
    hedging = hedger(after=1.0, most=0.25)
    slow = Reply(text="fine", usage=Usage(7, 3), delay_s=0.004)
    sender, balancer = ScriptedSender(lambda _: slow), Balancer()

    async def main() -> None:
        for _ in range(40):
            await Caller(sender, balancer, {"m": MODEL}, QUERY, PERMIT, hedger=hedging).ask(Start(1, "m"))

    asyncio.run(main())
    assert hedging.hedges == 10
    assert len(sender.seen) == 50


def test_what_was_saved_up_is_bounded() -> None:
    hedging, gates = hedger(most=1.0), Balancer().gates(MODEL)
    for _ in range(100):
        assert hedging.after_s(gates, streamed=False) == 0.005
    assert sum(hedging.another(gates, gates[0]) is not None for _ in range(100)) == BURST


def test_a_replica_that_is_ill_or_full_is_not_the_second() -> None:
    hedging, gates = hedger(), Balancer().gates(MODEL)
    hedging.after_s(gates, streamed=False)
    gates[1].faults = 1
    assert hedging.another(gates, gates[0]) is None
    gates[1].faults, gates[1].limit, gates[1].busy = 0, 1, 1
    assert hedging.another(gates, gates[0]) is None
    gates[1].busy = 0
    assert hedging.another(gates, gates[0]) is gates[1]


def test_p95_is_that_of_the_quickest_replica_and_each_kind_of_wait_has_its_own() -> None:
    hedging, gates = hedger(after="p95"), Balancer().gates(MODEL)
    assert hedging.after_s(gates, streamed=False) is None  # nothing is known yet
    for _ in range(30):
        hedging.note(gates[0], 2.0, streamed=False)
        hedging.note(gates[1], 0.1, streamed=False)
        hedging.note(gates[1], 0.01, streamed=True)
    assert 0.1 <= hedging.after_s(gates, streamed=False) <= 0.11
    assert 0.01 <= hedging.after_s(gates, streamed=True) <= 0.011
    assert hedging.after_s(gates[:1], streamed=False) is None  # a lone replica has no other


@pytest.mark.parametrize(("query", "may"), [
    (QUERY, True),
    (Query("q", "auto", "", {"store": msgspec.Raw(b"true")}), False),
    (Query("q", "auto", "", {"store": msgspec.Raw(b"false")}), True),
    (Query("q", "auto", "", {}, Needs(anthropic=True)), False),
], ids=["plain", "kept", "not kept", "tools there"])  # fmt: skip
def test_what_may_not_be_sent_twice_is_not(query: Query, may: bool) -> None:
    assert may_be_sent_twice(query) is may
    calls, sender, _ = caller([Reply(text="slow", usage=Usage(7, 3), delay_s=0.03), GOOD], hedger(), query)
    asyncio.run(calls.ask(Start(1, "m")))
    assert len(sender.seen) == 1 + may


def test_a_fault_of_ours_in_a_race_surfaces_and_leaves_nothing_running() -> None:
    async def crash() -> int:
        raise ZeroDivisionError

    async def hang() -> int:
        await asyncio.sleep(60)
        return 1

    async def lost(_: int | None) -> None:
        pass

    async def main() -> int:
        with pytest.raises(ZeroDivisionError):
            await race(hang(), 0.001, crash, bool, lost)
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1
