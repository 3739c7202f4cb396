"""What a config means, in lines a person can read.

Pure: settings (and the catalogue, once built) in, lines out. Does not check (check.py does) and does not print.
"""

from __future__ import annotations

from collections.abc import Iterable

from smallfirst.accounts.keys import is_required
from smallfirst.cli.settings import Settings
from smallfirst.core import Model, Price, Replica, Tier
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.models import presets
from smallfirst.models.catalogue import Catalogue
from smallfirst.models.settings import ModelSettings, ProviderSettings
from smallfirst.policy.build import default_settings
from smallfirst.policy.settings import PolicySettings
from smallfirst.policy.threshold import ACCEPT
from smallfirst.privacy.rules import Rules
from smallfirst.store.connection import shown

USUAL_TIERS = ("slm", "mid", "frontier")


def tiers_of(settings: Settings) -> tuple[Tier, ...]:
    """The tiers as they are written, lowest first; names that no model has are kept. None written: as presets stand."""
    if settings.tiers:
        return tuple(Tier(name, tuple(models)) for entry in settings.tiers for name, models in entry.items())
    usual = {n: presets.find(model.preset or n) for n, model in settings.models.items() if not model.embeds}
    named = {tier: tuple(n for n, one in usual.items() if one and one.tier == tier) for tier in USUAL_TIERS}
    return tuple(Tier(tier, names) for tier, names in named.items() if names)


def models_of(settings: Settings) -> tuple[Model, ...]:
    """The models with what privacy rules look at: providers, locations, terms. Nothing can be sent to these."""
    tier_of = {name: tier.name for tier in tiers_of(settings) for name in tier.models}
    return tuple(
        Model(name, tier_of.get(name, ""), tuple(_replicas(model, settings.providers)))
        for name, model in settings.models.items()
    )


def _replicas(model: ModelSettings, providers: dict[str, ProviderSettings]) -> Iterable[Replica]:
    names = [model.provider] if model.provider is not None else [one.provider for one in model.replicas]
    for name in names:
        provider = providers.get(name)
        if provider is not None and provider.runtime == "embedded":
            yield Replica(name, "", "", "device", retention_days=0, trains=False)  # as models/catalogue.py has it
        elif provider is not None:
            terms = provider.terms
            yield Replica(
                name, "", "", provider.location,
                retention_days=terms.retention_days, trains=terms.trains, baa=terms.baa,
            )  # fmt: skip


def explain(settings: Settings, catalogue: Catalogue | None = None) -> list[str]:
    """What was understood, in a fixed order: address, tiers, policies, privacy, baseline, ledger."""
    models = models_of(settings) if catalogue is None else tuple(catalogue.models.values())
    tiers = tiers_of(settings) if catalogue is None else catalogue.tiers
    keys = len(settings.keys.accept)
    needed = f"one of {keys} keys" if is_required(settings.keys) else "no key needed"
    lines = [f"listens on {settings.server.listen}, {needed}"]
    lines += _tier_lines(models, tiers)
    lines += _policy_lines(settings, tiers)
    lines += Rules.from_settings(settings.privacy).explain(models)
    lines.append(f"a query of which nobody says more is {settings.privacy.default_class}")
    lines.append(_baseline_line(settings, tiers, catalogue))
    lines += _monitor_lines(settings)
    lines.append(_ledger(settings.ledger))
    return lines


def _ledger(ledger: LedgerSettings) -> str:
    """`ledger: ledger.db in the data folder; no prompts, no answers`; a URL without its user and password."""
    place = shown(ledger.url) if ledger.url else "ledger.db in the data folder"
    if ledger.content == "none":
        return f"ledger: {place}; no prompts, no answers"
    kept = ", ".join(f"{name} {days} days" for name, days in ledger.content_days.items())
    return f"ledger: {place}; prompts and answers encrypted: {kept}"


def _tier_lines(models: tuple[Model, ...], tiers: tuple[Tier, ...]) -> list[str]:
    by_name = {model.name: model for model in models}
    lines = []
    for tier in tiers:
        shown = (_model_words(by_name[name]) for name in tier.models if name in by_name)
        lines.append(f"tier {tier.name}: {', '.join(shown)}")
    routed = {name for tier in tiers for name in tier.models}
    alone = [_model_words(model) for model in models if model.name not in routed]
    return [*lines, f"by name only: {', '.join(alone)}"] if alone else lines


def _model_words(model: Model) -> str:
    """`gemma-9b (premises)`, with the price per million tokens where it is known."""
    places = ", ".join(dict.fromkeys(replica.location for replica in model.replicas))
    price = f"; {_dollars(model.price)}" if model.price is not None else ""
    return f"{model.name} ({places}{price})"


def _dollars(price: Price) -> str:
    return f"${price.input / 1e9:,.2f} in, ${price.output / 1e9:,.2f} out per million tokens"


def _policy_lines(settings: Settings, tiers: tuple[Tier, ...]) -> list[str]:
    policies = dict(settings.policies)
    policies.setdefault("auto", default_settings(tiers))
    lines = [f"{name}: {_policy_words(policy, tiers)}" for name, policy in policies.items()]
    default = settings.default_policy
    return lines if default == "auto" else [*lines, f"callers who ask for `auto` get {default}"]


def _policy_words(policy: PolicySettings, tiers: tuple[Tier, ...]) -> str:
    if policy.kind == "fixed":
        return f"always {policy.model}"
    if policy.kind == "certified":
        return f"as certified in {policy.certificate}; {tiers[-1].name} where that is not in force"
    steps = [f"{tier.name}>={policy.accept.get(tier.name, ACCEPT):.2f}" for tier in tiers[:-1]]
    climb = " -> ".join([*steps, *(tier.name for tier in tiers[-1:])])
    if policy.kind == "panel" and policy.panel is not None:
        beside = " and the next tier" if policy.panel.with_mid else ""
        return f"panel of {', '.join(policy.panel.models)}{beside}, served where they agree; else {climb}"
    how = "cascade" if policy.kind == "cascade" else "by the query alone"
    return f"{how} {climb}"


def _monitor_lines(settings: Settings) -> list[str]:
    monitor = settings.monitor
    if monitor is None:
        return []
    certified = next((name for name, policy in settings.policies.items() if policy.kind == "certified"), None)
    policy = monitor.policy or certified or settings.default_policy
    limit = "" if monitor.usd_per_day is None else f", at most ${monitor.usd_per_day:g} a day"
    grader = f"{monitor.judge} grades" if monitor.judge else "people grade"
    asked = "every model" if monitor.shadow == "all" else "the baseline"
    kept = f"; texts are kept up to class {monitor.keep_up_to}" if monitor.keep == "audited" else ""
    words = f"audits {monitor.audit_rate:.2%} of the requests of {policy}: {asked} answers them too{limit}"
    lines = [f"{words}; {grader}{kept}"]
    if policy == certified:
        words = f"alarm: at most {monitor.alpha:g} chance of a false one within {monitor.horizon:,} audits"
        lines.append(f"{words}; then the highest permitted tier answers")
    return lines


def _baseline_line(settings: Settings, tiers: tuple[Tier, ...], catalogue: Catalogue | None) -> str:
    if catalogue is not None:
        return f"savings are measured against {catalogue.baseline.model} ({catalogue.baseline.method})"
    highest = tiers[-1].models[0] if len(tiers) > 1 else f"the list price of {settings.baseline.reference}"
    return f"savings are measured against {settings.baseline.model or highest}"
