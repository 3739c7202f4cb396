"""Anthropic's API before and behind the gateway: the body as it came holds personal data too, and never slips past."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest

from smallfirst.cli.build import App
from smallfirst.cli.running import running
from smallfirst.cli.settings import Settings
from smallfirst.models.loopback import ScriptedUpstream, Wire, sse
from smallfirst.models.settings import BaselineSettings, ModelSettings, ProviderSettings
from smallfirst.privacy.settings import PrivacySettings, RuleSettings, TargetSettings

MAIL = "ann.lee@example.com"
RULES = (
    RuleSettings(classes=("public", "internal"), to="any", do="allow"),
    RuleSettings(classes=("personal",), to=TargetSettings(location="cloud/eu"), do="redact"),
)


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def said(text: str) -> dict[str, Any]:
    usage = {"input_tokens": 9, "output_tokens": 5}
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn",
        "stop_sequence": None, "usage": usage, "content": [{"type": "text", "text": text}],
    }  # fmt: skip


def streamed(text: str) -> list[bytes]:
    """The text in two halves, cut in the middle of its placeholder."""
    cut = text.index("_1>")
    return [
        event("message_start", message={**said(""), "content": []}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": text[:cut]}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": text[cut:]}),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5}),
        event("message_stop"),
    ]


@pytest.fixture
def claude(tmp_path, home):
    """(Anthropic's client, what the upstream was sent)."""
    answer = "I wrote to <EMAIL_1>."

    def script(request):
        return (
            sse(streamed(answer)) if request.fields.get("stream") else Wire(steps=(json.dumps(said(answer)).encode(),))
        )

    with ScriptedUpstream(script) as upstream:
        settings = Settings(
            providers={
                "anthropic": ProviderSettings(url=upstream.url, key="sk-ant", wire="anthropic", location="cloud/eu")
            },
            models={"haiku": ModelSettings(provider="anthropic", model="claude-haiku")},
            tiers=({"frontier": ("haiku",)},),
            baseline=BaselineSettings(model="haiku"),
            privacy=PrivacySettings(rules=RULES, matters=False),
        )
        app = App(settings, {"HOME": str(home)}, ledger_path=tmp_path / "ledger.db", probes={})
        with running(app) as url:
            base = url.removesuffix("/v1")
            yield anthropic.Anthropic(base_url=base, api_key="none", max_retries=0, timeout=20), upstream.requests


def body(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "auto", "max_tokens": 50, "messages": [{"role": "user", "content": text}], **more}


def test_placeholders_reach_the_model_and_the_caller_sees_the_real_thing(claude) -> None:
    client, requests = claude
    message = client.messages.create(**body(f"Write to {MAIL}", system=f"You work for {MAIL}."))
    assert message.content[0].text == f"I wrote to {MAIL}."
    (request,) = requests
    assert MAIL not in request.body.decode()
    assert "<EMAIL_1>" in request.body.decode()


def test_so_does_a_stream(claude) -> None:
    client, requests = claude
    with client.messages.stream(**body(f"Write to {MAIL}")) as stream:
        assert "".join(stream.text_stream) == f"I wrote to {MAIL}."
    assert MAIL not in requests[-1].body.decode()


def test_what_only_this_api_carries_can_not_be_redacted_so_nothing_is_sent(claude) -> None:
    client, requests = claude
    source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    content = [{"type": "document", "source": source}, {"type": "text", "text": f"Is this from {MAIL}?"}]
    with pytest.raises(anthropic.PermissionDeniedError):
        client.messages.create(**{**body(""), "messages": [{"role": "user", "content": content}]})
    assert not requests


def test_a_setting_that_placeholders_cost_is_named(claude) -> None:
    client, requests = claude
    thinking = {"type": "enabled", "budget_tokens": 1024}
    made = body(f"Write to {MAIL}", thinking=thinking)
    raw = client.messages.with_raw_response.create(**{**made, "max_tokens": 2000})
    assert "thinking" in raw.headers["x-smallfirst-not-applied"]
    assert "thinking" not in requests[-1].fields


def test_metadata_of_the_body_as_it_came_is_read(claude) -> None:
    client, requests = claude
    client.messages.create(**body("hello", metadata={"user_id": MAIL}))
    assert MAIL not in requests[-1].body.decode()
