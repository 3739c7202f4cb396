"""Embeddings through OpenAI's client: the named model's vectors, with keys, budgets and ledger as for answers."""

from __future__ import annotations

import json

import msgspec
import openai
import pytest

from smallfirst.accounts.keys import Terms
from smallfirst.cli.build import App
from smallfirst.cli.running import running
from smallfirst.cli.settings import Settings
from smallfirst.models.loopback import ScriptedUpstream, Wire
from smallfirst.models.settings import CostSettings, ModelSettings, ProviderSettings
from smallfirst.privacy.settings import PrivacySettings

PRICE = CostSettings(input_per_m=1, output_per_m=1)


def vectors(request):
    given = request.fields["input"]
    count = 1 if isinstance(given, str) or isinstance(given[0], int) else len(given)
    data = [{"object": "embedding", "index": n, "embedding": [0.5, n]} for n in range(count)]
    body = {"object": "list", "data": data, "model": "up", "usage": {"prompt_tokens": 7 * count, "total_tokens": 7}}
    return Wire(steps=(json.dumps(body).encode(),))


class Vectors:
    def __init__(self, url, app, upstream, entries):
        self.url, self.app, self.upstream, self.entries = url, app, upstream, entries
        self.client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)


@pytest.fixture
def embedder(tmp_path, home):
    with ScriptedUpstream(vectors) as upstream:
        settings = Settings(
            providers={"here": ProviderSettings(url=upstream.url, key="up-key")},
            models={
                "small": ModelSettings(provider="here", cost=PRICE),
                "vectors": ModelSettings(provider="here", model="org/embed", embeds=True, cost=PRICE),
            },
            tiers=({"slm": ("small",)},),
        )
        entries = []
        app = App(settings, {"HOME": str(home)}, ledger_path=tmp_path / "l.db", probes={}, observers=(entries.append,))
        with running(app) as url:
            yield Vectors(url, app, upstream, entries)


def test_vectors_of_a_named_model(embedder):
    raw = embedder.client.embeddings.with_raw_response.create(
        model="vectors", input=["one", "two"], encoding_format="float", dimensions=2, extra_body={"new": 1}
    )
    made = raw.parse()
    assert [one.embedding for one in made.data] == [[0.5, 0], [0.5, 1]]
    request = embedder.upstream.requests[0]
    assert request.path == "/v1/embeddings"
    assert request.fields == {
        "model": "org/embed", "input": ["one", "two"], "encoding_format": "float", "dimensions": 2, "new": 1
    }  # fmt: skip
    (entry,) = embedder.entries
    assert (entry.served_model, entry.cost, entry.baseline_cost) == ("vectors", 14_000, None)
    assert raw.headers["x-smallfirst-cost-usd"] == "0.000014"


def test_every_form_of_input_passes(embedder):
    for given in ("text", ["a"], [1, 2, 3], [[1, 2], [3]]):
        embedder.client.embeddings.create(model="vectors", input=given)
        assert embedder.upstream.requests[-1].fields["input"] == given


def test_what_is_wrong_is_named(embedder):
    wrong = [
        ({"input": []}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"input": "x", "dimensions": 0}, "dimensions"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "x", "model": "auto"}, "model"),
        ({"input": "x", "model": "small"}, "model"),
        ({"input": ["x"] * 2049}, "input"),
    ]
    for body, param in wrong:
        with pytest.raises(openai.BadRequestError) as caught:
            embedder.client.post("/embeddings", body={"model": "vectors", **body}, cast_to=object)
        assert (caught.value.param or "").startswith(param)
    assert embedder.upstream.requests == []


def test_it_does_not_chat(embedder):
    with pytest.raises(openai.BadRequestError, match="it embeds"):
        embedder.client.chat.completions.create(model="vectors", messages=[{"role": "user", "content": "hi"}])
    assert embedder.upstream.requests == []


def test_a_budget_pays_for_vectors_too(embedder):
    secret, _ = embedder.app.accounts.register.create("a", Terms(usd_total=500 / 1e6), 1)
    embedder.app.accounts.refresh()
    client = openai.OpenAI(base_url=embedder.url, api_key=secret, max_retries=0)
    client.embeddings.create(model="vectors", input="short")
    with pytest.raises(openai.RateLimitError):
        client.embeddings.create(model="vectors", input="long " * 400)


def test_an_upstream_that_sends_no_vectors(embedder):
    embedder.upstream._script = lambda _: Wire(steps=(msgspec.json.encode({"data": []}),))
    with pytest.raises(openai.InternalServerError):
        embedder.client.embeddings.create(model="vectors", input="x")


def test_token_numbers_do_not_reach_a_cloud_unless_the_config_says_so(tmp_path, home):
    for categories, reaches in (({}, False), ({"token_ids": "internal"}, True)):
        with ScriptedUpstream(vectors) as upstream:
            settings = Settings(
                providers={"far": ProviderSettings(url=upstream.url, key="up-key", location="cloud/us")},
                models={
                    "small": ModelSettings(provider="far", cost=PRICE),
                    "vectors": ModelSettings(provider="far", model="org/embed", embeds=True, cost=PRICE),
                },
                tiers=({"slm": ("small",)},),
                privacy=PrivacySettings(categories=categories),
            )
            app = App(settings, {"HOME": str(home)}, ledger_path=tmp_path / "l.db", probes={})
            with running(app) as url:
                client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
                client.embeddings.create(model="vectors", input=["text"])
                if reaches:
                    client.embeddings.create(model="vectors", input=[15339, 1917])
                else:
                    with pytest.raises(openai.PermissionDeniedError, match=r"privacy\.categories\.token_ids"):
                        client.embeddings.create(model="vectors", input=[15339, 1917])
            assert len(upstream.requests) == 1 + reaches
