"""One call over replicas: where it goes, what is tried again, what it is booked as."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smallfirst.core import DataClass, Model, Needs, Outcome, Permit, Price, Query, Replica, Status, Usage
from smallfirst.engine.gates import Balancer
from smallfirst.engine.replicas import Begun, Caller
from smallfirst.models.scripted import Reply, ScriptedSender
from smallfirst.models.sender import Call
from smallfirst.policy.protocol import Start

PRICE = Price(input=1_000_000, output=1_000_000, cached=0, source="test")
QUERY = Query("q", "auto", "hi", {}, Needs(input_tokens=7))
GOOD = Reply(text="fine", usage=Usage(7, 3))


def model(*replicas: Replica, timeout_s: float = 5.0) -> Model:
    return Model("m", "slm", replicas, price=PRICE, timeout_s=timeout_s)


def at(provider: str, **more: Any) -> Replica:
    return Replica(provider, f"http://{provider}/v1", "up", location=more.pop("location", "premises"), **more)


def caller(script: Any, one: Model, permitted: tuple[str, ...] | None = None) -> tuple[Caller, ScriptedSender]:
    names = permitted or tuple(replica.provider for replica in one.replicas)
    permit = Permit(DataClass.public, frozenset(("m", name) for name in names), "test")
    sender = ScriptedSender(script)
    return Caller(sender, Balancer(), {"m": one}, QUERY, permit), sender


def test_a_try_that_brought_nothing_is_paid_all_the_same() -> None:
    """A broken answer was written and is billed: its cost is the call's, whoever answers in the end."""
    broken = Reply(text="x", status=Status.broken)

    class Billed(ScriptedSender):
        async def ask(self, call: Call, permit: Permit) -> Outcome:
            outcome = await super().ask(call, permit)
            return outcome if outcome.ok else Outcome("m", outcome.status, cost=1000)

    answers = iter([broken, GOOD])
    permit = Permit(DataClass.public, frozenset({("m", "a"), ("m", "b")}), "test")
    calls = Caller(Billed(lambda _: next(answers)), Balancer(), {"m": model(at("a"), at("b"))}, QUERY, permit)
    outcome = asyncio.run(calls.ask(Start(1, "m")))
    assert (outcome.status, outcome.tries, outcome.cost) == (Status.ok, 2, 1000 + 10)


def test_a_cancelled_call_is_booked_where_it_went() -> None:
    """Not at the model's first replica: the audit trail says where a query was sent."""
    far = at("far", location="cloud/eu")
    calls, _ = caller(lambda _: Reply(text="late", delay_s=60), model(at("near"), far), permitted=("far",))

    async def main() -> Outcome:
        task = asyncio.create_task(calls.ask(Start(1, "m")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return calls.abandoned(Start(1, "m"), 0)

    outcome = asyncio.run(main())
    assert (outcome.status, outcome.provider, outcome.location) == (Status.cancelled, "far", "cloud/eu")
    assert outcome.usage == Usage(7, 0, 0, estimated=True)


def test_a_call_that_was_never_sent_costs_nothing() -> None:
    calls, sender = caller(lambda _: GOOD, model(at("near")))
    outcome = calls.abandoned(Start(1, "m"), 0)
    assert (outcome.cost, outcome.usage.input_tokens, sender.seen) == (0, 0, [])


class Counting(ScriptedSender):
    """Knows how many calls were in the air at once, by provider."""

    def __init__(self, script: Any) -> None:
        super().__init__(script)
        self.now: dict[str, int] = {}
        self.most: dict[str, int] = {}

    async def ask(self, call: Call, permit: Permit) -> Outcome:
        name = call.replica.provider
        self.now[name] = self.now.get(name, 0) + 1
        self.most[name] = max(self.most.get(name, 0), self.now[name])
        try:
            return await super().ask(call, permit)
        finally:
            self.now[name] -= 1


def together(one: Model, count: int) -> tuple[list[Outcome], Counting]:
    sender = Counting(lambda _: Reply(text="fine", usage=Usage(7, 3), delay_s=0.001))
    balancer = Balancer()
    permit = Permit(DataClass.public, frozenset(("m", replica.provider) for replica in one.replicas), "test")

    async def main() -> list[Outcome]:
        calls = [Caller(sender, balancer, {"m": one}, QUERY, permit).ask(Start(1, "m")) for _ in range(count)]
        return list(await asyncio.gather(*calls))

    return asyncio.run(main()), sender


def test_max_parallel_holds_and_everybody_is_answered() -> None:
    outcomes, sender = together(model(at("a", max_parallel=2)), 12)
    assert [outcome.status for outcome in outcomes] == [Status.ok] * 12
    assert sender.most == {"a": 2}


def test_a_free_replica_goes_before_a_full_one() -> None:
    _, sender = together(model(at("narrow", max_parallel=1, weight=100), at("wide")), 8)
    assert sender.most["narrow"] == 1
    assert sender.most["wide"] >= 6


def test_waiting_for_a_place_has_an_end_and_is_handed_to_the_policy() -> None:
    sender = ScriptedSender(lambda _: Reply(text="late", delay_s=60))
    balancer, one = Balancer(), model(at("a", max_parallel=1), timeout_s=0.02)
    permit = Permit(DataClass.public, frozenset({("m", "a")}), "test")

    async def main() -> Outcome:
        first = asyncio.create_task(Caller(sender, balancer, {"m": one}, QUERY, permit).ask(Start(1, "m")))
        await asyncio.sleep(0)
        outcome = await Caller(sender, balancer, {"m": one}, QUERY, permit).ask(Start(1, "m"))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        return outcome

    outcome = asyncio.run(main())
    assert outcome.status is Status.overloaded
    assert "max_parallel" in outcome.error
    assert outcome.cost == 0
    assert len(sender.seen) == 1


@pytest.mark.parametrize("leave", ["end", "close"])
def test_a_stream_holds_its_place_until_it_is_over(leave: str) -> None:
    one = model(at("a", max_parallel=1))
    calls, _ = caller(lambda _: GOOD, one)

    async def main() -> tuple[Outcome, int]:
        begun = await calls.stream(Start(1, "m", watch=1))
        assert isinstance(begun, Begun)
        assert calls._balancer.gates(one)[0].busy == 1
        if leave == "end":
            async for _ in begun.rest:
                pass
        return await begun.close(), calls._balancer.gates(one)[0].busy

    outcome, busy = asyncio.run(main())
    assert busy == 0
    assert outcome.status is (Status.ok if leave == "end" else Status.cancelled)
