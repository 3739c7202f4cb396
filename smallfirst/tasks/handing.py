"""One request on its way through a task: its own models asked first, then, edited, whoever is above.

Knows the policy protocol, ids, and the limits of one request. Does not know any task. Made once per plan.
"""

from __future__ import annotations

from collections.abc import Generator

import msgspec

from smallfirst.core import Decision, Edit, Made, Outcome, Query, Reason, Role, Verdict
from smallfirst.policy.course import LATENCY, ClientGone
from smallfirst.policy.protocol import (
    Cancel,
    Command,
    Done,
    Event,
    Facts,
    Gone,
    Judge,
    Policy,
    Progress,
    Release,
    Start,
    Wake,
    Woke,
)
from smallfirst.tasks.edits import judge_of


class Heard(msgspec.Struct, frozen=True):
    """What one call brought."""

    id: int
    outcome: Outcome


class Handed(msgspec.Struct, frozen=True):
    """What became of handing up. `outcome` None: nobody gave a usable answer, or it took too long (`late`)."""

    decision: Decision | None = None
    outcome: Outcome | None = None
    asked: bool = False  # a model above was really asked
    late: bool = False


class Handing:
    """The state of one plan. `plan` must catch ClientGone and return `gone()`."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.above = facts.tiers[1:]
        self.late = False  # max_latency_ms has passed
        self.spent = 0  # nano-dollars
        self.deferrals: list[str] = []  # a word for each hand-up
        self._next_id = 1
        self._clock_runs = facts.max_latency_ms is None

    def may_ask(self, own: str) -> bool:
        """Whether a model of the task's own may see this query."""
        return bool(self.facts.tiers) and own in self.facts.tiers[0].models

    def fits(self, model: str) -> bool:
        """Whether max_cost leaves room for a call to `model`."""
        limit = self.facts.max_cost
        return limit is None or self.spent + self.facts.expected_cost(model) <= limit

    def ask(
        self, model: str, *, edit: Edit | None = None, role: Role = "answer", patient: bool = False
    ) -> Generator[tuple[Command, ...], Event, Heard | None]:
        """Call one model and wait. None: max_latency_ms passed first (`patient`: then wait on). Raises ClientGone."""
        start = Start(self._next_id, model, role=role, edit=edit)
        self._next_id += 1
        commands = self._with_clock((start,))
        while True:
            event = yield commands
            commands = ()
            match event:
                case Done(id=start.id, outcome=outcome):
                    self.spent += outcome.cost
                    return Heard(start.id, outcome)
                case Woke():
                    self.late = True
                    if not patient:
                        return None
                case Gone():
                    raise ClientGone

    def hand_up(
        self, policy: Policy, edit: Edit, *, word: str, query: Query | None = None, judge: Judge | None = None
    ) -> Generator[tuple[Command, ...], Event, Handed]:
        """Let `policy` plan over the tiers above, `edit` on each of its calls. Its answers are held, never streamed.

        `word`: why, for the ledger. `query`: as it is handed up (edits.edited); its answers are judged against it,
        unless `judge` says otherwise. Raises ClientGone.
        """
        if not self.above:
            return Handed()
        if self.late:
            return Handed(late=True)
        facts, limit = self.facts, self.facts.max_cost
        inside = msgspec.structs.replace(
            facts,
            query=query or facts.query,
            tiers=self.above,
            stream=False,
            max_latency_ms=None,  # the clock is this plan's; its waking is passed on
            max_cost=None if limit is None else max(0, limit - self.spent),
            judge=judge or (facts.judge if query is None else judge_of(query, facts)),
            format=facts.format or (query is not None and query.needs.json_schema),
            refused="",
        )
        return (yield from self._run(policy, inside, edit, word))

    def _run(
        self, policy: Policy, facts: Facts, edit: Edit, word: str
    ) -> Generator[tuple[Command, ...], Event, Handed]:
        first, outcomes = self._next_id - 1, dict[int, Outcome]()
        plan = policy.plan(facts)
        try:
            commands = self._with_clock(self._outside(next(plan), first, edit))
            self.deferrals.append(word)
            while True:
                event = yield commands
                woke = isinstance(event, Woke)
                if isinstance(event, Done):
                    outcomes[event.id] = event.outcome
                    self.spent += event.outcome.cost
                self.late = self.late or woke
                commands = self._outside(plan.send(_inside(event, first)), first, edit)
                if woke and not commands:
                    return Handed(asked=True, late=True)  # it has no answer at hand, and the task has
        except StopIteration as stop:
            return self._ended(stop.value, first, outcomes)
        finally:
            plan.close()

    def _ended(self, decision: Decision, first: int, outcomes: dict[int, Outcome]) -> Handed:
        if decision.reason is Reason.client_gone:
            raise ClientGone
        self.deferrals += decision.deferrals
        if decision.served is None:
            return Handed(decision, asked=bool(outcomes))
        served = decision.served + first
        # a certificate speaks of queries as callers wrote them
        decision = msgspec.structs.replace(decision, served=served, certificate_id=None, out_reason=None)
        return Handed(decision, outcomes[served], asked=True)

    def _outside(self, commands: tuple[Command, ...], first: int, edit: Edit) -> tuple[Command, ...]:
        """The policy's commands as the engine hears them: ids after ours, the edit on each call."""
        return tuple(self._one_outside(command, first, edit) for command in commands)

    def _one_outside(self, command: Command, first: int, edit: Edit) -> Command:
        match command:
            case Start(id=id):
                self._next_id = max(self._next_id, first + id + 1)
                return msgspec.structs.replace(command, id=first + id, edit=_both(edit, command.edit), watch=0)
            case Cancel(id=id):
                return Cancel(first + id)
            case Release(id=id):
                return Release(first + id)
        return command

    def _with_clock(self, commands: tuple[Command, ...]) -> tuple[Command, ...]:
        """The first commands start the clock for max_latency_ms with them."""
        if self._clock_runs or self.facts.max_latency_ms is None:
            return commands
        self._clock_runs = True
        return (*commands, Wake(LATENCY, self.facts.max_latency_ms))

    # -- ending -----------------------------------------------------------------------------------------------------

    def serve(
        self,
        heard: Heard,
        reason: Reason,
        made: Made | None = None,
        *,
        verdict: Verdict | None = None,
        would_escalate: bool = False,
        note: str = "",
    ) -> Decision:
        """This attempt, in the words of `made`."""
        words = tuple(self.deferrals)
        return Decision(heard.id, reason, verdict, would_escalate, words, note=note, made=made)

    def serve_handed(self, handed: Handed, made: Made | None = None) -> Decision:
        """What was handed up to, for the reason that the policy above gave. Raises ValueError without an answer."""
        decision = handed.decision
        if decision is None or handed.outcome is None:
            raise ValueError("nothing came from above")
        if decision.reason is Reason.only_tier:  # the policy did not see the tier that the task itself is
            decision = msgspec.structs.replace(decision, reason=Reason.top_tier, would_escalate=False)
        return msgspec.structs.replace(decision, deferrals=tuple(self.deferrals), made=made)

    def gone(self) -> Decision:
        return Decision(None, Reason.client_gone, deferrals=tuple(self.deferrals))

    def failed(self, note: str) -> Decision:
        return Decision(None, Reason.failed, deferrals=tuple(self.deferrals), note=note)


def _inside(event: Event, first: int) -> Event:
    match event:
        case Done(id=id, outcome=outcome):
            return Done(id - first, outcome)
        case Progress(id=id):
            return msgspec.structs.replace(event, id=id - first)
    return event


def _both(ours: Edit, theirs: Edit | None) -> Edit:
    return ours if theirs is None else Edit({**ours.put, **theirs.put}, (*ours.drop, *theirs.drop))
