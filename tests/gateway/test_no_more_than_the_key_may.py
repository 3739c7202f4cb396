"""Headers and bodies can't set what the key may not, and no field of a request makes the gateway call an address."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from smallfirst.accounts.keys import Terms
from smallfirst.core import DataClass, Usage
from smallfirst.engine.settings import SessionSettings
from smallfirst.models.scripted import Reply
from smallfirst.models.settings import AbilitySettings
from smallfirst.policy.settings import PolicySettings

GOOD = Reply(text="Hello there, friend.", usage=Usage(10, 5))
USER = [{"role": "user", "content": "Say hello."}]
PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/responses")


def key(up: Any, name: str, **terms: Any) -> str:
    secret: str = up.app.accounts.register.create(name, Terms(**terms), 1_800_000_000)[0]
    up.app.accounts.refresh()
    return secret


def post(
    up: Any, path: str, body: dict[str, Any], secret: str, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """(status, body). Each API's own name for the messages is put in."""
    body = {"model": "auto", **body}
    if path == "/v1/responses":
        body.setdefault("input", USER)
    else:
        body = {"messages": USER, "max_tokens": 50, **body}
    connection = http.client.HTTPConnection(up.root.removeprefix("http://"), timeout=20)
    given = {"authorization": f"Bearer {secret}", "content-type": "application/json", **(headers or {})}
    connection.request("POST", path, json.dumps(body), given)
    response = connection.getresponse()
    payload = json.loads(response.read())
    connection.close()
    return response.status, payload


# --- dials only tighten


