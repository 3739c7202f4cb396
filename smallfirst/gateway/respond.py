"""An Answer -> headers and bodies, as OpenAI clients read them.

Knows the response side of chat completions and our headers. Does not know ASGI's order of messages (chat.py does).
"""

from __future__ import annotations

from smallfirst.core import NANO, Entry, Reason, Score
from smallfirst.engine.request import Answer
from smallfirst.errors import RequestError

Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
NO_CACHE = (b"cache-control", b"no-cache")


def usd(nano: int) -> str:
    """Nano-dollars as dollars, without an exponent and without trailing zeros."""
    return f"{nano / NANO:.9f}".rstrip("0").rstrip(".") or "0"


def head(request_id: str, score: Score | None, tier: str, model: str, attempts: int) -> Headers:
    """What is known when an answer begins."""
    headers = [
        (b"x-smallfirst-request-id", request_id.encode()),
        (b"x-smallfirst-tier", tier.encode()),
        (b"x-smallfirst-model", model.encode()),
        (b"x-smallfirst-attempts", b"%d" % attempts),
    ]
    if score is not None:
        headers.append((b"x-smallfirst-complexity", b"%.3f" % score.complexity))
    return headers


def not_applied(fields: tuple[str, ...]) -> tuple[bytes, bytes]:
    """Which settings of the request the model could not be told. The caller chose their names: nothing odd passes."""
    said = ",".join(fields).encode("ascii", "replace")
    return b"x-smallfirst-not-applied", bytes(c if 32 <= c < 127 else 63 for c in said[:1000])


def decided(answer: Answer) -> Headers:
    """The whole decision, for headers that are sent after the answer is complete."""
    entry = answer.entry
    headers = [
        (b"x-smallfirst-request-id", entry.id.encode()),
        (b"x-smallfirst-tier", (entry.served_tier or "").encode()),
        (b"x-smallfirst-model", (entry.served_model or "").encode()),
        (b"x-smallfirst-attempts", b"%d" % len(entry.attempts)),
        (b"x-smallfirst-complexity", b"%.3f" % entry.complexity),
        (b"x-smallfirst-reason", entry.reason.encode()),
        (b"x-smallfirst-cost-usd", usd(entry.cost).encode()),
        (b"x-smallfirst-overhead-ms", b"%.2f" % (entry.overhead_us / 1000)),
    ]
    if entry.certificate_id is not None or entry.out_reason is not None:
        headers.append((b"x-smallfirst-certificate", standing(entry).encode()))
    if entry.baseline_cost is not None:
        headers.append((b"x-smallfirst-baseline-cost-usd", usd(entry.baseline_cost).encode()))
    if entry.reason is Reason.cached:
        headers.append((b"x-smallfirst-cache", b"hit"))
    if answer.uncarried:
        headers.append(not_applied(answer.uncarried))
    headers += answer.limits
    return headers


def standing(entry: Entry) -> str:
    """`3f2a91c0...; inside`, or `3f2a91c0...; outside, alarm`."""
    where = "inside" if entry.in_certificate else f"outside, {entry.out_reason}"
    return f"{entry.certificate_id or 'none'}; {where}"


def debug(answer: Answer) -> Headers:
    """More, on `x-smallfirst-debug: true`: who was tried and why it was handed up."""
    entry, decision = answer.entry, answer.decision
    tried = ",".join(f"{a.outcome.model}:{a.outcome.status}" for a in entry.attempts)
    headers = [
        (b"x-smallfirst-debug-tried", tried.encode()),
        (b"x-smallfirst-debug-deferrals", ",".join(entry.deferrals).encode()),
        (b"x-smallfirst-debug-kind", entry.kind.encode()),
        (b"x-smallfirst-debug-data-class", entry.data_class.name.encode()),
        (b"x-smallfirst-debug-baseline-method", entry.baseline_method.encode("ascii", "replace")),
    ]
    if decision is not None and decision.verdict is not None:
        why = "; ".join(decision.verdict.why)
        headers.append((b"x-smallfirst-debug-p-correct", b"%.3f" % decision.verdict.p_correct))
        headers.append((b"x-smallfirst-debug-why", why.encode("ascii", "replace")))
    return headers


def decision_json(answer: Answer) -> dict[str, object]:
    """The `smallfirst` field of a stream's last event."""
    entry = answer.entry
    promised = entry.certificate_id is not None or entry.out_reason is not None
    return {
        **({"certificate": standing(entry)} if promised else {}),
        "request_id": entry.id,
        "tier": entry.served_tier,
        "model": entry.served_model,
        "complexity": round(entry.complexity, 3),
        "attempts": len(entry.attempts),
        "reason": entry.reason,
        "cost_usd": entry.cost / NANO,
        "baseline_cost_usd": None if entry.baseline_cost is None else entry.baseline_cost / NANO,
        "baseline_method": entry.baseline_method,
        "deferrals": entry.deferrals,
        "overhead_ms": entry.overhead_us / 1000,
    }


def error_headers(error: RequestError) -> Headers:
    headers: Headers = [JSON]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after_s))))
    if error.code == "insufficient_quota":
        headers.append((b"x-should-retry", b"false"))  # clients wait and try again at a 429, which would not help here
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers
