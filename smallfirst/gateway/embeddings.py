"""POST /v1/embeddings: vectors from a model that the caller names; permits, keys, budgets and ledger as for answers.

Knows the request's shape. There is nothing to route: vectors of different models can't be compared, so `auto` is no
model here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from smallfirst.core import Needs, Query
from smallfirst.errors import BadRequest
from smallfirst.gateway.chat import ChatHandler
from smallfirst.gateway.parse import CHARS_PER_TOKEN, DialsBody, Label, decode_into, read_dials

MOST_INPUTS = 2048
"""Texts in one request, as with OpenAI."""


class EmbeddingsRequest(msgspec.Struct):
    """What is checked; everything else passes through untouched."""

    model: Label
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None
    smallfirst: DialsBody | UnsetType | None = UNSET


_request = msgspec.json.Decoder(EmbeddingsRequest)


class EmbeddingsHandler(ChatHandler):
    """Serves embeddings from an engine."""

    def parse(self, body: bytes, headers: Mapping[bytes, bytes], request_id: str) -> Query:
        query = parse_embeddings(body, headers, request_id)
        model = self._engine.catalogue.models.get(query.asked)
        if model is None and query.asked in self._engine.policies:
            words = f"model: {query.asked!r} routes answers; name a model that embeds (`embeds: true` in the config)"
            raise BadRequest(words, code="unsupported", param="model")
        return query


def parse_embeddings(body: bytes, headers: Mapping[bytes, bytes], request_id: str) -> Query:
    """Raises BadRequest naming the field."""
    request, fields = decode_into(_request, body)
    fields.pop("smallfirst", None)
    given = [request.input] if isinstance(request.input, str) else request.input
    if not given:
        raise BadRequest("input: must hold at least one text", code="invalid_value", param="input")
    if len(given) > MOST_INPUTS and not isinstance(given[0], int):
        words = f"input: has {len(given)} texts; at most {MOST_INPUTS} are taken"
        raise BadRequest(words, code="invalid_value", param="input")
    texts = [one for one in given if isinstance(one, str)]
    tokens = sum(1 if isinstance(one, int) else len(one) for one in given if not isinstance(one, str))
    tokens += sum(len(text) // CHARS_PER_TOKEN + 1 for text in texts)
    return Query(
        id=request_id,
        asked=request.model,
        text="\n".join(texts),
        fields=fields,
        needs=Needs(input_tokens=tokens, embeds=True),
        dials=read_dials(request.smallfirst or None, headers),
    )
