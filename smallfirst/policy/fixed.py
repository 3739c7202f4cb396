"""One model, whatever the query: what a caller gets who names a model.

Knows one name. Does not know tiers, and never asks anyone else.
"""

from __future__ import annotations

import msgspec

from smallfirst.core import Reason
from smallfirst.policy.course import ClientGone, Course, names
from smallfirst.policy.endings import served
from smallfirst.policy.protocol import Facts, Plan


class Fixed(msgspec.Struct, frozen=True):
    """Ask `model`, serve what it says. Time and quality dials change nothing: there is no one else to ask."""

    name: str
    model: str

    def plan(self, facts: Facts) -> Plan:
        course = Course(msgspec.structs.replace(facts, max_latency_ms=None))
        if self.model not in names(facts.tiers):
            return course.failed(f"{self.model} may not answer this query")
        if not course.allows(self.model):
            return course.failed()
        try:
            decision = yield from served(course, self.model, Reason.fixed, judged=False)
        except ClientGone:
            return course.gone()
        return decision or course.failed()
