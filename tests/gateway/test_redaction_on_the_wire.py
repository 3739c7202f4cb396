"""What a redact rule does to one request: placeholders reach the model, the caller sees the real thing."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from smallfirst.core import ToolCall
from smallfirst.models.scripted import Reply
from smallfirst.privacy.settings import PrivacySettings, RuleSettings, TargetSettings

MAIL = "ann.lee@example.com"
RULES = (
    RuleSettings(classes=("public", "internal"), to="any", do="allow"),
    RuleSettings(classes=("personal",), to=TargetSettings(location="cloud/eu"), do="redact"),
    RuleSettings(classes=("personal", "health"), to=TargetSettings(location="premises"), do="allow"),
)


def gateway(stage: Any, script: Any, **privacy: Any) -> Any:
    settings = PrivacySettings(rules=RULES, matters=False, **privacy)
    return stage(large=script, locations={"large": "cloud/eu"}, sections={"privacy": settings})


def sent(up: Any) -> str:
    return up.upstreams["large"].requests[-1].body.decode()


def test_a_whole_answer(stage: Any) -> None:
    up = gateway(stage, lambda request: f"I wrote: {request.fields['messages'][0]['content']}")
    raw = up.ask(f"Write to {MAIL} at once")
    assert MAIL not in sent(up)
    assert "<EMAIL_1>" in sent(up)
    assert raw.parse().choices[0].message.content == f"I wrote: Write to {MAIL} at once"


def test_a_stream_with_a_split_placeholder(stage: Any) -> None:
    up = gateway(stage, lambda _: Reply(text="x <EMAIL_1> y <EMAIL_1>", pieces=20))
    stream = up.client.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": f"Write to {MAIL}"}], stream=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == f"x {MAIL} y {MAIL}"
    assert MAIL not in sent(up)


def test_a_tool_call(stage: Any) -> None:
    up = gateway(stage, lambda _: Reply(tool_calls=(ToolCall("mail", '{"to": "<EMAIL_1>"}'),)))
    tools = [{"type": "function", "function": {"name": "mail", "parameters": {
        "type": "object", "properties": {"to": {"type": "string", "format": "email"}}}}}]  # fmt: skip
    raw = up.ask(f"Write to {MAIL}", tools=tools)
    call = raw.parse().choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"to": MAIL}


@pytest.mark.parametrize("text", ["My husband's epilepsy got worse.", f"{MAIL}: my husband has epilepsy"])
def test_what_can_not_be_replaced_is_denied(stage: Any, text: str) -> None:
    up = gateway(stage, lambda _: "no", categories={"health_matter": "personal"})
    with pytest.raises(openai.PermissionDeniedError):
        up.ask(text)
    assert up.seen("large") == 0


def test_a_declared_class_is_not_explained_by_what_was_found(stage: Any) -> None:
    up = gateway(stage, lambda _: "no")
    with pytest.raises(openai.PermissionDeniedError):
        up.ask("Tell Ann Lee that I am late", extra_body={"smallfirst": {"data_class": "personal"}})
    assert up.seen("large") == 0


def test_unlocated_send_trusts_what_was_found(stage: Any) -> None:
    up = gateway(stage, lambda _: "yes", categories={"health_matter": "personal"}, unlocated="send")
    assert up.ask(f"{MAIL}: my husband has epilepsy").headers["x-smallfirst-model"] == "large"
    assert MAIL not in sent(up)
