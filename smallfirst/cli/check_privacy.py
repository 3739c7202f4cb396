"""What is wrong in `privacy` and `keys`: rules that contradict each other, match nothing, or leave a class no model.

Pure, as check.py, which calls this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from smallfirst.accounts.keys import key_problems
from smallfirst.cli.explain import models_of, tiers_of
from smallfirst.cli.finding import Finding, Path, fault
from smallfirst.cli.settings import Settings
from smallfirst.config.nearest import hint
from smallfirst.core import DataClass
from smallfirst.privacy.build import detection_problems
from smallfirst.privacy.classes import NAMES
from smallfirst.privacy.rules import (
    Asker,
    Permits,
    Rules,
    contradictions,
    idle_rules,
    rule_problems,
    several,
)

_RULES = ("privacy", "rules")


def privacy_findings(settings: Settings) -> Iterator[Finding]:
    """Everything found in the two sections."""
    privacy = settings.privacy
    problems = [
        *rule_problems(privacy),
        *contradictions(privacy),
        *detection_problems(privacy),
        *key_problems(settings.keys, settings.teams),
    ]
    yield from (fault(path, words) for path, words in problems)
    yield from _names(settings)
    if any(rule.do == "redact" for rule in privacy.rules or ()) and not privacy.presidio:
        words = "names are not found without Presidio, and what is not found is not redacted: set privacy.presidio"
        yield Finding("warning", _RULES, words)
    if not problems and settings.models:
        yield from _reach(settings)


def _names(settings: Settings) -> Iterator[Finding]:
    """Teams that a rule names and nobody has. Keys are not checked: they are also made while the gateway runs."""
    for index, rule in enumerate(settings.privacy.rules or ()):
        for name in several(rule.when.team) if rule.when is not None and rule.when.team is not None else ():
            if name not in settings.teams:
                path: Path = (*_RULES, str(index), "when", "team")
                yield fault(path, f"unknown team `{name[:60]}`{hint(name, settings.teams)}")


def _reach(settings: Settings) -> Iterator[Finding]:
    """Rules that match no model, and classes that no model may see."""
    rules, models = Rules.from_settings(settings.privacy), models_of(settings)
    for index in idle_rules(settings.privacy, models):
        yield Finding("warning", (*_RULES, str(index), "to"), "matches none of the configured models")
    permits = rules.permits(models)
    if permits.conditional:  # what a class may reach depends on who asks
        yield from _shut_out(settings, permits)
        return
    routed = {name for tier in tiers_of(settings) for name in tier.models}
    stuck = [name for name in NAMES if not routed & {one for one, _ in permits.for_class(DataClass[name]).replicas}]
    if settings.privacy.default_class in stuck:
        words = f"no model of any tier may see `{settings.privacy.default_class}`, the class of a query of which nobody"
        yield fault(("privacy", "default_class"), f"{words} says more: nothing could be asked")
    rest = [name for name in stuck if name != settings.privacy.default_class]
    if rest:
        words = f"no model of any tier may see {_listed(rest)}: such queries will be refused"
        yield Finding("warning", _RULES, words)


def _shut_out(settings: Settings, permits: Permits) -> Iterator[Finding]:
    """Rules for some callers after which these could ask nothing at all."""
    for index, rule in enumerate(settings.privacy.rules or ()):
        when = rule.when
        if when is None or rule.do == "allow":
            continue
        key, team, tag, route = (next(iter(several(named or ())), None) for named in
                                 (when.key, when.team, when.tag, when.route))  # fmt: skip
        asker = Asker(key, team, (tag,) if tag else (), route or "auto")
        if not any(permits.for_class(of, asker).replicas for of in DataClass):
            words = "leaves those whom it speaks of no model for any class: nothing could be asked"
            yield fault((*_RULES, str(index), "do"), words)


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
