"""POST /v1/messages/count_tokens: how many tokens a Messages request would take, without asking any model.

Knows the request's shape and the estimate that routing and budgets use. It is an estimate, and the header
`x-smallfirst-method: estimate` says so: which model will answer, hence which tokeniser counts, is not known before, and
asking a vendor to count would show it a text that it may not be permitted to see.
"""

from __future__ import annotations

from smallfirst.accounts.keys import Keys
from smallfirst.errors import NotFound, RequestError
from smallfirst.gateway.attendant import Receive
from smallfirst.gateway.chat import ClientGone, Scope, Send, new_request_id, read_body, send_whole
from smallfirst.gateway.messages import parse_messages, refuse_message
from smallfirst.gateway.respond import JSON
from smallfirst.gateway.settings import ServerSettings

ESTIMATE = (b"x-smallfirst-method", b"estimate")


class CountTokensHandler:
    """Counts for whoever may use the gateway; nothing is sent, spent or recorded."""

    def __init__(self, keys: Keys, settings: ServerSettings, names: frozenset[str]) -> None:
        """`names`: the models and policies that `model` may hold."""
        self._keys, self._settings, self._names = keys, settings, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        request_id = (b"x-smallfirst-request-id", new_request_id().encode())
        try:
            given = (headers.get(name, b"").decode("latin-1") or None for name in (b"authorization", b"x-api-key"))
            self._keys.check(*given)
            body = await read_body(receive, self._settings)
            most = self._settings.max_messages
            query = parse_messages(body, headers, request_id[1].decode(), max_messages=most, counting=True)
            if query.asked not in self._names:
                words = f"there is no model or policy called {query.asked!r}; GET /v1/models lists all"
                raise NotFound(words, code="model_not_found", param="model")
        except ClientGone:
            return
        except RequestError as error:
            await refuse_message(send, error, [request_id])
            return
        found = b'{"input_tokens":%d}' % query.needs.input_tokens
        await send_whole(send, 200, [JSON, ESTIMATE, request_id], found)
