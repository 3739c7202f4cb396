"""What every policy promises, whatever happens to it."""

from __future__ import annotations

import re
from collections.abc import Generator
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallfirst.core import Decision, Outcome, Reason, Status, Tier
from smallfirst.engine.virtual import Trace, simulate
from smallfirst.policy.course import LATENCY
from smallfirst.policy.protocol import Command, Done, Event, Facts, Plan, Policy, Progress, Release, Start, Wake

from .stage import COST, MS, POLICIES, TIERS, Play, facts, play, script, served

pytestmark = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())

FEW = settings(max_examples=25)
plays = st.dictionaries(
    st.sampled_from(list(COST)),
    st.builds(
        Play,
        p=st.none() | st.floats(0.02, 0.99),
        text=st.sampled_from(["A", "B", "B)", "", "A cat sat on the mat. It was a long day for every one of them."]),
        status=st.sampled_from([Status.ok] * 4 + [s for s in Status if s is not Status.cancelled]),
        after_ms=st.integers(0, 500),
        tokens=st.integers(0, 5),
        first=st.none() | st.floats(-2, 0),
    ),
)
tiers = st.lists(
    st.tuples(*[st.lists(st.sampled_from(t.models), unique=True) for t in TIERS]), min_size=1, max_size=1
).map(lambda found: tuple(Tier(t.name, tuple(m)) for t, m in zip(TIERS, found[0], strict=True) if m))
worlds = st.fixed_dictionaries(
    {
        "tiers": tiers,
        "known": st.dictionaries(st.sampled_from(list(COST)), st.none() | st.floats(0, 1)),
        "stream": st.booleans(),
        "format": st.booleans(),
        "max_cost": st.none() | st.integers(0, 900),
        "max_latency_ms": st.none() | st.floats(0, 1000),
        "max_quality_loss": st.none() | st.floats(0, 1),
        "demonstration": st.frozensets(st.sampled_from(["s1", "s2"])),
    }
)


