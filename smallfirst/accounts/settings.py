"""The `keys` section of the config, as a user writes it."""

from __future__ import annotations

import msgspec


class KeySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client key: a name for the ledger, and the secret as ${ENV_NAME}."""

    name: str  # what the ledger knows it by
    key: str  # the secret
    models: tuple[str, ...] | None = None  # what this key may name; by default everything
    min_class: str | None = None  # every query of this key is at least this data class


class KeysSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`required` is true as soon as one key is listed, unless it is set to false."""

    required: bool | None = None  # whether callers must bring a key
    accept: tuple[KeySettings, ...] = ()  # the keys
