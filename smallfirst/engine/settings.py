"""The `cache` section of the config, as a user writes it."""

from __future__ import annotations

import msgspec


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers to the very same request of the same key and data class: only at temperature 0, never with tools. Off
    unless `ttl_s` is given. In memory, each gateway process its own."""

    ttl_s: float | None = None  # how long an answer may be given again
    max_entries: int = 10_000  # answers that are kept
    max_mb: float = 64.0  # and how much memory they may take
    up_to: str = "internal"  # the highest data class whose answers are kept


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A conversation keeps its tier: within a tool loop always, after a hand-up for some turns, and where reading all
    of it anew would cost more with a smaller model than staying with the one that has it in its prompt cache. Off
    unless `ttl_s` is given. In memory, each gateway process its own."""

    ttl_s: float | None = None  # how long after its last turn a conversation is remembered
    max_sessions: int = 100_000  # and how many are
    key: str | None = None  # a secret that conversations are known by; without it one of the process's own
    cache_s: float = 300.0  # how long after a turn an upstream's prompt cache is counted on
    horizon: int = 1  # turns within which a switch to a smaller model should pay for itself
    stay_turns: int = 3  # after a hand-up: what came before was too hard for the tier below
