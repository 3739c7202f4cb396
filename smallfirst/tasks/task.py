"""A task: one job under one name (`task:tickets`, `kb:handbook`), done by a small model of its own that knows when it
is not sure, and by larger models where it is not.

Knows what every task must offer. Does not know any kind of task, HTTP, or the engine's insides.

A task is a *policy* with *models of its own*. It never calls anybody: its `plan` yields Starts like any policy, and the
engine performs them. So permits, keys, budgets, limits, the ledger, time limits, streaming and the client's leaving
hold for it as for everything else, and nothing of them is written here.

- **Its own models** (`models`) are ordinary models of the lowest tier: a replica of wire `local`, location `device`,
  whose code (`Local.answer`, models/local.py) runs in a worker thread. Their outcome is an ordinary chat completion
  with `signals.p_correct`; in the ledger they are ordinary attempts. The first one answers; others may stand beside it
  for other steps. Whatever takes longer than some hundred microseconds belongs into a Local, not into `plan`, which
  runs on the event loop.
- **Steps.** A Start's `edit` may `put` any field, and a Local reads it: `ask.read("step", ...)`. So one Local can do
  several things: retrieve passages, judge an answer's groundedness (role `judge`). It answers in text, by custom JSON,
  which `plan` decodes.
- **Handing up** (handing.py): `handing.hand_up(policy, edit, word=...)` lets the configured policy plan over the tiers
  above, with the edit on each of its calls: label set or schema as constrained output, passages put into the messages,
  only the doubtful fields asked for. `edits.constrained` makes such edits, `edits.edited` the query that their answers
  are judged against. A judge of the task's own goes with it as `judge=`: pure and quick, as facts.judge is. One that is
  slow (groundedness by vectors) is a step of a Local instead: ask the tiers one by one with `handing.ask(model,
  edit=...)`, then `handing.ask(own, edit=..., role="judge")`.
- **What is served** is an attempt (`Decision.served`), in the task's own words where that is wanted: `Decision.made`
  holds the text and the task's JSON. Merged fields, citations, a fixed "not in the knowledge base" are made so, on top
  of the own model's attempt or of the one that was handed up to. Nothing is streamed that may still be reworded.
- **A person**, by a webhook, is one more model in `models` with the location of the hook: the permit then decides
  whether the query may go there (`handing.may_ask(name)`). Its Local posts, and says what the caller is told.

Why nobody above may be asked (privacy, the key, an ability, nobody configured) stands in `facts.refused`: the own
answer is then served all the same, with reason `unsure`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from smallfirst.core import Abilities, Model, Needs, Price, Query, Replica
from smallfirst.models.local import Local
from smallfirst.policy.protocol import Facts, Plan, Policy
from smallfirst.tasks.kb.settings import HandoffSettings, WordsSettings

TaskKind = Literal["triage", "extract", "kb"]

PREFIXES: Mapping[TaskKind, str] = {"triage": "task:", "extract": "task:", "kb": "kb:"}
"""What stands before a task's name where callers put it into `model`."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""A task's name in the config: it must fit into an address."""

FREE = Price(0, 0, 0, "a task's own model: runs in this process, electricity not counted")

ENDLESS = 1 << 30
"""Tokens: a model of a task reads a document of any length."""


class Own(msgspec.Struct, frozen=True):
    """A model of a task: its name, its code, and where that code sends what it reads."""

    name: str
    local: Local
    location: str = "device"
    workers: int = 2  # calls at once; further ones wait
    timeout_s: float = 60.0
    price: Price = FREE

    def model(self, tier: str) -> Model:
        """As the engine knows it."""
        here = self.location == "device"
        replica = Replica(
            provider="local",
            url="",
            upstream_model=self.name,
            location=self.location,
            max_parallel=self.workers,
            retention_days=0 if here else None,
            trains=False if here else None,
            wire="local",
        )
        able = Abilities(context=ENDLESS, tools=False, json_schema=False, vision=False, logprobs=False, n=False)
        return Model(self.name, tier, (replica,), able, self.price, timeout_s=self.timeout_s)


class Promise(msgspec.Struct, frozen=True):
    """What is certified of the answers that a task keeps: at least `accuracy` of them are right."""

    accuracy: float
    confidence: float
    coverage: float  # share of the certification rows that it kept
    rows: int  # certification rows
    words: str


class Task(Protocol):
    """What the gateway serves under one name. Frozen, shared by all requests."""

    @property
    def name(self) -> str:
        """As `model` says it: `task:tickets`."""
        ...

    @property
    def kind(self) -> TaskKind: ...

    @property
    def models(self) -> tuple[Own, ...]:
        """The first carries the task's name."""
        ...

    @property
    def own(self) -> tuple[str, ...]:
        """Their names."""
        ...

    @property
    def promise(self) -> Promise | None:
        """None: nothing is certified, or the threshold in force is not the certified one."""
        ...

    def about(self) -> Mapping[str, object]:
        """What GET /v1/tasks says beside name, kind and promise: labels, fields, documents. JSON-ready."""
        ...

    def needs(self, query: Query) -> Needs:
        """What a call above would need, with the edit that this task would make."""
        ...

    def repeats(self, query: Query) -> str | None:
        """By what a repeated request is known to the cache; None: as any other, word for word and without sampling."""
        ...

    def plan(self, facts: Facts) -> Plan:
        """facts.tiers: first the task's own models that may see the query, then the tiers above (perhaps none)."""
        ...


class Opening(msgspec.Struct, frozen=True):
    """What a kind of task is built from (registry.py); paths are absolute."""

    name: str  # as `model` says it
    above: Policy  # who plans what is handed up
    threshold: Literal["certified"] | float
    model: str | None = None
    index: str | None = None
    spec: str | None = None
    workers: int = 2
    words: WordsSettings = WordsSettings()
    handoff: HandoffSettings | None = None
    quote: Literal["first", "last", "never"] = "last"
