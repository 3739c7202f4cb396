"""The `keys` and `teams` sections of the config, as a user writes them."""

from __future__ import annotations

import msgspec


class KeySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client key that stands in the config: a name for the ledger, and the secret as ${ENV_NAME}. Keys that are made
    while the gateway runs come from `smallfirst keys create` and are kept, as hashes, in the database."""

    name: str  # what the ledger knows it by
    key: str  # the secret
    team: str | None = None  # one of `teams`: its limits hold beside the key's own
    models: tuple[str, ...] | None = None  # what this key may name; by default everything
    policies: tuple[str, ...] | None = None  # which policies it may name; by default all; `auto` is one of them
    classes: tuple[str, ...] | None = None  # data classes it may send; by default all
    min_class: str | None = None  # every query of this key is at least this data class
    tags: tuple[str, ...] = ()  # written to the ledger with each of its requests
    usd_per_day: float | None = None  # what it may spend in a day (UTC)
    usd_per_month: float | None = None  # and in a calendar month (UTC)
    usd_total: float | None = None  # and ever
    rpm: int | None = None  # requests a minute
    tpm: int | None = None  # tokens a minute, in and out, of every call that is made for them


class TeamSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the keys of one team may do and spend together."""

    models: tuple[str, ...] | None = None  # what its keys may name; by default everything
    policies: tuple[str, ...] | None = None  # which policies they may name; by default all
    classes: tuple[str, ...] | None = None  # data classes they may send; by default all
    min_class: str | None = None  # every query of the team is at least this data class
    tags: tuple[str, ...] = ()  # written to the ledger with each of its requests
    usd_per_day: float | None = None  # what they may spend together in a day (UTC)
    usd_per_month: float | None = None  # and in a calendar month (UTC)
    usd_total: float | None = None  # and ever
    rpm: int | None = None  # requests a minute, together
    tpm: int | None = None  # tokens a minute, together


class KeysSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`required` is true as soon as one key is listed or was ever created, unless it is set to false."""

    required: bool | None = None  # whether callers must bring a key
    accept: tuple[KeySettings, ...] = ()  # keys that stand in this file
    url: str | None = None  # sqlite:///path or postgresql://...; default: keys.db beside the ledger
    max_tokens: int = 4096  # put into a request that names none, where its key has a budget: a bound must be known
