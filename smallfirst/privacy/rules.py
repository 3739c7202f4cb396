"""Rules -> permits: which replica of which model may see a query of which data class.

Knows data classes, locations and terms. Does not know queries, keys or policies, and sends nothing. What is not
allowed is denied: by no rule, by any rule that says deny, and wherever a provider leaves unsaid what a rule asks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal

import msgspec

from smallfirst.core import DataClass, Model, Permit, Replica
from smallfirst.errors import ConfigError
from smallfirst.privacy.classes import NAMES, parse_class
from smallfirst.privacy.locations import location_problem, may_lie_within, surely_lies_within
from smallfirst.privacy.settings import PrivacySettings, RuleSettings, TargetSettings

DEFAULT_RULES = (
    RuleSettings(classes=("public", "internal"), to="any", do="allow"),
    RuleSettings(
        classes=("personal", "health", "financial", "secret"),
        to=TargetSettings(location=("device", "premises")),
        do="allow",
    ),
)
"""What holds where the config has no rules."""


class Rule(msgspec.Struct, frozen=True):
    """One rule, ready to be matched. `target` None: any replica. `name` is what the audit trail calls it."""

    name: str
    classes: frozenset[DataClass]
    target: TargetSettings | None
    do: Literal["allow", "deny"]

    def matches(self, data_class: DataClass, model: str, replica: Replica) -> bool:
        """Whether this rule speaks about sending this class to this replica.

        What a provider has not stated never helps it: an allow does not match the unknown, a deny does.
        """
        if data_class not in self.classes:
            return False
        target = self.target
        if target is None:
            return True
        unknown = self.do == "deny"
        within = may_lie_within if unknown else surely_lies_within
        return (
            (target.location is None or any(within(replica.location, place) for place in _several(target.location)))
            and (target.model is None or model in _several(target.model))
            and _agrees(target.trains, replica.trains, _same, unknown)
            and _agrees(target.baa, replica.baa, _same, unknown)
            and _agrees(target.retention_days, replica.retention_days, _at_most, unknown)
        )


class Permits:
    """The permit of every data class for the configured models, worked out once."""

    def __init__(self, by_class: Mapping[DataClass, Permit]) -> None:
        self._by_class = dict(by_class)

    def for_class(self, data_class: DataClass) -> Permit:
        """The permit; its `replicas` are empty where no model may see this class."""
        return self._by_class[data_class]

    def narrow(self, models: Collection[str]) -> Permits:
        """The same, for these models only."""
        return Permits({data_class: narrow(permit, models) for data_class, permit in self._by_class.items()})


class Rules:
    """All rules of the config. No match: deny. Several: the strictest."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)

    @classmethod
    def from_settings(cls, settings: PrivacySettings) -> Rules:
        """Raises ConfigError with every problem of the section."""
        problems = rule_problems(settings)
        if problems:
            raise ConfigError([f"{'.'.join(path)}: {problem}" for path, problem in problems])
        given = settings.rules
        label = "default rule" if given is None else "rule"
        rules = DEFAULT_RULES if given is None else given
        return cls(_rule(f"{label} {number}", rule) for number, rule in enumerate(rules, 1))

    def permit(self, data_class: DataClass, models: Iterable[Model]) -> Permit:
        """Which replicas of `models` may see a query of this class.

        A (model, provider) pair stands in it only if every replica behind that pair may see it.
        """
        allowed: set[tuple[str, str]] = set()
        denied: set[tuple[str, str]] = set()
        spoke: list[str] = []
        for model in models:
            for replica in model.replicas:
                matching = [rule for rule in self._rules if rule.matches(data_class, model.name, replica)]
                spoke += [describe(rule) for rule in matching]
                may = bool(matching) and all(rule.do == "allow" for rule in matching)
                (allowed if may else denied).add((model.name, replica.provider))
        said = "; ".join(dict.fromkeys(spoke)) or f"no rule allows {data_class.name} data to any of these models"
        return Permit(data_class, frozenset(allowed - denied), said)

    def permits(self, models: Iterable[Model]) -> Permits:
        """The permits of all classes, so that a request costs a look-up."""
        listed = tuple(models)
        return Permits({data_class: self.permit(data_class, listed) for data_class in DataClass})

    def explain(self, models: Iterable[Model]) -> list[str]:
        """A line for each data class (neighbours that reach the same share one): `health: reaches gemma-9b only`."""
        listed = tuple(models)
        groups: list[tuple[list[str], str]] = []
        for data_class in DataClass:
            reach = _reach(self.permit(data_class, listed), listed)
            if groups and groups[-1][1] == reach:
                groups[-1][0].append(data_class.name)
            else:
                groups.append(([data_class.name], reach))
        return [f"{', '.join(names)}: {'reach' if len(names) > 1 else 'reaches'} {reach}" for names, reach in groups]


