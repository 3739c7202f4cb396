"""Prices: from the config or from genai-prices, exact, and never invented."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.core import NANO, Price, Usage
from smallfirst.models import prices
from smallfirst.models.prices import answer, from_cost, look_up
from smallfirst.models.settings import CostSettings

NOON = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
LISTED = Price(2 * NANO, 8 * NANO, NANO, "listed")


def test_a_known_model_has_the_packages_price_and_says_so() -> None:
    price = answer(["openai/gpt-4o"], NOON)["openai/gpt-4o"]
    assert price is not None
    assert (price.input, price.cached, price.output) == (2_500_000_000, 1_250_000_000, 10_000_000_000)
    assert price.source.startswith("genai-prices ")
    assert price.source.endswith("openai/gpt-4o")


@pytest.mark.parametrize(
    "name", ["openai/none-such", "none-such/gpt-4o", "https://gpu.internal/v1 gpt-4o", "google/gemma-3"]
)
def test_an_unknown_or_free_model_has_no_price(name: str) -> None:
    assert answer([name], NOON) == {name: None}


def test_an_address_finds_its_vendor() -> None:
    name = "https://api.groq.com/openai/v1 openai/gpt-oss-20b"
    price = answer([name], NOON)[name]
    assert price is not None
    assert price.source.endswith("groq/openai/gpt-oss-20b")


@pytest.mark.parametrize("name", ["google/gemini-2.5-pro", "anthropic/claude-sonnet-4-5", "openai/gpt-6-luna"])
@pytest.mark.parametrize("tokens", [1, 100_000, 199_999, 200_000, 200_001, 272_000, 272_001, 900_000])
def test_long_prompts_cost_what_the_package_computes(name: str, tokens: int) -> None:
    import genai_prices

    price, (vendor, model) = answer([name], NOON)[name], name.split("/")
    assert price is not None
    usage = genai_prices.Usage(input_tokens=tokens, cache_read_tokens=tokens // 2, output_tokens=1000)
    theirs = genai_prices.calc_price(usage, model, provider_id=vendor, genai_request_timestamp=NOON).total_price
    assert abs(price.cost(Usage(tokens, 1000, tokens // 2)) - theirs * NANO) <= 1


def test_of_a_price_that_changes_with_the_hour_the_dearest_counts() -> None:
    import genai_prices

    name = "deepseek/deepseek-v4-pro"
    price = answer([name], NOON)[name]
    assert price is not None
    million = genai_prices.Usage(output_tokens=1_000_000)
    hours = [NOON.replace(hour=hour) for hour in range(24)]
    all_day = {
        genai_prices.calc_price(
            million, "deepseek-v4-pro", provider_id="deepseek", genai_request_timestamp=h
        ).total_price
        for h in hours
    }
    assert len(all_day) > 1
    assert price.output == max(all_day) * NANO


def test_a_price_that_starts_later_starts_later() -> None:
    name = "google/gemini-4-argon"
    before = answer([name], NOON)[name]
    after = answer([name], NOON.replace(month=12))[name]
    assert before is not None
    assert after is not None
    assert after.output == 2 * before.output


def test_the_package_is_asked_once_and_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    real = prices._ask

    def ask(references: list[str]) -> dict[str, Price | None] | None:
        asked.append(references)
        return real(references)

    monkeypatch.setattr(prices, "_ask", ask)
    first = look_up(["openai/gpt-4o", "openai/none-such"], tmp_path, also=["openai/gpt-4o-mini"])
    again = look_up(["openai/gpt-4o", "openai/none-such", "openai/gpt-4o-mini"], tmp_path)
    assert len(asked) == 1
    assert again["openai/gpt-4o"] == first["openai/gpt-4o"]
    assert again["openai/none-such"] is None
    assert again["openai/gpt-4o-mini"] is not None


@pytest.mark.parametrize("content", [b"", b"{", b'{"stamp": "old", "prices": {"openai/gpt-4o": null}}'])
def test_a_stale_or_broken_file_is_asked_for_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "prices.json").write_bytes(content)
    assert look_up(["openai/gpt-4o"], tmp_path)["openai/gpt-4o"] is not None


def test_a_package_that_does_not_answer_gives_no_price_and_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices.sys, "executable", "/nonexistent")
    assert look_up(["openai/gpt-4o"], tmp_path) == {"openai/gpt-4o": None}
    assert not list(tmp_path.iterdir())


def test_importing_the_room_does_not_import_the_package() -> None:
    code = "import json, sys, smallfirst.models.catalogue; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    heavy = {"genai_prices", "pydantic", "httpx2", "huggingface_hub", "gguf", "numpy", "xllamacpp"}
    assert heavy.isdisjoint(json.loads(done.stdout))


def test_a_config_price_is_exact() -> None:
    price = from_cost(CostSettings(input_per_m=0.1, output_per_m=0.3, cached_per_m=0.025), None)
    assert price == Price(100_000_000, 300_000_000, 25_000_000, "config")
    assert from_cost(CostSettings(input_per_m=0.1, output_per_m=0.3), None).cached == price.input


def test_a_partial_config_price_keeps_the_rest_of_the_list_price() -> None:
    price = from_cost(CostSettings(output_per_m=4.0), LISTED)
    assert (price.input, price.cached, price.output) == (LISTED.input, LISTED.cached, 4 * NANO)
    assert "listed" in price.source


def test_a_machine_costs_its_hour() -> None:
    price = from_cost(CostSettings(usd_per_hour=0.80, tokens_per_hour=8_000_000), LISTED)
    assert price.input == price.output == price.cached == NANO // 10
    assert price.source == "config: $0.80/h at 8M tokens/h"


@given(st.floats(0.01, 1000), st.integers(1_000, 10**10))
def test_an_hour_of_tokens_costs_about_an_hour(dollars: float, tokens: int) -> None:
    price = from_cost(CostSettings(usd_per_hour=dollars, tokens_per_hour=tokens), None)
    half = tokens // 2
    assert price.cost(Usage(half, tokens - half)) == pytest.approx(dollars * NANO, abs=tokens / 1e6 + 2)


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (CostSettings(), "needs input_per_m"),
        (CostSettings(input_per_m=1.0), "needs input_per_m and output_per_m"),
        (CostSettings(input_per_m=-1.0, output_per_m=1.0), "negative"),
        (CostSettings(usd_per_hour=1.0), "go together"),
        (CostSettings(usd_per_hour=1.0, tokens_per_hour=0.0), "above 0"),
        (CostSettings(usd_per_hour=1.0, tokens_per_hour=1.0, input_per_m=1.0), "not both"),
    ],
)
def test_a_cost_that_makes_no_sense_is_named(cost: CostSettings, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_cost(cost, None)
