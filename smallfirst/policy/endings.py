"""What policies do at the edges of their plans: the straight way up, and the last resort.

Knows which models are left and which limits hold. Does not know how a policy chooses in between.
"""

from __future__ import annotations

from smallfirst.core import Reason
from smallfirst.policy.course import Course, Leg, names
from smallfirst.policy.protocol import Plan


def straight_up(course: Course) -> Plan:
    """max_quality_loss without a certificate: the last tier answers, and nothing below it stands in for it."""
    for model in course.facts.tiers[-1].models if course.facts.tiers else ():
        if course.allows(model):
            decision = yield from served(course, model, Reason.no_certificate)
            if decision is not None:
                return decision
    if course.too_dear and not course.asked:
        return course.failed("cost limit: max_quality_loss asks for the last tier, and max_cost forbids it")
    return course.failed()


def served(course: Course, model: str, reason: Reason, *, judged: bool = True) -> Leg:
    """Ask `model` and serve what it says. None: it failed, or its answer breaks the format."""
    answer = yield from course.ask(model, commit=True, judged=judged)
    if course.released is not None:
        return course.serve_released(reason)
    if course.late and (best := course.best()) is not None and best is not answer:
        return course.serve(best, Reason.latency_limit)
    if answer is None or not answer.valid:
        return None
    return course.serve(answer, reason)


def last_resort(course: Course) -> Plan:
    """The tiers are used up: the best answer at hand, or whoever has not been asked yet, or a failure."""
    best = course.best()
    if best is not None:
        return course.serve(best, Reason.cost_limit if course.too_dear else Reason.fallback)
    reason = Reason.cost_limit if course.too_dear else Reason.fallback
    for model in _left(course):
        if course.fits([model]):
            decision = yield from served(course, model, reason)
            if decision is not None:
                return decision
    return course.failed()


def _left(course: Course) -> list[str]:
    """Models that were passed over: the cheapest first when money is what is short, else the highest tier first.

    A demonstration model does not stand in for real ones that are down.
    """
    facts = course.facts
    left = [model for model in names(reversed(facts.tiers)) if model not in course.asked]
    if course.too_dear:
        return sorted(left, key=facts.expected_cost)
    return [model for model in left if model not in facts.demonstration]
