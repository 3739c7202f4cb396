"""The state of one plan: what was asked, what came back, what it has cost, and which limits hold.

Knows the protocol and the limits of one request, so that each policy says only which model is next. Does not know
which model that is. One Course is made per plan; it is thrown away with it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from math import exp

import msgspec

from smallfirst.core import Decision, Outcome, Reason, Role, Tier, Verdict
from smallfirst.policy.protocol import Command, Done, Event, Facts, Gone, Progress, Release, Start, Wake, Woke
from smallfirst.policy.settings import CommitSettings

LATENCY = "latency"
"""Tag of the one Wake that a plan asks for: max_latency_ms has passed."""


class ClientGone(Exception):
    """Ends a plan from wherever it stands: raised where an event is awaited, caught in the policy's `plan`."""


class Answer(msgspec.Struct, frozen=True):
    """An answer that came, and what the judge says of it (None: this policy does not ask)."""

    id: int
    model: str
    outcome: Outcome
    verdict: Verdict | None = None

    @property
    def valid(self) -> bool:
        return self.verdict is None or self.verdict.valid


Leg = Generator[tuple[Command, ...], Event, Decision | None]
"""A part of a plan: a decision, or None when the plan goes on."""

Step = Generator[tuple[Command, ...], Event, "Answer | None"]


