"""POST /v1/tasks/NAME: texts or documents in, the task's own JSON out; GET /v1/tasks: which tasks there are.

Knows the request's shape and how an answer is shown. Does not know any kind of task: every input is one exchange with
the engine, as a chat completion that names the task would be, with its own permit, ledger entry and limits.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from smallfirst.accounts.keys import Key, Keys
from smallfirst.core import NANO, Query
from smallfirst.engine.request import Answer, Engine, Exchange
from smallfirst.errors import BadRequest, DataError, RequestError, SetupError, TooLarge
from smallfirst.gateway import respond
from smallfirst.gateway.attendant import Guest, Receive
from smallfirst.gateway.chat import ChatHandler, Scope, Send, as_text, new_request_id, read_body, send_whole
from smallfirst.gateway.parse import DialsBody, decode_into, parse_chat
from smallfirst.gateway.settings import ServerSettings
from smallfirst.tasks.task import Task

MOST_INPUTS = 100
"""Inputs in one request."""

AT_ONCE = 8
"""Of them so many are under way at the same time."""


class FileInput(msgspec.Struct, forbid_unknown_fields=True):
    """A document. `file_data`: its bytes in base64, or a data URL; `filename`: its ending says what it is."""

    filename: Annotated[str, Meta(min_length=1, max_length=256)]
    file_data: str


class TaskInput(msgspec.Struct, forbid_unknown_fields=True):
    """One of three: a text, a document, or a conversation of which the last user turn is asked."""

    text: str | None = None
    file: FileInput | None = None
    messages: Annotated[list[dict[str, Any]], Meta(min_length=1)] | None = None


class TaskRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`input`: one, or a list of at most 100."""

    input: str | TaskInput | list[str | TaskInput]
    user: str | None = None
    smallfirst: DialsBody | UnsetType | None = UNSET


_request = msgspec.json.Decoder(TaskRequest)


class TaskHandler(ChatHandler):
    """Serves one task."""

    def __init__(self, engine: Engine, keys: Keys, settings: ServerSettings, task: Task) -> None:
        super().__init__(engine, keys, settings)
        self._task = task

    async def _serve(self, headers: dict[bytes, bytes], receive: Receive, send: Send, guest: Guest) -> None:
        request_id = new_request_id()
        try:
            key = self._keys.check(as_text(headers.get(b"authorization")), as_text(headers.get(b"x-api-key")))
            self._check_length(headers)
            request, fields = decode_into(_request, await read_body(receive, self._settings))
            party = Party(self._engine, self._task, key)
            guest.ask(party)
            asked = Asked(self._task.name, fields, headers, request_id, self._settings)
            if isinstance(request.input, list):
                await self._several(party, asked, request.input, send)
            else:
                await self._one(party, asked, request.input, send, headers)
        except RequestError as error:
            await self.refuse(send, error, [(b"x-smallfirst-request-id", request_id.encode())])

    async def _one(
        self, party: Party, asked: Asked, given: str | TaskInput, send: Send, headers: Mapping[bytes, bytes]
    ) -> None:
        answer = await party.ask(await asked.query(given, "input"))
        shown = respond.decided(answer)
        if headers.get(b"x-smallfirst-debug") == b"true":
            shown += respond.debug(answer)
        if answer.error is not None or answer.outcome is None:
            await self.refuse(send, answer.error or _NO_ANSWER, shown)
            return
        await send_whole(send, 200, [respond.JSON, *shown], msgspec.json.encode(self._result(answer)))

    async def _several(self, party: Party, asked: Asked, given: Sequence[str | TaskInput], send: Send) -> None:
        """Every input gets a line of its own, with its error where it has one; an error of all is the request's."""
        if not given:
            raise BadRequest("input: must hold at least one text", code="invalid_value", param="input")
        if len(given) > MOST_INPUTS:
            words = f"input: has {len(given)} entries; at most {MOST_INPUTS} are taken"
            raise BadRequest(words, code="invalid_value", param="input")
        places = asyncio.Semaphore(AT_ONCE)

        async def line(n: int, one: str | TaskInput) -> dict[str, Any] | RequestError:
            async with places:
                try:
                    answer = await party.ask(await asked.query(one, f"input[{n}]", n))
                except RequestError as error:
                    return error
            if answer.error is not None or answer.outcome is None:
                return answer.error or _NO_ANSWER
            return {"index": n, **self._result(answer)}

        lines = await asyncio.gather(*(line(n, one) for n, one in enumerate(given)))
        errors = [one for one in lines if isinstance(one, RequestError)]
        if len(errors) == len(lines) and len({(one.status, one.code) for one in errors}) == 1:
            raise errors[0]
        data: list[dict[str, Any]] = [
            {"index": n, "object": "task.error", **one.body()} if isinstance(one, RequestError) else one
            for n, one in enumerate(lines)
        ]
        cost = sum(float(one.get("cost_usd", 0.0)) for one in data)
        whole = {"object": "list", "task": self._task.name, "data": data, "cost_usd": cost}
        shown = [respond.JSON, (b"x-smallfirst-request-id", asked.request_id.encode())]
        await send_whole(send, 200, shown, msgspec.json.encode(whole))

    def _result(self, answer: Answer) -> dict[str, Any]:
        """The task's own JSON, and who said it at what cost."""
        assert answer.outcome is not None  # noqa: S101 - the caller has looked
        entry, beside = answer.entry, _beside.decode(answer.outcome.body)
        return {
            "object": "task.result",
            "id": entry.id,
            "task": self._task.name,
            **beside.smallfirst.get("task", {}),
            "by": entry.served_model,
            "tier": entry.served_tier,
            "handed_up": bool(entry.deferrals),
            "reason": entry.reason,
            "cost_usd": entry.cost / NANO,
            "latency_ms": entry.latency_us / 1000,
        }