def narrow(permit: Permit, models: Collection[str]) -> Permit:
    """`permit` for these models only; never for more than before."""
    kept = frozenset(pair for pair in permit.replicas if pair[0] in models)
    return Permit(permit.data_class, kept, permit.rule)


def refusal(permit: Permit, model: str | None = None) -> str:
    """What to tell a caller whose query no model may see; names the class and the rules that spoke."""
    asked = f"the model {model}" if model else "any configured model"
    return f"data of class {permit.data_class.name} may not be sent to {asked} ({permit.rule})"


def describe(rule: Rule) -> str:
    """`rule 2 allows personal, health to any model at device or premises`."""
    names = ", ".join(data_class.name for data_class in sorted(rule.classes))
    return f"{rule.name} {'allows' if rule.do == 'allow' else 'denies'} {names} to {_target(rule.target)}"


def rule_problems(settings: PrivacySettings) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with the section: (key path, words), in the order of the file."""
    found: list[tuple[tuple[str, ...], str]] = []
    if settings.default_class not in NAMES:
        found.append((("privacy", "default_class"), _class_problem(settings.default_class)))
    for index, rule in enumerate(settings.rules or ()):
        at = ("privacy", "rules", str(index))
        found += [((*at, "class"), _class_problem(name)) for name in rule.classes if name not in NAMES]
        if not rule.classes:
            found.append(((*at, "class"), "a rule must name at least one data class"))
        if rule.to != "any":
            found += [((*at, "to", *path), problem) for path, problem in _target_problems(rule.to, rule.do)]
    return found


def _target_problems(target: TargetSettings, do: str) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    places = () if target.location is None else _several(target.location)
    for place in places:
        problem = location_problem(place)
        if problem is not None:
            found.append((("location",), problem))
    for field, value in (("location", target.location), ("model", target.model)):
        if value is not None and not _several(value):
            found.append(((field,), "an empty list matches nothing; leave it out to match everything"))
    if do == "deny" and target.retention_days is not None:
        words = "means `at most`, so a deny would refuse the careful providers; allow with retention_days instead"
        found.append((("retention_days",), words))
    return found


def _class_problem(name: str) -> str:
    try:
        parse_class(name)
    except ValueError as error:
        return str(error)
    return ""


def _rule(name: str, rule: RuleSettings) -> Rule:
    classes = frozenset(parse_class(one) for one in rule.classes)
    return Rule(name, classes, None if rule.to == "any" else rule.to, rule.do)


def _several(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _agrees(asked: int | None, stated: int | None, compare: Callable[[int, int], bool], unknown: bool) -> bool:
    if asked is None:
        return True
    return unknown if stated is None else compare(stated, asked)


def _same(stated: int, asked: int) -> bool:
    return stated == asked


def _at_most(stated: int, asked: int) -> bool:
    return stated <= asked


def _target(target: TargetSettings | None) -> str:
    if target is None:
        return "any model"
    words = "any model" if target.model is None else " or ".join(_several(target.model))
    if target.location is not None:
        words += f" at {' or '.join(_several(target.location))}"
    terms = [
        f"{name} is {str(value).lower()}"
        for name, value in (("trains", target.trains), ("baa", target.baa))
        if value is not None
    ]
    if target.retention_days is not None:
        terms.append(f"retention is at most {target.retention_days} days")
    return f"{words} where {' and '.join(terms)}" if terms else words


def _reach(permit: Permit, models: tuple[Model, ...]) -> str:
    parts: list[str] = []
    whole = True
    for model in models:
        providers = dict.fromkeys(replica.provider for replica in model.replicas)
        seen = [provider for provider in providers if (model.name, provider) in permit.replicas]
        whole = whole and len(seen) == len(providers)
        if seen:
            parts.append(model.name if len(seen) == len(providers) else f"{model.name} (at {', '.join(seen)})")
    if not parts:
        return "no model"
    return "every model" if whole and len(parts) > 1 else f"{', '.join(parts)} only"
