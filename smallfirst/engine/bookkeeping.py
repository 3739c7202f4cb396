"""What a finished request is written down as, and which error a failed one becomes.

Knows entries, baselines and the error tree. Does not know how the ledger stores them.
"""

from __future__ import annotations

import time

import msgspec

from smallfirst.accounts.keys import Key
from smallfirst.core import (
    Attempt,
    Decision,
    Entry,
    Outcome,
    OutReason,
    Query,
    Reason,
    Score,
    Status,
    Usage,
)
from smallfirst.errors import BadRequest, LimitReached, Overloaded, RequestError, UpstreamFailed
from smallfirst.models.catalogue import Catalogue
from smallfirst.privacy.guard import Assessed

CLIENT_CLOSED = 499
"""nginx's status for a client that left before its answer."""


class Books:
    """Makes ledger entries; knows the baseline's price."""

    def __init__(self, catalogue: Catalogue, config_digest: str) -> None:
        self._catalogue, self._config_digest = catalogue, config_digest

    def entry(
        self,
        *,
        query: Query,
        key: Key | None,
        policy: str,
        assessed: Assessed,
        reached: tuple[tuple[str, str, str, bool], ...] = (),
        score: Score | None,
        decision: Decision | None,
        served: Attempt | None,
        attempts: tuple[Attempt, ...],
        error: RequestError | None,
        latency_us: int,
        waiting_us: int,
    ) -> Entry:
        """One Entry from all that is known at the end."""
        outcome = served.outcome if served else None
        attempts = tuple(self._booked(attempt, decision) for attempt in attempts)
        reason = decision.reason if decision else Reason.failed
        certificate = decision.certificate_id if decision else None
        out_reason = None
        if certificate is not None or reason is Reason.no_certificate:
            out_reason = _why_outside(decision, attempts)
        return Entry(
            id=query.id,
            at_us=time.time_ns() // 1000 - latency_us,
            asked=query.asked,
            policy=policy,
            key_id=key.name if key else None,
            tags=_tags(query, key),
            session=query.dials.session,
            data_class=assessed.data_class,
            class_why=assessed.why,
            reached=reached,
            kind=score.kind if score else "other",
            complexity=score.complexity if score else 0.0,
            reason=reason,
            status=_status(reason, error),
            served_model=outcome.model if outcome else None,
            served_tier=self._catalogue.find(outcome.model).tier if outcome else None,
            attempts=attempts,
            cost=sum(a.outcome.cost for a in attempts),
            baseline_cost=self._baseline_cost(outcome),
            baseline_method=self._catalogue.baseline.method,
            latency_us=latency_us,
            overhead_us=max(0, latency_us - waiting_us),
            stream=query.stream,
            would_escalate=decision.would_escalate if decision else False,
            deferrals=decision.deferrals if decision else (),
            config_digest=self._config_digest,
            error_code=error.code if error else None,
            certificate_id=certificate,
            in_certificate=certificate is not None and out_reason is None,
            out_reason=out_reason,
        )

    def _booked(self, attempt: Attempt, decision: Decision | None) -> Attempt:
        """An attempt with what only the end knows: whether it has a price, and the verdict where it was served."""
        priced = self._catalogue.find(attempt.outcome.model).price is not None
        served = decision is not None and decision.served == attempt.n
        verdict = decision.verdict if decision is not None and served else None
        p_correct = verdict.p_correct if verdict is not None else attempt.outcome.signals.p_correct
        return msgspec.structs.replace(attempt, priced=priced, p_correct=p_correct)

    def _baseline_cost(self, outcome: Outcome | None) -> int | None:
        """What the baseline would have cost, by the method the catalogue names: the served answer's own length."""
        price = self._catalogue.baseline.price
        if price is None or outcome is None or self._catalogue.find(outcome.model).replicas[0].wire == "embeddings":
            return None  # a vector is nothing that the baseline would have answered
        return price.cost(Usage(outcome.usage.input_tokens, outcome.usage.output_tokens))


def _tags(query: Query, key: Key | None) -> tuple[str, ...]:
    """What the caller says, and what its key says of it; a team is a tag too."""
    if key is None or not (key.tags or key.team):
        return query.dials.tags
    team = (f"team:{key.team}",) if key.team else ()
    return tuple(dict.fromkeys((*team, *key.tags, *query.dials.tags)))


def _why_outside(decision: Decision | None, attempts: tuple[Attempt, ...]) -> OutReason | None:
    """Why a request that asked for a promise stands outside; None: inside. A call that failed changed the course."""
    if decision is None or decision.certificate_id is None:
        return OutReason.too_strict
    reason = decision.out_reason
    if reason is None and any(a.outcome.status not in (Status.ok, Status.cancelled) for a in attempts):
        reason = OutReason.fallback
    return reason


def _status(reason: Reason, error: RequestError | None) -> int:
    if reason is Reason.client_gone:
        return CLIENT_CLOSED
    return error.status if error else 200


def failure(decision: Decision, attempts: tuple[Attempt, ...]) -> RequestError:
    """The one clean error for a request that no model answered. Never carries prompt text of ours."""
    if decision.reason is Reason.client_gone:
        return UpstreamFailed("the client went away", code="client_gone", status=CLIENT_CLOSED)
    if not attempts:
        return BadRequest(
            decision.note or "no model could be asked within the limits of this request",
            code="limit_too_tight",
            param="smallfirst.max_cost_usd",
        )
    last = max(attempts, key=lambda a: a.n).outcome
    tried = ", ".join(dict.fromkeys(a.outcome.model for a in attempts))
    if last.status is Status.refused:
        return BadRequest(_upstream_message(last), code="refused_by_model", status=last.http_status or 400)
    if (later := _later(last, tried)) is not None:
        return later
    status, code, words = FAILURES.get(last.status, (502, "upstream_failed", f"no model answered: {last.error}"))
    if last.ok:
        words += f": {decision.note}"
    return UpstreamFailed(f"{words} (tried: {tried})", code=code, status=status)


def _later(last: Outcome, tried: str) -> RequestError | None:
    """The error for what may well work a little later; None where that is not what went wrong."""
    wait = last.retry_after_s
    if last.status is Status.over_budget:
        return LimitReached(last.error, code="insufficient_quota", retry_after_s=wait)
    if last.status is Status.rate_limited:
        words = f"every model that may answer is rate-limited (tried: {tried})"
        return Overloaded(words, code="rate_limited", status=429, retry_after_s=wait or 1.0)
    if last.status is Status.overloaded or (last.status is Status.unavailable and wait is not None):
        words = f"every model that may answer is busy or out of order (tried: {tried})"
        return Overloaded(words, code="overloaded", retry_after_s=wait or 1.0)
    return None


FAILURES: dict[Status, tuple[int, str, str]] = {
    Status.timed_out: (504, "upstream_timeout", "no model answered in time"),
    Status.unauthorized: (
        502,
        "upstream_unauthorized",
        "a model rejected the gateway's own key; whoever runs the gateway must look at it",
    ),
    Status.ok: (502, "no_valid_answer", "no usable answer"),
}
"""How the last call ended -> HTTP status, code, words; whatever is not here is an upstream that failed."""


class _Inner(msgspec.Struct):
    message: str = ""


class _Refusal(msgspec.Struct):
    error: _Inner | str = ""


def _upstream_message(outcome: Outcome) -> str:
    """The upstream's own words about why it refused: they are the caller's to read."""
    try:
        error = msgspec.json.decode(outcome.body, type=_Refusal).error
    except msgspec.DecodeError:
        return outcome.error
    return (error if isinstance(error, str) else error.message) or outcome.error
