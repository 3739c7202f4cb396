"""The `providers`, `models` and `tiers` sections of the config, as a user writes them."""

from __future__ import annotations

from typing import Literal

import msgspec


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider promises about data; None: not stated, and then no rule that asks for it matches."""

    retention_days: int | None = None
    trains: bool | None = None
    baa: bool | None = None


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where replicas live. `runtime: embedded` runs weights in a child process and needs no url."""

    url: str | None = None
    key: str | None = None
    location: str = "premises"  # device | premises | cloud/<region>
    runtime: Literal["http", "embedded"] = "http"
    wire: Literal["openai", "anthropic"] = "openai"  # the API it speaks: chat completions, or Anthropic's Messages
    terms: Terms = Terms()


class CostSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dollars per million tokens, or the dollars an hour of the machine with the tokens it makes in that hour."""

    input_per_m: float | None = None
    output_per_m: float | None = None
    cached_per_m: float | None = None
    usd_per_hour: float | None = None
    tokens_per_hour: float | None = None


class ReplicaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    provider: str
    model: str | None = None  # the name this endpoint knows the model by, where it differs
    weight: int = 1
    max_parallel: int = 0


class AbilitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Overrides of what the preset says a model can take."""

    context: int | None = None
    tools: bool | None = None
    json_object: bool | None = None
    json_schema: bool | None = None
    vision: bool | None = None
    logprobs: bool | None = None
    n: bool | None = None


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model: a preset or nothing, and a provider or several replicas."""

    preset: str | None = None
    provider: str | None = None
    model: str | None = None  # upstream name; default: the preset's, else this entry's own name
    replicas: tuple[ReplicaSettings, ...] = ()
    embeds: bool = False  # it makes embeddings, for POST /v1/embeddings, and stands in no tier
    weights: str | None = None  # embedded runtime: smollm2-135m, a path to a .gguf, or hf:ORG/REPO:FILE.gguf
    threads: int | None = None  # embedded runtime
    cost: CostSettings | None = None
    abilities: AbilitySettings = AbilitySettings()
    timeout_s: float = 120.0
    stream_s: float = 900.0  # a stream that has not ended by then is cut off


class BaselineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What savings are measured against. Default: the first model of the highest tier, or, where only one tier is
    configured, the list price of the preset `reference`."""

    model: str | None = None
    reference: str = "gpt-4o"
    output_tokens: Literal["served"] = "served"  # the method: the served answer's length


class RouterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`unprobed`: escalate past a model that was never probed, or trust it at `prior`."""

    unprobed: Literal["escalate", "trust"] = "escalate"
    prior: float = 0.5
