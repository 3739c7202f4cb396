"""The caller's `traceparent` -> the trace that its request is part of.

Knows the W3C's format and how our own span is named. Does not know spans (telemetry.py) or who is sent what
(models/http_sender.py). `tracestate` is neither read nor passed on: its words are the caller's own, and no rule would
have looked at them before they left.
Source: https://www.w3.org/TR/trace-context/, section 3.2.
"""

from __future__ import annotations

import hashlib
import re

from smallfirst.core import Trace

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def read_trace(header: bytes, request_id: str) -> Trace | None:
    """None for what is no traceparent: the request then begins a trace of its own, as the W3C asks.

    The span of our own is named by the request, so that models can be told of it before it is recorded.
    """
    found = _TRACEPARENT.fullmatch(header.strip())
    if found is None:
        return None
    version, trace, parent, flags, more = found.groups()
    zero = not trace.strip(b"0") or not parent.strip(b"0")
    if version == b"ff" or zero or (version == b"00" and more):
        return None
    span = hashlib.sha256(request_id.encode()).hexdigest()[:16]
    return Trace(trace.decode(), parent.decode(), span, sampled=bool(int(flags, 16) & 1))
