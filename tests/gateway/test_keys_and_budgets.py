"""Keys, limits and budgets as a caller meets them: a running gateway, scripted upstreams, real sockets."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from smallfirst.accounts.keys import Terms
from smallfirst.accounts.settings import KeySettings, KeysSettings, TeamSettings
from smallfirst.core import Status, Usage
from smallfirst.gateway.settings import ServerSettings
from smallfirst.models.loopback import Wire, fault
from smallfirst.models.scripted import Reply

GOOD = Reply(text="Hello there, friend.", usage=Usage(10, 5))
CALL = 10 * 1 + 5 * 2  # micro-dollars for GOOD at the first model's price: 1 and 2 dollars a million
ADMIN = ServerSettings(admin_key="admin-secret", admin_listen="127.0.0.1:0")


def keyed(up: Any, name: str = "a", **terms: Any) -> openai.OpenAI:
    """A client with a key that was just created."""
    secret, _ = up.app.accounts.register.create(name, Terms(**terms), 1_800_000_000)
    up.app.accounts.refresh()
    return openai.OpenAI(base_url=up.url, api_key=secret, max_retries=0, timeout=20)


def ask(client: openai.OpenAI, **more: Any) -> Any:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Say hello."}], **more}
    return client.chat.completions.with_raw_response.create(**body)


def refused(client: openai.OpenAI, **more: Any) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, **more)
    return caught.value


def still(up: Any) -> Any:
    """Its clock stands, 20 seconds before a minute is over."""
    up.app.accounts._bank.clock = lambda: 1_800_000_000.0 + 40
    return up


def spent(up: Any) -> dict[tuple[str, str], int]:
    """Micro-dollars by scope and period, from the database, after this process has reported."""
    for _ in range(100):
        lines = up.app.accounts.vault.spending()
        if not any(line.leased for line in lines):
            return {(line.scope, line.period.removeprefix("usd/")): line.spent // 1000 for line in lines}
        threading.Event().wait(0.05)
    raise AssertionError("leases were not given back")


def test_a_key_with_a_budget_pays_for_its_calls_until_it_is_used_up(stage: Any) -> None:
    up = stage(small=lambda _: GOOD)
    client = keyed(up, usd_total=1000 / 1e6)
    raw = ask(client, max_tokens=20)
    assert raw.parse().choices[0].message.content == GOOD.text
    assert spent(up) == {("key/a", "total"): CALL}
    error = refused(client, max_tokens=600)
    assert (error.status_code, error.code, error.type) == (429, "insufficient_quota", "rate_limit_error")
    assert "budget of $0.00" in error.message
    assert error.response.headers["x-should-retry"] == "false"
    assert up.seen("small") == 1
    assert [entry.attempts[0].outcome.status for entry in up.entries] == [Status.ok, Status.over_budget]
    assert spent(up) == {("key/a", "total"): CALL}


def test_max_tokens_is_put_in_where_the_caller_names_none(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, sections={"keys": KeysSettings(max_tokens=77)})
    ask(keyed(up, usd_total=1))
    ask(keyed(up, "free"))
    sent = [request.fields.get("max_tokens") for request in up.upstreams["small"].requests]
    assert sent == [77, None]


def test_many_at_once_never_spend_more_than_the_budget(stage: Any) -> None:
    """40 callers, and room for about ten calls: the upstream itself counts what it would bill."""
    up = stage(small=lambda _: GOOD)
    client = keyed(up, usd_total=200 / 1e6)  # ten calls

    def one(_: int) -> int:
        try:
            ask(client, max_tokens=5)
        except openai.RateLimitError as error:
            assert error.code == "insufficient_quota"  # noqa: PT017 - any of many threads
            return 0
        return 1

    with ThreadPoolExecutor(16) as pool:
        served = sum(pool.map(one, range(40)))
    assert up.seen("small") == served
    assert 1 <= served * CALL <= 200
    assert spent(up)["key/a", "total"] == served * CALL


def test_every_attempt_counts_the_discarded_too(stage: Any) -> None:
    def large(_: Any) -> Reply:
        return Reply(text='{"a": 1}', usage=Usage(10, 5))

    up = stage(small=lambda _: Reply(text="no json", usage=Usage(10, 5)), large=large)
    client = keyed(up, usd_per_day=1, usd_per_month=10, team=None)
    ask(client, max_tokens=50, response_format={"type": "json_object"})
    assert len(up.entries[0].attempts) == 2
    assert set(spent(up).values()) == {CALL + 10 * CALL}
    assert len(spent(up)) == 2


def test_a_team_pays_together(stage: Any) -> None:
    teams = {"clinic": TeamSettings(usd_total=900 / 1e6, tags=("ward",))}
    up = stage(small=lambda _: GOOD, sections={"teams": teams})
    one, other = keyed(up, "one", team="clinic"), keyed(up, "other", team="clinic")
    ask(one, max_tokens=20)
    ask(other, max_tokens=20)
    assert spent(up) == {("team/clinic", "total"): 2 * CALL}
    assert up.entries[0].tags == ("team:clinic", "ward")
    assert "the team clinic can't pay" in refused(other, max_tokens=5000).message


def test_a_stream_is_paid_for_too(stage: Any) -> None:
    up = stage(small=lambda _: GOOD)
    client = keyed(up, usd_total=1)
    chunks = list(
        client.chat.completions.create(
            model="small", stream=True, messages=[{"role": "user", "content": "hi"}], max_tokens=9
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == GOOD.text
    assert spent(up) == {("key/a", "total"): CALL}


def test_a_stream_that_the_budget_does_not_cover_is_an_error_before_it_begins(stage: Any) -> None:
    up = stage(small=lambda _: GOOD)
    error = refused(keyed(up, usd_total=1e-6), model="small", stream=True)
    assert (error.status_code, error.code) == (429, "insufficient_quota")
    assert up.seen("small") == 0


def test_a_retry_of_a_failed_call_is_reserved_again_and_costs_nothing_that_was_not_billed(stage: Any) -> None:
    replies = iter([fault(500), GOOD])
    up = stage(small=lambda _: next(replies))
    ask(keyed(up, usd_total=1), max_tokens=10)
    assert spent(up) == {("key/a", "total"): CALL}


def test_a_budget_needs_a_price(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    up = stage(small=lambda _: GOOD)
    models = up.app.catalogue.models
    models["small"] = msgspec.structs.replace(models["small"], price=None)
    assert "price of small is not known" in refused(keyed(up, usd_total=1)).message
    ask(keyed(up, "free"))


def test_requests_a_minute(stage: Any) -> None:
    up = still(stage(small=lambda _: GOOD))
    client = keyed(up, rpm=2)
    first = ask(client)
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert first.headers["x-ratelimit-reset-requests"].endswith("s")
    ask(client)
    error = refused(client)
    assert (error.status_code, error.code) == (429, "rate_limit_exceeded")
    assert error.response.headers["retry-after"] == "20"
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert up.seen("small") == 2
    assert up.entries[-1].error_code == "rate_limit_exceeded"


def test_tokens_a_minute_count_what_was_used(stage: Any) -> None:
    up = still(stage(small=lambda _: Reply(text="ok", usage=Usage(60, 40))))
    client = keyed(up, tpm=200)
    assert ask(client).headers["x-ratelimit-limit-tokens"] == "200"
    assert ask(client).headers["x-ratelimit-remaining-tokens"] == "0"
    assert refused(client).code == "rate_limit_exceeded"
    assert refused(client, max_tokens=500).code == "request_too_large"


def test_streams_carry_the_limits_too(stage: Any) -> None:
    up = stage(small=lambda _: GOOD)
    raw = keyed(up, rpm=5).chat.completions.with_raw_response.create(
        model="small", stream=True, messages=[{"role": "user", "content": "hi"}]
    )
    assert raw.headers["x-ratelimit-limit-requests"] == "5"
    list(raw.parse())


def test_what_a_key_may_not_do(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, large=lambda _: GOOD)
    client = keyed(up, policies=("auto",), models=("small",), classes=("internal",))
    ask(client)
    assert refused(client, model="large").code == "model_not_allowed"
    assert refused(client, extra_body={"smallfirst": {"data_class": "secret"}}).code == "class_not_allowed"
    assert [model.id for model in client.models.list().data] == ["auto", "small"]


def test_a_key_without_limits_pays_nothing_and_has_no_such_headers(stage: Any) -> None:
    up = stage(small=lambda _: GOOD)
    raw = ask(keyed(up))
    assert not [name for name in raw.headers if name.startswith("x-ratelimit")]
    assert spent(up) == {}


def test_a_client_that_leaves_is_charged_for_what_it_may_have_caused(stage: Any) -> None:
    hold = threading.Event()
    up = stage(small=lambda _: Wire(steps=("stall",)))
    secret, _ = up.app.accounts.register.create("a", Terms(usd_total=1), 1_800_000_000)
    up.app.accounts.refresh()
    host = up.root.removeprefix("http://")
    conn = http.client.HTTPConnection(host, timeout=5)
    body = json.dumps({"model": "small", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100})
    conn.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {secret}"})
    while not up.seen("small"):
        hold.wait(0.01)
    conn.close()
    for _ in range(200):
        if up.entries:
            break
        hold.wait(0.02)
    assert up.entries[0].reason == "client_gone"
    paid = spent(up)["key/a", "total"]
    assert paid >= 100 * 2  # all of max_tokens: the upstream may have written them


# --- the admin API


def admin(up: Any, method: str, path: str, body: Any = None, key: str | None = "admin-secret", port: int = 0) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port or up.app.gateway.admin_port}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={} if key is None else {"authorization": f"Bearer {key}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_keys_by_the_admin_api(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, server=ADMIN)
    status, made = admin(up, "POST", "/admin/keys", {"name": "ci", "usd_total": 1, "expires": "30d", "rpm": 100})
    assert status == 201
    client = openai.OpenAI(base_url=up.url, api_key=made["key"], max_retries=0)
    ask(client, max_tokens=20)
    assert spent(up)["key/ci", "total"] == CALL
    assert admin(up, "GET", "/admin/spending")[1]["data"] == [
        {"kind": "key", "name": "ci", "period": "total", "spent_usd": CALL / 1e6, "leased_usd": 0.0}
    ]
    (listed,) = admin(up, "GET", "/admin/keys")[1]["data"]
    assert listed["terms"] == {"usd_total": 1.0, "rpm": 100}
    assert "key" not in listed
    _, rotated = admin(up, "POST", "/admin/keys/ci/rotate", {})
    assert refused(client).status_code == 401
    client = openai.OpenAI(base_url=up.url, api_key=rotated["key"], max_retries=0)
    ask(client, max_tokens=20)
    assert admin(up, "PATCH", "/admin/keys/ci", {"models": ["small"]})[1]["terms"] == {"models": ["small"]}
    ask(client)
    assert admin(up, "POST", "/admin/keys/ci/revoke")[1]["revoked_at"] is not None
    assert refused(client).status_code == 401


def test_the_admin_api_is_not_on_the_public_port_and_needs_its_key(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, server=ADMIN)
    public = int(up.root.rsplit(":", 1)[1])
    assert admin(up, "GET", "/admin/keys", port=public)[0] == 404
    for key in (None, "wrong", ""):
        status, body = admin(up, "GET", "/admin/keys", key=key)
        assert (status, body["error"]["code"]) == (401, "invalid_admin_key")


def test_without_an_admin_key_there_is_no_admin_api(stage: Any) -> None:
    up = stage(small=lambda _: GOOD)
    assert up.app.gateway.admin_port == 0
    assert admin(up, "GET", "/admin/keys", port=int(up.root.rsplit(":", 1)[1]))[0] == 404


def test_the_admin_api_names_the_field_that_is_wrong(stage: Any) -> None:
    keys = KeysSettings(accept=(KeySettings(name="listed", key="k"),))
    up = stage(small=lambda _: GOOD, large=lambda _: GOOD, server=ADMIN, sections={"keys": keys})
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"name": "x", "modles": []}, "modles"),
        ({"name": "x", "models": ["larg"]}, "models"),
        ({"name": "x", "policies": ["careful"]}, "policies"),
        ({"name": "x", "classes": ["helth"]}, "classes"),
        ({"name": "x", "team": "none"}, "team"),
        ({"name": "x", "rpm": -1}, "rpm"),
        ({"name": "x", "rpm": "many"}, "rpm"),
        ({"name": "x", "expires": "soon"}, "expires"),
        ({"name": "two words"}, "name"),
        ({"name": "listed"}, "name"),
        ({}, "name"),
    ]
    for body, param in wrong:
        status, answer = admin(up, "POST", "/admin/keys", body)
        assert status == 400
        assert answer["error"]["param"] == param or param in answer["error"]["message"]
