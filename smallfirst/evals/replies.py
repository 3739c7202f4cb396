"""What came back for a replayed prompt, and sums over many of them.

Knows the gateway's response headers and OpenAI's answer and error bodies. Keeps neither prompts nor answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from smallfirst.core import NANO
from smallfirst.evals.chat import Reply as HttpReply
from smallfirst.verify.canonical import canonical_text


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came back for one prompt: a line of `--out`. It holds neither the prompt nor the answer."""

    id: str
    status: int  # HTTP; 0: no answer at all
    latency_us: int
    model: str | None = None
    tier: str | None = None
    reason: str | None = None
    attempts: int = 0
    complexity: float | None = None
    cost: int | None = None  # nano-dollars, all attempts
    baseline_cost: int | None = None
    overhead_us: int | None = None
    request_id: str | None = None
    right: bool | None = None  # the answer says the same as the target; None: no target
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.status == 200


class Tally(msgspec.Struct, frozen=True):
    """Sums over replies; money in nano-dollars. Shares and latencies are over the answered ones only."""

    sent: int
    answered: int
    by_tier: Mapping[str, int]
    by_model: Mapping[str, int]
    by_reason: Mapping[str, int]
    errors: Mapping[str, int]
    attempts: int
    cost: int
    baseline_cost: int | None  # None where any answered reply had none
    p50_us: Mapping[str, int]  # by tier
    p95_us: Mapping[str, int]
    with_target: int
    right: int


def make_reply(id: str, target: str | None, answer: HttpReply) -> Reply:
    """Read the gateway's headers, and compare the answer with the target where there is one."""
    headers = answer.headers
    ok = answer.status == 200
    right = None
    if ok and target is not None:
        said, meant = canonical_text(_content(answer.body)), canonical_text(target)
        right = said is not None and said == meant
    return Reply(
        id=id,
        status=answer.status,
        latency_us=answer.latency_us,
        model=headers.get("x-smallfirst-model") or None,
        tier=headers.get("x-smallfirst-tier") or None,
        reason=headers.get("x-smallfirst-reason") or None,
        attempts=int(_number(headers, "attempts") or 0),
        complexity=_number(headers, "complexity"),
        cost=_nano(headers, "cost-usd"),
        baseline_cost=_nano(headers, "baseline-cost-usd"),
        overhead_us=None if (ms := _number(headers, "overhead-ms")) is None else round(ms * 1000),
        request_id=headers.get("x-smallfirst-request-id") or None,
        right=right,
        error=None if ok else _error_code(answer.body),
    )


def _number(headers: Mapping[str, str], name: str) -> float | None:
    try:
        return float(headers[f"x-smallfirst-{name}"])
    except (KeyError, ValueError):
        return None


def _nano(headers: Mapping[str, str], name: str) -> int | None:
    return None if (usd := _number(headers, name)) is None else round(usd * NANO)


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Answer(msgspec.Struct):
    choices: list[_Choice]


class _Error(msgspec.Struct):
    code: str | None = None
    type: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _Error


def _content(body: bytes) -> str:
    try:
        choices = msgspec.json.decode(body, type=_Answer).choices
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return (choices[0].message.content or "") if choices else ""


def _error_code(body: bytes) -> str:
    try:
        error = msgspec.json.decode(body, type=_ErrorBody).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "not JSON"
    return error.code or error.type or "unknown"


def tally(replies: Sequence[Reply]) -> Tally:
    """Add replies up."""
    answered = [reply for reply in replies if reply.ok]
    times: dict[str, list[int]] = {}
    for reply in answered:
        times.setdefault(reply.tier or "?", []).append(reply.latency_us)
    baselines = [reply.baseline_cost for reply in answered]
    known = [cost for cost in baselines if cost is not None]
    return Tally(
        sent=len(replies),
        answered=len(answered),
        by_tier=_counts(reply.tier or "?" for reply in answered),
        by_model=_counts(reply.model or "?" for reply in answered),
        by_reason=_counts(reply.reason or "?" for reply in answered),
        errors=_counts(reply.error or "?" for reply in replies if not reply.ok),
        attempts=sum(reply.attempts for reply in replies),
        cost=sum(reply.cost or 0 for reply in replies),
        baseline_cost=sum(known) if answered and len(known) == len(baselines) else None,
        p50_us={tier: _quantile(values, 0.50) for tier, values in sorted(times.items())},
        p95_us={tier: _quantile(values, 0.95) for tier, values in sorted(times.items())},
        with_target=sum(reply.right is not None for reply in answered),
        right=sum(reply.right is True for reply in answered),
    )


def _counts(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _quantile(values: Sequence[int], share: float) -> int:
    """The smallest value that at least `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]