class Party:
    """The exchanges of one request: all of them hear that the client has left."""

    def __init__(self, engine: Engine, task: Task, key: Key | None) -> None:
        self._engine, self._task, self._key = engine, task, key
        self._running: set[Exchange] = set()
        self._gone = ""

    async def ask(self, query: Query) -> Answer:
        if self._key is not None:
            query = msgspec.structs.replace(query, key_id=self._key.name)
        exchange = self._engine.exchange(query, self._key)
        self._running.add(exchange)
        if self._gone:
            exchange.gone(self._gone)
        try:
            return await exchange.run()
        finally:
            self._running.discard(exchange)

    def gone(self, cause: str) -> None:
        self._gone = cause
        for exchange in tuple(self._running):
            exchange.gone(cause)


class Asked:
    """What all inputs of one request have in common, and how an input becomes a query."""

    def __init__(
        self,
        name: str,
        fields: Mapping[str, msgspec.Raw],
        headers: Mapping[bytes, bytes],
        request_id: str,
        settings: ServerSettings,
    ) -> None:
        self._name, self._headers, self.request_id, self._settings = name, headers, request_id, settings
        self._more = {field: fields[field] for field in ("smallfirst", "user") if field in fields}

    async def query(self, given: str | TaskInput, at: str, n: int | None = None) -> Query:
        """Raises BadRequest, TooLarge, naming the input at fault."""
        one = TaskInput(text=given) if isinstance(given, str) else given
        if [one.text, one.file, one.messages].count(None) != 2:
            words = f"{at}: give one of `text`, `file` and `messages`"
            raise BadRequest(words, code="invalid_value", param=at)
        messages = one.messages
        if messages is None:
            text = one.text if one.file is None else await self._document(one.file, f"{at}.file")
            if not text or not text.strip():
                raise BadRequest(f"{at}: there is no text in it", code="empty_text", param=at)
            messages = [{"role": "user", "content": text}]
        body = {"model": self._name, "messages": messages, "temperature": 0, **self._more}
        name = self.request_id if n is None else f"{self.request_id}-{n}"
        try:
            encoded = msgspec.json.encode(body)
            return parse_chat(encoded, self._headers, name, max_messages=self._settings.max_messages)
        except UnicodeEncodeError:
            raise BadRequest(f"{at}: half of a surrogate pair", code="invalid_text", param=at) from None
        except BadRequest as error:
            if (error.param or "").startswith("messages"):
                words = f"{at}: {error}"
                raise BadRequest(words, code=error.code or "invalid_value", param=at) from None
            raise

    async def _document(self, file: FileInput, at: str) -> str:
        """The text of a document, read in a worker thread. Raises BadRequest, TooLarge."""
        try:
            text = await asyncio.to_thread(_read, file)
        except binascii.Error:
            raise BadRequest(f"{at}.file_data: not base64", code="invalid_value", param=f"{at}.file_data") from None
        except DataError as error:
            raise BadRequest(f"{at}: {error}", code="unreadable_document", param=at) from None
        except SetupError as error:
            raise BadRequest(f"{at}: this gateway lacks an extra: {error}", code="unsupported", param=at) from None
        if len(text) > self._settings.max_body_mb * 1_000_000:
            words = f"{at}: its text is longer than the limit of {self._settings.max_body_mb:g} MB (server.max_body_mb)"
            raise TooLarge(words, code="document_too_large", param=at)
        return text


def _read(file: FileInput) -> str:
    from smallfirst.text.documents import read_sent  # noqa: PLC0415 - readers of mail and HTML, for those who send some

    data = file.file_data
    if data.startswith("data:"):
        data = data.partition(",")[2]
    return read_sent(base64.b64decode(data, validate=True), file.filename)


class _Beside(msgspec.Struct):
    smallfirst: dict[str, dict[str, Any]] = {}


_beside = msgspec.json.Decoder(_Beside)
_NO_ANSWER = RequestError("no answer", code="internal_error")


def card(task: Task) -> dict[str, Any]:
    """A task as GET /v1/tasks shows it."""
    return {
        "object": "task",
        "id": task.name,
        "kind": task.kind,
        "endpoint": f"/v1/tasks/{task.name.partition(':')[2]}",
        "promise": task.promise,
        **task.about(),
    }


class TasksPage:
    """GET /v1/tasks: the tasks that the caller's key may name, each with its promise; or one of them."""

    def __init__(self, tasks: Sequence[Task], keys: Keys, one: Task | None = None) -> None:
        self._tasks, self._keys, self._one = tasks, keys, one

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        headers = dict(scope["headers"])
        key = self._keys.check(as_text(headers.get(b"authorization")), as_text(headers.get(b"x-api-key")))
        if self._one is not None:
            payload: object = card(self._one)
        else:
            allowed = key.policies if key is not None else None
            data = [card(task) for task in self._tasks if allowed is None or task.name in allowed]
            payload = {"object": "list", "data": data}
        await send_whole(send, 200, [respond.JSON], msgspec.json.encode(payload))
