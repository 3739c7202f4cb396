"""Run one rung of a fitted ladder: ask its steps in turn, serve the leading answer where that is worth its loss.

Knows a ladder and which rung is in force. Does not know whether it was certified, by whom or when: a certificate names
the ladder's digest and the rung. evals/ladder.py makes the same decisions for many rows at once.

What the ladder was fitted for is kept to: where a model of its path may not see a query, or the request forbids to pay
for a step, the top model answers alone; where a call fails, its answer counts as none and the path goes on.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

import msgspec

from smallfirst.core import Decision, Reason, Verdict
from smallfirst.errors import DataError
from smallfirst.policy.course import Answer, ClientGone, Course, Leg, names
from smallfirst.policy.endings import last_resort, served, straight_up
from smallfirst.policy.ladder import Ladder, Reader, Step, Weighed, look, weigh
from smallfirst.policy.protocol import Command, Event, Facts, Plan
from smallfirst.verify.evidence import Seen, seen
from smallfirst.verify.judge import INVALID

ABSENT = Seen(None, valid=False)
"""A call that failed."""


class Certified:
    """`rung` of `ladder`. `promise`: the relative loss that is certified for it; None: nothing is.

    A request that asks for a smaller loss than `promise` is answered by the top model (reason no_certificate).
    """

    def __init__(self, name: str, ladder: Ladder, rung: int, *, promise: float | None = None) -> None:
        """Raises DataError where the ladder has no such rung."""
        if not 0 <= rung < len(ladder.rungs):
            raise DataError(f"rung {rung}: the ladder has rungs 0 to {len(ladder.rungs) - 1}")
        self._name, self.ladder, self.rung, self.promise = name, ladder, rung, promise
        self.reader = Reader(ladder)

    @property
    def name(self) -> str:
        return self._name

    def plan(self, facts: Facts) -> Plan:
        course = Course(facts)
        try:
            asked_for = facts.max_quality_loss
            if asked_for is not None and (self.promise is None or asked_for < self.promise):
                return (yield from straight_up(course))
            decision = yield from self._climb(course)
            if decision is None:
                decision = yield from self._top(course)
            return decision
        except ClientGone:
            return course.gone()

    def inside(self, facts: Facts) -> str:
        """Why a request with these facts is not served as the ladder was fitted, in a word; empty: it is."""
        if facts.query is None or not set(self.ladder.models) <= set(names(facts.tiers)):
            return "narrowed"
        return ""

    def _climb(self, course: Course) -> Leg:
        """From step to step; None: the top model is to answer."""
        facts = course.facts
        if self.inside(facts) or facts.query is None:
            return None
        query = self.reader.about(facts.query.text, tools=facts.query.needs.tools)
        asked: dict[str, Seen] = {}
        for step in self.ladder.steps:
            if step.asks:
                if not course.fits(step.asks):
                    course.too_dear = True
                    return None
                late = yield from self._ask(course, step, asked)
                if late is not None:
                    return late
            leading, numbers = look(step.trust, query, [asked[model] for model in step.asked])
            found = weigh(self.ladder, self.rung, step, leading, numbers)
            if found.course == "stop":
                return self._serve(course, step, leading, numbers, found)
            if found.course == "top":
                break
        return None

    def _ask(
        self, course: Course, step: Step, asked: dict[str, Seen]
    ) -> Generator[tuple[Command, ...], Event, Decision | None]:
        """Ask all of a step at once and wait for all. A decision only where max_latency_ms passes meanwhile."""
        query = course.facts.query
        commands = course.begin(*[course.start(model) for model in step.asks])
        for model in step.asks:
            asked[model] = ABSENT
        while course.running:
            done = yield from course.next_done(commands)
            commands = ()
            if done is not None:
                answer = course.book(done, judged=False)
                if answer is not None and query is not None:
                    asked[answer.model] = _looked(course, answer, seen(query, answer.outcome))
            if course.late and (best := course.best()) is not None:
                return course.serve(best, Reason.latency_limit)
        course.hand_up(_why_on(asked))
        return None

    def _serve(self, course: Course, step: Step, leading: int, numbers: Sequence[float], found: Weighed) -> Decision:
        model = step.asked[leading]
        answer = next(answer for answer in course.answers if answer.model == model)
        chance = step.right.value(numbers) if step.right is not None else 0.5
        why = (
            f"p_correct {chance:.2f} from the words and {len(step.asked)} answers",
            f"its expected loss weighs {found.stop:.3f} of a {self.ladder.top} call, which would cost {found.top:.3f}",
        )
        return course.serve(msgspec.structs.replace(answer, verdict=Verdict(chance, why)), Reason.accepted)

    def _top(self, course: Course) -> Plan:
        """The top model answers; where it can't, the best answer at hand or whoever is left."""
        top = self.ladder.top
        tiers = course.facts.tiers
        candidates = [top] if top in names(tiers) else list(tiers[-1].models) if tiers else []
        for model in candidates:
            if model not in course.asked and course.allows(model):
                decision = yield from served(course, model, Reason.top_tier)
                if decision is not None:
                    return decision
        return (yield from last_resort(course))


def _looked(course: Course, answer: Answer, one: Seen) -> Seen:
    """Note an answer that breaks the format: it may never be served, as a last resort neither."""
    if not one.valid:
        broken = Verdict(INVALID, ("it breaks the format that was asked for",), valid=False)
        course.answers[course.answers.index(answer)] = msgspec.structs.replace(answer, verdict=broken)
    return one


def _why_on(asked: Mapping[str, Seen]) -> str:
    """Why a step's answers are not served, in a word."""
    return "low_confidence" if any(one.valid for one in asked.values()) else "failed"
