"""A certified policy as it is served: the certificate's rung while it is in force, always-frontier when it is not.

Knows the certificate, what has voided it, and alarms. Does not know files (cli) or how a rung plans (policy). A request
that is known to stand outside before it is sent is answered by the highest tier it may see: what is not covered by the
promise is not served cheaply in its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from smallfirst.calibrate.certificate import ALL, Bound, Certificate, Differences
from smallfirst.core import Decision, OutReason, Reason, Tier
from smallfirst.policy.course import ClientGone, Course
from smallfirst.policy.endings import straight_up
from smallfirst.policy.protocol import Facts, Plan, Policy

ONE_TURN = "one turn: the certified queries had no earlier turns, so a conversation under way stands outside"
"""A note that a certificate carries where this is so; the guard obeys it."""

TAG = "slice:"
"""`slice:NAME` among a request's tags says which slice it belongs to; without it, its kind does."""

_AFTER = {
    Reason.fallback: OutReason.fallback,
    Reason.failed: OutReason.unserved,
    Reason.client_gone: OutReason.unserved,
    Reason.cost_limit: OutReason.limit,
    Reason.latency_limit: OutReason.limit,
    Reason.hedged: OutReason.hedge,
}
"""What a decision's reason says about the promise, once it is known."""


class Guarded:
    """One policy of the kind `certified`. Shared by all requests; the monitor alone changes `alarms`."""

    def __init__(
        self,
        name: str,
        certificate: Certificate,
        models: Iterable[str],
        rung: Callable[[int], Policy],
        found: Differences,
    ) -> None:
        """`models`: every one that the ladder names; `rung(k)`: the policy that runs rung k."""
        self.name, self.certificate, self.found = name, certificate, found
        self.alarms: dict[str, int] = {}  # slice -> since when, UTC microseconds
        self.max_quality_loss = certificate.promise.max_quality_loss
        self._models = frozenset(models)
        self._one_turn = ONE_TURN in certificate.notes
        whole = () if found.voiding else certificate.bounds  # another ladder may not even have such a rung
        self._rungs = {bound.slice: rung(bound.rung) for bound in whole}
        self._whole: tuple[Tier, ...] = ()  # the last tiers that were found to hold every model

    @property
    def in_force(self) -> bool:
        """Nothing has voided the certificate, and no alarm stands."""
        return not self.found.voiding and not self.alarms

    def plan(self, facts: Facts) -> Plan:
        reason = self.outside(facts)
        if reason is None:
            bound = self.slice_of(_tags(facts), facts.kind)
            policy = self._rungs[bound.slice] if bound else None
        else:
            policy = None
        if policy is None:
            decision = yield from _highest(facts)
            return self._marked(decision, reason)
        decision = yield from policy.plan(msgspec.structs.replace(facts, max_quality_loss=None))
        return self._marked(decision, _AFTER.get(decision.reason))

    def outside(self, facts: Facts) -> OutReason | None:
        """Why the promise does not cover this query, as far as can be known before it is asked."""
        if self.found.voiding:
            return OutReason.digest
        if self.alarms:
            return OutReason.alarm
        if facts.max_quality_loss is not None and facts.max_quality_loss < self.max_quality_loss:
            return OutReason.too_strict
        if facts.tiers is not self._whole and not self._holds_all(facts.tiers):
            return OutReason.narrowed
        if self._one_turn and facts.query is not None and facts.query.turns:
            return OutReason.session
        return None if self.slice_of(_tags(facts), facts.kind) else OutReason.slice

    def slice_of(self, tags: tuple[str, ...], kind: str) -> Bound | None:
        """What is proved for a request with these tags, of this kind; None: its slice was never certified."""
        if self.certificate.slicing is None:
            return self.certificate.bounds[0]
        return self.certificate.bound(slice_name(tags, kind))

    def _holds_all(self, tiers: tuple[Tier, ...]) -> bool:
        if not self._models <= {name for tier in tiers for name in tier.models}:
            return False
        self._whole = tiers
        return True

    def _marked(self, decision: Decision, reason: OutReason | None) -> Decision:
        reason = reason or decision.out_reason
        if decision.served is None:
            reason = reason or OutReason.unserved
        return msgspec.structs.replace(decision, certificate_id=self.certificate.id, out_reason=reason)


def slice_name(tags: tuple[str, ...], kind: str) -> str:
    """The slice that a request's caller named, else its kind."""
    return next((tag.removeprefix(TAG) for tag in tags if tag.startswith(TAG)), kind)


def _tags(facts: Facts) -> tuple[str, ...]:
    return () if facts.query is None else facts.query.dials.tags


def _highest(facts: Facts) -> Plan:
    """The highest tier that may see the query answers, and nothing below it stands in."""
    course = Course(facts)
    try:
        return (yield from straight_up(course))
    except ClientGone:
        return course.gone()


def watched_slices(certificate: Certificate) -> tuple[str, ...]:
    """The names that detectors go by: the certified slices, or `all`."""
    return (ALL,) if certificate.slicing is None else tuple(bound.slice for bound in certificate.bounds)
