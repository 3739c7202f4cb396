"""Entries and intents -> rows of numbers and short strings.

Knows the order of the columns in ledger/migrations.py. Does not know the database. What is made here is all that
the ledger keeps of a request: an outcome's text, body, tool calls and error message stop at this door, so they are
not even held in memory while rows wait to be written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain

import msgspec

from smallfirst.core import Attempt, Entry, Intent, Signals

Value = str | int | float | bytes | None
Row = tuple[Value, ...]
Rows = tuple[int, Row, list[Row]]
"""A sequence number, the request's row and those of its attempts: written together or not at all."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "request": (
        "id", "at", "writer", "seq", "asked", "policy", "config_digest", "key_id", "tags", "session_id", "data_class",
        "kind", "complexity", "reason", "status", "error_code", "served_model", "served_tier", "attempts", "unpriced",
        "cost", "baseline_cost", "baseline_method", "latency_us", "overhead_us", "stream", "would_escalate",
        "deferrals", "certificate_id", "in_certificate", "out_reason", "class_why",
    ),
    "attempt": (
        "request_id", "n", "model", "provider", "location", "role", "after_us", "ttft_us", "latency_us", "status",
        "http_status", "tries", "finish", "in_tokens", "cached_tokens", "out_tokens", "tokens_estimated", "cost",
        "p_correct", "signals", "released",
    ),
    "intent": ("writer", "seq", "at", "request_id", "data_class", "models", "locations", "rule"),
    "chain": (
        "writer", "seq", "at", "kind", "request_id", "data_class", "rule", "models", "locations", "detail", "content",
        "prev", "hash",
    ),
    "salt": ("request_id", "salt"),
    "subject": ("request_id", "subject"),
    "item_key": ("request_id", "tenant_key_id", "wrapped_key", "expires_at"),
    "content": ("request_id", "part", "tenant_key_id", "nonce", "ciphertext", "expires_at"),
}  # fmt: skip
"""The tables that are written in batches, and what a row of each holds, in this order."""
_COST = COLUMNS["attempt"].index("cost")
NAME_CHARS = 200
"""A caller's own words for a model, a session or a tag are names, not places to put a text: cut here."""

_encode = msgspec.json.Encoder().encode
_NO_SIGNALS = Signals()


@lru_cache(maxsize=1024)
def _json(words: tuple[str, ...]) -> str:
    return _encode([word[:NAME_CHARS] for word in words]).decode()


def entry_rows(entry: Entry, writer: str, seq: int) -> Rows:
    """One entry's rows. `seq` counts the writer's entries from 1: a gap is an entry that was dropped."""
    attempts = entry.attempts
    begun = min([a.outcome.started_us for a in attempts], default=0)
    rows = [_attempt_row(entry.id, attempt, begun) for attempt in attempts]
    unpriced = len([row for row in rows if row[_COST] is None])
    return (
        seq,
        (
            entry.id,
            entry.at_us,
            writer,
            seq,
            entry.asked[:NAME_CHARS],
            entry.policy,
            entry.config_digest,
            entry.key_id,
            _json(entry.tags) if entry.tags else "[]",
            entry.session[:NAME_CHARS] if entry.session else None,
            entry.data_class.value,
            entry.kind,
            entry.complexity,
            entry.reason.value,
            entry.status,
            entry.error_code,
            entry.served_model,
            entry.served_tier,
            len(attempts),
            unpriced,
            entry.cost,
            entry.baseline_cost,
            entry.baseline_method,
            entry.latency_us,
            entry.overhead_us,
            1 if entry.stream else 0,
            1 if entry.would_escalate else 0,
            _json(entry.deferrals) if entry.deferrals else "[]",
            entry.certificate_id,
            1 if entry.in_certificate else 0,
            None if entry.out_reason is None else entry.out_reason.value,
            _json(entry.class_why) if entry.class_why else "[]",
        ),
        rows,
    )


def _attempt_row(request_id: str, attempt: Attempt, begun: int) -> Row:
    outcome = attempt.outcome
    usage, signals = outcome.usage, outcome.signals
    return (
        request_id,
        attempt.n,
        outcome.model,
        outcome.provider,
        outcome.location,
        attempt.role,
        outcome.started_us - begun,
        outcome.ttft_us,
        outcome.latency_us,
        outcome.status.value,
        outcome.http_status,
        outcome.tries,
        outcome.finish,
        usage.input_tokens,
        usage.cached_tokens,
        usage.output_tokens,
        1 if usage.estimated else 0,
        outcome.cost if _priced(attempt) else None,
        attempt.p_correct,
        None if signals == _NO_SIGNALS else _encode(signals).decode(),
        1 if attempt.released else 0,
    )


def _priced(attempt: Attempt) -> bool:
    """False: the model has no known price, so that a sum over this attempt is a lower bound.

    `Attempt.priced` says; where it does not, tokens that cost nothing are taken for tokens of unknown price.
    """
    if attempt.priced is not None:
        return attempt.priced
    usage = attempt.outcome.usage
    return attempt.outcome.cost > 0 or not (usage.input_tokens or usage.output_tokens)


def intent_row(intent: Intent, writer: str, seq: int) -> Row:
    """One intent's row. Intents have their own sequence, so that neither hides a gap in the other."""
    return (
        writer,
        seq,
        intent.at_us,
        intent.request_id,
        intent.data_class.value,
        _json(intent.models),
        _json(intent.locations),
        intent.rule,
    )


def insert(table: str, rows: int = 1) -> str:
    """An INSERT of `rows` rows at once. A key that is there already is an error, never a silent replacement."""
    names = COLUMNS[table]
    row = f"({', '.join('?' * len(names))})"
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([row] * rows)}"  # noqa: S608 - our own names


def flat(rows: Sequence[Row]) -> list[Value]:
    """The values of several rows, for an INSERT of all of them."""
    return list(chain.from_iterable(rows))
