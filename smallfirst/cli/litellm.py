"""A LiteLLM proxy config -> ours, and a line for each thing that could not be carried over.

Pure: a decoded document in, a document and lines out. Knows the keys of LiteLLM's `model_list`, `router_settings`,
`litellm_settings` and `general_settings`; whatever else it finds is listed, never dropped in silence.
Source: https://docs.litellm.ai/docs/proxy/config_settings
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
import yaml

from smallfirst.models import presets

Doc = dict[str, Any]

VENDORS: Mapping[str, tuple[str, str, str]] = {
    "openai": ("https://api.openai.com/v1", "OPENAI_API_KEY", "openai"),
    "anthropic": ("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", "anthropic"),
    "gemini": ("https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY", "openai"),
    "mistral": ("https://api.mistral.ai/v1", "MISTRAL_API_KEY", "openai"),
    "groq": ("https://api.groq.com/openai/v1", "GROQ_API_KEY", "openai"),
    "deepseek": ("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", "openai"),
    "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "openai"),
    "together_ai": ("https://api.together.xyz/v1", "TOGETHERAI_API_KEY", "openai"),
    "fireworks_ai": ("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY", "openai"),
    "xai": ("https://api.x.ai/v1", "XAI_API_KEY", "openai"),
}
"""LiteLLM's prefix -> address, the variable that usually holds its key, and the API it speaks."""

SELF_HOSTED = frozenset(("hosted_vllm", "vllm", "ollama", "ollama_chat", "openai_like", "custom_openai", "lm_studio"))
"""Prefixes of servers at `api_base` that speak OpenAI's API."""

PARAMS = frozenset(
    (
        "model", "api_key", "api_base", "base_url", "weight", "max_parallel_requests", "timeout", "stream_timeout",
        "input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost",
    )
)  # fmt: skip

_ENV = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")


class Imported(msgspec.Struct, frozen=True):
    """Our config as YAML, and what was not carried over, in the order of the file."""

    text: str
    notes: tuple[str, ...]


def convert(document: Any) -> Imported:
    """Raises ValueError where the document is no LiteLLM config."""
    if not isinstance(document, dict) or not isinstance(document.get("model_list"), list):
        raise ValueError("there is no `model_list`: this is not a LiteLLM proxy config")
    importer = _Importer()
    for index, entry in enumerate(document["model_list"]):
        importer.model(entry, f"model_list[{index}]")
    importer.place()
    for section in ("router_settings", "litellm_settings", "general_settings"):
        importer.section(section, document.get(section) or {})
    for name in document:
        if name not in ("model_list", "router_settings", "litellm_settings", "general_settings"):
            importer.note(name, "nothing here corresponds to it")
    return Imported(importer.text(), tuple(importer.notes))


