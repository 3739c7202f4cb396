"""Client keys: who may use the gateway, and what each key may name.

Knows SHA-256 digests of keys, never a key itself once the config is read. Does not know HTTP: it is handed the text of
two headers. No message ever holds what the caller sent.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from hashlib import sha256

import msgspec

from smallfirst.accounts.limits import Limits, limit_problems, limits_of
from smallfirst.accounts.settings import KeySettings, KeysSettings, TeamSettings
from smallfirst.config.nearest import hint
from smallfirst.core import DataClass
from smallfirst.errors import ConfigError, Forbidden, Unauthenticated
from smallfirst.privacy.classes import parse_class

_MISSING = "this gateway needs a key; send it as `Authorization: Bearer <key>` or as `x-api-key: <key>`"
_INVALID = "this key is not known here"
_EXPIRED = "this key has expired; ask whoever gave it to you for a new one"

Problems = list[tuple[tuple[str, ...], str]]


class Key(msgspec.Struct, frozen=True):
    """One client key, its team's terms already in it. None: everything. `min_class` raises each of its queries."""

    name: str
    models: frozenset[str] | None = None
    min_class: DataClass | None = None
    policies: frozenset[str] | None = None
    classes: frozenset[DataClass] | None = None
    tags: tuple[str, ...] = ()
    team: str | None = None
    limits: Limits = Limits()
    team_limits: Limits = Limits()
    metered: bool = False  # it, or its team, has a limit of any kind
    expires_s: int | None = None  # UTC seconds since 1970

    def check(self, asked: str, named_model: bool, data_class: DataClass) -> None:
        """Raises Forbidden where this key may not name `asked`, or may not send data of this class."""
        if not named_model and self.policies is not None and asked not in self.policies:
            raise Forbidden(f"this key may not use the policy {asked!r}", code="policy_not_allowed", param="model")
        if self.classes is not None and data_class not in self.classes:
            words = f"this key may not send data of class {data_class.name}"
            raise Forbidden(words, code="class_not_allowed", param="smallfirst.data_class")


class Keys:
    """All client keys, by digest: those of the config, and those of the database as `replace_stored` last gave them."""

    def __init__(self, by_digest: Mapping[bytes, Key], *, required: bool, optional: bool = False) -> None:
        self._listed = dict(by_digest)
        self._by_digest = self._listed
        self.required, self._optional = required, optional

    @classmethod
    def from_settings(cls, settings: KeysSettings, teams: Mapping[str, TeamSettings] | None = None) -> Keys:
        """Raises ConfigError with every problem of the section."""
        problems = key_problems(settings, teams or {})
        if problems:
            raise ConfigError([f"{'.'.join(path)}: {problem}" for path, problem in problems])
        by_digest = {digest(one.key): make_key(one.name, one, teams or {}) for one in settings.accept}
        return cls(by_digest, required=is_required(settings), optional=settings.required is False)

    @property
    def listed(self) -> tuple[Key, ...]:
        """The keys of the config."""
        return tuple(self._listed.values())

    def replace_stored(self, by_digest: Mapping[bytes, Key], *, ever: bool) -> None:
        """The database's keys as they are now. `ever`: one was created at some time, so that a key is required from
        then on, also when the last one has been revoked (unless the config says otherwise)."""
        self._by_digest = {**by_digest, **self._listed}
        self.required = self.required or (ever and not self._optional)

    def check(self, authorization: str | None = None, api_key: str | None = None) -> Key | None:
        """The key behind the two headers' values, `Authorization` first; None where none is required and none known.

        Raises Unauthenticated (`missing_api_key`, `invalid_api_key`, `expired_api_key`). A digest and a look-up: about
        a microsecond.
        """
        given = _bearer(authorization) or api_key
        if given:
            key = self._by_digest.get(digest(given))
            if key is not None and key.expires_s is not None and time.time() >= key.expires_s:
                raise Unauthenticated(_EXPIRED, code="expired_api_key")
            if key is not None or not self.required:
                return key
            raise Unauthenticated(_INVALID, code="invalid_api_key")
        if self.required:
            raise Unauthenticated(_MISSING, code="missing_api_key")
        return None


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a stored key may do, as the database and the admin API write it; the fields of KeySettings."""

    team: str | None = None
    models: tuple[str, ...] | None = None
    policies: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    min_class: str | None = None
    tags: tuple[str, ...] = ()
    usd_per_day: float | None = None
    usd_per_month: float | None = None
    usd_total: float | None = None
    rpm: int | None = None
    tpm: int | None = None


_NO_TEAM = TeamSettings()


def make_key(
    name: str, terms: KeySettings | Terms, teams: Mapping[str, TeamSettings], expires_s: int | None = None
) -> Key:
    """A key with its team's terms: what either forbids is forbidden, and the limits of both hold."""
    team = teams.get(terms.team or "") or _NO_TEAM
    limits, team_limits = limits_of(terms), limits_of(team)
    classes = _both(terms.classes, team.classes)
    least = [parse_class(one) for one in (terms.min_class, team.min_class) if one is not None]
    return Key(
        name,
        models=_both(terms.models, team.models),
        min_class=max(least, default=None),
        policies=_both(terms.policies, team.policies),
        classes=None if classes is None else frozenset(parse_class(one) for one in classes),
        tags=tuple(dict.fromkeys((*terms.tags, *team.tags))),
        team=terms.team,
        limits=limits,
        team_limits=team_limits,
        metered=limits.any or team_limits.any,
        expires_s=expires_s,
    )


