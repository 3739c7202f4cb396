"""Embeddings as OpenAI's API spells them: a query becomes a request, vectors become an Outcome.

Pure. Knows the wire's field names. Vectors pass through unread: they are the caller's.
Source: https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.core import Outcome, Status, Usage
from smallfirst.models.faults import BAD_JSON, WireError, error_event, failed
from smallfirst.models.sender import Call


class Counted(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None


class Vectors(msgspec.Struct, gc=False):
    data: list[msgspec.Raw] = []
    usage: Counted | None = None
    error: WireError | str | None = None


_vectors = msgspec.json.Decoder(Vectors)
_encode = msgspec.json.Encoder().encode


def encode(call: Call) -> bytes:
    """The body that is sent: the caller's fields, with the model's name at this endpoint."""
    fields: dict[str, Any] = {**call.query.fields, "model": call.replica.upstream_model}
    return _encode(fields)


def decode(call: Call, body: bytes, started_us: int, ended_us: int) -> Outcome:
    """A whole answer with status 200."""
    try:
        answer = _vectors.decode(body)
    except BAD_JSON:
        return failed(call, Status.broken, "the upstream's answer holds no embeddings", started_us, ended_us)
    if not answer.data:
        if answer.error is not None:
            return error_event(call, answer.error, started_us, ended_us, body)
        return failed(call, Status.broken, "the upstream's answer holds no embeddings", started_us, ended_us)
    counted = answer.usage.prompt_tokens if answer.usage is not None else None
    usage = Usage(call.query.needs.input_tokens if counted is None else counted, estimated=counted is None)
    price = call.model.price
    return Outcome(
        model=call.model.name,
        status=Status.ok,
        usage=usage,
        started_us=started_us,
        latency_us=ended_us - started_us,
        provider=call.replica.provider,
        location=call.replica.location,
        http_status=200,
        body=body,
        cost=price.cost(usage) if price is not None else 0,
    )