BEYOND: list[tuple[str, dict[str, Any], dict[str, str], int]] = [
    ("a model it may not name", {"model": "large"}, {}, 403),
    ("a policy it may not name", {"model": "careful"}, {}, 403),
    ("a class it may not send, in the body", {"smallfirst": {"data_class": "secret"}}, {}, 403),
    ("a class it may not send, in a header", {}, {"x-smallfirst-data-class": "secret"}, 403),
    ("a class below its own, in the body", {"smallfirst": {"data_class": "public"}}, {}, 200),
    ("a class below its own, in a header", {}, {"x-smallfirst-data-class": "public"}, 200),
    ("a policy as a dial", {"smallfirst": {"policy": "careful"}}, {}, 400),
    ("a model as a dial", {"smallfirst": {"model": "large"}}, {}, 400),
    ("a tier as a dial", {"smallfirst": {"tier": "frontier"}}, {}, 400),
    ("a key as a dial", {"smallfirst": {"key_id": "other"}}, {}, 400),
    ("a budget as a dial", {"smallfirst": {"usd_total": 1e9}}, {}, 400),
    ("headers that are only ours to send", {}, {
        "x-smallfirst-model": "large", "x-smallfirst-tier": "frontier", "x-smallfirst-policy": "careful",
        "x-smallfirst-key": "other", "x-smallfirst-team": "rich", "x-smallfirst-request-id": "sf-mine",
        "x-smallfirst-complexity": "1.0", "x-smallfirst-cost-usd": "0", "x-smallfirst-attempts": "0",
    }, 200),
    ("a larger cost than it has", {"smallfirst": {"max_cost_usd": 1e9}}, {}, 200),
    ("a loss, in the header", {}, {"x-smallfirst-max-quality-loss": "1"}, 200),
    ("a longer time", {}, {"x-smallfirst-max-latency-ms": "1e12"}, 200),
    ("the tags of another team", {"smallfirst": {"tags": ["team:rich", "ward"]}}, {}, 200),
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_dial_gives_what_the_key_may_not(stage: Any, path: str) -> None:
    """Whatever is asked: the large model is never reached, the class never falls, the entry is the key's own."""
    up = stage(small=lambda _: GOOD, large=lambda _: GOOD, sections={"policies": {"careful": PolicySettings()}})
    secret = key(up, "narrow", models=("small",), policies=("auto",), classes=("internal", "personal"),
                 min_class="internal", usd_total=1, tags=("clinic",))  # fmt: skip
    for words, body, headers, status in BEYOND:
        before = len(up.entries)
        found, payload = post(up, path, body, secret, headers)
        if words.startswith("a loss"):
            assert found in (200, 403), (words, payload)  # without a certificate only the top model may answer
        else:
            assert found == status, (words, payload)
        for entry in up.entries[before:]:
            assert entry.key_id == "narrow", words
            assert entry.data_class >= DataClass.internal, words
            assert entry.served_model in ("small", None), words
            assert "clinic" in entry.tags, words
            assert entry.id.startswith("sf-0"), words
    assert up.seen("large") == 0


def test_tags_of_a_request_stand_beside_the_keys_and_are_no_team(stage: Any) -> None:
    """A request can call itself `team:rich`; whose money is spent is the key's business."""
    up = stage(small=lambda _: GOOD)
    secret = key(up, "poor", usd_total=1)
    assert post(up, PATHS[0], {"smallfirst": {"tags": ["team:rich"]}}, secret)[0] == 200
    for _ in range(100):
        lines = up.app.accounts.vault.spending()
        if not any(line.leased for line in lines):
            break
        threading.Event().wait(0.02)
    assert {line.scope for line in lines} == {"key/poor"}


def test_a_session_of_another_key_is_another_session(stage: Any) -> None:
    """Its name is the caller's; within the gateway it is tied to the key, so nobody rides on another's tier."""
    up = stage(
        small=lambda _: Reply(text="", usage=Usage(10, 5)),
        large=lambda _: GOOD,
        sections={"sessions": SessionSettings(ttl_s=600)},
    )
    mine, other = key(up, "mine", usd_total=1), key(up, "other", usd_total=1)
    talk = {"smallfirst": {"session": "s1"}}
    assert post(up, PATHS[0], talk, mine)[0] == 200  # the small model says nothing usable: handed up
    assert up.seen("small") == 1
    post(up, PATHS[0], talk, mine)
    assert up.seen("small") == 1  # the conversation stays where it was
    post(up, PATHS[0], talk, other)
    assert up.seen("small") == 2  # another key's conversation of that name begins at the lowest tier


# --- addresses


class Listener:
    """A socket that nobody should call."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.calls = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                conn, _ = self.server.accept()
            except OSError:
                return
            self.calls += 1
            conn.close()

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self._thread.join(5)


@pytest.fixture
def trap() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


def luring(url: str) -> list[tuple[str, dict[str, Any]]]:
    """Fields that name an address, in every API, those of vendors among them."""
    image = {"type": "image_url", "image_url": {"url": f"{url}/cat.png"}}
    part = {"type": "input_image", "image_url": f"{url}/cat.png"}
    source = {"type": "image", "source": {"type": "url", "url": f"{url}/cat.png"}}
    everywhere: dict[str, Any] = {
        "base_url": url, "api_base": url, "api_url": url, "endpoint": url, "url": url, "proxy": url, "webhook": url,
        "webhook_url": url, "callback_url": url, "notify_url": url, "extra_headers": {"Host": "evil"},
        "metadata": {"webhook": url}, "provider": {"url": url}, "store": True, "api_key": "sk-theirs",
    }  # fmt: skip
    return [
        (PATHS[0], everywhere),
        (PATHS[0], {"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, image]}]}),
        (PATHS[0], {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"$ref": f"{url}/s"}}}]}),
        (PATHS[0], {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {
            "$schema": url, "$id": url, "$ref": f"{url}/schema.json", "type": "object"}}}}),
        (PATHS[0], {"model": url}),
        (PATHS[0], {"smallfirst": {"session": url, "tags": [url]}}),
        (PATHS[1], {**everywhere, "metadata": {"user_id": url}}),
        (PATHS[1], {"messages": [{"role": "user", "content": [source]}]}),
        (PATHS[1], {"messages": [{"role": "user", "content": [
            {"type": "document", "source": {"type": "url", "url": f"{url}/d.pdf"}}]}]}),
        (PATHS[1], {"messages": [{"role": "user", "content": [
            {"type": "document", "source": {"type": "file", "file_id": f"{url}/f"}}]}]}),
        (PATHS[1], {"mcp_servers": [{"type": "url", "url": url, "name": "x"}]}),
        (PATHS[2], everywhere),
        (PATHS[2], {"input": [{"role": "user", "content": [part]}]}),
        (PATHS[2], {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": f"{url}/f.pdf"}]}]}),
        (PATHS[2], {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": f"{url}/f"}]}]}),
        (PATHS[2], {"tools": [{"type": "mcp", "server_label": "x", "server_url": url}]}),
        (PATHS[2], {"background": True, "webhook": url}),
        ("/v1/embeddings", {"input": url, "base_url": url}),
        ("/v1/feedback", {"request_id": "sf-" + "0" * 28, "value": 1, "webhook": url}),
        ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": [source]}]}),
    ]  # fmt: skip


def test_no_field_makes_the_gateway_call_an_address(stage: Any, trap: Listener) -> None:
    """The address is a socket that counts its callers; what the upstream of the config gets is as the config says."""
    up = stage(small=lambda _: GOOD, abilities={"small": AbilitySettings(vision=True, json_schema=True, tools=True)})
    secret = key(up, "k")
    url = f"http://127.0.0.1:{trap.port}"
    headers = {
        "x-smallfirst-base-url": url, "x-upstream-url": url, "x-portkey-custom-host": url, "openai-base-url": url,
        "forwarded": f"host=127.0.0.1:{trap.port}", "x-forwarded-host": f"127.0.0.1:{trap.port}", "referer": url,
    }  # fmt: skip
    statuses = [post(up, path, body, secret, headers)[0] for path, body in luring(url)]
    assert 200 in statuses  # some of it is passed on to the model of the config, which may do with it what it likes
    assert trap.calls == 0
    sent = [request.headers for request in up.upstreams["small"].requests]
    assert sent
    assert all(one["host"] == up.upstreams["small"].url.split("/")[2] for one in sent)
    assert all(one["authorization"] == "Bearer upstream-small" for one in sent)
