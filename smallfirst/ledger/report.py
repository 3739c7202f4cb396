"""A Summary as a report: dollars, shares and a year at a given volume, ready for JSON.

Knows what the figures mean and how far they may be carried. Does not know terminals (cli/report_cmd.py).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping

import msgspec

from smallfirst.core import NANO
from smallfirst.errors import LedgerError
from smallfirst.ledger.promises import Kept, Opinion
from smallfirst.ledger.summary import KindLine, Percentiles, Summary

HOW_TO_FILL = (
    "start the gateway:     smallfirst serve",
    "and send it a request: curl http://127.0.0.1:4000/v1/chat/completions -H 'content-type: application/json' \\",
    """                         -d '{"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}'""",
    "or see a report first: smallfirst demo",
)
"""What to do about an empty ledger."""

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class TierRow(msgspec.Struct, frozen=True):
    tier: str
    requests: int
    share: float
    cost_usd: float
    latency: Percentiles


class Year(msgspec.Struct, frozen=True):
    """Twelve months at a volume, if they are like the requests reported on."""

    monthly_queries: float
    cost_usd: float
    baseline_usd: float | None
    saving_usd: float | None


class AlarmRow(msgspec.Struct, frozen=True):
    """A promise that no longer stands, since when, and after how many audits that was found."""

    policy: str
    certificate_id: str
    slice: str
    audits: int
    since: str | None


class PromiseRow(msgspec.Struct, frozen=True):
    """Requests inside a certificate and outside, of all requests; what watches over it, and what callers say.

    `feedback` is by tier, 0 (bad) to 1 (good). Callers who give it chose to, so it is shown and never tested.
    """

    inside: int
    inside_share: float
    outside: Mapping[str, int]  # by reason
    not_asked: int  # requests of policies without a certificate
    certificates: tuple[Kept, ...]
    audits: int
    audit_calls: int
    audit_cost_usd: float
    audit_agreement: float | None  # share of compared answers that say what the baseline says
    audits_graded: int
    alarms: tuple[AlarmRow, ...]
    feedback: Mapping[str, Opinion]


class Report(msgspec.Struct, frozen=True):
    """The report as data. Money in dollars, shares and savings in 0..1, times in microseconds or ISO 8601, UTC."""

    first: str | None
    last: str | None
    requests: int
    failed: int
    client_gone: int
    errors: int
    tiers: tuple[TierRow, ...]
    kinds: tuple[KindLine, ...]
    latency: Percentiles
    attempts_per_request: float
    cost_usd: float
    cost_is_lower_bound: bool  # some calls have no known price, so that `saving` is an upper bound
    unpriced_attempts: int
    compared_cost_usd: float  # the part of the cost that stands against the baseline
    baseline_cost_usd: float | None
    baseline_requests: int
    baseline_methods: Mapping[str, int]
    saving: float | None
    deferrals: Mapping[str, int]
    decisions: Mapping[str, int]
    would_escalate: int
    would_escalate_share: float
    promise: PromiseRow
    year: Year | None = None


def make_report(summary: Summary, monthly_queries: float | None = None) -> Report:
    """The report on `summary`, with a year's figures at `monthly_queries` where that is given."""
    return Report(
        first=_iso(summary.first_us),
        last=_iso(summary.last_us),
        requests=summary.requests,
        failed=summary.failed,
        client_gone=summary.gone,
        errors=summary.errors,
        tiers=tuple(TierRow(t.tier, t.requests, t.share, t.cost / NANO, t.latency) for t in summary.tiers),
        kinds=summary.kinds,
        latency=summary.latency,
        attempts_per_request=summary.attempts_per_request,
        cost_usd=summary.cost / NANO,
        cost_is_lower_bound=summary.cost_is_lower_bound,
        unpriced_attempts=summary.unpriced,
        compared_cost_usd=summary.compared_cost / NANO,
        baseline_cost_usd=summary.baseline_cost / NANO if summary.with_baseline else None,
        baseline_requests=summary.with_baseline,
        baseline_methods=summary.baseline_methods,
        saving=summary.saving,
        deferrals=summary.deferrals,
        decisions=summary.decisions,
        would_escalate=summary.would_escalate,
        would_escalate_share=summary.would_escalate / summary.requests if summary.requests else 0.0,
        promise=_promise(summary),
        year=_year(summary, monthly_queries) if monthly_queries and summary.requests else None,
    )


def _promise(summary: Summary) -> PromiseRow:
    found, requests = summary.promises, summary.requests
    audits = found.audits
    return PromiseRow(
        inside=found.inside,
        inside_share=found.inside / requests if requests else 0.0,
        outside=found.outside,
        not_asked=requests - found.inside - sum(found.outside.values()),
        certificates=found.certificates,
        audits=audits.requests,
        audit_calls=audits.calls,
        audit_cost_usd=audits.cost / NANO,
        audit_agreement=audits.agreed / audits.compared if audits.compared else None,
        audits_graded=audits.graded,
        alarms=tuple(AlarmRow(a.policy, a.certificate_id, a.slice, a.audits, _iso(a.at_us)) for a in found.alarms),
        feedback=found.feedback,
    )


def _year(summary: Summary, monthly_queries: float) -> Year:
    """Carried from the requests that have a baseline, so that both sums are over the same ones; else from all."""
    queries = 12 * monthly_queries
    if not summary.with_baseline:
        return Year(monthly_queries, queries * summary.cost / summary.requests / NANO, None, None)
    cost = queries * summary.compared_cost / summary.with_baseline / NANO
    baseline = queries * summary.baseline_cost / summary.with_baseline / NANO
    return Year(monthly_queries, cost, baseline, baseline - cost)


def since(text: str, now: dt.datetime) -> int:
    """UTC microseconds for `90m`, `24h`, `7d`, `2w` before `now`, or for a date like 2026-11-01 (UTC).

    Raises LedgerError.
    """
    span = re.fullmatch(r"(\d{1,6})([mhdw])", text.strip())
    try:
        if span:
            start = now - dt.timedelta(**{_UNITS[span[2]]: int(span[1])})
        else:
            start = dt.datetime.fromisoformat(text.strip())
            start = start.replace(tzinfo=start.tzinfo or dt.UTC)
    except (ValueError, OverflowError):
        raise LedgerError(f"--since: {text!r} is neither a span (90m, 24h, 7d, 2w) nor a date (2026-11-01)") from None
    return int(start.timestamp() * 1_000_000)


def _iso(at_us: int | None) -> str | None:
    if at_us is None:
        return None
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=at_us)).isoformat(timespec="seconds")