class Course:
    """One request on its way up the tiers."""

    def __init__(self, facts: Facts, early: CommitSettings | None = None) -> None:
        """`early`: when a stream that could still be judged is passed on all the same."""
        self.facts = facts
        self._early = early if early is not None and _may_commit(facts) else None
        self.answers: list[Answer] = []  # in the order in which they came, faults left out
        self.deferrals: list[str] = []
        self.spent = 0  # nano-dollars, of calls that have ended
        self.released: int | None = None
        self.late = False  # max_latency_ms has passed
        self.too_dear = False  # max_cost kept a model from being asked
        self.running: dict[int, Start] = {}
        self.asked: set[str] = set()
        self._handed_up: list[str] = []  # becomes a deferral once another model is really asked
        self._next_id = 1
        self._clock_runs = facts.max_latency_ms is None

    # -- what may be asked ------------------------------------------------------------------------------------------

    def allows(self, model: str) -> bool:
        """Whether max_cost lets `model` be asked now; notes in `too_dear` when it does not."""
        fits = self.fits([model])
        self.too_dear = self.too_dear or not fits
        return fits

    def fits(self, models: Iterable[str]) -> bool:
        """Whether all of `models` together stay within max_cost, after what was spent and what is running."""
        if self.facts.max_cost is None:
            return True
        cost = self.facts.expected_cost
        pending = sum(cost(start.model) for start in self.running.values())
        return self.spent + pending + sum(map(cost, models)) <= self.facts.max_cost

    def hand_up(self, word: str) -> None:
        """Note why this tier's answer is not served. It counts as a deferral once another model is asked."""
        self._handed_up.append(word)

    # -- asking -----------------------------------------------------------------------------------------------------

    def start(
        self, model: str, *, role: Role = "answer", commit: bool = False, judged: bool = True, early: bool = False
    ) -> Start:
        """Book a call. `commit`: it is served whatever it says, so a stream may be released at its first token.
        `early`: it may be, once its first tokens are sure enough.

        Log-probabilities are asked for only where they can change something: whether to hand up, or, with one tier,
        the note that it would have been.
        """
        watch = int(commit and self.facts.stream)
        signals = judged and not watch and (not commit or len(self.facts.tiers) == 1)
        if early and self._early is not None:
            watch, signals = self._early.tokens, True
        start = Start(self._next_id, model, role=role, watch=watch, signals=signals)
        self._next_id += 1
        self.running[start.id] = start
        self.asked.add(model)
        self.deferrals += self._handed_up
        self._handed_up.clear()
        return start

    def begin(self, *starts: Start) -> tuple[Command, ...]:
        """The commands that send `starts`; the first time, the clock for max_latency_ms is started with them."""
        if self._clock_runs or self.facts.max_latency_ms is None:
            return starts
        self._clock_runs = True
        return (*starts, Wake(LATENCY, self.facts.max_latency_ms))

    def ask(self, model: str, *, commit: bool = False, judged: bool = True, early: bool = False) -> Step:
        """Call one model and wait. None: it failed, or max_latency_ms passed while an answer is at hand."""
        commands = self.begin(self.start(model, commit=commit, judged=judged, early=early))
        done = yield from self.next_done(commands)
        return None if done is None else self.book(done, judged=judged)

    def next_done(self, commands: tuple[Command, ...] = ()) -> Generator[tuple[Command, ...], Event, Done | None]:
        """Wait for the next call to end. None: max_latency_ms passed while a valid answer is at hand."""
        while True:
            event = yield commands
            commands = ()
            match event:
                case Done():
                    return event
                case Progress(id=id) if self.released is None and id in self.running and self._enough(event):
                    self.released = id
                    commands = (Release(id),)
                case Woke():
                    self.late = True
                    if self.released is None and self.best() is not None:
                        return None
                case Gone():
                    raise ClientGone

    def _enough(self, event: Progress) -> bool:
        """Whether a stream may be passed on: it is served whatever it says, or its first tokens are sure enough."""
        if not self.running[event.id].signals or self._early is None:
            return True
        return event.logprob is not None and exp(min(0.0, event.logprob)) >= self._early.above

    def book(self, done: Done, *, judged: bool = True) -> Answer | None:
        """Take a call's end into account; its answer, or None where it failed."""
        start = self.running.pop(done.id)
        self.spent += done.outcome.cost
        if not done.outcome.ok:
            return None
        others = tuple(answer.outcome for answer in self.answers)
        # A stream that is served whatever it says is relayed unread; an answer of the highest tier is looked at only
        # where it could break a format, or is empty.
        relayed = self.released == start.id or (start.watch and not start.signals)
        unread = relayed or not (start.signals or self.facts.format or _empty(done.outcome))
        judged = judged and not unread
        verdict = self.facts.judge(done.outcome, others) if judged else None
        answer = Answer(done.id, start.model, done.outcome, verdict)
        self.answers.append(answer)
        return answer

    # -- ending -----------------------------------------------------------------------------------------------------

    def best(self) -> Answer | None:
        """The valid answer that the judge thinks most of; the later one of two equals."""
        valid = [answer for answer in self.answers if answer.valid]
        return max(valid, key=lambda a: (a.verdict.p_correct if a.verdict else 0.0, a.id), default=None)

    def judge_again(self) -> None:
        """Weigh every answer once more, now that all witnesses have spoken."""
        outcomes = [answer.outcome for answer in self.answers]
        for n, answer in enumerate(self.answers):
            others = (*outcomes[:n], *outcomes[n + 1 :])
            self.answers[n] = msgspec.structs.replace(answer, verdict=self.facts.judge(answer.outcome, others))

    def serve(self, answer: Answer, reason: Reason, *, would_escalate: bool = False, note: str = "") -> Decision:
        return Decision(answer.id, reason, answer.verdict, would_escalate, tuple(self.deferrals), note)

    def serve_released(self, reason: Reason) -> Decision:
        """The answer that is already on its way to the client, also where it broke in the middle."""
        broke = all(answer.id != self.released for answer in self.answers)
        note = "it broke after its first tokens had been passed on" if broke else ""
        return Decision(self.released, reason, None, deferrals=tuple(self.deferrals), note=note)

    def gone(self) -> Decision:
        return Decision(None, Reason.client_gone, deferrals=tuple(self.deferrals))

    def failed(self, note: str = "") -> Decision:
        """Nothing can be served; says why in words."""
        if not note:
            faults = [word for answer in self.answers if answer.verdict for word in answer.verdict.why]
            unasked = "cost limit" if self.too_dear else "no model may see this query"
            note = faults[0] if faults else "no model answered" if self.asked else unasked
        return Decision(None, Reason.failed, deferrals=tuple(self.deferrals), note=note)

    def alone(self, model: str) -> Reason:
        """The reason where only one tier is configured."""
        return Reason.demonstration if model in self.facts.demonstration else Reason.only_tier


def _may_commit(facts: Facts) -> bool:
    """Whether a stream may go out unchecked: not where it could break a format, nor with several choices."""
    query = facts.query
    return facts.stream and not facts.format and (query is None or query.needs.n == 1)


def _empty(outcome: Outcome) -> bool:
    return not (outcome.text or outcome.tool_calls)


def names(tiers: Iterable[Tier]) -> list[str]:
    """All models of these tiers, in order."""
    return [model for tier in tiers for model in tier.models]
