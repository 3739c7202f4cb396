"""From the `policies` section of the config to policies, with every mistake named.

Knows which settings each kind reads. Does not know the file they came from: the config's loader adds lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from smallfirst.core import Tier
from smallfirst.errors import ConfigError
from smallfirst.policy.cascade import Cascade
from smallfirst.policy.course import names
from smallfirst.policy.fixed import Fixed
from smallfirst.policy.give_up import GivingUp
from smallfirst.policy.hand_over import HandingOver
from smallfirst.policy.hedged import Hedged
from smallfirst.policy.panel import Panel
from smallfirst.policy.protocol import Policy
from smallfirst.policy.settings import PanelSettings, PolicySettings
from smallfirst.policy.threshold import Threshold

AUTO_ACCEPT = {"slm": 0.90, "mid": 0.80}
"""The default policy's thresholds: higher below, because a small model's mistakes are the ones to catch. Read off the
recorded ZeroEval and MMLU-Pro prompts (bench/quality/evaluate_recorded.py): the cheapest tried that lost less than 2%
on both; 0.85 and 0.70 lost 5% on ZeroEval, more than a coin of the same cost."""

READS = {
    "fixed": {"model"},
    "threshold": {"accept"},
    "cascade": {"accept", "try_above", "commit", "hand_over", "hedge", "give_up"},
    "panel": {"panel", "accept", "try_above", "hand_over", "hedge", "give_up"},
    "certified": {"certificate", "on_alarm", "hedge"},
}
"""Which settings each kind reads; one that is given and not read is a mistake in the config."""


def default_settings(tiers: tuple[Tier, ...]) -> PolicySettings:
    """What `auto` is where the config says nothing: a cascade over the tiers that exist."""
    there = {tier.name for tier in tiers}
    return PolicySettings(kind="cascade", accept={name: p for name, p in AUTO_ACCEPT.items() if name in there})


def policy_problems(settings: PolicySettings, tiers: tuple[Tier, ...]) -> list[str]:
    """What is wrong, each as `.field: words`. Files that are named are not looked at."""
    found = [*_unread(settings), *_numbers(settings, tiers), *_models(settings, tiers)]
    if settings.kind == "certified" and not settings.certificate:
        found.append(".certificate: a policy of kind certified needs the file that `smallfirst calibrate` wrote")
    return found


def build_policy(
    name: str,
    settings: PolicySettings,
    tiers: tuple[Tier, ...],
    certified: Callable[[str, PolicySettings], Policy] | None = None,
) -> Policy:
    """The policy that `settings` describe. Raises ConfigError with one line for each mistake found.

    `certified` makes a policy from a certificate: that takes files and digests, which this room does not know.
    """
    problems = policy_problems(settings, tiers)
    if problems:
        raise ConfigError([f"policies.{name}{problem}" for problem in problems])
    match settings.kind:
        case "fixed":
            return Fixed(name, settings.model or "")
        case "threshold":
            return Threshold(name, settings.accept)
        case "cascade":
            return _accompanied(Cascade(name, settings.accept, settings.try_above, settings.commit), settings)
        case "panel":
            above = Cascade(name, settings.accept, settings.try_above)
            panel = settings.panel or PanelSettings(models=())
            made = Panel(name, panel.models, above, with_mid=panel.with_mid, quick=panel.quick)
            return _accompanied(made, settings)
        case "certified":
            if certified is None:
                raise ConfigError([f"policies.{name}: a certified policy can't be made here"])
            return certified(name, settings)


def _accompanied(policy: Policy, settings: PolicySettings) -> Policy:
    """`policy` with what may stand around it; itself where nothing does."""
    if settings.give_up is not None:
        policy = GivingUp(policy, settings.give_up.beyond)
    if settings.hedge is not None:
        policy = Hedged(policy, settings.hedge.after, settings.accept)
    if settings.hand_over != "none":
        policy = HandingOver(policy, settings.hand_over)
    return policy


def goes_by_waits(settings: PolicySettings) -> bool:
    """Whether the policy asks how long models usually take."""
    hedged = settings.hedge is not None and settings.hedge.after == "p95"
    return hedged or (settings.give_up is not None and settings.give_up.beyond == "p95")


def _unread(settings: PolicySettings) -> Iterable[str]:
    plain = PolicySettings()
    for field in sorted(set().union(*READS.values())):
        if getattr(settings, field) != getattr(plain, field) and field not in READS[settings.kind]:
            readers = " or ".join(kind for kind, fields in READS.items() if field in fields)
            yield f".{field}: a policy of kind {settings.kind} does not read this; kind {readers} does"


def _numbers(settings: PolicySettings, tiers: tuple[Tier, ...]) -> Iterable[str]:
    there = [tier.name for tier in tiers]
    for tier, least in settings.accept.items():
        if tier not in there:
            yield f".accept.{tier}: there is no tier of this name{_nearest(tier, there)}"
        if not 0 <= least <= 1:
            yield f".accept.{tier}: {least} is not between 0 and 1"
    if not 0 <= settings.try_above <= 1:
        yield f".try_above: {settings.try_above} is not between 0 and 1"
    if settings.commit is not None and not 0 <= settings.commit.above <= 1:
        yield f".commit.above: {settings.commit.above} is not between 0 and 1"
    if settings.commit is not None and settings.commit.tokens < 1:
        yield f".commit.tokens: {settings.commit.tokens} is not 1 or more"
    if settings.hedge is not None and settings.hedge.after != "p95" and settings.hedge.after <= 0:
        yield f".hedge.after: {settings.hedge.after} is not above 0; give milliseconds, or p95"
    if settings.give_up is not None and settings.give_up.beyond != "p95" and settings.give_up.beyond <= 0:
        yield f".give_up.beyond: {settings.give_up.beyond} is not above 0; give milliseconds, or p95"


def _models(settings: PolicySettings, tiers: tuple[Tier, ...]) -> Iterable[str]:
    there = names(tiers)
    if settings.kind == "fixed":
        if settings.model is None:
            yield ".model: a policy of kind fixed needs the name of a model"
        elif settings.model not in there:
            yield f".model: no tier has a model called {settings.model!r}{_nearest(settings.model, there)}"
    if settings.kind == "panel":
        if settings.panel is None:
            yield ".panel: a policy of kind panel needs this: {models: [a, b]}"
            return
        for model in settings.panel.models:
            if model not in there:
                yield f".panel.models: no tier has a model called {model!r}{_nearest(model, there)}"
        if len(set(settings.panel.models)) < 2:
            yield ".panel.models: a panel needs at least two different models"
        elif len(set(settings.panel.models)) < len(settings.panel.models):
            yield ".panel.models: a model is named twice"


def _nearest(name: str, there: list[str]) -> str:
    close = difflib.get_close_matches(name, there, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(there)}" if there else "; none is configured"
