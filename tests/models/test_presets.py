"""Presets: every one is usable, and its facts agree with genai-prices where that knows the model."""

from __future__ import annotations

import datetime

import pytest

from smallfirst.models.presets import OLLAMA_CONTEXT, Preset, find, is_ollama, nearest, presets, vendors
from smallfirst.models.prices import answer

ALL = tuple(presets().values())
NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)


def test_names_and_aliases_are_unique_and_found() -> None:
    names = [name for preset in ALL for name in (preset.name, *preset.aliases)]
    assert len(names) == len(set(names))
    assert all(find(name) is not None for name in names)


USED = """phi-4 phi-4-mini phi-3.5-mini gemma-2-9b-it gemma-3-4b-it llama-3.1-8b llama-3.3-70b mistral-7b mistral-nemo
    mistral-small qwen-2.5-7b qwen3-8b smollm2-135m gpt-4o-mini gpt-4o gpt-4.1-nano gpt-5-mini claude-haiku-5-5
    claude-sonnet-5-5 claude-opus-5-5 gemini-2.5-flash gemini-2.5-pro mistral-large apple-on-device"""


@pytest.mark.parametrize("name", USED.split())
def test_the_models_that_people_use_are_there(name: str) -> None:
    assert find(name) is not None


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: preset.name)
def test_a_preset_says_where_it_is_found_and_what_it_takes(preset: Preset) -> None:
    assert preset.tier in ("slm", "mid", "frontier")
    assert preset.context >= 4096
    assert preset.api or preset.hf, "it needs a name upstream"
    assert (preset.vendor is None) == (preset.price is None), "hosted models have list prices, own ones have none"
    assert preset.vendor is None or preset.vendor in {vendor.name for vendor in vendors()}


def test_every_price_reference_is_known_and_belongs_to_that_model() -> None:
    found = answer([preset.price for preset in ALL if preset.price], NOW)
    for preset in ALL:
        if preset.price is not None:
            price = found[preset.price]
            assert price is not None, preset.name
            assert price.source.endswith(f" {preset.price}"), "the package fell back to another model"


def test_context_sizes_agree_with_the_package() -> None:
    from genai_prices.data_snapshot import get_snapshot

    for preset in ALL:
        if preset.price is not None:
            vendor, _, name = preset.price.partition("/")
            _, model = get_snapshot().find_provider_model(name, None, vendor, None)
            assert model.context_window in (None, preset.context), preset.name


def test_vendors_lead_to_presets_of_their_own() -> None:
    for vendor in vendors():
        for name in (vendor.mid, vendor.frontier):
            preset = find(name)
            assert preset is not None
            assert preset.vendor == vendor.name


def test_ollama_has_its_own_names_and_limits() -> None:
    gemma, url = find("gemma-3-12b-it"), "http://localhost:11434/v1"
    assert gemma is not None
    assert gemma.upstream(url) == "gemma3:12b"
    assert gemma.upstream("http://gpu:8000/v1") == "google/gemma-3-12b-it"
    assert gemma.can(url).context == OLLAMA_CONTEXT
    assert not gemma.can(url).n
    assert gemma.can("http://gpu:8000/v1").n


@pytest.mark.parametrize("url", [None, "http://[::1", "http://host:port/v1", "http://host:8000/v1", ""])
def test_what_is_not_ollama_is_not(url: str | None) -> None:
    assert not is_ollama(url)


def test_a_typing_error_is_recognised() -> None:
    assert nearest("gemma-2-9b-itt") == "gemma-2-9b-it"
    assert nearest("zzzzzzzzzzz") is None
