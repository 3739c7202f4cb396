"""The virtual driver: order of events, what is booked, and which breaches of the protocol it catches."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from smallfirst.core import Decision, Outcome, Price, Reason, Status, Tier, Usage, Verdict
from smallfirst.engine.virtual import Trace, simulate
from smallfirst.errors import PolicyError, PolicyStalled
from smallfirst.policy.protocol import Cancel, Done, Event, Facts, Gone, Plan, Progress, Release, Start, Wake, Woke

FACTS = Facts(
    (Tier("slm", ("a", "b", "c")),),
    {},
    0.0,
    "other",
    lambda outcome, others: Verdict(0.5),
    lambda model: 1,
    stream=True,
)
TAKES_US = {"a": 1000, "b": 2000, "c": 2000}


def answer(start: Start) -> tuple[Outcome, int]:
    usage = Usage(input_tokens=100, output_tokens=11)
    return Outcome(start.model, Status.ok, "x", usage=usage, ttft_us=500, cost=1000), TAKES_US[start.model]


def run(plan: Callable[[Facts], Plan], **more) -> Trace:
    return simulate(SimpleNamespace(name="test", plan=plan), FACTS, answer, **more)


def events(plan_commands: tuple, count: int, **more) -> list[Event]:
    """What a policy hears that starts with these commands and then listens."""
    heard: list[Event] = []

    def plan(facts: Facts) -> Plan:
        heard.append((yield plan_commands))
        for _ in range(count - 1):
            heard.append((yield ()))
        return Decision(None, Reason.failed)

    run(plan, **more)
    return heard


def test_events_come_in_the_order_of_their_time_and_ties_by_id() -> None:
    heard = events((Start(3, "c"), Start(2, "b"), Start(1, "a"), Wake("w", 2), Wake("early", 1.5)), 5)
    assert [getattr(event, "id", getattr(event, "tag", None)) for event in heard] == [1, "early", 2, 3, "w"]


def test_progress_comes_when_the_kth_token_does() -> None:
    times: list[int] = []

    def plan(facts: Facts) -> Plan:
        event = yield (Start(1, "b", watch=6), Start(2, "a", watch=1))
        while not isinstance(event, Done):
            times.append(event.id)
            event = yield ()
        return Decision(event.id, Reason.accepted)

    trace = run(plan)  # a's first token at 500, its end at 1000; b's sixth of eleven at 500 + 1500 * 5 / 10 = 1250
    assert times == [2]
    assert trace.latency_us == 1000
    assert [type(e) for e in events((Start(1, "b", watch=6),), 2)] == [Progress, Done]
    assert [type(e) for e in events((Start(1, "b", watch=12), Wake("end", 10)), 2)] == [Done, Woke]


def test_a_release_streams_from_then_on() -> None:
    def plan(facts: Facts) -> Plan:
        yield (Start(1, "b", watch=1),)
        yield (Release(1),)
        return Decision(1, Reason.top_tier)

    trace = run(plan)
    assert (trace.first_us, trace.latency_us) == (500, 2000)
    assert trace.attempts[0].released


def test_returning_cancels_what_runs_and_books_it() -> None:
    def plan(facts: Facts) -> Plan:
        event = yield (Start(1, "a"), Start(2, "b"), Start(3, "c"))
        assert isinstance(event, Done)
        return Decision(1, Reason.accepted)

    trace = run(plan)
    assert [(a.n, a.outcome.status) for a in trace.attempts] == [
        (1, Status.ok),
        (2, Status.cancelled),
        (3, Status.cancelled),
    ]
    assert trace.cost == 3000  # without prices: in full, so that nothing is flattered
    assert trace.attempts[1].outcome.latency_us == 1000


def test_with_prices_a_cancelled_call_costs_its_input_and_what_had_been_written() -> None:
    def plan(facts: Facts) -> Plan:
        yield (Start(1, "a"), Start(2, "b"))
        return Decision(1, Reason.accepted)

    price = Price(input=1_000_000, output=10_000_000, cached=0, source="test")
    trace = run(plan, price=lambda model: price)
    stopped = trace.attempts[1].outcome
    assert stopped.usage == Usage(100, 4, 0, estimated=True)  # (1000 - 500) of (2000 - 500), of 11 tokens, rounded up
    assert stopped.cost == 100 + 40


def test_a_cancelled_call_has_no_done() -> None:
    def plan(facts: Facts) -> Plan:
        event = yield (Start(1, "a"), Start(2, "b"))
        assert event == Done(1, event.outcome)
        event = yield (Cancel(2), Wake("later", 5))
        assert event == Woke("later")
        return Decision(1, Reason.accepted)

    trace = run(plan)
    assert trace.latency_us == 6000
    assert [a.outcome.status for a in trace.attempts] == [Status.ok, Status.cancelled]


def test_the_client_may_leave() -> None:
    assert events((Start(1, "b"),), 1, gone_after_us=700) == [Gone("the client went away")]


def asks(*steps: tuple) -> Callable[[Facts], Plan]:
    def plan(facts: Facts) -> Plan:
        for commands in steps:  # noqa: UP028 - `yield from` a tuple can't be sent events
            yield commands
        return Decision(None, Reason.failed)

    return plan


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (asks((Start(1, "a"), Start(1, "b"))), "started twice"),
        (asks((Start(1, "a"),), (Start(1, "a"),)), "started twice"),
        (asks((Start(1, "z"),)), "not among the allowed"),
        (asks((Cancel(7),)), "never started"),
        (asks((Release(7),)), "not running"),
        (asks((Start(1, "a", watch=1), Release(1), Release(1))), "already is"),
        (asks((Start(1, "a", watch=1), Start(2, "b", watch=1), Release(1), Release(2))), "already is"),
        (asks((Start(1, "a"), Release(1))), "without watch"),
        (asks((Start(1, "a", watch=1),), (), (Release(1),)), "not running"),
        (asks((Wake("w", -1),)), "past"),
    ],
)
def test_breaches_of_the_protocol(plan: Callable[[Facts], Plan], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        run(plan)


@pytest.mark.parametrize("steps", [((),), ((Start(1, "a"),), (), ()), ((Start(1, "a"), Cancel(1)),)])
def test_waiting_with_nothing_pending(steps: tuple) -> None:
    with pytest.raises(PolicyStalled):
        run(asks(*steps))
    with pytest.raises(PolicyStalled):
        run(asks(*steps), gone_after_us=10**9)  # a client that may leave some day is nothing to wait for


def test_what_is_served_must_be_there() -> None:
    def nothing(facts: Facts) -> Plan:
        yield (Start(1, "a"),)
        return Decision(2, Reason.accepted)

    def running(facts: Facts) -> Plan:
        yield (Start(1, "a"), Start(2, "b"))
        return Decision(2, Reason.accepted)

    def another_was_released(facts: Facts) -> Plan:
        yield (Start(1, "a"), Start(2, "b", watch=1))
        yield (Release(2),)
        return Decision(1, Reason.accepted)

    for plan in (nothing, running, another_was_released):
        with pytest.raises(PolicyError):
            run(plan)


def test_a_policy_that_never_ends_is_stopped() -> None:
    def plan(facts: Facts) -> Plan:
        while True:
            yield (Wake("again", 1),)

    with pytest.raises(PolicyError, match="not ended"):
        run(plan)
