"""What is configured when nothing is configured: the demonstration model, and a mid and a frontier tier for each key in
the environment.

Keys are looked for in the order of presets.vendors(): OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY (or
GOOGLE_API_KEY), MISTRAL_API_KEY, GROQ_API_KEY, DEEPSEEK_API_KEY. The first key found leads both tiers and is the
baseline; the models of further keys stand behind it as alternates.

The OpenAI defaults are not that vendor's newest: its reasoning models refuse `max_tokens` and `temperature`, which
existing applications send. The newer ones are presets that a config can name.

Location and terms are stated only where the vendor's own documentation states them for every account, because a privacy
rule may rely on them. None says where an ordinary account's requests are processed, so all are `cloud/unknown`. OpenAI
states 30 days of retention and no training on API data ("Data controls in the OpenAI platform").

Knows the environment's keys. Does not read the environment itself: the caller hands it in.
"""

from __future__ import annotations

from collections.abc import Mapping

from smallfirst.models.presets import Vendor, vendors
from smallfirst.models.settings import ModelSettings, ProviderSettings, Terms
from smallfirst.models.weights import DEMONSTRATION

BUILTIN = "builtin"
SMOLLM = "smollm"

Sections = tuple[dict[str, ProviderSettings], dict[str, ModelSettings], tuple[dict[str, tuple[str, ...]], ...]]


def default_settings(environ: Mapping[str, str]) -> Sections:
    """The `providers`, `models` and `tiers` sections for a start without a config file."""
    found = [(vendor, key) for vendor in vendors() if (key := _key(vendor, environ)) is not None]
    providers = {BUILTIN: ProviderSettings(runtime="embedded", location="device")}
    models = {SMOLLM: ModelSettings(provider=BUILTIN, weights=DEMONSTRATION)}
    for vendor, key in found:
        terms = Terms(retention_days=vendor.retention_days, trains=vendor.trains)
        providers[vendor.name] = ProviderSettings(
            url=vendor.url, key=key, location="cloud/unknown", terms=terms, wire=vendor.wire
        )
        for name in (vendor.mid, vendor.frontier):
            models[name] = ModelSettings(preset=name, provider=vendor.name)
    tiers: list[dict[str, tuple[str, ...]]] = [{"slm": (SMOLLM,)}]
    if found:
        tiers.append({"mid": tuple(vendor.mid for vendor, _ in found)})
        tiers.append({"frontier": tuple(vendor.frontier for vendor, _ in found)})
    return providers, models, tuple(tiers)


def _key(vendor: Vendor, environ: Mapping[str, str]) -> str | None:
    """The first of the vendor's variables that holds more than blanks."""
    return next((key for name in vendor.keys if (key := environ.get(name, "").strip())), None)
