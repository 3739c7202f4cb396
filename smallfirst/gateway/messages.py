"""POST /v1/messages: Anthropic's Messages API on the same engine, so that its clients work unchanged.

Knows which translation goes where (messages_in.py, messages_out.py). Does not know routing, and does not translate.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping

import msgspec

from smallfirst.core import Query
from smallfirst.engine.request import Answer, Exchange
from smallfirst.errors import BadRequest, RequestError
from smallfirst.gateway import messages_out, respond
from smallfirst.gateway.chat import ChatHandler, Send, StreamReply, broken_off, send_whole
from smallfirst.gateway.messages_in import to_chat
from smallfirst.gateway.parse import parse_chat
from smallfirst.gateway.shapes import decode
from smallfirst.policy.protocol import Start

_BETA = re.compile(r"[A-Za-z0-9_.,\- ]{0,500}")

_raw = msgspec.json.Decoder(dict[str, msgspec.Raw])


class MessagesHandler(ChatHandler):
    """Serves messages from an engine."""

    def parse(self, body: bytes, headers: Mapping[bytes, bytes], request_id: str) -> Query:
        return parse_messages(body, headers, request_id, max_messages=self._settings.max_messages)

    def whole(self, query: Query, answer: Answer) -> bytes:
        assert answer.outcome is not None  # noqa: S101 - the caller has looked
        return msgspec.json.encode(messages_out.message(msgspec.json.decode(answer.outcome.body), query.id))

    async def refuse(self, send: Send, error: RequestError, headers: respond.Headers) -> None:
        await refuse_message(send, error, headers)

    def named(self, headers: respond.Headers) -> respond.Headers:
        return headers + anthropic_limits(headers)

    def stream_reply(self, exchange: Exchange, query: Query, send: Send, *, debug: bool) -> StreamReply:
        return MessagesReply(exchange, query, send, self._settings.keep_alive_s, debug=debug)


class MessagesReply(StreamReply):
    """A streamed message."""

    keep_alive = messages_out.PING

    def __init__(
        self, exchange: Exchange, query: Query, send: Send, keep_alive_s: float, *, debug: bool = False
    ) -> None:
        super().__init__(exchange, query, send, keep_alive_s, debug=debug)
        self._writer: messages_out.Writer | None = None

    async def opened(self, start: Start) -> None:
        self._writer = messages_out.Writer(self._query.id, start.model, self._query.needs.input_tokens)
        await super().opened(start)

    def named(self, headers: respond.Headers) -> respond.Headers:
        return headers + anthropic_limits(headers)

    async def relay(self, block: bytes) -> None:
        assert self._writer is not None  # noqa: S101 - it is opened first
        if made := self._writer.feed(block):
            await super().relay(made)

    async def refuse(self, error: RequestError, headers: respond.Headers) -> None:
        await refuse_message(self._send, error, headers)

    def rest(self, answer: Answer) -> bytes:
        fault, outcome = answer.error, answer.outcome
        if fault is None and outcome is not None and not outcome.ok:
            fault = broken_off(outcome.error)
        if fault is not None or outcome is None:
            fault = fault or RequestError("no answer", code="internal_error")
            return messages_out.event(messages_out.error(fault, self._query.id))
        decision = respond.decision_json(answer)
        if outcome.body:
            return messages_out.events(msgspec.json.decode(outcome.body), self._query.id, decision)
        writer = self._writer or messages_out.Writer(self._query.id, outcome.model, self._query.needs.input_tokens)
        used = {"prompt_tokens": outcome.usage.input_tokens, "completion_tokens": outcome.usage.output_tokens}
        return writer.feed(answer.blocks) + writer.end(answer.tail, used, decision)


def parse_messages(
    body: bytes, headers: Mapping[bytes, bytes], request_id: str, *, max_messages: int, counting: bool = False
) -> Query:
    """Check an Anthropic Messages request and make a Query of it. Raises BadRequest naming the field.

    `counting`: its tokens are only to be counted, and it need not say how many the answer may have.
    """
    fields = decode(body)
    if counting:
        fields.setdefault("max_tokens", 1)
    chat = to_chat(fields)
    try:
        query = parse_chat(msgspec.json.encode(chat.body), headers, request_id, max_messages=max_messages)
    except UnicodeEncodeError:
        raise BadRequest("the body holds half of a surrogate pair", code="invalid_text") from None
    native = _raw.decode(body)
    native.pop("smallfirst", None)
    return msgspec.structs.replace(
        query,
        needs=msgspec.structs.replace(query.needs, anthropic=chat.native),
        api="messages",
        native=native,
        beta=_beta(headers),
        uncarried=chat.uncarried,
        include_usage=True,
    )


def _beta(headers: Mapping[bytes, bytes]) -> str:
    value = headers.get(b"anthropic-beta", b"").decode("latin-1")
    if not _BETA.fullmatch(value):
        words = "anthropic-beta: a list of names, such as context-1m-2025-08-07"
        raise BadRequest(words, code="invalid_header", param="anthropic-beta")
    return value


_LIMIT = re.compile(rb"x-ratelimit-(limit|remaining|reset)-(requests|tokens)")


def anthropic_limits(headers: respond.Headers) -> respond.Headers:
    """The key's limits as Anthropic's clients read them, made of the `x-ratelimit-*` among `headers`.

    Source: https://platform.claude.com/docs/en/api/rate-limits, "Response headers". A reset is a moment, not a wait.
    """
    found: respond.Headers = []
    for name, value in headers:
        if (limit := _LIMIT.fullmatch(name)) is not None:
            what, of = limit.groups()
            if what == b"reset":
                at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=float(value.removesuffix(b"s")))
                value = at.strftime("%Y-%m-%dT%H:%M:%SZ").encode()  # noqa: PLW2901
            found.append((b"anthropic-ratelimit-%b-%b" % (of, what), value))
    return found


async def refuse_message(send: Send, error: RequestError, headers: respond.Headers) -> None:
    """An error in the shape that Anthropic's clients read."""
    request_id = next((value.decode() for name, value in headers if name == b"x-smallfirst-request-id"), None)
    body = msgspec.json.encode(messages_out.error(error, request_id))
    await send_whole(send, error.status, [*respond.error_headers(error), *headers], body)
