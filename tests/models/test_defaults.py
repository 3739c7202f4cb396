"""What runs when nothing is configured but, perhaps, keys in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.models.catalogue import build_catalogue
from smallfirst.models.defaults import default_settings
from smallfirst.models.presets import vendors
from smallfirst.models.settings import BaselineSettings

KEYS = [name for vendor in vendors() for name in vendor.keys]


def test_without_keys_only_the_demonstration_model_runs() -> None:
    providers, models, tiers = default_settings({"OPENAI_API_KEY": "  ", "HOME": "/x"})
    assert list(providers) == ["builtin"]
    assert models["smollm"].weights == "smollm2-135m"
    assert tiers == ({"slm": ("smollm",)},)


@pytest.mark.parametrize("key", KEYS)
def test_each_key_alone_gives_a_mid_and_a_frontier_tier_with_prices(
    key: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.getbasetemp() / "shared-home"
    providers, models, tiers = default_settings({key: "secret"})
    environ = {"SMALLFIRST_HOME": str(home)}
    built = build_catalogue(providers, models, tiers, BaselineSettings(), environ=environ)
    assert [tier.name for tier in built.tiers] == ["slm", "mid", "frontier"]
    for tier in built.tiers:
        model = built.models[tier.models[0]]
        assert model.price is not None
        assert model.tier == tier.name
    top = built.models[built.tiers[-1].models[0]]
    assert built.baseline.model == top.name
    assert top.replicas[0].key == "secret"
    assert top.replicas[0].url.startswith("https://")
    assert top.replicas[0].location == "cloud/unknown"


def test_the_first_key_leads_and_the_others_stand_behind() -> None:
    _, models, tiers = default_settings({"MISTRAL_API_KEY": "m", "GOOGLE_API_KEY": "g", "OPENAI_API_KEY": "o"})
    assert tiers[1]["mid"] == ("gpt-4.1-mini", "gemini-3.8-flash", "mistral-small-2603")
    assert models[tiers[2]["frontier"][0]].provider == "openai"


@given(st.sets(st.sampled_from(KEYS)))
def test_every_model_stands_in_one_tier_with_its_own_vendors_key(names: set[str]) -> None:
    providers, models, tiers = default_settings({name: f"key of {name}" for name in names})
    placed = [name for tier in tiers for members in tier.values() for name in members]
    assert sorted(placed) == sorted(models)
    for vendor in vendors():
        if vendor.name in providers:
            assert providers[vendor.name].key in {f"key of {name}" for name in vendor.keys if name in names}


def test_keys_stay_out_of_what_a_replica_prints(tmp_path: Path) -> None:
    providers, models, tiers = default_settings({"OPENAI_API_KEY": "sk-secret"})
    built = build_catalogue(providers, models, tiers, BaselineSettings(), environ={"SMALLFIRST_HOME": str(tmp_path)})
    assert "sk-secret" not in repr(built)
