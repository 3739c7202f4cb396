"""What a policy and its driver say to each other.

A policy is a generator: it yields commands, is sent one event at a time, and returns a Decision. The engine drives it
with real calls, evals with recorded ones on a virtual clock, a test with a script; the policy can't tell which.

Rules: one event per send; an empty tuple means keep waiting; an empty tuple with nothing pending raises PolicyStalled.
Every Start ends in exactly one Done, except after Cancel; ties are broken by id. Returning cancels what still runs, and
its cost is booked. Release streams an answer from now on and can't be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Protocol

import msgspec

from smallfirst.core import Decision, Edit, Kind, Outcome, Query, Role, Tier, Verdict


class Start(msgspec.Struct, frozen=True, gc=False):
    """Ask `model`. `watch=k`: tell me (Progress) once k tokens have come; 0: only when it is done.

    `signals`: token log-probabilities are wanted as evidence, where the model gives any.
    """

    id: int
    model: str
    role: Role = "answer"
    edit: Edit | None = None
    watch: int = 0
    signals: bool = False


class Cancel(msgspec.Struct, frozen=True, gc=False):
    id: int


class Wake(msgspec.Struct, frozen=True, gc=False):
    tag: str
    after_ms: float


class Release(msgspec.Struct, frozen=True, gc=False):
    id: int


class Progress(msgspec.Struct, frozen=True, gc=False):
    """`tokens` have come; `logprob` is the mean of their log-probabilities where there are any."""

    id: int
    tokens: int
    logprob: float | None = None


class Done(msgspec.Struct, frozen=True, gc=False):
    id: int
    outcome: Outcome


class Woke(msgspec.Struct, frozen=True, gc=False):
    tag: str


class Gone(msgspec.Struct, frozen=True, gc=False):
    """The client has left; whatever the policy returns now is only recorded."""

    cause: str


Command = Start | Cancel | Wake | Release
Event = Progress | Done | Woke | Gone
Plan = Generator[tuple[Command, ...], Event, Decision]

Judge = Callable[[Outcome, tuple[Outcome, ...]], Verdict]
"""(the answer, the other answers so far) -> p_correct and why; pure, from `verify`."""


class Facts(msgspec.Struct, frozen=True):
    """All that a policy may know."""

    tiers: tuple[Tier, ...]  # allowed models only, empty tiers left out, lowest first
    p_correct: Mapping[str, float | None]  # None: never probed
    complexity: float
    kind: Kind
    judge: Judge
    expected_cost: Callable[[str], int]  # model -> upper estimate for one call on this query, nano-dollars
    stream: bool = False
    max_cost: int | None = None  # nano-dollars for all attempts together
    max_latency_ms: float | None = None
    max_quality_loss: float | None = None
    format: bool = True  # the request asks for a format (JSON, a schema, tools) that an answer can break
    demonstration: frozenset[str] = frozenset()  # models that are there only to show the machinery
    query: Query | None = None  # for policies that weigh evidence themselves
    refused: str = ""  # of a task: why nobody above its own models may be asked


class Policy(Protocol):
    """A named way to plan. Frozen and shared by all requests."""

    @property
    def name(self) -> str: ...

    def plan(self, facts: Facts) -> Plan: ...
