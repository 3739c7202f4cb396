"""What is wrong in `providers`, `models` and `tiers`, as far as names, addresses and numbers can tell.

Pure, as check.py, which calls this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path as File

from smallfirst.cli.addresses import looks_public, url_problem
from smallfirst.cli.finding import Finding, Path, fault
from smallfirst.cli.settings import Settings
from smallfirst.config.nearest import hint
from smallfirst.errors import SetupError
from smallfirst.models import presets
from smallfirst.models.settings import ModelSettings, ProviderSettings
from smallfirst.models.weights import place
from smallfirst.privacy.locations import location_problem

TINY = 0.001
"""The least of a duration or a size that must not be nothing: a millisecond, a kilobyte."""

Bound = tuple[Path, float | None, float]
"""(key path, value, the least it may be)"""


def number_findings(settings: Settings) -> Iterator[Finding]:
    """Numbers out of range."""
    for path, value, least in (*_server_numbers(settings), *_model_numbers(settings)):
        if value is not None and value < least:
            yield fault(path, f"{value} is too small; the least is {least:g}")
    if not 0 <= settings.router.prior <= 1:
        yield fault(("router", "prior"), f"{settings.router.prior} is not between 0 and 1")


def _server_numbers(settings: Settings) -> Iterator[Bound]:
    server, ledger = settings.server, settings.ledger
    yield ("ledger", "batch_ms"), ledger.batch_ms, 1
    yield ("ledger", "batch_rows"), ledger.batch_rows, 1
    yield ("server", "max_messages"), server.max_messages, 1
    yield ("server", "drain_s"), server.drain_s, 0
    hedge = settings.resilience.hedge
    if hedge is not None:
        yield ("resilience", "hedge", "after"), None if hedge.after == "p95" else hedge.after, TINY
        yield ("resilience", "hedge", "most"), hedge.most, 0
    yield ("sessions", "cache_s"), settings.sessions.cache_s, 0
    yield ("sessions", "horizon"), settings.sessions.horizon, 1
    for field in ("max_body_mb", "body_timeout_s", "keep_alive_s"):
        yield ("server", field), getattr(server, field), TINY


def _model_numbers(settings: Settings) -> Iterator[Bound]:
    for name, model in settings.models.items():
        at = ("models", name)
        yield (*at, "timeout_s"), model.timeout_s, TINY
        yield (*at, "threads"), model.threads, 1
        yield (*at, "abilities", "context"), model.abilities.context, 1
        for index, replica in enumerate(model.replicas):
            yield (*at, "replicas", str(index), "weight"), replica.weight, 1
            yield (*at, "replicas", str(index), "max_parallel"), replica.max_parallel, 0
        for field in model.cost.__struct_fields__ if model.cost else ():
            yield (*at, "cost", field), getattr(model.cost, field), 0
    for name, provider in settings.providers.items():
        yield ("providers", name, "terms", "retention_days"), provider.terms.retention_days, 0


def provider_findings(settings: Settings, lines: Mapping[Path, int]) -> Iterator[Finding]:
    """Addresses and locations. A public address whose location nobody stated is an error: rules rely on it."""
    for name, provider in settings.providers.items():
        at = ("providers", name)
        problem = location_problem(provider.location)
        if problem is not None:
            yield fault((*at, "location"), problem)
        if provider.runtime == "embedded":
            unread = (field for field in ("url", "key") if getattr(provider, field) is not None)
            yield from (fault((*at, field), "an embedded runtime does not read this") for field in unread)
        elif provider.url is None:
            yield fault(at, "needs a `url`, or `runtime: embedded`")
        else:
            yield from _address(at, provider.url, provider, lines)


def _address(at: Path, url: str, provider: ProviderSettings, lines: Mapping[Path, int]) -> Iterator[Finding]:
    problem = url_problem(url)
    if problem is not None:
        yield fault((*at, "url"), problem)
    elif looks_public(url):
        if at in lines and (*at, "location") not in lines:
            words = "its host looks public; say where it is: `location: cloud/<region>`, or `location: premises`"
            yield fault(at, f"{words} if it is your own machine")
        if url.startswith("http://") and provider.key is not None:
            yield Finding("warning", (*at, "url"), "the key travels over plain http; use https")


def model_findings(settings: Settings) -> Iterator[Finding]:
    """Presets, providers, weights and costs of every model."""
    for name, model in settings.models.items():
        at = ("models", name)
        if name == "auto":
            yield fault(at, "`auto` is what callers ask for when they want routing; call the model something else")
        if model.preset is not None and presets.find(model.preset) is None:
            near = presets.nearest(model.preset)
            words = f"; did you mean `{near}`?" if near else "; `smallfirst models list` shows them"
            yield fault((*at, "preset"), f"unknown preset `{model.preset[:60]}`{words}")
        yield from _providers_of(at, model, settings)
        yield from _cost(at, model)


def _providers_of(at: Path, model: ModelSettings, settings: Settings) -> Iterator[Finding]:
    if model.provider is None and not model.replicas:
        yield fault(at, f"needs a `provider` or `replicas`{hint('', settings.providers)}")
    if model.provider is not None and model.replicas:
        yield fault(at, "has both `provider` and `replicas`; one of the two")
    used: list[tuple[Path, str]] = []
    if model.provider is not None:
        used.append(((*at, "provider"), model.provider))
    used += [((*at, "replicas", str(n), "provider"), one.provider) for n, one in enumerate(model.replicas)]
    for path, provider in used:
        if provider not in settings.providers:
            yield fault(path, f"unknown provider `{provider[:60]}`{hint(provider, settings.providers)}")
    known = [settings.providers[provider] for _, provider in used if provider in settings.providers]
    if any(provider.runtime == "embedded" for provider in known):
        yield from _embedded(at, model)
    elif model.weights is not None and known:
        yield fault((*at, "weights"), "only a provider with `runtime: embedded` takes weights")


def _embedded(at: Path, model: ModelSettings) -> Iterator[Finding]:
    try:
        place(model.weights or at[-1], File())
    except SetupError as error:
        yield fault((*at, "weights") if model.weights else at, f"an embedded runtime needs weights: {error}")
    if len(model.replicas) > 1:
        yield fault((*at, "replicas"), "a model of the embedded runtime has one replica")


def _cost(at: Path, model: ModelSettings) -> Iterator[Finding]:
    cost = model.cost
    if cost is None:
        return
    if (cost.usd_per_hour is None) != (cost.tokens_per_hour is None):
        yield fault((*at, "cost"), "usd_per_hour and tokens_per_hour are given together or not at all")
    if cost.tokens_per_hour == 0:
        yield fault((*at, "cost", "tokens_per_hour"), "a machine that makes no tokens has no price per token")


def tier_findings(settings: Settings, lines: Mapping[Path, int]) -> Iterator[Finding]:
    """Tiers: one name an entry, models that exist, each in one tier."""
    tiers: dict[str, int] = {}
    seen: dict[str, str] = {}
    for index, entry in enumerate(settings.tiers):
        at = ("tiers", str(index))
        if len(entry) != 1:
            yield fault(at, "one tier an entry: `- name: [models]`, from the cheapest to the best")
        for tier, names in entry.items():
            if tiers.setdefault(tier, index) != index:
                yield fault((*at, tier), f"two tiers are called `{tier}`")
            if not names:
                yield fault((*at, tier), "a tier needs at least one model")
            yield from _members((*at, tier), names, settings, seen)
    yield from _unplaced(settings, seen)
    for section in ("providers", "tiers"):
        if (section,) in lines and ("models",) not in lines:
            yield fault((section,), "says nothing without a `models` section")


def _unplaced(settings: Settings, seen: Mapping[str, str]) -> Iterator[Finding]:
    """Models that no tier holds."""
    for name, model in settings.models.items():
        if model.embeds:
            if name in seen:
                yield fault(("models", name, "embeds"), f"it stands in tier `{seen[name]}`; what embeds can't answer")
        elif settings.tiers and name not in seen:
            yield Finding("note", ("models", name), "in no tier: it answers only when it is asked for by name")
        elif not settings.tiers and presets.find(model.preset or name) is None:
            yield fault(
                ("models", name), "in no tier; add a `tiers` section, or give it a preset that has a usual tier"
            )


def _members(at: Path, names: tuple[str, ...], settings: Settings, seen: dict[str, str]) -> Iterator[Finding]:
    for n, name in enumerate(names):
        path = (*at, str(n))
        if name not in settings.models:
            yield fault(path, f"unknown model `{name[:60]}`{hint(name, settings.models)}")
        elif name in seen:
            yield fault(path, f"`{name}` is already in tier `{seen[name]}`; a model stands in one tier")
        seen.setdefault(name, at[-1])
