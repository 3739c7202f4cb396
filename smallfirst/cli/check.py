"""What no section can see alone: names that must exist elsewhere, keys beside an open address, unreachable classes.

Pure: settings and the file's lines in, findings out. Does not read files, build parts or print. Each section's own
rules stay in its room (privacy/rules.py, accounts/keys.py, policy/build.py); they are called here for the line numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from smallfirst.accounts.keys import is_required
from smallfirst.accounts.settings import KeySettings, TeamSettings
from smallfirst.cli.addresses import host_and_port, is_loopback, url_problem
from smallfirst.cli.check_models import model_findings, number_findings, provider_findings, tier_findings
from smallfirst.cli.check_privacy import privacy_findings
from smallfirst.cli.explain import tiers_of
from smallfirst.cli.finding import Finding, Path, fault
from smallfirst.cli.settings import Settings
from smallfirst.config.nearest import hint
from smallfirst.errors import ConfigError
from smallfirst.policy.build import policy_problems
from smallfirst.privacy.classes import parse_class
from smallfirst.tasks.registry import task_problems, wire_name

Lines = Mapping[Path, int]


def check(settings: Settings, lines: Lines) -> list[Finding]:
    """Everything found, in the order of the file's lines. `lines` may be empty for settings that came from no file."""
    found = [
        *number_findings(settings),
        *_server(settings),
        *_admin(settings),
        *_ledger(settings),
        *provider_findings(settings, lines),
        *model_findings(settings),
        *tier_findings(settings, lines),
        *_policies(settings),
        *(fault(path, words) for path, words in task_problems(settings.tasks, settings.policies, settings.models)),
        *_names(settings),
        *_monitor(settings),
        *privacy_findings(settings),
    ]
    placed = [msgspec.structs.replace(one, line=_line(one.path, lines)) for one in found]
    return sorted(dict.fromkeys(placed), key=lambda one: one.line or 0)


def require(settings: Settings, lines: Lines) -> list[Finding]:
    """The warnings and notes. Raises ConfigError with every error."""
    found = check(settings, lines)
    errors = [str(one) for one in found if one.level == "error"]
    if errors:
        raise ConfigError(errors)
    return found


