"""Calls that brought no answer: which Status an HTTP status, an error body or an error event is.

Knows the shapes in which OpenAI-compatible servers report errors. Does not know sockets, nor what is tried again.
An outcome's `error` is one line and never holds the upstream's own words: upstreams quote the prompt in them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from smallfirst.core import Outcome, Status, Usage
from smallfirst.models.sender import Call

NOTHING_USED = Usage()

BAD_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises: not JSON, not this shape, not UTF-8, nested without end."""

_WORD = re.compile(r"^[A-Za-z0-9_.\-]{1,64}$")


class WireError(msgspec.Struct, gc=False):
    type: str | None = None
    code: str | int | None = None


class ErrorBody(msgspec.Struct, gc=False):
    error: WireError | str | None = None


_error_body = msgspec.json.Decoder(ErrorBody)


def status_of(http_status: int) -> Status:
    """Which fault an HTTP status other than 200 is."""
    if http_status == 429:
        return Status.rate_limited
    if http_status in (401, 403):
        return Status.unauthorized
    if http_status == 408:
        return Status.timed_out
    if 400 <= http_status < 500:
        return Status.refused
    return Status.unavailable  # 5xx; redirects, which are not followed


def rejected(
    call: Call, http_status: int, body: bytes, retry_after: bytes | None, started_us: int, ended_us: int
) -> Outcome:
    """An answer with another status than 200. Its body is kept, so that the caller can be told what it says."""
    try:
        words = describe(_error_body.decode(body).error)
    except BAD_JSON:
        words = ""
    outcome = failed(
        call, status_of(http_status), f"the upstream answered {http_status}{words}", started_us, ended_us, http_status
    )
    wait = to_seconds(retry_after, datetime.now(UTC)) if retry_after is not None else None
    return msgspec.structs.replace(outcome, body=body, retry_after_s=wait)


def error_event(call: Call, error: WireError | str, started_us: int, ended_us: int, body: bytes = b"") -> Outcome:
    """An error that came under status 200: in an event, or instead of an answer."""
    code = error.code if isinstance(error, WireError) else None
    number = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal()) else 0
    status = status_of(number) if 400 <= number < 600 else Status.unavailable
    said = f"the upstream sent an error instead of an answer{describe(error)}"
    return msgspec.structs.replace(failed(call, status, said, started_us, ended_us, 200), body=body)


def describe(error: WireError | str | None) -> str:
    """The error's type and code. Never its message: upstreams quote the prompt in it."""
    if not isinstance(error, WireError):
        return ""
    words = [str(w) for w in (error.type, error.code) if w is not None and _WORD.match(str(w))]
    return f" ({', '.join(dict.fromkeys(words))})" if words else ""


def failed(
    call: Call,
    status: Status,
    error: str,
    started_us: int,
    ended_us: int,
    http_status: int = 0,
    usage: Usage = NOTHING_USED,
) -> Outcome:
    """An outcome without an answer."""
    price = call.model.price
    return Outcome(
        model=call.model.name,
        status=status,
        usage=usage,
        started_us=started_us,
        latency_us=ended_us - started_us,
        provider=call.replica.provider,
        location=call.replica.location,
        http_status=http_status,
        error=error,
        cost=price.cost(usage) if price is not None else 0,
    )


def to_seconds(retry_after: bytes, now: datetime) -> float | None:
    """Retry-After, as seconds or as an HTTP date (RFC 9110, 10.2.3); None where it is neither."""
    value = retry_after.decode("latin-1").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
            seconds = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(seconds, 0.0) if seconds < 1e9 else None  # also: not NaN
