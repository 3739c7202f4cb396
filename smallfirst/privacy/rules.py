"""Rules -> permits: which replica of which model may see a query of which data class.

Knows data classes, locations and terms. Does not know queries, keys or policies, and sends nothing. What is not
allowed is denied: by no rule, by any rule that says deny, and wherever a provider leaves unsaid what a rule asks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal

import msgspec

from smallfirst.core import DataClass, Model, Permit, Replica
from smallfirst.errors import ConfigError
from smallfirst.privacy.classes import NAMES, parse_class
from smallfirst.privacy.locations import location_problem, may_lie_within, surely_lies_within
from smallfirst.privacy.presets import PRESETS
from smallfirst.privacy.settings import PrivacySettings, RuleSettings, TargetSettings, WhenSettings

DEFAULT_RULES = (
    RuleSettings(classes=("public", "internal"), to="any", do="allow"),
    RuleSettings(
        classes=("personal", "health", "financial", "secret"),
        to=TargetSettings(location=("device", "premises")),
        do="allow",
    ),
)
"""What holds where the config has no rules."""

WHENS = ("key", "team", "tag", "route")


class Asker(msgspec.Struct, frozen=True):
    """Who asks, as far as rules care."""

    key: str | None = None
    team: str | None = None
    tags: tuple[str, ...] = ()
    route: str = ""


NOBODY = Asker()


class Rule(msgspec.Struct, frozen=True):
    """One rule, ready to be matched. `target` None: any replica. `name` is what the audit trail calls it."""

    name: str
    classes: frozenset[DataClass]
    target: TargetSettings | None
    do: Literal["allow", "redact", "deny"]
    when: WhenSettings | None = None

    def applies(self, asker: Asker) -> bool:
        """Whether it speaks of this caller's queries."""
        when = self.when
        return when is None or (
            (when.key is None or asker.key in several(when.key))
            and (when.team is None or asker.team in several(when.team))
            and (when.tag is None or not set(several(when.tag)).isdisjoint(asker.tags))
            and (when.route is None or asker.route in several(when.route))
        )

    def matches(self, data_class: DataClass, model: str, replica: Replica, *, unknown: bool) -> bool:
        """Whether this rule speaks about sending this class to this replica; `unknown`: what a provider has not stated
        counts as a match.

        What is not stated never helps a provider: an allow does not match the unknown, a deny does. A redact restricts
        where it may match and permits where it surely does.
        """
        if data_class not in self.classes:
            return False
        target = self.target
        if target is None:
            return True
        within = may_lie_within if unknown else surely_lies_within
        return (
            (target.location is None or any(within(replica.location, place) for place in several(target.location)))
            and (target.model is None or model in several(target.model))
            and _agrees(target.trains, replica.trains, _same, unknown)
            and _agrees(target.baa, replica.baa, _same, unknown)
            and _agrees(target.retention_days, replica.retention_days, _at_most, unknown)
        )


class Permits:
    """The permit of every data class for the configured models, worked out once for each kind of asker."""

    def __init__(self, rules: Sequence[Rule], models: Sequence[Model], only: Collection[str] | None = None) -> None:
        self._rules, self._models, self._only = tuple(rules), tuple(models), only
        self._conditional = [rule for rule in rules if rule.when is not None]
        self._usual = {data_class: self._make(data_class, NOBODY) for data_class in DataClass}
        self._known: dict[tuple[DataClass, tuple[bool, ...]], Permit] = {}

    @property
    def conditional(self) -> bool:
        """Whether it matters who asks."""
        return bool(self._conditional)

    def for_class(self, data_class: DataClass, asker: Asker = NOBODY) -> Permit:
        """The permit; its `replicas` are empty where no model may see this class."""
        if asker is NOBODY or not self._conditional:
            return self._usual[data_class]
        shape = (data_class, tuple([rule.applies(asker) for rule in self._conditional]))
        known = self._known.get(shape)
        if known is None:
            known = self._known[shape] = self._make(data_class, asker)
        return known

    def narrow(self, models: Collection[str]) -> Permits:
        """The same, for these models only."""
        kept = frozenset(models)
        return Permits(self._rules, self._models, kept if self._only is None else kept.intersection(self._only))

    def _make(self, data_class: DataClass, asker: Asker) -> Permit:
        permit = make_permit([rule for rule in self._rules if rule.applies(asker)], data_class, self._models)
        return permit if self._only is None else narrow(permit, self._only)


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
        return cls(_rule(name, rule) for name, rule in written(settings))

    def permit(self, data_class: DataClass, models: Iterable[Model], asker: Asker = NOBODY) -> Permit:
        """Which replicas of `models` may see a query of this class.

        A (model, provider) pair stands in it only if every replica behind that pair may see it.
        """
        return make_permit([rule for rule in self._rules if rule.applies(asker)], data_class, tuple(models))

    def permits(self, models: Iterable[Model]) -> Permits:
        """The permits of all classes, so that a request costs a look-up."""
        return Permits(self._rules, tuple(models))

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
        lines = [f"{', '.join(names)}: {'reach' if len(names) > 1 else 'reaches'} {reach}" for names, reach in groups]
        return [*lines, *(describe(rule) for rule in self._rules if rule.when is not None)]


def written(settings: PrivacySettings) -> list[tuple[str, RuleSettings]]:
    """The rules in force and what each is called: the preset's, then the file's; the default's where there are none."""
    preset = PRESETS[settings.preset] if settings.preset else ()
    named = [(f"{settings.preset} rule {number}", rule) for number, rule in enumerate(preset, 1)]
    if settings.rules is None and not named:
        return [(f"default rule {number}", rule) for number, rule in enumerate(DEFAULT_RULES, 1)]
    return named + [(f"rule {number}", rule) for number, rule in enumerate(settings.rules or (), 1)]


