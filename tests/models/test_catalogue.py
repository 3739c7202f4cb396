"""From settings to models that can be called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from smallfirst.core import NANO, Replica
from smallfirst.errors import ConfigError
from smallfirst.models.catalogue import Catalogue, build_catalogue
from smallfirst.models.settings import (
    AbilitySettings,
    BaselineSettings,
    CostSettings,
    ModelSettings,
    ProviderSettings,
    ReplicaSettings,
    Terms,
)

OPENAI = ProviderSettings(
    url="https://api.openai.com/v1/", key="k", location="cloud/us", terms=Terms(retention_days=30, trains=False)
)
GPU = ProviderSettings(url="http://gpu.internal:8000/v1")
OLLAMA = ProviderSettings(url="http://127.0.0.1:11434/v1", location="device")
BUILTIN = ProviderSettings(runtime="embedded")
PROVIDERS = {"openai": OPENAI, "gpu": GPU, "ollama": OLLAMA, "builtin": BUILTIN}

MINI = ModelSettings(preset="gpt-4o-mini", provider="openai")
BEST = ModelSettings(preset="gpt-4o", provider="openai")
GEMMA = ModelSettings(preset="gemma-2-9b-it", provider="gpu")
SMOLLM = ModelSettings(provider="builtin", weights="smollm2-135m")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder for all, so that genai-prices is asked once."""
    return tmp_path_factory.mktemp("home")


def build(
    home: Path,
    models: Mapping[str, ModelSettings],
    tiers: tuple[dict[str, tuple[str, ...]], ...] = (),
    baseline: BaselineSettings | None = None,
    providers: Mapping[str, ProviderSettings] = PROVIDERS,
) -> Catalogue:
    environ = {"SMALLFIRST_HOME": str(home)}
    made = lambda name, settings: Replica("builtin", "http://127.0.0.1:1/v1", name, key="own")  # noqa: E731
    baseline = baseline or BaselineSettings()
    return build_catalogue(providers, models, tiers, baseline, environ=environ, embedded=made)