def _both(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> frozenset[str] | None:
    if one is None or other is None:
        given = one if one is not None else other
        return None if given is None else frozenset(given)
    return frozenset(one) & frozenset(other)


def is_required(settings: KeysSettings) -> bool:
    """Whether callers must bring a key: as the config says, else as soon as one is listed."""
    return bool(settings.accept) if settings.required is None else settings.required


def key_problems(settings: KeysSettings, teams: Mapping[str, TeamSettings] | None = None) -> Problems:
    """What is wrong with the sections: (key path, words). Two names may not be alike: the ledger knows keys by name."""
    found: Problems = []
    names: dict[str, int] = {}
    digests: dict[bytes, str] = {}
    for index, one in enumerate(settings.accept):
        at = ("keys", "accept", str(index))
        if not one.name.strip():
            found.append(((*at, "name"), "a key needs a name"))
        if names.setdefault(one.name, index) != index:
            found.append(((*at, "name"), f"two keys are called `{one.name}`"))
        if not one.key.strip():
            found.append(((*at, "key"), "this key is empty; is its environment variable set?"))
        elif (other := digests.setdefault(digest(one.key), one.name)) != one.name:
            found.append(((*at, "key"), f"the same secret as that of `{other}`"))
        found += [((*at, *path), words) for path, words in term_problems(one, teams or {})]
    for name, team in (teams or {}).items():
        found += [(("teams", name, *path), words) for path, words in _terms_alone(team)]
    if settings.max_tokens < 1:
        found.append((("keys", "max_tokens"), "must be at least 1"))
    return found


def term_problems(terms: KeySettings | Terms, teams: Mapping[str, TeamSettings]) -> Problems:
    """What is wrong with the terms of one key, by field."""
    found = _terms_alone(terms)
    if terms.team is not None and terms.team not in teams:
        found.append((("team",), f"there is no team called `{terms.team[:60]}`{hint(terms.team, teams)}"))
    return found


def _terms_alone(terms: KeySettings | Terms | TeamSettings) -> Problems:
    found: Problems = [((field,), words) for field, words in limit_problems(limits_of(terms))]
    named: Problems = [(("classes", str(n)), one) for n, one in enumerate(terms.classes or ())]
    if terms.min_class is not None:
        named.append((("min_class",), terms.min_class))
    for path, name in named:
        try:
            parse_class(name)
        except ValueError as error:
            found.append((path, str(error)))
    return found


def _bearer(authorization: str | None) -> str | None:
    """The token of `Bearer <token>` (RFC 6750; the scheme in any case), or None."""
    if not authorization or authorization[:7].lower() != "bearer ":
        return None
    return authorization[7:].strip()


def digest(secret: str) -> bytes:
    """What is kept of a key."""
    return sha256(secret.strip().encode("utf-8", "surrogatepass")).digest()
