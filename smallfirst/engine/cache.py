"""Answers that were given before to the very same request, of the same key and data class, within their time to live.

Knows which requests may be answered so: nothing that samples (temperature 0 must be said), no tools, one choice. Does
not know routing. It lives in this process's memory, bounded in entries and bytes; nothing of it is written anywhere.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from smallfirst.core import DataClass, Outcome, Query

LARGEST = 8
"""An answer may take at most one part in so many of the cache's bytes."""

_NO_SAMPLING = frozenset((b"0", b"0.0"))
_APART = frozenset(("model", "stream", "stream_options", "user", "metadata", "store"))
"""Fields that change nothing about the answer. The model that was asked for is part of the key in its own right."""


class Kept(msgspec.Struct, frozen=True):
    """An answer, and when (monotonic seconds) it is too old."""

    outcome: Outcome
    tier: str
    baseline_cost: int | None
    until: float


class AnswerCache:
    """Exact matches only."""

    def __init__(
        self, ttl_s: float, max_entries: int, max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_s, self._max_entries, self._max_bytes, self._clock = ttl_s, max_entries, max_bytes, clock
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._bytes = 0
        self.hits = self.misses = 0

    def key(self, query: Query, key_name: str | None, data_class: DataClass, known: str | None = None) -> bytes | None:
        """What the request is known by; None where it may not be answered from here. `known`: by what a task knows it,
        whatever else the request says."""
        if known is not None:
            return _digest((query.api, query.asked, key_name or "", data_class.name, known)).digest()
        fields, needs = query.fields, query.needs
        temperature = fields.get("temperature")
        if temperature is None or bytes(temperature) not in _NO_SAMPLING:
            return None
        if needs.tools or needs.n > 1 or needs.logprobs or needs.embeds or needs.anthropic or "tools" in fields:
            return None
        digest = _digest((query.api, query.asked, key_name or "", data_class.name, query.beta))
        asked = fields if query.native is None else query.native
        for name in sorted(asked):
            if name not in _APART:
                digest.update(b"%d:%b=%d:" % (len(name), name.encode("utf-8", "surrogatepass"), len(asked[name])))
                digest.update(asked[name])
        return digest.digest()

    def find(self, key: bytes) -> Kept | None:
        """The answer, if there is one that is fresh."""
        kept = self._kept.get(key)
        if kept is None or kept.until <= self._clock():
            self.misses += 1
            return None
        self._kept.move_to_end(key)
        self.hits += 1
        return kept

    def keep(self, key: bytes, outcome: Outcome, tier: str, baseline_cost: int | None) -> None:
        """Remember a whole answer that was served. The oldest make room."""
        size = len(outcome.body) + len(outcome.text)
        if not outcome.ok or not outcome.body or size > self._max_bytes // LARGEST:
            return
        self._drop(key)
        self._kept[key] = Kept(outcome, tier, baseline_cost, self._clock() + self._ttl_s)
        self._bytes += size
        while len(self._kept) > self._max_entries or self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept.outcome.body) + len(kept.outcome.text)


def _digest(parts: Sequence[str]) -> hashlib.blake2b:
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part.encode("utf-8", "surrogatepass"))
    return digest
