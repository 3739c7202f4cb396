"""A line of JSON for each finished request, for whoever gathers logs. No prompt, no answer, no key.

Knows entries and the standard library's logging. Does not know who reads the lines.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import msgspec

from smallfirst.core import NANO, Entry

_encode = msgspec.json.Encoder().encode


class JsonFormatter(logging.Formatter):
    """Any log record as one JSON object: time (UTC seconds), level, logger, message, and what an entry adds."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = record.exc_info[0].__name__  # its text may quote what a caller sent
        return _encode(fields).decode()


class RequestLog:
    """An observer of entries (engine/request.py): one line each."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr

    def __call__(self, entry: Entry) -> None:
        self._stream.write(_encode(fields_of(entry)).decode() + "\n")


def fields_of(entry: Entry) -> dict[str, Any]:
    """What is told of a request."""
    return {
        "time": (entry.at_us + entry.latency_us) / 1e6,
        "level": "info" if entry.status < 500 else "error",
        "message": "request",
        "request_id": entry.id,
        "status": entry.status,
        "error": entry.error_code,
        "asked": entry.asked[:200],
        "policy": entry.policy,
        "key": entry.key_id,
        "tags": entry.tags,
        "data_class": entry.data_class.name,
        "tier": entry.served_tier,
        "model": entry.served_model,
        "reason": entry.reason,
        "complexity": round(entry.complexity, 3),
        "attempts": [
            {"model": one.outcome.model, "provider": one.outcome.provider, "status": one.outcome.status,
             "role": one.role, "ms": one.outcome.latency_us / 1000, "tries": one.outcome.tries,
             "input_tokens": one.outcome.usage.input_tokens, "output_tokens": one.outcome.usage.output_tokens}
            for one in entry.attempts
        ],
        "cost_usd": entry.cost / NANO,
        "latency_ms": entry.latency_us / 1000,
        "overhead_ms": entry.overhead_us / 1000,
        "stream": entry.stream,
    }  # fmt: skip


def use_json(level: int = logging.WARNING) -> None:
    """From now on every log record of this process is a line of JSON on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
