"""What is over is freed at once: a gateway looks for cycles rarely, so its requests must not be in any."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from smallfirst.engine.request import Exchange
from smallfirst.gateway.attendant import Guest
from smallfirst.gateway.chat import StreamReply
from smallfirst.models.connection import Connection
from smallfirst.models.loopback import Wire

EVENTS = (("Content-Type", "text/event-stream"),)


def left() -> dict[str, int]:
    """How many of each there are, without the collector's help."""
    kinds = (Exchange, Guest, StreamReply, Connection)
    alive = [type(one) for one in gc.get_objects()]
    return {kind.__name__: alive.count(kind) for kind in kinds}


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def settled(before: dict[str, int]) -> bool:
    for _ in range(40):
        if all(count <= before[name] for name, count in left().items()):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.usefixtures("no_collector")
def test_a_request_that_is_over_is_in_no_cycle(stage: Any, stream: bool) -> None:
    """The wait for the client's leaving begins after a moment, so the answers take one. What leaves nothing behind once
    in three is in no cycle by its making; once, on a crowded machine, one of two streams was still held."""

    def slowly(_: Any) -> str:
        time.sleep(0.15)
        return "word " * 3

    def asked() -> None:
        answer = up.ask(model="small", stream=stream).parse()
        if stream:
            list(answer)

    up = stage(small=slowly)
    asked()
    for _ in range(3):
        before = left()
        asked()
        asked()
        if settled(before):
            return
    pytest.fail(f"left behind each time: {before}, then {left()}")


@pytest.mark.usefixtures("no_collector")
def test_a_client_that_left_leaves_nothing(stage: Any) -> None:
    up = stage(small=lambda _: Wire(steps=("stall",), headers=EVENTS, framing="chunked"))
    before = left()
    for _ in range(2):
        with pytest.raises(openai.APITimeoutError):
            up.client.with_options(timeout=0.3, max_retries=0).chat.completions.create(
                model="small", stream=True, messages=[{"role": "user", "content": "hi"}]
            )
    for _ in range(200):
        if len(up.entries) == 2:
            break
        time.sleep(0.02)
    assert len(up.entries) == 2
    assert settled(before), (before, left())
