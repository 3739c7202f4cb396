"""The `providers`, `models`, `tiers` and `baseline` sections -> models that can be called, in tiers, with prices.

Knows how settings and presets become a Model. Does not start anything (the caller makes the replica of an embedded
model) and looks no price up itself (prices.py does, all of them in one go).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from smallfirst.config.paths import cache_dir
from smallfirst.core import Abilities, Model, Price, Replica, Tier
from smallfirst.errors import ConfigError
from smallfirst.models import embedded as embedded_model
from smallfirst.models import presets, prices
from smallfirst.models.settings import BaselineSettings, ModelSettings, ProviderSettings, ReplicaSettings
from smallfirst.models.weights import DEMONSTRATION

MakeReplica = Callable[[str, ModelSettings], Replica]
"""Makes the one replica of a model of an embedded runtime: its address and key are known before it runs."""


class Baseline(msgspec.Struct, frozen=True):
    """What savings are measured against. `price` None: unknown, and then no saving is claimed."""

    model: str
    price: Price | None
    method: str


class Catalogue(msgspec.Struct, frozen=True):
    """Every model under its name, and the tiers from lowest to highest. `own`: models that only their task asks."""

    models: Mapping[str, Model]
    tiers: tuple[Tier, ...]
    baseline: Baseline
    own: Mapping[str, Model] = {}

    def find(self, name: str) -> Model:
        """A model, a task's own too. Raises KeyError."""
        return self.models.get(name) or self.own[name]


def build_catalogue(
    providers: Mapping[str, ProviderSettings],
    models: Mapping[str, ModelSettings],
    tiers: Sequence[Mapping[str, Sequence[str]]],
    baseline: BaselineSettings,
    *,
    environ: Mapping[str, str],
    embedded: MakeReplica | None = None,
) -> Catalogue:
    """Raises ConfigError with every problem found. `embedded` None: embedded models get a replica without an address,
    enough to be listed. Without `tiers`, each model stands in the tier its preset usually has.
    """
    problems = [*_provider_problems(providers), *_model_problems(providers, models)]
    placed = _tiers(models, tiers, problems)
    if problems:
        raise ConfigError(problems)
    references = {name: _reference(providers, name, model) for name, model in models.items()}
    listed = _list_prices({*references.values(), _preset_price(baseline.reference)}, environ)
    tier_of = {name: tier.name for tier in placed for name in tier.models}
    built = {}
    for name, settings in models.items():
        try:
            price = _price(providers, settings, listed.get(references[name]))
        except ValueError as fault:
            problems.append(f"models.{name}.cost: {fault}")
            continue
        replicas = _replicas(providers, name, settings, embedded)
        built[name] = Model(
            name=name,
            tier=tier_of.get(name, ""),  # in no tier: reached by its own name only
            replicas=replicas,
            abilities=_abilities(providers, settings),
            price=price,
            demonstration=_is_embedded(providers, settings) and (settings.weights or name) == DEMONSTRATION,
            timeout_s=settings.timeout_s,
            stream_s=settings.stream_s,
        )
    chosen = _baseline(baseline, built, placed, listed, problems)
    if problems or chosen is None:
        raise ConfigError(problems)
    return Catalogue(built, placed, chosen)


def _provider_problems(providers: Mapping[str, ProviderSettings]) -> Iterable[str]:
    for name, provider in providers.items():
        if provider.runtime == "http" and provider.url is None:
            yield f"providers.{name}.url: is missing (or say `runtime: embedded`)"
        elif provider.url is not None and not provider.url.startswith(("http://", "https://")):
            yield f"providers.{name}.url: {provider.url!r} should start with http:// or https://"
        kind = provider.location.partition("/")[0]
        if kind not in ("device", "premises", "cloud"):
            yield f"providers.{name}.location: {provider.location!r} should be device, premises or cloud/<region>"


def _model_problems(providers: Mapping[str, ProviderSettings], models: Mapping[str, ModelSettings]) -> Iterable[str]:
    for name, model in models.items():
        replicas = _replica_settings(model)
        if not replicas:
            yield f"models.{name}: needs a provider, or replicas"
        if model.provider is not None and model.replicas:
            yield f"models.{name}: give provider or replicas, not both"
        for replica in replicas:
            if replica.provider not in providers:
                yield _unknown(f"models.{name}.provider", "provider", replica.provider, providers)
            if replica.weight < 1:
                yield f"models.{name}.replicas: a weight is at least 1"
        if model.preset is not None and presets.find(model.preset) is None:
            yield _unknown(f"models.{name}.preset", "preset", model.preset, presets.presets())
        if _is_embedded(providers, model) and len(replicas) > 1:
            yield f"models.{name}.replicas: a model of the embedded runtime has one replica"
        if model.weights is not None and not _is_embedded(providers, model):
            yield f"models.{name}.weights: only a provider with `runtime: embedded` takes weights"


