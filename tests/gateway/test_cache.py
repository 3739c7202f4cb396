"""The very same request is answered from memory, and nothing else is."""

from __future__ import annotations

import openai
import pytest

from smallfirst.accounts.keys import Terms
from smallfirst.core import Usage
from smallfirst.engine.settings import CacheSettings
from smallfirst.models.scripted import Reply

GOOD = Reply(text="Hello there, friend.", usage=Usage(10, 5))
ON = {"cache": CacheSettings(ttl_s=60)}


@pytest.fixture
def up(stage):
    return stage(small=lambda _: GOOD, large=lambda _: "large", sections=ON)


def test_a_hit_asks_nobody_and_costs_nothing(up):
    first = up.ask(temperature=0)
    again = up.ask(temperature=0)
    assert up.seen("small") == 1
    assert again.parse().choices[0].message.content == first.parse().choices[0].message.content
    assert "x-smallfirst-cache" not in first.headers
    assert (again.headers["x-smallfirst-cache"], again.headers["x-smallfirst-reason"]) == ("hit", "cached")
    assert again.headers["x-smallfirst-cost-usd"] == "0"
    one, other = up.entries
    assert (other.cost, other.attempts, other.served_model, other.served_tier) == (0, (), "small", "slm")
    assert other.baseline_cost == one.baseline_cost
    assert other.status == 200


def test_a_stream_is_answered_from_a_whole_answer_too(up):
    up.ask(temperature=0)
    messages = [{"role": "user", "content": "Say hello."}]
    chunks = list(up.client.chat.completions.create(model="auto", messages=messages, stream=True, temperature=0))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == GOOD.text
    assert up.seen("small") == 1


def test_what_is_never_kept(up):
    never = [
        {},
        {"temperature": 0.5},
        {"temperature": 0, "n": 2},
        {"temperature": 0, "logprobs": True},
        {"temperature": 0, "tools": [{"type": "function", "function": {"name": "f"}}]},
        {"temperature": 0, "extra_body": {"smallfirst": {"max_quality_loss": 0.1}}},
        {"temperature": 0, "extra_body": {"smallfirst": {"data_class": "personal"}}},
    ]
    for more in never:
        for _ in range(2):
            up.ask(**more)
    assert [entry.reason for entry in up.entries if entry.reason == "cached"] == []


def test_any_difference_is_another_request(up):
    up.ask(temperature=0)
    others = [
        {"text": "Say hello!"},
        {"max_tokens": 5},
        {"model": "small"},
        {"seed": 1},
        {"extra_body": {"new": 1}},
        {"extra_body": {"smallfirst": {"data_class": "public"}, "new": 2}},
    ]
    for more in others:
        up.ask(temperature=0, **more)
    assert "cached" not in [entry.reason for entry in up.entries]
    up.ask(temperature=0)
    assert up.entries[-1].reason == "cached"


def test_keys_do_not_share_answers(up):
    clients = []
    for name in ("a", "b"):
        secret, _ = up.app.accounts.register.create(name, Terms(usd_total=1), 1)
        clients.append(openai.OpenAI(base_url=up.url, api_key=secret, max_retries=0))
    up.app.accounts.refresh()
    for client in (*clients, *clients):
        client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hi"}], temperature=0)
    assert [entry.reason for entry in up.entries] == ["accepted", "accepted", "cached", "cached"]


def test_a_key_that_may_no_longer_use_the_model_gets_no_answer_of_it(up):
    secret, _ = up.app.accounts.register.create("a", Terms(), 1)
    up.app.accounts.refresh()
    client = openai.OpenAI(base_url=up.url, api_key=secret, max_retries=0)
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}
    client.chat.completions.create(**body)
    up.app.accounts.register.change("a", Terms(models=("large",)), None)
    up.app.accounts.refresh()
    client.chat.completions.create(**body)
    assert [entry.served_model for entry in up.entries] == ["small", "large"]


def test_an_old_answer_is_not_given_and_the_oldest_make_room(up):
    cache, clock = up.app.engine.cache, [0.0]
    cache._clock = lambda: clock[0]
    up.ask(temperature=0)
    clock[0] = 59
    up.ask(temperature=0)
    clock[0] = 61
    up.ask(temperature=0)
    assert [entry.reason for entry in up.entries] == ["accepted", "cached", "accepted"]
    cache._max_entries = 1
    up.ask("other", temperature=0)
    up.ask(temperature=0)
    assert up.entries[-1].reason == "accepted"


def test_without_a_time_to_live_there_is_no_cache(stage):
    up = stage(small=lambda _: GOOD)
    for _ in range(2):
        up.ask(temperature=0)
    assert up.seen("small") == 2
