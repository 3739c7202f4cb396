"""A model that takes longer than usual gets company: the next one up is asked beside it, the first good answer counts.

Knows how long to wait, who stands in, and when its answer is good. Does not know how the policy that it stands around
decides: that one goes on as if nothing had happened, and where it asks for the very model that is already running, it
is given that call. One second call a request at most. None where the request limits its cost (the policy counts on what
it has not spent) or asks for a certificate. Between *replicas* of a model the engine hedges (engine/hedging.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from smallfirst.core import Decision, Outcome, Reason, Verdict
from smallfirst.policy.course import Leg
from smallfirst.policy.protocol import (
    Cancel,
    Command,
    Done,
    Event,
    Facts,
    Gone,
    Plan,
    Policy,
    Progress,
    Release,
    Start,
    Wake,
    Woke,
)
from smallfirst.policy.threshold import ACCEPT

_TAG = "hedge "


class Hedged(msgspec.Struct, frozen=True):
    """`policy`, hedged after `after` milliseconds, or the p95 of the model that is waited for.

    `accept`: tier -> least p_correct of a stand-in's answer, as the policy's own; None: only the highest tier, whose
    answer is the baseline's, may stand in.
    """

    policy: Policy
    after: Literal["p95"] | float
    accept: Mapping[str, float] | None = None

    @property
    def name(self) -> str:
        return self.policy.name

    def plan(self, facts: Facts) -> Plan:
        if facts.max_cost is not None or facts.max_quality_loss is not None:
            return (yield from self.policy.plan(facts))
        return (yield from _Race(self, facts).run())


class _Race:
    """One plan and its second call. The plan's calls are renumbered, so that ids run through."""

    def __init__(self, hedged: Hedged, facts: Facts) -> None:
        self._how, self._facts = hedged, facts
        self._plan = hedged.policy.plan(facts)
        self._ours: dict[int, int] = {}  # the plan's id -> ours
        self._theirs: dict[int, int] = {}
        self._running: dict[int, Start] = {}  # the plan's calls, by our ids
        self._late: set[int] = set()
        self._unwatched: set[int] = set()  # calls whose first tokens the plan did not ask to hear of
        self._asked: list[str] = []
        self._hedge: Start | None = None
        self._came: Outcome | None = None  # what the second call brought, where it was not good enough
        self._released = False
        self._next_id = 1

    def run(self) -> Plan:
        try:
            commands = self._obeyed(next(self._plan))
            while True:
                event = yield commands
                hedge = self._hedge
                if isinstance(event, (Done, Progress)) and event.id not in self._theirs and hedge is not None:
                    settled = yield from self._heard(hedge, event)  # of the second call, which the plan knows not of
                    if settled is not None:
                        return settled
                    commands = ()
                elif isinstance(event, Woke) and event.tag.startswith(_TAG):
                    commands = self._overdue(int(event.tag.removeprefix(_TAG)))
                else:
                    commands = self._told(event)
        except StopIteration as stop:
            decision: Decision = stop.value
            served = decision.served
            return msgspec.structs.replace(decision, served=None if served is None else self._ours[served])
        finally:
            self._plan.close()

    # -- the plan's side --------------------------------------------------------------------------------------------

    def _told(self, event: Event) -> tuple[Command, ...]:
        """Pass an event on to the plan, under its own id, and obey what it says."""
        if isinstance(event, Progress) and event.id in self._unwatched:
            return ()
        if isinstance(event, (Done, Progress)):
            if isinstance(event, Done):
                self._running.pop(event.id, None)
                self._late.discard(event.id)
            event = msgspec.structs.replace(event, id=self._theirs[event.id])
        return self._obeyed(self._plan.send(event))

    def _obeyed(self, commands: tuple[Command, ...]) -> tuple[Command, ...]:
        found: list[Command] = []
        for one in commands:
            match one:
                case Start() if self._is_hedge(one):
                    found += self._handed_in(one)
                case Start():
                    found += self._begun(one)
                case Wake():
                    found.append(one)
                case Release():
                    self._released = True
                    found.append(Release(self._ours[one.id]))
                    found += self._stopped()
                case Cancel():
                    self._running.pop(self._ours[one.id], None)
                    found.append(Cancel(self._ours[one.id]))
        return tuple(found)

    def _begun(self, start: Start) -> tuple[Command, ...]:
        """A call of the plan's, and the alarm clock for it."""
        id = self._new_id()
        self._ours[start.id], self._theirs[id] = id, start.id
        self._asked.append(start.model)
        mine = self._running[id] = msgspec.structs.replace(start, id=id)
        how = self._how.after
        after = self._facts.usual_ms(start.model, bool(start.watch)) if how == "p95" else how
        if self._hedge is not None or after is None or start.role != "answer":
            return (mine,)
        return (mine, Wake(f"{_TAG}{id}", float(after)))

    def _is_hedge(self, start: Start) -> bool:
        hedge = self._hedge
        return hedge is not None and hedge.model == start.model and hedge.id not in self._theirs

    def _handed_in(self, start: Start) -> tuple[Command, ...]:
        """The plan asks for the model that is running already: that call is its own from now on."""
        hedge = self._hedge
        assert hedge is not None  # noqa: S101 - _is_hedge has looked
        self._ours[start.id], self._theirs[hedge.id] = hedge.id, start.id
        if not start.watch:
            self._unwatched.add(hedge.id)
        if self._came is None:
            self._running[hedge.id] = hedge
            return ()
        return self._told(Done(hedge.id, self._came))

    # -- the second call --------------------------------------------------------------------------------------------

    def _overdue(self, id: int) -> tuple[Command, ...]:
        """A call has taken its time. The second one is made once all that run have."""
        if id not in self._running:
            return ()
        self._late.add(id)
        if self._hedge is not None or self._released or not self._late >= self._running.keys():
            return ()
        model = self._stand_in()
        if model is None:
            return ()
        top = self._is_top(model)
        self._hedge = Start(self._new_id(), model, watch=int(top and self._facts.stream), signals=not top)
        return (self._hedge,)

    def _stand_in(self) -> str | None:
        """The first model of the next tier up that was not asked; beside the highest tier, another one of it."""
        tiers = self._facts.tiers
        highest = max(at for at, tier in enumerate(tiers) if set(tier.models) & set(self._asked))
        above = tiers[-1:] if self._how.accept is None else tiers[highest + 1 :] or tiers[-1:]
        return next((model for tier in above for model in tier.models if model not in self._asked), None)

    def _heard(self, hedge: Start, event: Done | Progress) -> Leg:
        """The second call says something. A decision where that settles it."""
        if isinstance(event, Progress):
            if self._released:
                return None
            others = tuple(Cancel(id) for id in self._running)
            heard: Event = yield (Release(hedge.id), *others)
            while not (isinstance(heard, Done) and heard.id == hedge.id):
                if isinstance(heard, Gone):
                    return Decision(None, Reason.client_gone)
                heard = yield ()
            return Decision(hedge.id, Reason.hedged, deferrals=("slow",))
        verdict = self._verdict(event.outcome)
        if verdict is False or self._released:
            self._came = event.outcome
            return None
        return Decision(hedge.id, Reason.hedged, verdict if isinstance(verdict, Verdict) else None, deferrals=("slow",))

    def _verdict(self, outcome: Outcome) -> Verdict | bool:
        """What the judge says of a stand-in's answer; True: nobody needs to ask; False: it is not good enough."""
        if not outcome.ok:
            return False
        top, empty = self._is_top(outcome.model), not (outcome.text or outcome.tool_calls)
        if top and not (self._facts.format or empty):
            return True
        verdict = self._facts.judge(outcome, ())
        tier = next(tier.name for tier in self._facts.tiers if outcome.model in tier.models)
        enough = top or verdict.p_correct >= (self._how.accept or {}).get(tier, ACCEPT)
        return verdict if verdict.valid and enough else False

    def _stopped(self) -> tuple[Command, ...]:
        """The plan's own answer is on its way to the client: the second call is not needed."""
        hedge = self._hedge
        if hedge is None or hedge.id in self._theirs or self._came is not None:
            return ()
        return (Cancel(hedge.id),)

    def _is_top(self, model: str) -> bool:
        return model in self._facts.tiers[-1].models

    def _new_id(self) -> int:
        id, self._next_id = self._next_id, self._next_id + 1
        return id
