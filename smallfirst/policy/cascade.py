"""Ask the lowest tier, check its answer, hand up until one is good enough.

Knows predicted p_correct (who is worth asking), the judge (what is good enough) and thresholds. Does not know how the
judge comes to its verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from smallfirst.core import Decision, Reason, Tier
from smallfirst.policy.course import Answer, ClientGone, Course, Leg
from smallfirst.policy.endings import last_resort, served, straight_up
from smallfirst.policy.protocol import Facts, Plan
from smallfirst.policy.settings import CommitSettings
from smallfirst.policy.threshold import ACCEPT


class Cascade(msgspec.Struct, frozen=True):
    """`accept`: tier -> least p_correct of an answer that is served; 0.8 where none is named.

    `try_above`: a model that is predicted below this is not asked; a model that was never probed is handed past.
    `commit`: when a stream from below the highest tier is passed on before its end, unchecked.
    The highest tier is asked in any case, and served whatever the judge thinks, unless its answer breaks the format.
    """

    name: str
    accept: Mapping[str, float] = {}
    try_above: float = 0.3
    commit: CommitSettings | None = None

    def plan(self, facts: Facts) -> Plan:
        course = Course(facts, self.commit)
        try:
            if facts.max_quality_loss is not None:
                return (yield from straight_up(course))
            return (yield from self.climb(course, 0))
        except ClientGone:
            return course.gone()

    def climb(self, course: Course, first: int) -> Plan:
        """Try the tiers from index `first` upwards; what came before is in `course`."""
        tiers = course.facts.tiers
        if len(tiers) == 1 and first == 0:
            return (yield from self._alone(course, tiers[0]))
        for tier in tiers[first:-1]:
            decision = yield from self._try(course, tier)
            if decision is not None:
                return decision
        for model in tiers[-1].models if tiers and first < len(tiers) else ():
            if course.allows(model):
                decision = yield from served(course, model, Reason.top_tier)
                if decision is not None:
                    return decision
        return (yield from last_resort(course))

    def _try(self, course: Course, tier: Tier) -> Leg:
        """One tier below the highest: a decision, or None with the reason for handing up noted."""
        promising = self._promising(course.facts, tier)
        if not promising:
            course.hand_up(_why_not(course.facts, tier))
            return None
        word = "cost"
        for model in promising:
            if not course.allows(model):
                continue
            answer = yield from course.ask(model, early=True)
            if course.released is not None:
                return course.serve_released(Reason.committed)
            if course.late and (best := course.best()) is not None:
                return course.serve(best, self._late_reason(tier, best, answer))
            word = self._hold_against(tier, answer)
            if answer is not None:
                if not word:
                    return course.serve(answer, Reason.accepted)
                break  # an answer came: a better one is looked for above, not beside
        course.hand_up(word)
        return None

    def _alone(self, course: Course, tier: Tier) -> Plan:
        """The only tier there is: what it says is served, and whether it would have been handed up is noted."""
        facts = course.facts
        promising = self._promising(facts, tier)
        rest = [model for model in tier.models if model not in promising]
        for model in [*promising, *rest]:
            if course.allows(model):
                decision = yield from served(course, model, course.alone(model))
                if decision is not None:
                    return self._marked(facts, tier, model, decision)
        return (yield from last_resort(course))

    def _marked(self, facts: Facts, tier: Tier, model: str, decision: Decision) -> Decision:
        p = facts.p_correct.get(model)
        word = "unprobed" if p is None else "predicted_low" if p < self.try_above else ""
        judged = decision.verdict.p_correct if decision.verdict else p
        if not word and judged is not None and judged < self._least(tier):
            word = "low_confidence"
        note = f"would hand up: {word}" if word else ""
        return msgspec.structs.replace(decision, would_escalate=bool(word), note=decision.note or note)

    def _least(self, tier: Tier) -> float:
        return self.accept.get(tier.name, ACCEPT)

    def _promising(self, facts: Facts, tier: Tier) -> list[str]:
        return [m for m in tier.models if (p := facts.p_correct.get(m)) is not None and p >= self.try_above]

    def _hold_against(self, tier: Tier, answer: Answer | None) -> str:
        """Why this answer is not served, in a word; empty: it is good enough."""
        if answer is None:
            return "failed"
        if not answer.valid:
            return "invalid"
        good = answer.verdict is not None and answer.verdict.p_correct >= self._least(tier)
        return "" if good else "low_confidence"

    def _late_reason(self, tier: Tier, best: Answer, answer: Answer | None) -> Reason:
        good = best is answer and not self._hold_against(tier, answer)
        return Reason.accepted if good else Reason.latency_limit


def _why_not(facts: Facts, tier: Tier) -> str:
    probed = any(facts.p_correct.get(model) is not None for model in tier.models)
    return "predicted_low" if probed else "unprobed"
