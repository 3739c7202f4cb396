"""POST /v1/responses: OpenAI's Responses API on the same engine, so that its client works unchanged.

Knows which translation goes where (responses_in.py, responses_out.py). Does not know routing, and does not translate.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from smallfirst.core import Query
from smallfirst.engine.request import Answer, Exchange
from smallfirst.errors import BadRequest, RequestError
from smallfirst.gateway import respond, responses_out
from smallfirst.gateway.chat import ChatHandler, Send, StreamReply, broken_off
from smallfirst.gateway.parse import parse_chat
from smallfirst.gateway.responses_in import to_chat
from smallfirst.gateway.shapes import decode
from smallfirst.policy.protocol import Start

_raw = msgspec.json.Decoder(dict[str, msgspec.Raw])


class ResponsesHandler(ChatHandler):
    """Serves responses from an engine."""

    def parse(self, body: bytes, headers: Mapping[bytes, bytes], request_id: str) -> Query:
        return parse_responses(body, headers, request_id, max_messages=self._settings.max_messages)

    def whole(self, query: Query, answer: Answer) -> bytes:
        assert answer.outcome is not None  # noqa: S101 - the caller has looked
        whole = msgspec.json.decode(answer.outcome.body)
        return msgspec.json.encode(responses_out.from_whole(_asked(query), whole))

    def stream_reply(self, exchange: Exchange, query: Query, send: Send) -> StreamReply:
        return ResponsesReply(exchange, query, send, self._settings.keep_alive_s)


class ResponsesReply(StreamReply):
    """A streamed response."""

    def __init__(self, exchange: Exchange, query: Query, send: Send, keep_alive_s: float) -> None:
        super().__init__(exchange, query, send, keep_alive_s)
        self._writer = responses_out.Writer(_asked(query), query.asked)

    async def opened(self, start: Start) -> None:
        self._writer = responses_out.Writer(_asked(self._query), start.model)
        await super().opened(start)

    async def relay(self, block: bytes) -> None:
        if made := self._writer.feed(block):
            await super().relay(made)

    def rest(self, answer: Answer) -> bytes:
        fault, outcome = answer.error, answer.outcome
        if fault is None and outcome is not None and not outcome.ok:
            fault = broken_off(outcome.error)
        if fault is not None or outcome is None:
            return self._writer.failed(fault or RequestError("no answer", code="internal_error"))
        decision = respond.decision_json(answer)
        if outcome.body:
            return self._writer.whole(msgspec.json.decode(outcome.body), decision)
        used = {"prompt_tokens": outcome.usage.input_tokens, "completion_tokens": outcome.usage.output_tokens}
        return self._writer.feed(answer.blocks) + self._writer.end(answer.tail, used, decision)


def parse_responses(body: bytes, headers: Mapping[bytes, bytes], request_id: str, *, max_messages: int) -> Query:
    """Check a Responses request and make a Query of it. Raises BadRequest naming the field."""
    chat = to_chat(decode(body))
    try:
        query = parse_chat(msgspec.json.encode(chat.body), headers, request_id, max_messages=max_messages)
    except UnicodeEncodeError:
        raise BadRequest("the body holds half of a surrogate pair", code="invalid_text") from None
    return msgspec.structs.replace(
        query, api="responses", native=_raw.decode(body), uncarried=chat.uncarried, include_usage=True
    )


def _asked(query: Query) -> responses_out.Asked:
    return responses_out.asked(query.id, int(time.time()), query.native or {})