class _Importer:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.providers: dict[str, Doc] = {}
        self.models: dict[str, Doc] = {}
        self.tiers: dict[str, list[str]] = {"slm": [], "mid": [], "frontier": []}
        self.rest: Doc = {}

    def note(self, at: str, words: str) -> None:
        self.notes.append(f"{at}: {words}")

    def model(self, entry: Any, at: str) -> None:
        """One entry of model_list; entries of one name become replicas of one model."""
        params = entry.get("litellm_params") if isinstance(entry, dict) else None
        if not isinstance(params, dict) or "model_name" not in entry or "model" not in params:
            self.note(at, "needs model_name and litellm_params.model; left out")
            return
        name, info = str(entry["model_name"]), entry.get("model_info") or {}
        if "*" in name:
            self.note(f"{at}.model_name", f"{name!r} stands for many models; name each that is used; left out")
            return
        vendor, _, upstream = str(params["model"]).rpartition("/")
        vendor, _, inner = vendor.partition("/")
        upstream = f"{inner}/{upstream}" if inner else upstream
        provider = self._provider(vendor or "openai", params, at)
        if provider is None:
            return
        for field in params:
            if field not in PARAMS:
                self.note(f"{at}.litellm_params.{field}", "not carried over")
        replica: Doc = {"provider": provider, "model": upstream}
        for ours, theirs in (("weight", "weight"), ("max_parallel", "max_parallel_requests")):
            if params.get(theirs) is not None:
                replica[ours] = max(1, round(float(params[theirs])))
        model = self.models.setdefault(name, {"replicas": []})
        self._add(model, replica, f"{at}.litellm_params")
        self._details(model, params, info, at)
        preset = _preset(upstream) or presets.find(name)
        if preset is not None:
            model.setdefault("preset", preset.name)

    def _add(self, model: Doc, replica: Doc, at: str) -> None:
        if any(one["provider"] == replica["provider"] for one in model["replicas"]):
            self.note(at, "the same model at the same provider a second time; one replica stands for both")
        else:
            model["replicas"].append(replica)

    def _details(self, model: Doc, params: Doc, info: Doc, at: str) -> None:
        """Price, context and time-out; what one replica says holds for all."""
        costs = {**info, **params}
        kinds = (
            ("input_per_m", "input_cost_per_token"), ("output_per_m", "output_cost_per_token"),
            ("cached_per_m", "cache_read_input_token_cost"),
        )  # fmt: skip
        cost = {ours: round(float(costs[theirs]) * 1e6, 9) for ours, theirs in kinds if costs.get(theirs) is not None}
        if {"input_per_m", "output_per_m"} <= cost.keys():
            model["cost"] = cost
        if params.get("timeout") is not None:
            model["timeout_s"] = float(params["timeout"])
        if params.get("stream_timeout") is not None:
            self.note(f"{at}.litellm_params.stream_timeout", "timeout_s holds for streams too: to each next byte")
        if info.get("mode") == "embedding":
            model["embeds"] = True
        elif info.get("mode") not in (None, "chat", "completion", "responses"):
            self.note(f"{at}.model_info.mode", f"{info['mode']!r} is not served here")
        if info.get("max_input_tokens"):
            model["abilities"] = {"context": int(info["max_input_tokens"])}
        if info.get("supports_vision") is not None:
            model.setdefault("abilities", {})["vision"] = bool(info["supports_vision"])

    def _provider(self, vendor: str, params: Doc, at: str) -> str | None:
        """The name of the provider of these parameters, added where it is new."""
        base = params.get("api_base") or params.get("base_url")
        known = VENDORS.get(vendor)
        if base is None and known is None:
            words = f"{vendor!r} needs signing, a gateway or an api_base that are not here; the model is left out"
            self.note(f"{at}.litellm_params.model", words)
            return None
        if vendor in ("azure", "bedrock", "vertex_ai", "sagemaker"):
            self.note(f"{at}.litellm_params.model", f"{vendor!r} has an API of its own; the model is left out")
            return None
        if base is not None and vendor not in SELF_HOSTED and known is None:
            self.note(f"{at}.litellm_params.model", f"{vendor!r} at an api_base is taken to speak OpenAI's API")
        provider: Doc = {"url": self._url(vendor, str(base) if base is not None else (known or ("",))[0], at)}
        if known is not None and known[2] == "anthropic":
            provider["wire"] = "anthropic"
        key = self._secret(params.get("api_key"), f"{at}.litellm_params.api_key", vendor)
        if key is None and base is None and known is not None:
            key = f"${{{known[1]}}}"
        if key is not None:
            provider["key"] = key
        provider["location"] = self._location(provider["url"], at)
        for name, other in self.providers.items():
            if other == provider:
                return name
        name = _free(re.sub(r"[^A-Za-z0-9_-]", "-", vendor), self.providers)
        self.providers[name] = provider
        return name

    def _url(self, vendor: str, url: str, at: str) -> str:
        found = _ENV.fullmatch(url)
        if found is not None:
            return f"${{{found.group(1)}}}"
        url = url.rstrip("/")
        if vendor in ("ollama", "ollama_chat") and not url.endswith("/v1"):
            self.note(f"{at}.litellm_params.api_base", "`/v1` was added: Ollama's OpenAI-compatible API is there")
            url += "/v1"
        return url

    def _secret(self, given: Any, at: str, vendor: str) -> str | None:
        if given is None:
            return None
        found = _ENV.fullmatch(str(given))
        if found is not None:
            return f"${{{found.group(1)}}}"
        if str(given).lower() in ("none", "", "dummy", "fake-key", "anything"):
            return None
        name = f"{re.sub(r'[^A-Z0-9]+', '_', vendor.upper())}_API_KEY"
        self.note(at, f"a secret may not stand in the file; put it into the environment as {name}")
        return f"${{{name}}}"

    def _location(self, url: str, at: str) -> str:
        host = urlsplit(url).hostname or ""
        if not url.startswith("$") and any(host == urlsplit(one[0]).hostname for one in VENDORS.values()):
            return "cloud/unknown"
        if host in ("localhost", "127.0.0.1", "::1"):
            return "device"
        if url.startswith("$") or "." in host:
            self.note(f"{at}.litellm_params.api_base", "where it is decides what may be sent there; check `location`")
            return "cloud/unknown" if url.startswith("$") or not host.endswith((".internal", ".local")) else "premises"
        return "premises"

    def place(self) -> None:
        """Tiers, which LiteLLM has not: by preset, else in the middle."""
        for name, model in self.models.items():
            if len(model["replicas"]) == 1 and not {"weight", "max_parallel"} & model["replicas"][0].keys():
                model.update(model.pop("replicas")[0])
            if model.get("embeds"):
                model.pop("preset", None)
                continue
            preset = presets.find(model["preset"]) if "preset" in model else None
            if preset is None:
                self.note(f"model {name}", "its tier is not known; it was put into `mid`: check `tiers`")
            self.tiers[preset.tier if preset is not None else "mid"].append(name)

    def section(self, name: str, given: Doc) -> None:
        """router_settings, litellm_settings, general_settings."""
        for field, value in given.items():
            at = f"{name}.{field}"
            if field in ("fallbacks", "context_window_fallbacks", "default_fallbacks", "content_policy_fallbacks"):
                self._fallbacks(at, value)
            elif field == "master_key":
                secret = self._secret(value, at, "sf_admin")
                self.rest["server"] = {"admin_key": secret or "${SF_ADMIN_KEY}"}
                self.rest.setdefault("keys", {})["required"] = True
                self.note(at, "it opens the admin API here; callers need keys of their own: `smallfirst keys create`")
            elif field == "database_url":
                self.rest.setdefault("keys", {})["url"] = self._secret(value, at, "sf_database") or "${DATABASE_URL}"
                self.note(at, "our tables are made beside LiteLLM's; its keys and spending are not taken over")
            elif field == "request_timeout":
                for model in self.models.values():
                    model.setdefault("timeout_s", float(value))
            elif field in ("cache", "cache_params"):
                self._cache(at, field, value)
            else:
                self.note(at, _WHY.get(field, "not carried over"))

    def _cache(self, at: str, field: str, value: Any) -> None:
        ttl = value.get("ttl") if isinstance(value, dict) else None
        if (field == "cache" and value) or ttl is not None:
            self.rest["cache"] = {"ttl_s": float(ttl or self.rest.get("cache", {}).get("ttl_s") or 600)}
        if field == "cache_params":
            self.note(at, "the cache is in memory, exact, and never holds what was sampled or used tools")

    def _fallbacks(self, at: str, value: Any) -> None:
        if at.endswith("default_fallbacks"):
            self.note(at, "when a model fails the next of its tier answers, then the tiers above")
            return
        tier_of = {name: tier for tier, names in self.tiers.items() for name in names}
        for entry in value if isinstance(value, list) else []:
            for name, others in entry.items() if isinstance(entry, dict) else ():
                for other in others if isinstance(others, list) else [others]:
                    self._fallback(f"{at} {name} -> {other}", name, other, tier_of)

    def _fallback(self, at: str, name: str, other: str, tier_of: Mapping[str, str]) -> None:
        order = ("slm", "mid", "frontier")
        mine, theirs = tier_of.get(name), tier_of.get(other)
        if mine is None or theirs is None:
            self.note(at, "one of the two is not a model of this file")
        elif mine == theirs:
            inside = self.tiers[mine]
            if inside.index(name) > inside.index(other):
                inside.remove(other)
                inside.insert(inside.index(name) + 1, other)
            self.note(at, f"both are in `{mine}`: when asked through `auto` the second stands in for the first")
        elif order.index(theirs) > order.index(mine):
            self.note(at, f"`{theirs}` lies above `{mine}`: through `auto` a failure is handed up there anyhow")
        else:
            self.note(at, f"`{theirs}` lies below `{mine}`: it stands in only where nothing higher answers")

    def text(self) -> str:
        """The document, what was not carried over in comments at its top."""
        document: Doc = {"providers": self.providers, "models": self.models}
        document["tiers"] = [{tier: names} for tier, names in self.tiers.items() if names]
        document.update(self.rest)
        head = "# Made from a LiteLLM proxy config by `smallfirst config import litellm`.\n"
        if self.notes:
            head += "# Not carried over, or to be looked at:\n" + "".join(f"#   - {note}\n" for note in self.notes)
        return head + "\n" + yaml.safe_dump(document, sort_keys=False, width=110)


_WHY = {
    "num_retries": "replicas of a model are tried in turn anyhow",
    "routing_strategy": "replicas: the least busy first, by weight; models: by policy",
    "drop_params": "a field that a model can't take is refused by name, never dropped",
    "max_budget": "budgets are by key and team: `smallfirst keys create --usd-per-month`, or `teams`",
    "budget_duration": "budgets are by day, month or for good, by key and team",
    "success_callback": "the ledger, /metrics and the logs stand for it",
    "failure_callback": "the ledger, /metrics and the logs stand for it",
    "callbacks": "the ledger, /metrics and the logs stand for it",
    "model_group_alias": "a model has one name here; add an entry for each alias",
}


def _preset(upstream: str) -> presets.Preset | None:
    """The preset that is known by this name at some endpoint."""
    found = presets.find(upstream)
    if found is None:
        known = presets.presets().values()
        found = next((one for one in known if upstream in (one.hf, one.api, one.ollama)), None)
    return found


def _free(name: str, taken: Mapping[str, object]) -> str:
    if name not in taken:
        return name
    return next(f"{name}-{n}" for n in range(2, len(taken) + 3) if f"{name}-{n}" not in taken)