def _unknown(field: str, kind: str, name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f"; did you mean {close[0]}?" if close else f"; known: {', '.join(sorted(known)[:20]) or 'none'}"
    return f"{field}: there is no {kind} {name!r}{hint}"


def _tiers(
    models: Mapping[str, ModelSettings], tiers: Sequence[Mapping[str, Sequence[str]]], problems: list[str]
) -> tuple[Tier, ...]:
    """The tiers as the config gives them, or else as the presets suggest. Appends what is wrong to `problems`."""
    if not tiers:
        return _usual_tiers(models, problems)
    placed: list[Tier] = []
    for entry in tiers:
        for name, members in entry.items():
            if any(tier.name == name for tier in placed):
                problems.append(f"tiers: {name} is there twice")
            if not members:
                problems.append(f"tiers.{name}: has no models")
            for member in members:
                if member not in models:
                    problems.append(_unknown(f"tiers.{name}", "model", member, models))
                elif any(member in tier.models for tier in placed):
                    problems.append(f"tiers.{name}: {member} is already in a lower tier")
            placed.append(Tier(name, tuple(members)))
    return tuple(placed)


def _usual_tiers(models: Mapping[str, ModelSettings], problems: list[str]) -> tuple[Tier, ...]:
    members: dict[str, list[str]] = {"slm": [], "mid": [], "frontier": []}
    for name, model in models.items():
        preset = presets.find(model.preset or name)
        if model.embeds:
            continue
        if preset is None:
            problems.append(f"models.{name}: stands in no tier; add a `tiers` section, or a preset")
        else:
            members[preset.tier].append(name)
    return tuple(Tier(name, tuple(inside)) for name, inside in members.items() if inside)


def _replica_settings(model: ModelSettings) -> tuple[ReplicaSettings, ...]:
    if model.replicas:
        return model.replicas
    return (ReplicaSettings(provider=model.provider),) if model.provider is not None else ()


def _is_embedded(providers: Mapping[str, ProviderSettings], model: ModelSettings) -> bool:
    chosen = (providers.get(replica.provider) for replica in _replica_settings(model))
    return any(provider is not None and provider.runtime == "embedded" for provider in chosen)


def _replicas(
    providers: Mapping[str, ProviderSettings], name: str, model: ModelSettings, embedded: MakeReplica | None
) -> tuple[Replica, ...]:
    if _is_embedded(providers, model):
        provider = _replica_settings(model)[0].provider
        replica = Replica(provider, "", name) if embedded is None else embedded(name, model)
        # a child process on loopback keeps nothing, sends nothing on and trains nothing
        return (msgspec.structs.replace(replica, location="device", retention_days=0, trains=False),)
    return tuple(_replica(providers[replica.provider], name, model, replica) for replica in _replica_settings(model))


def _replica(provider: ProviderSettings, name: str, model: ModelSettings, replica: ReplicaSettings) -> Replica:
    preset = presets.find(model.preset) if model.preset else None
    return Replica(
        provider=replica.provider,
        url=(provider.url or "").rstrip("/"),
        upstream_model=replica.model or model.model or (preset.upstream(provider.url) if preset else name),
        location=provider.location,
        key=provider.key,
        weight=replica.weight,
        max_parallel=replica.max_parallel,
        retention_days=provider.terms.retention_days,
        trains=provider.terms.trains,
        baa=provider.terms.baa,
        wire="embeddings" if model.embeds else provider.wire,
    )


def _abilities(providers: Mapping[str, ProviderSettings], model: ModelSettings) -> Abilities:
    """What every replica can take: the least of them, overridden by what the config says."""
    if _is_embedded(providers, model):
        able = embedded_model.ABILITIES
    else:
        preset = presets.find(model.preset) if model.preset else None
        urls = [providers[replica.provider].url for replica in _replica_settings(model)]
        able = _least([preset.can(url) for url in urls]) if preset else Abilities()
        if any(providers[replica.provider].wire == "anthropic" for replica in _replica_settings(model)):
            able = msgspec.structs.replace(
                able, vision=True, json_object=False, json_schema=True, logprobs=False, n=False
            )
    said = {field: getattr(model.abilities, field) for field in model.abilities.__struct_fields__}
    return msgspec.structs.replace(able, **{field: value for field, value in said.items() if value is not None})


def _least(abilities: list[Abilities]) -> Abilities:
    fields = Abilities.__struct_fields__
    return Abilities(**{field: min(getattr(able, field) for able in abilities) for field in fields})


def _reference(providers: Mapping[str, ProviderSettings], name: str, model: ModelSettings) -> str | None:
    """What to ask genai-prices for: the preset's price, else the vendor's address with the model's name there."""
    if _is_embedded(providers, model):
        return None
    preset = presets.find(model.preset) if model.preset else None
    if preset is not None and preset.price is not None:
        return preset.price
    first = _replica_settings(model)[0]
    url = providers[first.provider].url or ""
    if not url.startswith("https://"):
        return None
    return f"{url.rstrip('/')} {first.model or model.model or (preset.upstream(url) if preset else name)}"


def _preset_price(name: str) -> str | None:
    preset = presets.find(name)
    return preset.price if preset is not None else None


def _list_prices(references: Collection[str | None], environ: Mapping[str, str]) -> Mapping[str | None, Price | None]:
    wanted = [reference for reference in references if reference is not None]
    others = [preset.price for preset in presets.presets().values() if preset.price is not None]
    found: dict[str | None, Price | None] = {}
    found.update(prices.look_up(wanted, cache_dir(environ), also=others))
    return found


def _price(providers: Mapping[str, ProviderSettings], model: ModelSettings, listed: Price | None) -> Price | None:
    if model.cost is not None:
        return prices.from_cost(model.cost, listed)
    return prices.EMBEDDED if _is_embedded(providers, model) else listed


def _baseline(
    settings: BaselineSettings,
    models: Mapping[str, Model],
    tiers: tuple[Tier, ...],
    listed: Mapping[str | None, Price | None],
    problems: list[str],
) -> Baseline | None:
    name = settings.model or (tiers[-1].models[0] if len(tiers) > 1 else None)
    if name is not None:
        if name not in models:
            if settings.model is not None:
                problems.append(_unknown("baseline.model", "model", name, models))
            return None
        return Baseline(name, models[name].price, f"price of {name}, served length")
    if presets.find(settings.reference) is None:
        problems.append(_unknown("baseline.reference", "preset", settings.reference, presets.presets()))
        return None
    method = f"list price of {settings.reference} (reference, not configured), served length"
    return Baseline(settings.reference, listed.get(_preset_price(settings.reference)), method)
