"""Placeholders out, the real thing back: in whole answers, in tool calls, and in streams wherever they are cut."""

from __future__ import annotations

import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.core import Edit, Outcome, Status, ToolCall
from smallfirst.privacy.detector import Detector
from smallfirst.privacy.redaction import Redaction
from smallfirst.privacy.restoring import Events, Thread

CARD, MAIL = "4111 1111 1111 1111", "ann@example.com"
detector = Detector()


def redaction(content):
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    return Redaction(detector, {"model": raw("auto"), "messages": raw(messages)})


def raw(value):
    return msgspec.Raw(msgspec.json.encode(value))


def shown(made):
    return json.loads(bytes(made.fields["messages"]))


def test_the_same_thing_has_the_same_placeholder_everywhere():
    made = redaction([
        {"role": "system", "content": f"The customer is {MAIL}."},
        {"role": "user", "content": [{"type": "text", "text": f"Charge {CARD}, write to {MAIL}, bob@example.com"}]},
        {"role": "assistant", "tool_calls": [{"id": "1", "type": "function",
            "function": {"name": "mail", "arguments": json.dumps({"to": MAIL, "card": CARD})}}]},
    ])  # fmt: skip
    system, user, assistant = shown(made)
    assert system["content"] == "The customer is <EMAIL_1>."
    assert user["content"][0]["text"] == "Charge <PAYMENT_CARD_1>, write to <EMAIL_1>, <EMAIL_2>"
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {
        "to": "<EMAIL_1>", "card": "<PAYMENT_CARD_1>",
    }  # fmt: skip
    assert made.leaves().categories == ()
    assert made.highest.name == "financial"


def test_placeholders_that_stand_in_the_text_already_are_left_to_it():
    made = redaction(f"<EMAIL_1> is a placeholder, {MAIL} is none")
    assert shown(made)[0]["content"] == "<EMAIL_1> is a placeholder, <EMAIL_2> is none"
    assert made.restore("<EMAIL_1> <EMAIL_2>") == f"<EMAIL_1> {MAIL}"


def test_whole_answers_and_tool_calls_are_restored():
    made = redaction(f'write to {MAIL}, "O\'Neil" at 5 Elm Street')
    arguments = '{"to": "<EMAIL_1>"}'
    said = {"content": "to <EMAIL_1>", "tool_calls": [{"function": {"arguments": arguments}}]}
    body = {"choices": [{"message": said}]}
    outcome = Outcome("m", Status.ok, "to <EMAIL_1>", (ToolCall("mail", arguments),), body=msgspec.json.encode(body))
    back = made.outcome(outcome)
    assert back.text == f"to {MAIL}"
    assert json.loads(back.tool_calls[0].arguments) == {"to": MAIL}
    message = json.loads(back.body)["choices"][0]["message"]
    assert message["content"] == f"to {MAIL}"
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"to": MAIL}


def test_what_a_policy_adds_is_redacted_too():
    made = redaction(f"write to {MAIL}")
    edit = made.edit(Edit({"messages": raw([{"role": "user", "content": f"is {MAIL} right?"}])}))
    assert MAIL.encode() not in bytes(edit.put["messages"])


def test_what_has_no_place_is_left_and_said():
    made = redaction("my husband has epilepsy")
    assert made.leaves().categories == ("health_matter",)


@given(
    st.text(max_size=200), st.sampled_from([CARD, MAIL, "+44 20 7946 0958", "SSN 536-90-4399"]), st.text(max_size=50)
)
def test_out_and_back_is_the_same_text(before, personal, after):
    text = f"{before} {personal} {after}"
    made = redaction(text)
    assert made.restore(shown(made)[0]["content"]) == text


ANSWER = "Dear <EMAIL_1>, your card <PAYMENT_CARD_1> is < 3 and <EMAIL_9> and <EMAIL_1"


@given(st.lists(st.integers(0, len(ANSWER)), max_size=30))
def test_a_text_is_restored_wherever_it_is_cut(cuts):
    made = redaction(f"{MAIL} {CARD}")
    thread = Thread(made.restore, made.placeholders)
    edges = sorted({0, len(ANSWER), *cuts})
    out = "".join(thread.feed(ANSWER[a:b]) for a, b in pairwise(edges)) + thread.end()
    assert out == f"Dear {MAIL}, your card {CARD} is < 3 and <EMAIL_9> and <EMAIL_1"


def event(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return (
        b"data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"
    )


def joined(blocks, key="content"):
    text = ""
    for block in blocks:
        for line in block.split(b"\n\n"):
            if line.startswith(b"data: {"):
                delta = json.loads(line[6:])["choices"][0]["delta"]
                if key == "content":
                    text += delta.get("content") or ""
                else:
                    text += "".join(call["function"].get("arguments", "") for call in delta.get("tool_calls", ()))
    return text


@given(st.lists(st.integers(0, len(ANSWER)), max_size=20), st.booleans())
def test_a_streams_events_are_restored_wherever_they_are_cut(cuts, finished):
    made = redaction(f"{MAIL} {CARD}")
    events = Events(made)
    edges = sorted({0, len(ANSWER), *cuts})
    blocks = [events.feed(event({"content": ANSWER[a:b]})) for a, b in pairwise(edges)]
    blocks.append(events.feed(event({}, "stop")) if finished else events.end())
    assert joined(blocks) == f"Dear {MAIL}, your card {CARD} is < 3 and <EMAIL_9> and <EMAIL_1"


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_streamed_tool_call_is_restored(cut):
    made = redaction(f"write to {MAIL}")
    events, arguments = Events(made), '{"to": "<EMAIL_1>"}'
    blocks = [
        events.feed(event({"tool_calls": [{"index": 0, "function": {"name": "mail", "arguments": piece}}]}))
        for piece in (arguments[:cut], arguments[cut:])
    ]
    assert json.loads(joined(blocks, "arguments")) == {"to": MAIL}
