"""POST /v1/feedback: what a caller says of an answer it got.

Knows the body and who may send it. Does not know what becomes of it: it is handed to the ledger, shown in the report
and tested by nobody, because callers who give feedback have selected themselves. Words are not taken: they may quote.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from smallfirst.accounts.keys import Keys
from smallfirst.core import Feedback
from smallfirst.errors import BadRequest
from smallfirst.gateway.attendant import Receive
from smallfirst.gateway.chat import ClientGone, Scope, Send, read_body, send_whole
from smallfirst.gateway.respond import JSON
from smallfirst.gateway.settings import ServerSettings

MOST_MB = 0.01


class FeedbackRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`value`: 0 bad, 1 good, or between."""

    request_id: Annotated[str, Meta(pattern="^sf-[0-9a-f]{28}$")]
    value: Annotated[float, Meta(ge=0, le=1)]


_decode = msgspec.json.Decoder(FeedbackRequest).decode


class FeedbackHandler:
    """Takes feedback from whoever may use the gateway; a second word about the same answer replaces the first."""

    def __init__(self, note: Callable[[Feedback], None], keys: Keys) -> None:
        self._note, self._keys = note, keys
        self._limits = ServerSettings(max_body_mb=MOST_MB)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        given = (headers.get(name, b"").decode("latin-1") or None for name in (b"authorization", b"x-api-key"))
        key = self._keys.check(*given)
        try:
            said = _read(await read_body(receive, self._limits))
        except ClientGone:
            return
        now = time.time_ns() // 1000
        self._note(Feedback(said.request_id, said.value, key.name if key else None, now))
        await send_whole(send, 202, [JSON], b'{"status":"noted"}')


def _read(body: bytes) -> FeedbackRequest:
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `$.")
        param = path.rstrip("`") or None
        raise BadRequest(f"{param}: {words}" if param else words, code="invalid_value", param=param) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None
