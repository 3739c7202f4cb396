"""The double behaves as the real sender does."""

from __future__ import annotations

import asyncio

import pytest

from smallfirst.core import DataClass, Permit, Status, ToolCall, Usage
from smallfirst.models.http_sender import HttpSender
from smallfirst.models.loopback import ScriptedUpstream
from smallfirst.models.scripted import Reply, ScriptedSender, pieces
from tests.models.calls import PERMIT, make_call


def both(sender, **call):
    """(a whole answer, the relayed bytes, the stream) of one sender."""

    async def main():
        outcome = await sender.ask(make_call(**call), PERMIT)
        answer = sender.stream(make_call(**call), PERMIT)
        out = b"".join([block async for block in answer])
        await answer.aclose()
        await sender.close()
        return outcome, out, answer

    return asyncio.run(main())


@pytest.mark.parametrize(
    "reply",
    [
        Reply(text="a b c", usage=Usage(5, 3, 1), logprobs=(-0.5, -0.25, -0.125)),
        Reply(tool_calls=(ToolCall("f", '{"x":1}'), ToolCall("g", "{}"))),
        Reply(text="cut short", finish="length", pieces=4),
        Reply(),
    ],
)
@pytest.mark.parametrize("logprobs", [False, True])
def test_it_says_what_the_real_sender_says(reply, logprobs) -> None:
    with ScriptedUpstream(lambda request: reply) as upstream:
        real = both(HttpSender(), url=upstream.url, logprobs=logprobs, text=True)
    double = both(ScriptedSender({"small": reply}), logprobs=logprobs, text=True)
    assert double[1] == real[1]
    assert double[2].tail == real[2].tail
    for one, other in ((double[0], real[0]), (double[2].outcome, real[2].outcome)):
        for field in ("status", "text", "tool_calls", "finish", "usage", "signals", "body", "cost", "provider"):
            assert getattr(one, field) == getattr(other, field), field


def test_it_remembers_what_each_model_was_sent() -> None:
    sender = ScriptedSender(lambda call: call.query.text.upper())
    outcome, _, _ = both(sender, fields={"messages": [], "seed": 3})
    assert outcome.text == "HI"
    assert [(sent.model, sent.provider, sent.stream) for sent in sender.seen] == [
        ("small", "here", False),
        ("small", "here", True),
    ]
    assert sender.seen[0].fields == {"model": "org/small-1b", "messages": [], "seed": 3}
    assert sender.closed


def test_it_fails_as_told() -> None:
    reply = Reply(status=Status.rate_limited, http_status=429, retry_after_s=2.0)
    outcome, out, answer = both(ScriptedSender({"small": reply}))
    assert (outcome.status, outcome.retry_after_s, out) == (Status.rate_limited, 2.0, b"")
    assert answer.outcome.status is Status.rate_limited
    _, out, answer = both(ScriptedSender({"small": Reply(text="a b c", cut_after=2)}))
    assert out.count(b"\n\n") == 2
    assert answer.outcome.status is Status.broken


def test_it_sends_nothing_without_a_permit() -> None:
    sender = ScriptedSender({"small": "no"})
    with pytest.raises(PermissionError):
        asyncio.run(sender.ask(make_call(), Permit(DataClass.public, frozenset(), "none")))
    assert sender.seen == []


def test_delays_pass_on_the_clock_that_it_is_given() -> None:
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    both(ScriptedSender({"small": Reply(text="a b", delay_s=60.0, gap_s=5.0)}, sleep=sleep))
    assert slept == [60.0, 60.0, 5.0, 5.0, 5.0, 5.0]


def test_leaving_a_stream() -> None:
    async def main():
        answer = ScriptedSender({"small": "a b c"}).stream(make_call(), PERMIT)
        blocks = aiter(answer)
        await anext(blocks)
        await anext(blocks)
        await answer.aclose()
        return answer

    answer = asyncio.run(main())
    assert answer.outcome.status is Status.cancelled
    assert answer.outcome.usage == Usage(7, 1, 0, estimated=True)


def test_pieces_join_to_the_text() -> None:
    for count in range(6):
        assert "".join(pieces("ab  cd e", count)) == "ab  cd e"
