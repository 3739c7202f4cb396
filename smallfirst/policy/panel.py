"""Several small models side by side: where they agree their answer is served, where not it is handed up.

Knows who sits on the panel and when two answers are the same. Does not know what happens above: a Cascade does.
"""

from __future__ import annotations

import msgspec

from smallfirst.core import Reason
from smallfirst.policy.cascade import Cascade
from smallfirst.policy.course import Answer, ClientGone, Course, Leg, names
from smallfirst.policy.endings import straight_up
from smallfirst.policy.protocol import Facts, Plan
from smallfirst.policy.threshold import ACCEPT
from smallfirst.verify.agreement import agreement


class Panel(msgspec.Struct, frozen=True):
    """Ask `models` at once, and with `with_mid` the next tier's first model too.

    The next tier's answer (or the first model's, where there is none) is served as soon as another says the same;
    `quick`: any answer is, whoever is still writing.
    Two free texts that are merely alike are served only where the judge also accepts. `above` hands up otherwise,
    and takes the whole query where fewer than two of the panel may be asked, or the panel is too dear.
    """

    name: str
    models: tuple[str, ...]
    above: Cascade
    with_mid: bool = False
    quick: bool = False

    def plan(self, facts: Facts) -> Plan:
        course = Course(facts)
        try:
            if facts.max_quality_loss is not None:
                return (yield from straight_up(course))
            seats, next_tier = self._seats(facts)
            if len(seats) < 2 or not course.fits(seats):
                return (yield from self.above.climb(course, 0))
            decision = yield from self._sit(course, seats)
            if decision is None:
                decision = yield from self._hand_up(course, next_tier)
            return decision
        except ClientGone:
            return course.gone()

    def _seats(self, facts: Facts) -> tuple[list[str], int]:
        """Who is asked, whose word counts first; and the index of the tier above them all."""
        allowed = names(facts.tiers)
        seats = [model for model in self.models if model in allowed]
        above = 1 + max((n for n, tier in enumerate(facts.tiers) if set(seats) & set(tier.models)), default=-1)
        if self.with_mid and seats and above < len(facts.tiers):
            return [facts.tiers[above].models[0], *seats], above + 1
        return seats, above

    def _sit(self, course: Course, seats: list[str]) -> Leg:
        """Ask all, serve as soon as it is certain; returning stops the slower ones. None: they do not agree."""
        commands = course.begin(*[course.start(model) for model in seats])
        while course.running:
            done = yield from course.next_done(commands)
            commands = ()
            answer = course.book(done) if done is not None else None
            agreed = self._agreed(course, seats)
            if agreed is not None:
                return course.serve(agreed, Reason.agreed)
            if course.late and (best := answer if answer and answer.valid else course.best()) is not None:
                return course.serve(best, Reason.latency_limit)
        return None

    def _agreed(self, course: Course, seats: list[str]) -> Answer | None:
        """The leading answer, once another one backs it; None: not yet, or not at all."""
        if len(course.answers) < 2:
            return None
        if self.quick:
            valid = {answer.model: answer for answer in course.answers if answer.valid}
            leads = [valid[model] for model in seats if model in valid]
        else:
            lead = self._lead(course, seats)
            leads = [lead] if lead is not None else []
        return next((found for lead in leads if (found := self._backed(course, lead)) is not None), None)

    def _backed(self, course: Course, lead: Answer) -> Answer | None:
        """`lead`, with what the judge says of it, where another answer says the same; None: it may not be served."""
        others = [answer for answer in course.answers if answer.id != lead.id and answer.valid]
        found = {agreement(lead.outcome, other.outcome) for other in others}
        if not found & {"same", "alike"}:
            return None
        verdict = course.facts.judge(lead.outcome, tuple(other.outcome for other in others))
        tier = next(tier.name for tier in course.facts.tiers if lead.model in tier.models)
        if "same" in found or verdict.p_correct >= self.above.accept.get(tier, ACCEPT):
            return msgspec.structs.replace(lead, verdict=verdict)
        return None

    def _lead(self, course: Course, seats: list[str]) -> Answer | None:
        """The answer of the first seat that has one; None while a seat before it may still speak."""
        waiting = {start.model for start in course.running.values()}
        answers = {answer.model: answer for answer in course.answers if answer.valid}
        for model in seats:
            if model in waiting:
                return None
            if model in answers:
                return answers[model]
        return None

    def _hand_up(self, course: Course, next_tier: int) -> Plan:
        course.judge_again()
        best = course.best()
        if next_tier >= len(course.facts.tiers) and best is not None:
            alone = len(course.facts.tiers) == 1
            reason = course.alone(best.model) if alone else Reason.top_tier
            note = "would hand up: disagreed" if alone else ""
            return course.serve(best, reason, would_escalate=alone, note=note)
        course.hand_up(_word(course, best))
        return (yield from self.above.climb(course, next_tier))


def _word(course: Course, best: Answer | None) -> str:
    """Why the panel's answers are not served."""
    if not course.answers:
        return "failed"
    return "invalid" if best is None else "disagreed" if len(course.answers) > 1 else "alone"