class Spy:
    """A policy that writes down what is said, and checks what can be checked on the way."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.name = policy, policy.name
        self.commands: list[Command] = []
        self.events: list[Event] = []

    def plan(self, facts: Facts) -> Plan:
        plan = self.policy.plan(facts)
        reply: Event | None = None
        try:
            while True:
                commands = plan.send(reply) if reply is not None else next(plan)
                self.commands += commands
                reply = yield commands
                self.events.append(reply)
        except StopIteration as stop:
            return stop.value

    def of(self, kind: type) -> list:
        return [command for command in self.commands if isinstance(command, kind)]


def run(policy: Policy, script_: dict[str, Play], world: dict, gone_after_us: int | None = None) -> tuple[Spy, Trace]:
    spy = Spy(policy)
    return spy, simulate(spy, facts(script_, **world), script(script_), gone_after_us=gone_after_us)


@FEW
@given(script_=plays, world=worlds, gone=st.none() | st.integers(0, 1_500_000))
def test_every_run_ends_within_the_rules(policy: Policy, script_, world, gone) -> None:
    """simulate() itself checks: allowed models only, no id twice, one Release, something valid is served."""
    spy, trace = run(policy, script_, world, gone)
    starts = spy.of(Start)
    assert len({(start.model) for start in starts}) == len(starts)  # nobody is asked twice
    assert len(trace.attempts) == len(starts)  # every call is booked once
    assert len(spy.of(Release)) <= 1
    assert len([wake for wake in spy.of(Wake) if wake.tag == LATENCY]) <= 1
    decision = trace.decision
    assert (decision.served is None) == (decision.reason in (Reason.failed, Reason.client_gone))
    if decision.served is not None:
        assert served(trace) in {model for tier in world["tiers"] for model in tier.models}
    if decision.served is None and decision.reason is Reason.failed:
        assert decision.note


@FEW
@given(script_=plays, world=worlds)
def test_max_cost_is_never_passed_by_what_was_expected(policy: Policy, script_, world) -> None:
    limit = world["max_cost"]
    if limit is None:
        return
    spy = Spy(policy)
    spent, pending = 0, {}

    def watched(f: Facts) -> Plan:
        nonlocal spent
        plan = spy.policy.plan(f)
        reply = None
        try:
            while True:
                commands = plan.send(reply) if reply is not None else next(plan)
                for command in commands:
                    if isinstance(command, Start):
                        pending[command.id] = COST[command.model]
                assert spent + sum(pending.values()) <= limit
                reply = yield commands
                if isinstance(reply, Done):
                    del pending[reply.id]
                    spent += reply.outcome.cost
        except StopIteration as stop:
            return stop.value

    trace = simulate(SimpleNamespace(name="watched", plan=watched), facts(script_, **world), script(script_))
    assert trace.cost <= limit


@FEW
@given(script_=plays, world=worlds)
def test_a_stream_is_released_only_at_its_first_token_and_then_it_is_what_is_served(
    policy: Policy, script_, world
) -> None:
    spy, trace = run(policy, script_, world)
    watched = {start.id for start in spy.of(Start) if start.watch}
    for release in spy.of(Release):
        assert release.id in watched
        assert any(isinstance(event, Progress) and event.id == release.id for event in spy.events)
        assert trace.decision.served == release.id
    if not world["stream"]:
        assert not watched
        assert not spy.of(Release)


@FEW
@given(script_=plays, world=worlds)
def test_an_answer_that_breaks_the_format_is_served_only_unchecked(policy: Policy, script_, world) -> None:
    trace = run(policy, script_, world)[1]
    if trace.decision.verdict is not None:
        assert trace.decision.verdict.valid


@FEW
@given(script_=plays, world=worlds)
def test_the_same_world_gives_the_same_trace(policy: Policy, script_, world) -> None:
    assert run(policy, script_, world)[1] == run(policy, script_, world)[1]


@FEW
@given(script_=plays, world=worlds)
def test_without_the_strictest_dial_only_the_last_tier_or_the_named_model_answers(
    policy: Policy, script_, world
) -> None:
    world = world | {"max_quality_loss": 0.1}
    trace = run(policy, script_, world)[1]
    if trace.decision.served is not None and trace.decision.reason is not Reason.fixed:
        assert served(trace) in world["tiers"][-1].models
        assert trace.decision.reason is Reason.no_certificate


@FEW
@given(script_=plays, world=worlds, now=st.integers(0, 400_000))
def test_a_client_that_leaves_ends_the_plan_at_once(policy: Policy, script_, world, now: int) -> None:
    trace = run(policy, script_, world, gone_after_us=now)[1]
    assert trace.latency_us <= now or trace.decision.reason is not Reason.client_gone
    if trace.decision.reason is Reason.client_gone:
        assert trace.decision.served is None
        assert trace.latency_us == now
    else:
        assert trace.latency_us <= now  # it had ended before


def test_a_plan_needs_no_more_than_it_is_told(policy: Policy) -> None:
    """Plans of one policy do not disturb each other: a policy is shared by all requests."""
    world = facts()
    one, other = policy.plan(world), policy.plan(world)
    assert isinstance(one, Generator)
    assert next(one) == next(other)
    one.close()
    other.close()


def test_nothing_that_a_policy_is_told_holds_a_score(policy: Policy) -> None:
    for told in (Facts, Outcome, Done, Progress):
        assert not [f.name for f in msgspec.structs.fields(told) if re.search(r"score|gold|label|reference", f.name)]


def test_the_name_is_kept(policy: Policy) -> None:
    assert policy.name
    assert isinstance(play(policy).decision, Decision)


def test_virtual_milliseconds(policy: Policy) -> None:
    """The world of these tests keeps time in microseconds, as everything does."""
    assert play(policy).latency_us == 100 * MS
