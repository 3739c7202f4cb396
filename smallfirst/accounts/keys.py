"""Client keys: who may use the gateway, and what each key may name.

Knows SHA-256 digests of keys, never a key itself once the config is read. Does not know HTTP: it is handed the text of
two headers. No message ever holds what the caller sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import msgspec

from smallfirst.accounts.settings import KeysSettings
from smallfirst.core import DataClass
from smallfirst.errors import ConfigError, Unauthenticated
from smallfirst.privacy.classes import parse_class

_MISSING = "this gateway needs a key; send it as `Authorization: Bearer <key>` or as `x-api-key: <key>`"
_INVALID = "this key is not known here"


class Key(msgspec.Struct, frozen=True):
    """One client key. `models` is what it may name (None: everything); `min_class` raises each of its queries."""

    name: str
    models: frozenset[str] | None = None
    min_class: DataClass | None = None


class Keys:
    """All client keys, by digest."""

    def __init__(self, by_digest: Mapping[bytes, Key], *, required: bool) -> None:
        self._by_digest, self.required = dict(by_digest), required

    @classmethod
    def from_settings(cls, settings: KeysSettings) -> Keys:
        """Raises ConfigError with every problem of the section."""
        problems = key_problems(settings)
        if problems:
            raise ConfigError([f"{'.'.join(path)}: {problem}" for path, problem in problems])
        by_digest = {
            _digest(one.key): Key(
                one.name,
                None if one.models is None else frozenset(one.models),
                None if one.min_class is None else parse_class(one.min_class),
            )
            for one in settings.accept
        }
        return cls(by_digest, required=is_required(settings))

    def check(self, authorization: str | None = None, api_key: str | None = None) -> Key | None:
        """The key behind the two headers' values, `Authorization` first; None where none is required and none known.

        Raises Unauthenticated (`missing_api_key`, `invalid_api_key`). A digest and a look-up: about a microsecond.
        """
        given = _bearer(authorization) or api_key
        if given:
            key = self._by_digest.get(_digest(given))
            if key is not None or not self.required:
                return key
            raise Unauthenticated(_INVALID, code="invalid_api_key")
        if self.required:
            raise Unauthenticated(_MISSING, code="missing_api_key")
        return None


def is_required(settings: KeysSettings) -> bool:
    """Whether callers must bring a key: as the config says, else as soon as one is listed."""
    return bool(settings.accept) if settings.required is None else settings.required


def key_problems(settings: KeysSettings) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with the section: (key path, words). Two names may not be alike: the ledger knows keys by name."""
    found: list[tuple[tuple[str, ...], str]] = []
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
        elif (other := digests.setdefault(_digest(one.key), one.name)) != one.name:
            found.append(((*at, "key"), f"the same secret as that of `{other}`"))
        if one.min_class is not None:
            try:
                parse_class(one.min_class)
            except ValueError as error:
                found.append(((*at, "min_class"), str(error)))
    if settings.required and not settings.accept:
        found.append((("keys", "required"), "keys are required but none is listed in keys.accept: nobody could call"))
    return found


def _bearer(authorization: str | None) -> str | None:
    """The token of `Bearer <token>` (RFC 6750; the scheme in any case), or None."""
    if not authorization or authorization[:7].lower() != "bearer ":
        return None
    return authorization[7:].strip()


def _digest(secret: str) -> bytes:
    return sha256(secret.strip().encode("utf-8", "surrogatepass")).digest()
