"""Panels on the real driver: asked at once, the slower stopped once the verdict is certain, as offline."""

from __future__ import annotations

import asyncio

import pytest

from smallfirst.core import (
    DataClass,
    Decision,
    Model,
    Needs,
    Outcome,
    Permit,
    Price,
    Query,
    Reason,
    Replica,
    Score,
    Status,
    Tier,
    Usage,
)
from smallfirst.engine.driver import Flight
from smallfirst.engine.gates import Balancer
from smallfirst.engine.replicas import Caller
from smallfirst.engine.virtual import simulate
from smallfirst.models.scripted import Reply, ScriptedSender
from smallfirst.policy.cascade import Cascade
from smallfirst.policy.panel import Panel
from smallfirst.policy.protocol import Facts, Start
from smallfirst.verify.judge import make_judge

PRICE = Price(input=1_000_000, output=1_000_000, cached=0, source="test")
TIERS = (Tier("slm", ("s1", "s2", "s3")), Tier("mid", ("m1",)), Tier("frontier", ("f1",)))
NAMES = [name for tier in TIERS for name in tier.models]
MODELS = {name: Model(name, "x", (Replica("p", "http://p/v1", name),), price=PRICE) for name in NAMES}
PERMIT = Permit(DataClass.public, frozenset((name, "p") for name in NAMES), "test")
QUERY = Query("q", "auto", "Which?", {}, Needs(input_tokens=7))
FACTS = Facts(
    TIERS, dict.fromkeys(NAMES, 0.6), 0.3, "choice",
    make_judge(QUERY, Score(0.3, "choice", dict.fromkeys(NAMES, 0.6))), lambda model: 10, format=False, query=QUERY,
)  # fmt: skip
ABOVE = Cascade("above", {"slm": 0.95, "mid": 0.95})
NEVER_S = 60.0


def live(policy: Panel, says: dict[str, tuple[str, float]]) -> tuple[Flight, Decision]:
    """On the driver: what each model says, and after how many seconds."""
    script = {name: Reply(text=text, usage=Usage(7, 2), delay_s=after) for name, (text, after) in says.items()}
    caller = Caller(ScriptedSender(script), Balancer(), MODELS, QUERY, PERMIT)

    async def run() -> tuple[Flight, Decision]:
        flight = Flight(caller)
        return flight, await asyncio.wait_for(flight.fly(policy.plan(FACTS)), 5)

    return asyncio.run(run())


def offline(policy: Panel, says: dict[str, tuple[str, float]]) -> tuple[Decision, dict[str, Status]]:
    def answer(start: Start) -> tuple[Outcome, int]:
        text, after = says[start.model]
        return Outcome(start.model, Status.ok, text, finish="stop", usage=Usage(7, 2), cost=9), round(after * 1e6)

    trace = simulate(policy, FACTS, answer)
    return trace.decision, {a.outcome.model: a.outcome.status for a in trace.attempts}


TWO, THREE = ("s1", "s2"), ("s1", "s2", "s3")


@pytest.mark.parametrize(("policy", "says", "served", "stopped"), [
    (Panel("p", THREE, ABOVE), {"s1": ("B", 0), "s2": ("B", 0), "s3": ("B", NEVER_S)}, "s1", {"s3"}),
    (Panel("p", THREE, ABOVE), {"s1": ("B", 0), "s2": ("C", 0), "s3": ("B", 0.01)}, "s1", set()),
    (Panel("p", TWO, ABOVE, with_mid=True), {"m1": ("B", 0.01), "s1": ("B", 0), "s2": ("C", NEVER_S)}, "m1", {"s2"}),
    (Panel("p", TWO, ABOVE), {"s1": ("B", 0), "s2": ("C", 0), "m1": ("D", 0), "f1": ("E", 0)}, "f1", set()),
], ids=["two of three", "the third decides", "mid at once", "no agreement"])  # fmt: skip
def test_the_slower_is_stopped_once_the_verdict_is_certain(policy, says, served, stopped) -> None:
    flight, decision = live(policy, says)
    models = {a.n: a.outcome.model for a in flight.attempts}
    status = {a.outcome.model: a.outcome.status for a in flight.attempts}
    assert models[decision.served] == served
    assert {name for name, how in status.items() if how is Status.cancelled} == stopped
    costs = {a.outcome.model: a.outcome.cost for a in flight.attempts}
    assert all(costs[name] == 7 for name in stopped)  # what it had read
    assert all(cost == 9 for name, cost in costs.items() if name not in stopped)
    assert (decision, status) == offline(policy, says)
    assert decision.reason is (Reason.top_tier if served == "f1" else Reason.agreed)
