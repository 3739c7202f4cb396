"""A LiteLLM proxy config becomes one of ours that is sound, and nothing is dropped in silence."""

from __future__ import annotations

import pytest
import yaml
from click.testing import CliRunner

from smallfirst.cli.check import require
from smallfirst.cli.config_cmd import config
from smallfirst.cli.litellm import convert
from smallfirst.cli.settings import Settings
from smallfirst.config.loader import parse
from smallfirst.errors import ConfigError

LITELLM = """\
model_list:
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, rpm: 100}
  - model_name: haiku
    litellm_params: {model: anthropic/claude-haiku-5-5, api_key: sk-ant-very-secret, timeout: 30}
  - model_name: llama
    litellm_params: {model: hosted_vllm/meta-llama/Llama-3.1-8B-Instruct, api_base: "http://gpu1:8000/v1", weight: 2,
                     input_cost_per_token: 1.0e-7, output_cost_per_token: 2.0e-7}
  - model_name: llama
    litellm_params: {model: ollama/llama3.1, api_base: "http://localhost:11434", max_parallel_requests: 4}
  - model_name: vectors
    litellm_params: {model: text-embedding-3-small}
    model_info: {mode: embedding}
  - model_name: azure-gpt
    litellm_params: {model: azure/my-deployment, api_base: "https://x.openai.azure.com", api_version: "2024-02-01"}
  - model_name: "bedrock/*"
    litellm_params: {model: "bedrock/*"}
router_settings:
  routing_strategy: usage-based-routing
  fallbacks: [{haiku: [gpt-4o]}, {gpt-4o: [nobody]}]
litellm_settings: {drop_params: true, request_timeout: 60, max_budget: 100, cache: true,
                   cache_params: {type: redis, ttl: 300}}
general_settings: {master_key: os.environ/LITELLM_MASTER_KEY, database_url: os.environ/DATABASE_URL, alerting: [slack]}
mcp_servers: {x: {url: "http://y"}}
"""
ENVIRON = {
    "OPENAI_API_KEY": "k1", "ANTHROPIC_API_KEY": "k2", "LITELLM_MASTER_KEY": "k3", "DATABASE_URL": "postgresql://u@h/d"
}  # fmt: skip


@pytest.fixture(scope="module")
def imported():
    found = convert(yaml.safe_load(LITELLM))
    settings, lines = parse(found.text.encode(), Settings, ENVIRON)
    require(settings, lines)
    return settings, found


def test_models_with_providers_and_tiers(imported):
    settings, _ = imported
    assert set(settings.models) == {"gpt-4o", "haiku", "llama", "vectors"}
    assert settings.models["gpt-4o"].preset == "gpt-4o"
    openai, haiku = settings.providers["openai"], settings.providers["anthropic"]
    assert (openai.url, openai.key, openai.wire) == ("https://api.openai.com/v1", "k1", "openai")
    assert (haiku.url, haiku.key, haiku.wire) == ("https://api.anthropic.com/v1", "k2", "anthropic")
    assert settings.models["haiku"].timeout_s == 30
    assert settings.models["gpt-4o"].timeout_s == 60
    assert settings.models["vectors"].embeds
    placed = {name: tier for entry in settings.tiers for tier, names in entry.items() for name in names}
    assert placed == {"gpt-4o": "frontier", "haiku": "mid", "llama": "slm"}


def test_entries_of_one_name_are_replicas(imported):
    settings, _ = imported
    one, other = settings.models["llama"].replicas
    assert (one.model, one.weight) == ("meta-llama/Llama-3.1-8B-Instruct", 2)
    assert (other.model, other.max_parallel) == ("llama3.1", 4)
    assert settings.providers[other.provider].url == "http://localhost:11434/v1"
    cost = settings.models["llama"].cost
    assert (cost.input_per_m, cost.output_per_m) == (0.1, 0.2)


def test_keys_admin_and_cache(imported):
    settings, _ = imported
    assert (settings.keys.required, settings.keys.url) == (True, "postgresql://u@h/d")
    assert settings.server.admin_key == "k3"
    assert settings.cache.ttl_s == 300


def test_no_secret_is_written(imported):
    _, found = imported
    assert "very-secret" not in found.text
    assert any("as ANTHROPIC_API_KEY" in note for note in found.notes)


@pytest.mark.parametrize("at", [
    "model_list[0].litellm_params.rpm", "model_list[5].litellm_params.model", "model_list[6].model_name",
    "router_settings.routing_strategy", "router_settings.fallbacks haiku -> gpt-4o",
    "router_settings.fallbacks gpt-4o -> nobody", "litellm_settings.drop_params", "litellm_settings.max_budget",
    "litellm_settings.cache_params", "general_settings.alerting", "general_settings.master_key", "mcp_servers",
])  # fmt: skip
def test_what_was_not_carried_over_is_listed(imported, at):
    _, found = imported
    assert any(note.startswith(f"{at}: ") for note in found.notes), found.notes
    assert f"#   - {at}: " in found.text


def test_the_verb(tmp_path):
    file = tmp_path / "litellm.yaml"
    file.write_text(LITELLM)
    result = CliRunner().invoke(config, ["import", "litellm", str(file)])
    assert result.exit_code == 0, result.output
    assert "providers:" in result.stdout
    file.write_text("models: {}")
    result = CliRunner().invoke(config, ["import", "litellm", str(file)])
    assert isinstance(result.exception, ConfigError)
    assert "no `model_list`" in str(result.exception)
