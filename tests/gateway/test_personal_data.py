"""Personal data on the wire: what is found decides where a query goes, and the answer says why, never what."""

from __future__ import annotations

import urllib.request
from typing import Any

import openai
import pytest

from smallfirst.core import DataClass
from smallfirst.privacy.settings import PrivacySettings, RuleSettings, TargetSettings

CARD = "4111 1111 1111 1111"
DEBUG = {"x-smallfirst-debug": "true"}
LOCAL_FIRST = {"small": "premises", "large": "cloud/us"}


def test_what_is_found_stays_where_it_must(stage: Any) -> None:
    up = stage(small=lambda _: "small", large=lambda _: "large", probes={"small": None, "large": None},
               locations=LOCAL_FIRST)  # fmt: skip
    assert up.ask("What is a bank?").headers["x-smallfirst-model"] == "large"
    raw = up.ask(f"Is {CARD} valid?", extra_headers=DEBUG)
    assert raw.headers["x-smallfirst-model"] == "small"
    assert raw.headers["x-smallfirst-debug-data-class"] == "financial"
    assert raw.headers["x-smallfirst-debug-class-why"] == "payment_card"
    assert up.seen("large") == 1
    assert up.entries[1].class_why == ("payment_card",)
    assert not any(CARD in value for value in raw.headers.values())


def test_no_permitted_model_is_a_refusal_and_nothing_is_sent(stage: Any) -> None:
    up = stage(large=lambda _: "large", locations={"large": "cloud/us"})
    with pytest.raises(openai.PermissionDeniedError) as caught:
        up.ask("Mail ann@example.com", extra_headers=DEBUG)
    assert caught.value.body["code"] == "no_permitted_model"
    assert "ann@" not in str(caught.value.body)
    assert caught.value.response.headers["x-smallfirst-debug-class-why"] == "email"
    assert up.seen("large") == 0
    assert (up.entries[0].status, up.entries[0].data_class) == (403, DataClass.personal)


def test_a_session_stays_sensitive(stage: Any) -> None:
    up = stage(small=lambda _: "small", large=lambda _: "large", probes={"small": None, "large": None},
               locations=LOCAL_FIRST)  # fmt: skip
    session = {"extra_body": {"smallfirst": {"session": "s1"}}}
    assert up.ask(CARD, **session).headers["x-smallfirst-model"] == "small"
    assert up.ask("Thank you.", **session).headers["x-smallfirst-model"] == "small"
    assert up.ask("Thank you.").headers["x-smallfirst-model"] == "large"


def test_streams_are_bound_too(stage: Any) -> None:
    up = stage(large=lambda _: "large", locations={"large": "cloud/us"})
    with pytest.raises(openai.PermissionDeniedError) as caught:
        up.ask(f"Is {CARD} valid?", stream=True, extra_headers=DEBUG)
    assert caught.value.response.headers["x-smallfirst-debug-class-why"] == "payment_card"
    assert up.seen("large") == 0
    raw = up.ask("What is a bank?", stream=True, extra_headers=DEBUG)
    assert raw.headers["x-smallfirst-debug-data-class"] == "internal"


def test_refusals_are_counted(stage: Any) -> None:
    up = stage(large=lambda _: "large", locations={"large": "cloud/us"})
    with pytest.raises(openai.PermissionDeniedError):
        up.ask(CARD)
    with urllib.request.urlopen(f"{up.root}/metrics") as page:
        said = page.read().decode()
    assert 'smallfirst_privacy_refusals_total{code="no_permitted_model",data_class="financial"} 1.0' in said


def test_detection_can_be_switched_off_or_moved(stage: Any) -> None:
    sections = {"privacy": PrivacySettings(detect=False)}
    up = stage(large=lambda _: "large", locations={"large": "cloud/us"}, sections=sections)
    assert up.ask(CARD).headers["x-smallfirst-model"] == "large"
    sections = {"privacy": PrivacySettings(categories={"payment_card": "internal"})}
    up = stage(large=lambda _: "large", locations={"large": "cloud/us"}, sections=sections)
    assert up.ask(CARD).headers["x-smallfirst-model"] == "large"


def test_private_matters_count_once_there_are_rules(stage: Any) -> None:
    text = "My husband was diagnosed with bipolar disorder and I am afraid. What should I do?"
    rules = (
        RuleSettings(classes=("public", "internal"), to="any", do="allow"),
        RuleSettings(classes=("personal", "health"), to=TargetSettings(location="premises"), do="allow"),
    )
    up = stage(small=lambda _: "small", large=lambda _: "large", probes={"small": None, "large": None},
               locations=LOCAL_FIRST, sections={"privacy": PrivacySettings(rules=rules)})  # fmt: skip
    raw = up.ask(text, extra_headers=DEBUG)
    assert raw.headers["x-smallfirst-model"] == "small"
    assert "private_matter" in raw.headers["x-smallfirst-debug-class-why"]