def problems(home: Path, *args: object, **kwargs: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build(home, *args, **kwargs)  # type: ignore[arg-type]
    return caught.value.problems


def test_the_config_of_the_documentation(home: Path) -> None:
    gemma = ModelSettings(
        preset="gemma-2-9b-it",
        replicas=(ReplicaSettings(provider="gpu", weight=2, max_parallel=16),),
        cost=CostSettings(usd_per_hour=0.80, tokens_per_hour=8_000_000),
    )
    tiers = ({"slm": ("gemma-9b", "smollm")}, {"mid": ("mini",)}, {"frontier": ("best",)})
    built = build(home, {"smollm": SMOLLM, "gemma-9b": gemma, "mini": MINI, "best": BEST}, tiers)
    assert [tier.name for tier in built.tiers] == ["slm", "mid", "frontier"]
    one = built.models["gemma-9b"]
    assert one.price is not None
    assert one.price.input == NANO // 10
    assert one.replicas[0] == Replica(
        "gpu", "http://gpu.internal:8000/v1", "google/gemma-2-9b-it", weight=2, max_parallel=16
    )
    mini = built.models["mini"]
    assert mini.tier == "mid"
    assert mini.abilities.vision
    assert mini.replicas[0].url == "https://api.openai.com/v1"
    assert (mini.replicas[0].retention_days, mini.replicas[0].trains, mini.replicas[0].baa) == (30, False, None)
    assert mini.price is not None
    assert mini.price.source.startswith("genai-prices")
    assert built.baseline.model == "best"
    assert built.baseline.price == built.models["best"].price


def test_an_embedded_model_is_on_the_device_free_of_price_and_marked(home: Path) -> None:
    built = build(
        home,
        {"smollm": SMOLLM, "own": ModelSettings(provider="builtin", weights="/x.gguf")},
        ({"slm": ("smollm", "own")},),
    )
    smollm = built.models["smollm"]
    assert smollm.demonstration
    assert not built.models["own"].demonstration
    assert smollm.replicas[0].location == "device"
    assert smollm.price is not None
    assert "electricity" in smollm.price.source
    assert smollm.price.output == 0
    assert not smollm.abilities.tools


def test_one_tier_is_measured_against_a_reference_that_is_not_configured(home: Path) -> None:
    baseline = build(home, {"smollm": SMOLLM}, ({"slm": ("smollm",)},)).baseline
    assert baseline.model == "gpt-4o"
    assert baseline.method == "list price of gpt-4o (reference, not configured), served length"
    assert baseline.price is not None


def test_without_tiers_presets_say_where_models_stand(home: Path) -> None:
    built = build(home, {"best": BEST, "mini": MINI, "gemma": GEMMA})
    assert [(tier.name, tier.models) for tier in built.tiers] == [
        ("slm", ("gemma",)),
        ("mid", ("mini",)),
        ("frontier", ("best",)),
    ]


def test_a_model_of_ones_own_has_no_price_and_a_known_vendors_model_has_one(home: Path) -> None:
    own, newest = ModelSettings(provider="gpu"), ModelSettings(provider="openai", model="gpt-5.4")
    built = build(home, {"tuned": own, "newest": newest}, ({"slm": ("tuned",)}, {"mid": ("newest",)}))
    assert built.models["tuned"].price is None
    assert built.models["tuned"].replicas[0].upstream_model == "tuned"
    price = built.models["newest"].price
    assert price is not None
    assert price.source.endswith("openai/gpt-5.4")


def test_abilities_are_those_that_every_replica_has_unless_the_config_says_otherwise(home: Path) -> None:
    replicas = (ReplicaSettings(provider="gpu"), ReplicaSettings(provider="ollama", model="mine"))
    llama = ModelSettings(preset="llama-3.1-8b", replicas=replicas)
    built = build(home, {"llama": llama})
    assert built.models["llama"].abilities.context == 4096
    assert not built.models["llama"].abilities.n
    assert [r.upstream_model for r in built.models["llama"].replicas] == ["meta-llama/Llama-3.1-8B-Instruct", "mine"]
    told = ModelSettings(
        preset="llama-3.1-8b", replicas=replicas, abilities=AbilitySettings(context=32_000, tools=False)
    )
    able = build(home, {"llama": told}).models["llama"].abilities
    assert able.context == 32_000
    assert not able.tools


def test_a_model_in_no_tier_can_still_be_named(home: Path) -> None:
    built = build(home, {"mini": MINI, "spare": BEST}, ({"mid": ("mini",)},))
    assert built.models["spare"].tier == ""
    assert built.models["mini"].tier == "mid"


def test_listing_needs_no_running_model(home: Path) -> None:
    environ = {"SMALLFIRST_HOME": str(home)}
    built = build_catalogue(PROVIDERS, {"smollm": SMOLLM}, ({"slm": ("smollm",)},), BaselineSettings(), environ=environ)
    assert built.models["smollm"].replicas[0].url == ""


def test_every_problem_is_named_at_once(home: Path) -> None:
    models = {
        "a": ModelSettings(),
        "b": ModelSettings(provider="opnai"),
        "c": ModelSettings(provider="gpu", preset="gemma-2-9b-itt"),
        "d": ModelSettings(provider="gpu", weights="x.gguf"),
    }
    tiers = ({"slm": ("a", "nobody")}, {"slm": ("a",)}, {"mid": ()})
    providers = {"openai": ProviderSettings(), "gpu": ProviderSettings(url="gpu:8000", location="clowd/eu")}
    found = "\n".join(problems(home, models, tiers, providers=providers))
    for words in (
        "providers.openai.url: is missing",
        "providers.gpu.url: 'gpu:8000' should start with http",
        "providers.gpu.location",
        "models.a: needs a provider",
        "models.b.provider: there is no provider 'opnai'; did you mean openai?",
        "models.c.preset: there is no preset 'gemma-2-9b-itt'; did you mean gemma-2-9b-it?",
        "models.d.weights: only a provider with `runtime: embedded`",
        "tiers.slm: there is no model 'nobody'",
        "tiers: slm is there twice",
        "tiers.slm: a is already in a lower tier",
        "tiers.mid: has no models",
    ):
        assert words in found


def test_a_wrong_cost_or_baseline_is_named(home: Path) -> None:
    wrong = ModelSettings(provider="gpu", cost=CostSettings(usd_per_hour=1.0))
    found = problems(home, {"own": wrong}, ({"slm": ("own",)},), BaselineSettings(reference="gpt-4oo"))
    assert any(line.startswith("models.own.cost: ") for line in found)
    assert any(line.startswith("baseline.reference: ") for line in found)
    found = problems(home, {"mini": MINI}, ({"mid": ("mini",)},), BaselineSettings(model="minni"))
    assert found == ["baseline.model: there is no model 'minni'; did you mean mini?"]
