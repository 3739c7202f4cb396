"""Models that work together on one answer, over real sockets: drafts, early commitment, a second model or replica."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from smallfirst.accounts.keys import Terms
from smallfirst.core import Reason, Status, Usage
from smallfirst.models.loopback import Wire
from smallfirst.models.scripted import Reply
from smallfirst.policy.hand_over import WORDS
from smallfirst.policy.settings import CommitSettings, HedgeSettings, PolicySettings
from smallfirst.privacy.settings import PrivacySettings, RuleSettings, TargetSettings

GOOD = Reply(text="Hello there, friend.", usage=Usage(10, 5))
DOUBTS = Reply(text="I'm sorry, but I can't help with that, ann.lee@example.com.", usage=Usage(10, 5))
STALLS = Wire(steps=("stall",))


def auto(**settings: Any) -> dict[str, Any]:
    return {"policies": {"auto": PolicySettings(accept={"slm": 0.9}, **settings)}}


def messages(up: Any, model: str) -> Any:
    return up.upstreams[model].requests[-1].fields["messages"]


# --- hand-over


def test_the_larger_model_gets_the_draft_and_reading_it_is_paid(stage: Any) -> None:
    up = stage(small=lambda _: DOUBTS, large=lambda _: "Fine.", sections=auto(hand_over="draft"))
    raw = up.ask("Say hello.")
    assert raw.parse().choices[0].message.content == "Fine."
    assert messages(up, "large") == [
        {"role": "user", "content": "Say hello."},
        {"role": "assistant", "content": DOUBTS.text},
        {"role": "user", "content": WORDS["draft"]},
    ]
    entry = up.entries[0]
    assert [(a.outcome.model, a.role) for a in entry.attempts] == [("small", "draft"), ("large", "answer")]
    estimated = entry.attempts[1].outcome.usage  # this upstream counts nothing
    assert estimated.input_tokens > (len(DOUBTS.text) + len(WORDS["draft"])) // 4
    assert entry.out_reason is None  # no promise was asked for


def test_none_is_handed_up_unless_asked_for(stage: Any) -> None:
    up = stage(small=lambda _: DOUBTS, large=lambda _: GOOD, sections=auto())
    up.ask("Say hello.")
    assert messages(up, "large") == [{"role": "user", "content": "Say hello."}]


@pytest.mark.parametrize("do", ["redact", "allow"])
def test_a_draft_goes_only_where_the_query_may_be_seen_as_it_is(stage: Any, do: Any) -> None:
    """What the model on the premises wrote holds more than the redacted query shows."""
    rules = (
        RuleSettings(classes=("public", "internal", "personal"), to=TargetSettings(location="premises"), do="allow"),
        RuleSettings(classes=("personal",), to=TargetSettings(location="cloud/eu"), do=do),
    )
    up = stage(
        small=lambda _: DOUBTS, large=lambda _: GOOD, locations={"large": "cloud/eu"},
        sections={**auto(hand_over="critique"), "privacy": PrivacySettings(rules=rules, matters=False)},
    )  # fmt: skip
    up.ask("Greet bob@example.com.")
    sent = up.upstreams["large"].requests[-1].body.decode()
    assert ("ann.lee@example.com" in sent) is (do == "allow")
    assert ("bob@example.com" in sent) is (do == "allow")
    assert (len(messages(up, "large")) == 3) is (do == "allow")


def test_a_draft_that_does_not_fit_stays_below(stage: Any) -> None:
    from smallfirst.models.settings import AbilitySettings

    abilities = {"large": AbilitySettings(context=560)}
    up = stage(small=lambda _: DOUBTS, large=lambda _: GOOD, abilities=abilities, sections=auto(hand_over="draft"))
    up.ask("Say hello.")
    assert len(messages(up, "large")) == 1


# --- early commitment


def streamed(up: Any, **more: Any) -> tuple[str, list[Any]]:
    stream = up.client.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": "Say hello."}], stream=True, **more
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return text, chunks


SURE = Reply(text=GOOD.text, usage=Usage(10, 5), logprobs=(math.log(0.97),) * 3)
COMMIT = auto(commit=CommitSettings(tokens=2, above=0.95))


@pytest.mark.parametrize(("probability", "reason"), [(0.97, Reason.committed), (0.9, Reason.accepted)])
def test_a_stream_is_passed_on_once_its_first_tokens_are_sure(stage: Any, probability: float, reason: Reason) -> None:
    said = Reply(text=GOOD.text, usage=Usage(10, 5), logprobs=(math.log(probability),) * 3)
    up = stage(small=lambda _: said, large=lambda _: GOOD, sections=COMMIT)
    text, chunks = streamed(up)
    assert text == GOOD.text
    assert all(choice.logprobs is None for chunk in chunks for choice in chunk.choices)  # only we had asked for them
    assert up.upstreams["small"].requests[0].fields["logprobs"] is True
    entry = up.entries[0]
    assert (entry.reason, entry.served_model, entry.attempts[0].released) == (
        reason, "small", reason is Reason.committed,
    )  # fmt: skip
    assert entry.attempts[0].outcome.usage == Usage(10, 5)


def test_what_was_held_and_is_not_good_enough_is_handed_up(stage: Any) -> None:
    said = Reply(text=DOUBTS.text, usage=Usage(10, 5), logprobs=(math.log(0.5),) * 9)
    up = stage(small=lambda _: said, large=lambda _: GOOD, sections=COMMIT)
    assert streamed(up)[0] == GOOD.text
    assert up.entries[0].deferrals == ("low_confidence",)


def test_a_caller_that_wants_log_probabilities_gets_them_and_the_commitment(stage: Any) -> None:
    up = stage(small=lambda _: SURE, large=lambda _: GOOD, sections=COMMIT)
    _, chunks = streamed(up, logprobs=True)
    assert any(choice.logprobs for chunk in chunks for choice in chunk.choices)
    assert up.entries[0].reason is Reason.committed


def test_the_other_apis_stream_a_commitment_too(stage: Any) -> None:
    up = stage(small=lambda _: SURE, large=lambda _: GOOD, sections=COMMIT)
    stream = up.client.responses.create(model="auto", input="Say hello.", stream=True)
    text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
    assert (text, up.entries[0].reason) == (GOOD.text, Reason.committed)


# --- a second model, a second replica


def test_a_model_that_hangs_gets_company_and_is_paid(stage: Any) -> None:
    up = stage(small=lambda _: STALLS, large=lambda _: GOOD, sections=auto(hedge=HedgeSettings(after=30)))
    raw = up.ask("Say hello.")
    assert raw.parse().choices[0].message.content == GOOD.text
    entry = up.entries[0]
    assert (entry.reason, entry.served_model, entry.deferrals) == (Reason.hedged, "large", ("slow",))
    stopped = next(a.outcome for a in entry.attempts if a.outcome.model == "small")
    assert stopped.status is Status.cancelled
    assert stopped.cost > 0
    assert up.upstreams["small"].gone.acquire(timeout=5)  # its connection was closed
    assert streamed(up)[0] == GOOD.text
    assert up.entries[1].reason is Reason.hedged


def test_the_second_call_is_taken_from_the_budget_first(stage: Any) -> None:
    """A budget that covers one call at a time: the second is not made, and the first one answers."""

    def slowly(_: Any) -> Reply:
        time.sleep(0.2)
        return GOOD

    up = stage(small=slowly, large=lambda _: GOOD, sections=auto(hedge=HedgeSettings(after=30)))
    secret, _ = up.app.accounts.register.create("a", Terms(usd_total=400 / 1e6), 1_800_000_000)
    up.app.accounts.refresh()
    client = up.client.with_options(api_key=secret)
    said = client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "Hi"}], max_tokens=20)
    assert said.choices[0].message.content == GOOD.text
    assert up.seen("large") == 0  # it could cost more than what the first call left
    tried = {a.outcome.model: a.outcome.status for a in up.entries[0].attempts}
    assert tried == {"small": Status.ok, "large": Status.over_budget}
