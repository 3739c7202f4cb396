"""Drives a policy with answers that are already known, on a virtual clock: replay and tests, no waiting.

Knows the policy protocol, an event heap, and a function that says what each call would answer and how long it would
take. Does not know asyncio, time or HTTP. The live driver is engine/driver.py; this one is stricter about the protocol.

What a cancelled call costs: with `price`, its input and the share of its output that had come by then (output comes
evenly from the first token to the last); without, its whole recorded cost, so that a replay never flatters us.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import msgspec

from smallfirst.core import Attempt, Decision, Outcome, Price, Status, Usage
from smallfirst.errors import PolicyError, PolicyStalled
from smallfirst.policy.hand_over import drafted
from smallfirst.policy.protocol import (
    Cancel,
    Command,
    Done,
    Event,
    Facts,
    Gone,
    Policy,
    Progress,
    Release,
    Start,
    Wake,
    Woke,
)

MOST_EVENTS = 10_000
"""A policy that has not ended after this many events never will."""

CALL, TIMER, CLIENT = 0, 1, 2  # the order of events at the same instant; calls among each other by id


class Trace(msgspec.Struct, frozen=True):
    """What happened: the decision, every call in the order in which they ended, and what it took.

    `latency_us`: from the first command to the decision. `cost`: of all calls, nano-dollars. `first_us`: when the
    client saw the first token of a released stream; None where nothing was released.
    """

    decision: Decision
    attempts: tuple[Attempt, ...]
    latency_us: int
    cost: int
    first_us: int | None = None


def simulate(
    policy: Policy,
    facts: Facts,
    answer: Callable[[Start], tuple[Outcome, int]],
    *,
    gone_after_us: int | None = None,
    price: Callable[[str], Price | None] | None = None,
) -> Trace:
    """Run one plan to its end. `answer(start)`: what this call answers, and after how many microseconds.

    `gone_after_us`: when the client leaves. Raises PolicyError where the policy breaks the protocol, and PolicyStalled
    where it waits with nothing pending.
    """
    return _Run(facts, answer, price).run(policy, gone_after_us)


class _Call(msgspec.Struct):
    start: Start
    outcome: Outcome
    begun_us: int
    latency_us: int


class _Run:
    """One plan on its own clock."""

    def __init__(
        self,
        facts: Facts,
        answer: Callable[[Start], tuple[Outcome, int]],
        price: Callable[[str], Price | None] | None,
    ) -> None:
        self.facts, self.answer, self.price = facts, answer, price
        self.allowed = {model for tier in facts.tiers for model in tier.models}
        self.now_us = 0
        self.running: dict[int, _Call] = {}
        self.known: set[int] = set()
        self.released: int | None = None
        self.first_us: int | None = None
        self.attempts: list[Attempt] = []
        self._heap: list[tuple[int, int, int, int, Event]] = []
        self._pushed = 0

    def run(self, policy: Policy, gone_after_us: int | None) -> Trace:
        if gone_after_us is not None:
            self._push(gone_after_us, CLIENT, 0, Gone("the client went away"))
        plan = policy.plan(self.facts)
        try:
            commands = next(plan)
            for _ in range(MOST_EVENTS):
                for command in commands:
                    self._obey(command)
                commands = plan.send(self._next())
        except StopIteration as stop:
            return self._ended(stop.value)
        finally:
            plan.close()
        raise PolicyError(f"the policy {policy.name} has not ended after {MOST_EVENTS} events")

    def _ended(self, decision: Decision) -> Trace:
        latency_us = self.now_us
        for id in sorted(self.running):
            self._cancel(id)
        if decision.served is not None and decision.served != self.released:
            served = next((a for a in self.attempts if a.n == decision.served), None)
            if served is None or not served.outcome.ok:
                raise PolicyError(f"attempt {decision.served} is to be served and has no answer")
        if decision.served is not None and self.released not in (None, decision.served):
            raise PolicyError(f"attempt {self.released} was released and {decision.served} is to be served")
        cost = sum(attempt.outcome.cost for attempt in self.attempts)
        return Trace(decision, tuple(self.attempts), latency_us, cost, self.first_us)

    def _obey(self, command: Command) -> None:
        match command:
            case Start():
                self._start(command)
            case Cancel(id=id):
                if id not in self.known:
                    raise PolicyError(f"attempt {id} can't be cancelled: it was never started")
                if id in self.running:
                    self._cancel(id)
            case Release(id=id):
                self._release(id)
            case Wake(tag=tag, after_ms=after_ms):
                if not after_ms >= 0:
                    raise PolicyError(f"a wake {tag!r} can't be in the past")
                self._push(self.now_us + round(after_ms * 1000), TIMER, 0, Woke(tag))

    def _start(self, start: Start) -> None:
        if start.id in self.known:
            raise PolicyError(f"attempt {start.id} was started twice")
        if start.model not in self.allowed:
            raise PolicyError(f"attempt {start.id} asks {start.model}, which is not among the allowed models")
        if start.edit is not None and start.edit.draft is not None:
            drafted(self.attempts, start.edit.draft)
        outcome, latency_us = self.answer(start)
        outcome = msgspec.structs.replace(outcome, started_us=self.now_us, latency_us=latency_us)
        call = _Call(start, outcome, self.now_us, latency_us)
        self.known.add(start.id)
        self.running[start.id] = call
        if start.watch and outcome.usage.output_tokens >= start.watch:
            at = self.now_us + _token_us(call, start.watch)
            self._push(at, CALL, start.id, Progress(start.id, start.watch, _logprob(outcome, start.watch)))
        self._push(self.now_us + latency_us, CALL, start.id, Done(start.id, outcome))

    def _release(self, id: int) -> None:
        if self.released is not None:
            raise PolicyError(f"attempt {id} can't be released: {self.released} already is")
        if id not in self.running:
            raise PolicyError(f"attempt {id} can't be released: it is not running")
        if not self.running[id].start.watch:
            raise PolicyError(f"attempt {id} can't be released: it was started without watch, so it is not streamed")
        self.released, self.first_us = id, self.now_us

    def _cancel(self, id: int) -> None:
        call = self.running.pop(id)
        self._book(call.start, self._cut_short(call))

    def _cut_short(self, call: _Call) -> Outcome:
        """What is booked for a call that was stopped now."""
        ran_us = self.now_us - call.begun_us
        usage, cost = call.outcome.usage, call.outcome.cost
        price = self.price(call.start.model) if self.price else None
        if price is not None:
            begun = _token_us(call, 1)
            share = min(1.0, max(0.0, (ran_us - begun) / max(1, call.latency_us - begun)))
            written = math.ceil(share * usage.output_tokens)
            usage = Usage(usage.input_tokens, written, usage.cached_tokens, estimated=True)
            cost = price.cost(usage)
        return msgspec.structs.replace(
            call.outcome, status=Status.cancelled, text="", tool_calls=(), finish=None, body=b"",
            usage=usage, cost=cost, latency_us=ran_us,
        )  # fmt: skip

    def _book(self, start: Start, outcome: Outcome) -> None:
        self.attempts.append(Attempt(start.id, start.role, outcome, released=self.released == start.id))

    def _push(self, at_us: int, rank: int, id: int, event: Event) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (at_us, rank, id, self._pushed, event))

    def _next(self) -> Event:
        """The next event; those of calls that were cancelled are skipped."""
        while self._heap:
            if not self.running and all(entry[1] == CLIENT for entry in self._heap):
                break
            at_us, _, id, _, event = heapq.heappop(self._heap)
            if isinstance(event, (Done, Progress)):
                if id not in self.running:
                    continue
                if isinstance(event, Done):
                    self._book(self.running.pop(id).start, event.outcome)
            self.now_us = max(self.now_us, at_us)
            return event
        raise PolicyStalled("the policy waits and nothing is pending")


def _token_us(call: _Call, nth: int) -> int:
    """When the nth token comes, after the start: evenly between the first token and the end."""
    first = call.outcome.ttft_us
    if first is None or first > call.latency_us:
        first = call.latency_us // max(1, call.outcome.usage.output_tokens)
    rest = max(1, call.outcome.usage.output_tokens - 1)
    return first + (call.latency_us - first) * (nth - 1) // rest


def _logprob(outcome: Outcome, tokens: int) -> float | None:
    """The mean of the first tokens' log-probabilities, where it is known: of one of them, or of all."""
    signals = outcome.signals
    return signals.first_logprob if tokens == 1 else signals.mean_logprob if tokens == signals.tokens else None
