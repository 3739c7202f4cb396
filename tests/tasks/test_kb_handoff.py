"""The webhook: what it is sent, when it is tried again, and when it is given up."""

from __future__ import annotations

import json

import msgspec
import pytest

from smallfirst.core import Query
from smallfirst.models.local import Ask
from smallfirst.models.loopback import ScriptedUpstream, Wire
from smallfirst.models.scripted import Reply
from smallfirst.tasks.kb.handoff import STEP, TAKEN, Case, Handoff
from smallfirst.tasks.kb.settings import HandoffSettings, handoff_problems

BROKEN = Wire(steps=(b"{}",), status=503)


def asked() -> Ask:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "When is the office open?"},
        {"role": "assistant", "content": "From 8:00."},
        {"role": "user", "content": "And in Porto?"},
    ]
    step = Case("not_found", (("facilities/offices.md", "Offices > Leith"),))
    fields = {"messages": messages, STEP: step}
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    return Ask(Query(id="req-1", asked="kb:handbook", text="the raw text, which is never sent", fields=raw), raw)


class Clock:
    """Time passes only by sleeping."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def tell(script, **more) -> tuple[str, list, Clock]:
    clock = Clock()
    with ScriptedUpstream(script) as upstream:
        settings = HandoffSettings(url=f"{upstream.url}/hook?team=a", **more)
        said = Handoff("kb:handbook", settings, clock=clock, sleep=clock.sleep).answer(asked())
    return said.text, upstream.requests, clock


def test_what_is_sent() -> None:
    said, (request,), _ = tell(lambda _: Reply(text="ok"), key="secret")
    assert said == TAKEN
    assert request.path.endswith("/hook?team=a")
    assert (request.headers["authorization"], request.headers["idempotency-key"]) == ("Bearer secret", "req-1")
    body = request.fields
    assert body.pop("at").endswith("Z")
    assert body == {
        "task": "kb:handbook",
        "request_id": "req-1",
        "question": "And in Porto?",
        "conversation": [
            {"role": "user", "content": "When is the office open?"},
            {"role": "assistant", "content": "From 8:00."},
        ],
        "why": "not_found",
        "passages": [{"document": "facilities/offices.md", "title": "Offices > Leith"}],
    }
    assert "raw text" not in json.dumps(body)


def test_it_is_tried_again_a_little_later_each_time() -> None:
    answers = iter((BROKEN, BROKEN, Reply(text="ok")))
    said, requests, clock = tell(lambda _: next(answers))
    assert (said, len(requests), clock.slept) == (TAKEN, 3, [0.2, 0.4])
    assert len({request.body for request in requests}) == 1


def test_a_refusal_is_final_and_a_deadline_holds() -> None:
    said, requests, _ = tell(lambda _: Wire(steps=(b"{}",), status=410))
    assert (said, len(requests)) == ("status 410", 1)
    said, requests, clock = tell(lambda _: BROKEN, tries=10, timeout_s=1.0)
    assert (said, len(requests)) == ("status 503", 3)
    assert clock.now < 1.0


def test_nobody_listens() -> None:
    clock = Clock()
    hook = Handoff("kb:x", HandoffSettings(url="http://127.0.0.1:9"), clock=clock, sleep=clock.sleep)
    assert hook.answer(asked()).text == "ConnectionRefusedError"
    assert len(clock.slept) == 2


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (HandoffSettings(url="ftp://example.com"), "url"),
        (HandoffSettings(url="https://ann:pw@example.com"), "url"),
        (HandoffSettings(url="https://example.com", location="moon"), "location"),
        (HandoffSettings(url="https://example.com", timeout_s=0), "timeout_s"),
        (HandoffSettings(url="https://example.com", tries=0), "tries"),
    ],
)
def test_what_is_wrong_with_an_address(settings, field) -> None:
    assert [name for name, _ in handoff_problems(settings)] == [field]
    assert not list(handoff_problems(HandoffSettings(url="https://example.com/x", location="cloud/eu")))
