"""Route by the query alone: the lowest tier that is predicted to be good enough answers, unchecked.

Knows predicted p_correct and thresholds. Does not look at answers.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from smallfirst.core import Reason, Tier
from smallfirst.policy.course import ClientGone, Course
from smallfirst.policy.endings import last_resort, served, straight_up
from smallfirst.policy.protocol import Facts, Plan

ACCEPT = 0.8
"""Least p_correct that is served where the config names none for a tier."""


class Threshold(msgspec.Struct, frozen=True):
    """`accept`: tier -> least predicted p_correct with which a model of it answers; 0.8 where none is named."""

    name: str
    accept: Mapping[str, float] = {}

    def plan(self, facts: Facts) -> Plan:
        course = Course(facts)
        try:
            if facts.max_quality_loss is not None:
                return (yield from straight_up(course))
            return (yield from self._climb(course))
        except ClientGone:
            return course.gone()

    def _climb(self, course: Course) -> Plan:
        tiers = course.facts.tiers
        for tier in tiers:
            top = tier is tiers[-1]
            trusted = self._trusted(course.facts, tier)
            for model in tier.models if top else trusted:
                if course.allows(model):
                    reason = self._reason(course.facts, model, top=top)
                    decision = yield from served(course, model, reason, judged=False)
                    if decision is not None:
                        would = len(tiers) == 1 and model not in trusted
                        return msgspec.structs.replace(decision, would_escalate=would)
            probed = any(course.facts.p_correct.get(model) is not None for model in tier.models)
            course.hand_up("failed" if course.asked & set(tier.models) else "predicted_low" if probed else "unprobed")
        return (yield from last_resort(course))

    def _trusted(self, facts: Facts, tier: Tier) -> list[str]:
        least = self.accept.get(tier.name, ACCEPT)
        return [model for model in tier.models if (p := facts.p_correct.get(model)) is not None and p >= least]

    def _reason(self, facts: Facts, model: str, *, top: bool) -> Reason:
        if len(facts.tiers) == 1:
            return Reason.demonstration if model in facts.demonstration else Reason.only_tier
        return Reason.top_tier if top else Reason.accepted