def _line(path: Path, lines: Lines) -> int | None:
    """Where `path` stands, or the nearest thing around it that is in the file."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)


def _server(settings: Settings) -> Iterator[Finding]:
    at = ("server", "listen")
    address = host_and_port(settings.server.listen)
    if address is None:
        yield fault(at, "must be HOST:PORT, such as 127.0.0.1:4000")
    elif not is_loopback(address[0]) and not is_required(settings.keys):
        words = "open to other machines, and no key is required: anyone who reaches it can spend your money"
        yield Finding("warning", at, f"{words}; list keys under keys.accept")


def _admin(settings: Settings) -> Iterator[Finding]:
    at = ("server", "admin_listen")
    address = host_and_port(settings.server.admin_listen)
    if address is None:
        yield fault(at, "must be HOST:PORT, such as 127.0.0.1:4001")
    elif settings.server.admin_key is not None and not is_loopback(address[0]):
        yield Finding("warning", at, "the admin API is open to other machines; whoever has its key can make keys")
    yield from _class(("cache", "up_to"), settings.cache.up_to)
    for field in ("ttl_s", "max_entries", "max_mb"):
        value = getattr(settings.cache, field)
        if value is not None and value <= 0:
            yield fault(("cache", field), "must be above 0")
    if settings.server.otlp is not None and (problem := url_problem(settings.server.otlp)) is not None:
        yield fault(("server", "otlp"), problem)
    for field in ("ttl_s", "max_sessions"):
        value = getattr(settings.sessions, field)
        if value is not None and value <= 0:
            yield fault(("sessions", field), "must be above 0")
    url = settings.keys.url
    if url is not None and not url.startswith(("sqlite:///", "postgresql://", "postgres://")):
        yield fault(("keys", "url"), "must be sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE")


def _ledger(settings: Settings) -> Iterator[Finding]:
    yield from _class(("ledger", "intent_from"), settings.ledger.intent_from)
    for name, days in settings.ledger.retention_days.items():
        yield from _class(("ledger", "retention_days", name), name)
        if days < 1:
            yield fault(("ledger", "retention_days", name), f"{days} is too few; the least is a day")
    url = settings.ledger.url
    if url is not None and not (url.startswith("sqlite:///") and len(url) > len("sqlite:///")):
        later = "; PostgreSQL is known, but not in this version" if url.startswith("postgres") else ""
        yield fault(("ledger", "url"), f"must be sqlite:///PATH (sqlite:////PATH from the root){later}")


def _class(path: Path, name: str) -> Iterator[Finding]:
    try:
        parse_class(name)
    except ValueError as error:
        yield fault(path, str(error))


def _policies(settings: Settings) -> Iterator[Finding]:
    tiers = tiers_of(settings)
    for name, policy in settings.policies.items():
        if name in settings.models:
            yield fault(("policies", name), "a model has this name too, and callers could not tell them apart")
        for problem in policy_problems(policy, tiers):
            field, _, words = problem.partition(": ")
            yield fault(("policies", name, *field.strip(".").split(".", 1)), words)
    known = dict.fromkeys(("auto", *settings.policies))
    if settings.default_policy not in known:
        words = f"unknown policy `{settings.default_policy[:60]}`{hint(settings.default_policy, known)}"
        yield fault(("default_policy",), words)


def _monitor(settings: Settings) -> Iterator[Finding]:
    monitor, at = settings.monitor, ("monitor",)
    if monitor is None:
        return
    known = dict.fromkeys(("auto", *settings.policies))
    if monitor.policy is not None and monitor.policy not in known:
        yield fault((*at, "policy"), f"unknown policy `{monitor.policy[:60]}`{hint(monitor.policy, known)}")
    certified = [name for name, policy in settings.policies.items() if policy.kind == "certified"]
    if monitor.policy is None and len(certified) > 1:
        yield fault(at, f"several policies are certified ({', '.join(certified)}); say which with `policy`")
    for field in ("audit_rate", "alpha"):
        value = getattr(monitor, field)
        if not 0 < value <= (1 if field == "audit_rate" else 0.5):
            yield fault((*at, field), f"{value} is not above 0 and at most {1 if field == 'audit_rate' else 0.5}")
    if monitor.usd_per_day is not None and monitor.usd_per_day < 0:
        yield fault((*at, "usd_per_day"), f"{monitor.usd_per_day} is too small; the least is 0")
    yield from _class((*at, "keep_up_to"), monitor.keep_up_to)
    if monitor.keep == "audited":
        words = f"prompts and answers of audited requests are kept, up to class `{monitor.keep_up_to}`"
        yield Finding("note", (*at, "keep"), f"{words}, in a file in the data folder; docs/certificates.md says more")
    if monitor.judge is None and monitor.keep == "none" and monitor.policy not in (None, *_uncertified(settings)):
        words = "no judge, and no texts are kept: nobody could grade, so the detectors would never learn anything"
        yield Finding("warning", at, f"{words}; set `judge: MODEL`, or `keep: audited` and run `smallfirst grade`")


def _uncertified(settings: Settings) -> list[str]:
    return [name for name, policy in settings.policies.items() if policy.kind != "certified"]


def _names(settings: Settings) -> Iterator[Finding]:
    """Models that are named outside of tiers and policies."""
    used: list[tuple[Path, str]] = []
    if settings.baseline.model is not None:
        used.append((("baseline", "model"), settings.baseline.model))
    if settings.monitor is not None and settings.monitor.judge is not None:
        used.append((("monitor", "judge"), settings.monitor.judge))
    policies = dict.fromkeys(("auto", *settings.policies, *(wire_name(*task) for task in settings.tasks.items())))
    holders: list[tuple[Path, KeySettings | TeamSettings]] = [
        (("keys", "accept", str(index)), key) for index, key in enumerate(settings.keys.accept)
    ]
    holders += [(("teams", name), team) for name, team in settings.teams.items()]
    for at, terms in holders:
        used += [((*at, "models", str(n)), name) for n, name in enumerate(terms.models or ())]
        for n, name in enumerate(terms.policies or ()):
            if name not in policies:
                yield fault((*at, "policies", str(n)), f"unknown policy `{name[:60]}`{hint(name, policies)}")
    for index, rule in enumerate(settings.privacy.rules or ()):
        model = None if rule.to == "any" else rule.to.model
        names = () if model is None else (model,) if isinstance(model, str) else model
        used += [(("privacy", "rules", str(index), "to", "model"), name) for name in names]
    for path, name in used:
        if name not in settings.models:
            yield fault(path, f"unknown model `{name[:60]}`{hint(name, settings.models)}")
