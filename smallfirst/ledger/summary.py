"""The sums over a stretch of the ledger, as plain data.

Knows how groups of requests add up, and which sums are bounds rather than figures. Does not know SQL or how a sum is
shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from smallfirst.core import Reason
from smallfirst.ledger.promises import Promises

USUAL_ORDER = ("slm", "mid", "frontier")
"""Tiers are shown in this order; those of other names follow, by name."""


class Percentiles(msgspec.Struct, frozen=True):
    """Latency, microseconds, by nearest rank; within 1.6% of it, because latencies are counted in buckets."""

    p50_us: int
    p95_us: int


class Group(NamedTuple):
    """Requests that have these five things in common, and their sums: a row of the query."""

    tier: str | None
    kind: str
    reason: str
    deferrals: str  # JSON list
    baseline_method: str
    requests: int
    attempts: int
    unpriced: int
    would_escalate: int
    cost: int
    with_baseline: int
    baseline_cost: int
    compared_cost: int
    errors: int
    first_us: int
    last_us: int


class TierLine(msgspec.Struct, frozen=True):
    """What one tier served. `cost` is of these requests, the attempts below this tier included."""

    tier: str
    requests: int
    share: float  # of all requests, 0..1
    cost: int
    latency: Percentiles


class KindLine(msgspec.Struct, frozen=True):
    """Requests of one kind, and how many of them each tier served."""

    kind: str
    requests: int
    share: float
    cost: int
    tiers: Mapping[str, int]


class Summary(msgspec.Struct, frozen=True):
    """The ledger from `since_us` to before `until_us`. Money in nano-dollars, times in UTC microseconds."""

    since_us: int
    until_us: int
    first_us: int | None = None  # the first and last request found
    last_us: int | None = None
    requests: int = 0
    failed: int = 0  # no model's answer was served
    gone: int = 0  # the client went away first
    errors: int = 0  # the client got a status of 400 or more
    tiers: tuple[TierLine, ...] = ()
    kinds: tuple[KindLine, ...] = ()
    latency: Percentiles = Percentiles(0, 0)
    attempts: int = 0
    unpriced: int = 0  # attempts on a model whose price is unknown: `cost` is then a lower bound
    cost: int = 0
    baseline_cost: int = 0  # over the requests that have one
    with_baseline: int = 0
    compared_cost: int = 0  # cost of those requests, and of the unserved: what failed calls cost is not left out
    baseline_methods: Mapping[str, int] = msgspec.field(default_factory=dict)
    deferrals: Mapping[str, int] = msgspec.field(default_factory=dict)
    decisions: Mapping[str, int] = msgspec.field(default_factory=dict)
    would_escalate: int = 0
    promises: Promises = Promises()

    @property
    def cost_is_lower_bound(self) -> bool:
        return self.unpriced > 0

    @property
    def saving(self) -> float | None:
        """1 - cost / baseline cost, over the requests that have a baseline; None where none has.

        Negative where the baseline would have been cheaper; at most this where `cost_is_lower_bound`.
        """
        return 1 - self.compared_cost / self.baseline_cost if self.baseline_cost else None

    @property
    def attempts_per_request(self) -> float:
        return self.attempts / self.requests if self.requests else 0.0


def roll_up(
    groups: Sequence[Group], by_tier: Mapping[str, Percentiles], overall: Percentiles, since_us: int, until_us: int
) -> Summary:
    """One Summary from the groups of a query; `by_tier` has the latencies of each tier that served."""
    requests = sum(g.requests for g in groups)
    unserved = [g for g in groups if g.tier is None]
    gone = sum(g.requests for g in unserved if g.reason == Reason.client_gone)
    return Summary(
        since_us=since_us,
        until_us=until_us,
        first_us=min((g.first_us for g in groups), default=None),
        last_us=max((g.last_us for g in groups), default=None),
        requests=requests,
        failed=sum(g.requests for g in unserved) - gone,
        gone=gone,
        errors=sum(g.errors for g in groups),
        tiers=tuple(_tier(groups, tier, requests, by_tier[tier]) for tier in sorted(by_tier, key=tier_place)),
        kinds=_kinds(groups, requests),
        latency=overall,
        attempts=sum(g.attempts for g in groups),
        unpriced=sum(g.unpriced for g in groups),
        cost=sum(g.cost for g in groups),
        baseline_cost=sum(g.baseline_cost for g in groups),
        with_baseline=sum(g.with_baseline for g in groups),
        compared_cost=sum(g.compared_cost for g in groups),
        baseline_methods=_most((g.baseline_method, g.with_baseline) for g in groups),
        deferrals=_most((word, g.requests) for g in groups for word in _words(g.deferrals)),
        decisions=_most((g.reason, g.requests) for g in groups),
        would_escalate=sum(g.would_escalate for g in groups),
    )


def tier_place(tier: str) -> tuple[int, str]:
    """Where a tier stands in a list, as a key to sort by."""
    return (USUAL_ORDER.index(tier) if tier in USUAL_ORDER else len(USUAL_ORDER), tier)


def _tier(groups: Iterable[Group], tier: str, requests: int, latency: Percentiles) -> TierLine:
    mine = [g for g in groups if g.tier == tier]
    count = sum(g.requests for g in mine)
    return TierLine(tier, count, count / requests, sum(g.cost for g in mine), latency)


def _kinds(groups: Sequence[Group], requests: int) -> tuple[KindLine, ...]:
    counts = _most((g.kind, g.requests) for g in groups)
    return tuple(_kind([g for g in groups if g.kind == kind], kind, requests) for kind in counts)


def _kind(mine: Sequence[Group], kind: str, requests: int) -> KindLine:
    count = sum(g.requests for g in mine)
    tiers = _most((g.tier, g.requests) for g in mine if g.tier is not None)
    in_order = {tier: tiers[tier] for tier in sorted(tiers, key=tier_place)}
    return KindLine(kind, count, count / requests, sum(g.cost for g in mine), in_order)


def _words(deferrals: str) -> list[str]:
    return msgspec.json.decode(deferrals, type=list[str])


def _most(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Sums by name, the largest first; names without any left out."""
    total: Counter[str] = Counter()
    for name, count in pairs:
        total[name] += count
    return {name: count for name, count in sorted(total.items(), key=lambda pair: (-pair[1], pair[0])) if count}