def make_permit(rules: Sequence[Rule], data_class: DataClass, models: Sequence[Model]) -> Permit:
    """What these rules, all of which apply, say about sending this class to these models."""
    allowed: set[tuple[str, str]] = set()
    denied: set[tuple[str, str]] = set()
    redacted: set[tuple[str, str]] = set()
    spoke: list[str] = []
    for model in models:
        for replica in model.replicas:
            said = _said(rules, data_class, model.name, replica)
            spoke += [describe(rule, names_keys=False) for rule in said]
            does = {rule.do for rule in said}
            at = (model.name, replica.provider)
            may = any(
                rule.matches(data_class, model.name, replica, unknown=False) for rule in said if rule.do != "deny"
            )
            (allowed if may and "deny" not in does else denied).add(at)
            if "redact" in does:
                redacted.add(at)
    words = "; ".join(dict.fromkeys(spoke)) or f"no rule allows {data_class.name} data to any of these models"
    kept = frozenset(allowed - denied)
    return Permit(data_class, kept, words, kept & redacted)


def _said(rules: Sequence[Rule], data_class: DataClass, model: str, replica: Replica) -> list[Rule]:
    """The rules that speak about this replica, each on its cautious side."""
    return [rule for rule in rules if rule.matches(data_class, model, replica, unknown=rule.do != "allow")]


def unredacted(permit: Permit) -> Permit:
    """`permit` without those that may see only a redacted query: for one that can't be redacted."""
    return Permit(permit.data_class, permit.replicas - permit.redact, permit.rule)


def narrow(permit: Permit, models: Collection[str]) -> Permit:
    """`permit` for these models only; never for more than before."""
    kept = frozenset(pair for pair in permit.replicas if pair[0] in models)
    return Permit(permit.data_class, kept, permit.rule, permit.redact & kept)


def refusal(permit: Permit, model: str | None = None, why: Sequence[str] = ()) -> str:
    """What to tell a caller whose query no model may see; names the class, why it is one (`why`), and the rules that
    spoke."""
    asked = f"the model {model}" if model else "any configured model"
    cause = f" because of {', '.join(why)}" if why else ""
    if "token_ids" in why:
        cause += " (a text as token numbers can't be looked into: send the text, or set privacy.categories.token_ids)"
    return (
        f"data of class {permit.data_class.name}{cause} may not be sent to {asked} ({permit.rule}); where it may go is "
        "for `privacy.rules` in the gateway's config to say"
    )


def describe(rule: Rule, *, names_keys: bool = True) -> str:
    """`rule 2 allows personal, health to any model at device or premises`.

    `names_keys` False: for the audit trail, which keeps for ever what it is given, and a key may be called as a person.
    """
    names = ", ".join(data_class.name for data_class in sorted(rule.classes))
    does = {"allow": "allows", "redact": "allows, redacted,", "deny": "denies"}[rule.do]
    return f"{rule.name} {does} {names} to {_target(rule.target)}{_when(rule.when, names_keys)}"


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
        if rule.do == "redact" and not settings.detect:
            found.append(((*at, "do"), "redact needs privacy.detect: what is not looked for can't be replaced"))
    return found


def contradictions(settings: PrivacySettings) -> list[tuple[tuple[str, ...], str]]:
    """Rules that say different things of the very same queries and replicas: one of them is a slip."""
    found: list[tuple[tuple[str, ...], str]] = []
    for index, rule in enumerate(settings.rules or ()):
        for number, other in enumerate((settings.rules or ())[:index], 1):
            if (rule.to, rule.when) == (other.to, other.when) and rule.do != other.do:
                shared = sorted(set(rule.classes) & set(other.classes))
                if shared:
                    words = f"rule {number} says {other.do} of {', '.join(shared)} to the same; keep one of the two"
                    found.append((("privacy", "rules", str(index), "do"), words))
    return found


def _target_problems(target: TargetSettings, do: str) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    places = () if target.location is None else several(target.location)
    for place in places:
        problem = location_problem(place)
        if problem is not None:
            found.append((("location",), problem))
    for field, value in (("location", target.location), ("model", target.model)):
        if value is not None and not several(value):
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
    return Rule(name, classes, None if rule.to == "any" else rule.to, rule.do, rule.when)


def idle_rules(settings: PrivacySettings, models: Sequence[Model]) -> list[int]:
    """Places in `rules` whose target is none of these models."""
    idle = []
    for index, rule in enumerate(settings.rules or ()):
        made = _rule("", rule)
        if not any(
            made.matches(data_class, model.name, replica, unknown=rule.do != "allow")
            for data_class in made.classes
            for model in models
            for replica in model.replicas
        ):
            idle.append(index)
    return idle


def _when(when: WhenSettings | None, names_keys: bool) -> str:
    if when is None:
        return ""
    said = [
        f"{name} is {' or '.join(several(value)) if names_keys or name != 'key' else 'one that the rule names'}"
        for name in WHENS
        if (value := getattr(when, name)) is not None
    ]
    return f" when {' and '.join(said)}" if said else ""


def several(value: str | tuple[str, ...]) -> tuple[str, ...]:
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
    words = "any model" if target.model is None else " or ".join(several(target.model))
    if target.location is not None:
        words += f" at {' or '.join(several(target.location))}"
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
            name = model.name if len(seen) == len(providers) else f"{model.name} (at {', '.join(seen)})"
            only = all((model.name, provider) in permit.redact for provider in seen)
            parts.append(f"{name} redacted" if only else name)
            whole = whole and not only
    if not parts:
        return "no model"
    return "every model" if whole and len(parts) > 1 else f"{', '.join(parts)} only"
