"""The sender over real loopback sockets: outcomes, faults, streams, permits."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json

import pytest

from smallfirst.core import DataClass, Permit, Status, Usage
from smallfirst.models import http_sender
from smallfirst.models.http_sender import HttpSender
from smallfirst.models.loopback import ScriptedUpstream, Wire, fault, sse
from smallfirst.models.scripted import Reply, events
from tests.models.calls import PERMIT, make_call

NO_PERMIT = Permit(DataClass.health, frozenset({("small", "elsewhere"), ("other", "here")}), "test")
REPLY = Reply(text="one two three", usage=Usage(11, 3, 0), logprobs=(-0.1, -0.3, -0.2))


def ask(script, **call):
    with ScriptedUpstream(script) as upstream:
        return asyncio.run(_ask(upstream, **call)), upstream


async def _ask(upstream, **call):
    sender = HttpSender()
    try:
        return await sender.ask(make_call(upstream.url, **call), PERMIT)
    finally:
        await sender.close()


def stream(script, **call):
    """(what was relayed, the finished stream, the upstream)"""

    async def main(upstream):
        sender = HttpSender()
        answer = sender.stream(make_call(upstream.url, **call), PERMIT)
        blocks = [block async for block in answer]
        await answer.aclose()
        await sender.close()
        return b"".join(blocks), answer

    with ScriptedUpstream(script) as upstream:
        out, answer = asyncio.run(main(upstream))
    return out, answer, upstream


def test_an_answer() -> None:
    outcome, upstream = ask(lambda request: REPLY)
    assert outcome.ok
    assert (outcome.text, outcome.finish, outcome.usage) == ("one two three", "stop", Usage(11, 3, 0))
    assert (outcome.model, outcome.provider, outcome.location) == ("small", "here", "premises")
    assert outcome.http_status == 200
    assert outcome.latency_us > 0
    assert upstream.requests[0].fields["model"] == "org/small-1b"
    assert upstream.requests[0].path == "/v1/chat/completions"
    assert upstream.requests[0].headers["authorization"] == "Bearer sk-test"


def test_our_own_wish_for_log_probabilities_is_not_visible() -> None:
    outcome, upstream = ask(lambda request: REPLY, logprobs=True)
    assert upstream.requests[0].fields["logprobs"] is True
    assert outcome.signals.first_logprob == -0.1
    assert b"logprob" not in outcome.body


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (fault(429, retry_after="2"), Status.rate_limited),
        (fault(500), Status.unavailable),
        (fault(503, retry_after="9"), Status.unavailable),
        (fault(401), Status.unauthorized),
        (fault(403), Status.unauthorized),
        (fault(400, code="context_length_exceeded"), Status.refused),
        (Wire(steps=(b"<html>oops</html>",)), Status.broken),
        (Wire(steps=(b"{", "cut")), Status.broken),
        (Wire(steps=("cut",), framing="raw"), Status.unavailable),
        (Wire(steps=("stall",), framing="raw"), Status.timed_out),
    ],
)
def test_faults_are_statuses_whole_or_streamed(wire, status) -> None:
    impatient = 0.05 if status is Status.timed_out else 30.0
    whole, _ = ask(lambda request: wire, timeout_s=impatient)
    out, streamed, _ = stream(lambda request: wire, timeout_s=impatient)
    for outcome in (whole, streamed.outcome):
        assert outcome.status is status
        assert outcome.error
        assert "\n" not in outcome.error
    assert out == b""


def test_a_refusal_keeps_what_the_upstream_said_and_a_429_how_long_to_wait() -> None:
    outcome, _ = ask(lambda request: fault(400, code="context_length_exceeded"))
    assert outcome.http_status == 400
    assert json.loads(outcome.body)["error"]["code"] == "context_length_exceeded"
    assert "context_length_exceeded" in outcome.error
    assert ask(lambda request: fault(429, retry_after="2"))[0].retry_after_s == 2.0
    assert stream(lambda request: fault(429, retry_after="2"))[1].outcome.retry_after_s == 2.0


def test_an_unreachable_upstream_and_an_unusable_key() -> None:
    async def main():
        sender = HttpSender()
        return (
            await sender.ask(make_call("http://127.0.0.1:9/v1"), PERMIT),
            await sender.ask(make_call("http://nobody.invalid/v1"), PERMIT),
            await sender.ask(make_call(key="a\nb"), PERMIT),
        )

    for outcome in asyncio.run(main()):
        assert outcome.status is Status.unavailable
        assert outcome.usage == Usage()
        assert outcome.cost == 0
        assert "a\nb" not in outcome.error


def test_a_time_out_books_the_prompt() -> None:
    outcome, _ = ask(lambda request: Wire(steps=("stall",)), timeout_s=0.05)
    assert outcome.usage == Usage(7, 0, 0, estimated=True)
    assert outcome.cost == 7


def test_nothing_is_sent_without_a_permit() -> None:
    async def main(upstream):
        sender = HttpSender()
        call = make_call(upstream.url)
        with pytest.raises(PermissionError):
            await sender.ask(call, NO_PERMIT)
        with pytest.raises(PermissionError):
            async for _ in sender.stream(call, NO_PERMIT):
                pass
        await sender.close()

    with ScriptedUpstream(lambda request: "no") as upstream:
        asyncio.run(main(upstream))
    assert upstream.requests == []
    assert upstream.connections == 0


def test_there_is_one_place_where_bytes_leave() -> None:
    """The permit is looked at in the same function, before anything else happens."""
    tree = ast.parse(inspect.getsource(http_sender))
    users = [
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr in ("post", "open") and "_client" in ast.dump(node.value)
    ]
    assert set(users) == {"_send"}
    send = inspect.getsource(HttpSender._send)
    assert send.index("permit.replicas") < send.index("encode(") < send.index("_client.")


def test_a_stream() -> None:
    out, answer, upstream = stream(lambda request: REPLY)
    blocks = events("org/small-1b", REPLY)
    assert out == b"".join(blocks[:4])
    assert answer.tail == tuple(blocks[4:6])
    assert answer.tokens == 3
    outcome = answer.outcome
    assert outcome.ok
    assert (outcome.finish, outcome.usage, outcome.body) == ("stop", Usage(11, 3, 0), b"")
    assert outcome.ttft_us is not None
    assert outcome.ttft_us <= outcome.latency_us
    assert upstream.requests[0].fields["stream"] is True
    assert upstream.requests[0].fields["stream_options"] == {"include_usage": True}


def test_a_stream_without_usage_is_estimated() -> None:
    _, answer, _ = stream(lambda request: "one two")
    assert answer.outcome.usage == Usage(7, 2, 0, estimated=True)


def test_a_stream_with_our_log_probabilities_and_its_text() -> None:
    out, answer, _ = stream(lambda request: REPLY, logprobs=True, text=True)
    assert b"logprob" not in out
    assert answer.outcome.signals.tokens == 3
    assert answer.outcome.text == "one two three"


def test_a_stream_that_is_cut_relays_what_came_and_says_so() -> None:
    for framing in ("chunked", "close"):
        blocks = events("m", REPLY)[:3]
        wire = Wire(steps=(*blocks, "cut"), headers=(("Content-Type", "text/event-stream"),), framing=framing)
        out, answer, _ = stream(lambda request, wire=wire: wire)
        assert out == b"".join(blocks)
        assert answer.outcome.status is Status.broken
        assert answer.tokens == 2


def test_a_stream_that_stalls_times_out_between_events() -> None:
    blocks = events("m", REPLY)[:2]
    out, answer, _ = stream(lambda request: sse_stalled(blocks), timeout_s=0.05)
    assert out == b"".join(blocks)
    assert answer.outcome.status is Status.timed_out


def sse_stalled(blocks):
    return Wire(steps=(*blocks, "stall"), headers=(("Content-Type", "text/event-stream"),), framing="chunked")


def test_an_error_in_the_midst_of_a_stream() -> None:
    blocks = [*events("m", REPLY)[:2], b'data: {"error":{"message":"SECRET","code":429}}\n\n']
    out, answer, _ = stream(lambda request: sse(blocks))
    assert out == b"".join(blocks[:2])
    assert answer.outcome.status is Status.rate_limited
    assert "SECRET" not in answer.outcome.error


def test_a_whole_answer_to_a_stream_request_is_broken() -> None:
    out, answer, _ = stream(lambda request: Wire(steps=(b"{}",)))
    assert out == b""
    assert answer.outcome.status is Status.broken


@pytest.mark.parametrize("every", [0, 1, 3])
def test_pouring_gives_what_iterating_gives_also_to_a_slow_reader(every) -> None:
    """A write that waits holds the stream up and loses nothing: the next block comes after it has ended."""
    reply = Reply(text=" ".join(f"word-{n}" for n in range(300)), usage=Usage(11, 300, 0))
    iterated, of_iterated, _ = stream(lambda request: reply)

    async def main(upstream):
        sender, got, open_writes = HttpSender(), [], 0

        async def write(block: bytes) -> None:
            nonlocal open_writes
            assert open_writes == 0, "two writes at once"
            open_writes += 1
            if every and len(got) % every == 0:
                await asyncio.sleep(0.0005)
            got.append(block)
            open_writes -= 1

        answer = sender.stream(make_call(upstream.url), PERMIT)
        got.append(await anext(aiter(answer)))
        await answer.pour(write)
        await answer.pour(write)  # it has ended: nothing more
        await sender.close()
        return b"".join(got), answer

    with ScriptedUpstream(lambda request: reply) as upstream:
        poured, of_poured = asyncio.run(main(upstream))
    assert poured == iterated
    assert of_poured.tail == of_iterated.tail
    assert (of_poured.outcome.status, of_poured.outcome.usage) == (Status.ok, Usage(11, 300, 0))


@pytest.mark.parametrize("wire", [sse(events("m", REPLY), cut_after=2), Wire(steps=(events("m", REPLY)[1], "stall"))])
def test_pouring_ends_with_the_fault(wire) -> None:
    async def main(upstream):
        sender, got = HttpSender(), []

        async def write(block: bytes) -> None:
            got.append(block)

        answer = sender.stream(make_call(upstream.url, timeout_s=0.2), PERMIT)
        got.append(await anext(aiter(answer)))
        await answer.pour(write)
        await sender.close()
        return b"".join(got), answer.outcome.status

    wire = Wire(steps=wire.steps, headers=(("Content-Type", "text/event-stream"),), framing="chunked")
    with ScriptedUpstream(lambda request: wire) as upstream:
        got, status = asyncio.run(main(upstream))
    assert got == b"".join(step for step in wire.steps if isinstance(step, bytes))
    assert status is (Status.broken if wire.steps[-1] == "cut" else Status.timed_out)


def test_the_connection_of_a_stream_is_used_again() -> None:
    async def main(upstream):
        sender = HttpSender()
        for _ in range(3):
            async for _ in sender.stream(make_call(upstream.url), PERMIT):
                pass
            assert (await sender.ask(make_call(upstream.url), PERMIT)).ok
        await sender.close()

    with ScriptedUpstream(lambda request: REPLY) as upstream:
        asyncio.run(main(upstream))
    assert len(upstream.requests) == 6
    assert upstream.connections <= 2  # the body's last bytes may come after the answer's end


def test_leaving_a_stream_hangs_up_and_books_what_came() -> None:
    async def main(upstream):
        sender = HttpSender()
        answer = sender.stream(make_call(upstream.url), PERMIT)
        blocks = aiter(answer)
        await anext(blocks)
        await answer.aclose()
        await answer.aclose()
        await asyncio.to_thread(upstream.gone.acquire)
        assert [block async for block in blocks] == []
        await sender.close()
        return answer.outcome

    blocks = events("m", REPLY)[1:2]
    with ScriptedUpstream(lambda request: sse_stalled(blocks)) as upstream:
        outcome = asyncio.run(main(upstream))
    assert outcome.status is Status.cancelled
    assert outcome.usage == Usage(7, 1, 0, estimated=True)
    assert outcome.cost == 7 + 2


def test_cancelling_a_task_that_waits_for_the_next_event() -> None:
    async def main(upstream):
        sender = HttpSender()
        answer = sender.stream(make_call(upstream.url), PERMIT)
        started = asyncio.Event()

        async def read():
            async for _ in answer:
                started.set()

        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(upstream.gone.acquire)
        await answer.aclose()
        await sender.close()
        return answer.outcome

    with ScriptedUpstream(lambda request: sse_stalled(events("m", REPLY)[:2])) as upstream:
        assert asyncio.run(main(upstream)).status is Status.cancelled


def test_a_stream_that_was_never_begun_costs_nothing() -> None:
    async def main():
        answer = HttpSender().stream(make_call(), PERMIT)
        with pytest.raises(RuntimeError):
            _ = answer.outcome
        await answer.aclose()
        return answer.outcome

    outcome = asyncio.run(main())
    assert (outcome.status, outcome.usage.input_tokens, outcome.cost) == (Status.cancelled, 0, 0)


def test_many_at_once() -> None:
    async def main(upstream):
        sender = HttpSender()
        outcomes = await asyncio.gather(*(sender.ask(make_call(upstream.url), PERMIT) for _ in range(50)))
        await sender.close()
        return outcomes

    with ScriptedUpstream(lambda request: REPLY) as upstream:
        assert all(outcome.ok for outcome in asyncio.run(main(upstream)))
    assert len(upstream.requests) == 50
