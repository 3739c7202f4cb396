"""Models that are code: asked in a worker thread under a permit, whole or streamed; what they raise ends the call."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest

from smallfirst.core import Edit, Model, Query, Replica, Status
from smallfirst.errors import BadRequest, DataError
from smallfirst.models.local import Ask, LocalSender, Said
from smallfirst.models.scripted import ScriptedSender
from smallfirst.models.sender import Call
from smallfirst.privacy.rules import Rules
from smallfirst.privacy.settings import PrivacySettings
from tests.models.calls import PERMIT, PRICE, make_call, raw


class Echo:
    """Says what it was asked, from which thread."""

    def __init__(self, fault: Exception | None = None, wait: threading.Event | None = None) -> None:
        self.fault, self.wait, self.thread = fault, wait, ""

    def answer(self, ask: Ask) -> Said:
        self.thread = threading.current_thread().name
        if self.wait is not None:
            self.wait.wait(10)
        if self.fault is not None:
            raise self.fault
        return Said(f"{ask.query.text} {ask.read('step', str)} {sorted(ask.fields)}", 0.75)


MODEL = Model("task:t", "slm", (Replica("local", "", "task:t", "device", wire="local"),), price=PRICE)
PERMITTED = Rules.from_settings(PrivacySettings()).permits((MODEL,)).for_class(PERMIT.data_class)
STEP = Edit({"step": msgspec.Raw(b'"look"')}, ("seed",))


def call(edit: Edit | None = None, timeout_s: float = 5.0) -> Call:
    query = Query("q", "task:t", "hi", raw({"messages": [], "seed": 1}))
    return Call(MODEL, MODEL.replicas[0], query, edit, timeout_s=timeout_s)


def ask(local: Echo, one: Call, permit=PERMITTED):
    async def main():
        sender = LocalSender(ScriptedSender({"small": "from elsewhere"}), {"task:t": local})
        try:
            return await sender.ask(one, permit)
        finally:
            await sender.close()

    return asyncio.run(main())


def test_an_answer_is_an_ordinary_outcome() -> None:
    echo = Echo()
    outcome = ask(echo, call(STEP))
    assert outcome.text == "hi look ['messages', 'step']"
    assert (outcome.status, outcome.finish, outcome.signals.p_correct) == (Status.ok, "stop", 0.75)
    assert (outcome.provider, outcome.location, outcome.usage.estimated) == ("local", "device", True)
    assert outcome.cost == PRICE.cost(outcome.usage) > 0
    assert msgspec.json.decode(outcome.body)["choices"][0]["message"]["content"] == outcome.text
    assert echo.thread.startswith("local-model")


def test_nothing_is_asked_without_a_permit() -> None:
    echo = Echo()
    with pytest.raises(PermissionError):
        ask(echo, call(), PERMIT)
    assert echo.thread == ""


def test_other_models_are_somebody_elses() -> None:
    assert ask(Echo(), make_call(), PERMIT).text == "from elsewhere"


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        (BadRequest("no text", code="empty_text", param="messages"), Status.refused, "empty_text"),
        (DataError("secret words of the prompt"), Status.broken, "DataError"),
        (ValueError("secret words of the prompt"), Status.broken, "ValueError"),
    ],
)
def test_what_it_raises_is_the_end_of_the_call(fault, status, words) -> None:
    outcome = ask(Echo(fault), call())
    assert outcome.status is status
    assert words in outcome.error
    assert "secret" not in outcome.error
    if status is Status.refused:
        assert msgspec.json.decode(outcome.body)["error"]["param"] == "messages"


def test_it_may_not_take_for_ever() -> None:
    wait = threading.Event()
    try:
        assert ask(Echo(wait=wait), call(timeout_s=0.05)).status is Status.timed_out
    finally:
        wait.set()


def test_a_stream_is_one_event() -> None:
    async def main(local: Echo):
        sender = LocalSender(ScriptedSender({}), {"task:t": local})
        stream = sender.stream(call(STEP), PERMITTED)
        with pytest.raises(RuntimeError):
            assert stream.outcome
        blocks = [block async for block in stream]
        await stream.aclose()
        await sender.close()
        return blocks, stream

    blocks, stream = asyncio.run(main(Echo()))
    (block,) = blocks
    assert b"hi look" in block
    assert (stream.outcome.status, stream.outcome.body, stream.tokens) == (Status.ok, b"", 1)
    assert b'"finish_reason":"stop"' in stream.tail[0]
    blocks, stream = asyncio.run(main(Echo(ValueError())))
    assert (blocks, stream.outcome.status) == ([], Status.broken)


def test_a_stream_that_was_never_read_is_cancelled() -> None:
    async def main():
        sender = LocalSender(ScriptedSender({}), {"task:t": Echo()})
        stream = sender.stream(call(), PERMITTED)
        await stream.aclose()
        await sender.close()
        return stream.outcome.status

    assert asyncio.run(main()) is Status.cancelled
