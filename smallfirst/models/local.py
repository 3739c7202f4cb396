"""Models that are code of this process: a task's classifier, an index, a person behind a webhook.

Knows worker threads, and how what such a model says becomes the outcome of an ordinary call: it is asked through the
same sender, under the same permit, as every other model. Does not know any task. The event loop never runs its code.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import msgspec

from smallfirst.core import Outcome, Permit, Query, Signals, Status, Usage
from smallfirst.errors import RequestError, SmallfirstError
from smallfirst.models.faults import failed
from smallfirst.models.sender import AnswerStream, Call, Sender, Write, check
from smallfirst.models.wire import tokens_of

log = logging.getLogger(__name__)

T = TypeVar("T")


class Ask(msgspec.Struct, frozen=True):
    """What a local model is asked: the query, and its fields with the call's edit over them."""

    query: Query
    fields: Mapping[str, msgspec.Raw]

    def read(self, name: str, into: type[T]) -> T | None:
        """A field, decoded; None where it is absent. Raises msgspec.ValidationError."""
        raw = self.fields.get(name)
        return None if raw is None else msgspec.json.decode(raw, type=into)


class Said(msgspec.Struct, frozen=True):
    """What it says. `p_correct`: how likely that is right, calibrated, 0..1; None: it does not say."""

    text: str
    p_correct: float | None = None
    cost: int = 0  # nano-dollars, where it pays somebody


class Local(Protocol):
    """The code behind a local model."""

    def answer(self, ask: Ask) -> Said:
        """Called in a worker thread, in several at once where its replica's `max_parallel` allows it.

        What it raises becomes a failed call: a SmallfirstError with its words, anything else is logged.
        """
        ...


class LocalSender:
    """models/sender.py's Sender: calls of wire `local` go to `locals_` by the model's name, all others to `sender`."""

    def __init__(self, sender: Sender, locals_: Mapping[str, Local], threads: int = 4) -> None:
        self._sender, self._locals = sender, locals_
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="local-model")

    async def ask(self, call: Call, permit: Permit) -> Outcome:
        if call.replica.wire != "local":
            return await self._sender.ask(call, permit)
        check(call, permit)
        started, local = _now(), self._locals[call.model.name]
        work = asyncio.get_running_loop().run_in_executor(self._pool, local.answer, _asked(call))
        try:
            async with asyncio.timeout(call.timeout_s):
                said = await work
        except TimeoutError:
            return failed(call, Status.timed_out, f"no answer within {call.timeout_s:g} s", started, _now())
        except RequestError as error:
            outcome = failed(
                call, Status.refused, f"it can't be answered ({error.code})", started, _now(), error.status
            )
            return msgspec.structs.replace(outcome, body=msgspec.json.encode(error.body()))
        except SmallfirstError as error:
            log.warning("%s: %s", call.model.name, error)
            return failed(call, Status.broken, type(error).__name__, started, _now())
        except Exception as error:  # whatever its code raises is the end of this call, not of the request
            log.exception("%s failed", call.model.name)
            return failed(call, Status.broken, type(error).__name__, started, _now())
        return _outcome(call, said, started, _now())

    def stream(self, call: Call, permit: Permit) -> AnswerStream:
        return self._sender.stream(call, permit) if call.replica.wire != "local" else LocalStream(self, call, permit)

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        await self._sender.close()


class LocalStream:
    """models/sender.py's AnswerStream: the whole answer, in one event."""

    def __init__(self, sender: LocalSender, call: Call, permit: Permit) -> None:
        self._sender, self._call, self._permit = sender, call, permit
        self._outcome: Outcome | None = None
        self.tokens = 0
        self.tail: tuple[bytes, ...] = ()

    @property
    def outcome(self) -> Outcome:
        if self._outcome is None:
            raise RuntimeError("the stream has not ended")
        return self._outcome

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._outcome is not None:
            raise StopAsyncIteration
        outcome = await self._sender.ask(self._call, self._permit)
        self._outcome = msgspec.structs.replace(outcome, body=b"") if outcome.ok else outcome
        if not outcome.ok:
            raise StopAsyncIteration
        self.tokens = 1
        self.tail = (_event(self._call, {}, "stop"),)
        return _event(self._call, {"role": "assistant", "content": outcome.text}, None)

    async def pour(self, write: Write) -> None:
        async for block in self:
            await write(block)

    async def aclose(self) -> None:
        if self._outcome is None:
            now = _now()
            self._outcome = failed(self._call, Status.cancelled, "", now, now)


def completion(model: str, text: str, usage: Usage, more: Mapping[str, object] | None = None) -> bytes:
    """A chat completion that says `text`; `more` are further fields beside it."""
    counted = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": None, "finish_reason": "stop"}
    whole: dict[str, Any] = {
        "id": f"chatcmpl-{time.time_ns() // 1000:x}",
        "object": "chat.completion",
        "created": time.time_ns() // 1_000_000_000,
        "model": model,
        "choices": [choice],
        "usage": counted,
    }
    return msgspec.json.encode({**whole, **(more or {})})


def _asked(call: Call) -> Ask:
    fields = {**call.query.fields}
    if call.edit is not None:
        for name in call.edit.drop:
            fields.pop(name, None)
        fields.update(call.edit.put)
    return Ask(call.query, fields)


def _outcome(call: Call, said: Said, started_us: int, ended_us: int) -> Outcome:
    usage = Usage(call.query.needs.input_tokens, tokens_of(len(said.text)), estimated=True)
    price = call.model.price
    return Outcome(
        model=call.model.name,
        status=Status.ok,
        text=said.text,
        finish="stop",
        usage=usage,
        signals=Signals(p_correct=said.p_correct),
        started_us=started_us,
        latency_us=ended_us - started_us,
        provider=call.replica.provider,
        location=call.replica.location,
        http_status=200,
        body=completion(call.model.name, said.text, usage),
        cost=said.cost or (price.cost(usage) if price is not None else 0),
    )


def _event(call: Call, delta: Mapping[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    base = {"id": f"chatcmpl-{call.query.id}", "object": "chat.completion.chunk", "created": 0}
    return b"data: " + msgspec.json.encode({**base, "model": call.model.name, "choices": [choice]}) + b"\n\n"


def _now() -> int:
    return time.monotonic_ns() // 1000
