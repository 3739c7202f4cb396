"""A query's fields -> the data class of what they say. Every field that would be sent is looked at, known or not.

Knows JSON and that most of a conversation was there before: each message is looked at once and remembered by a keyed
digest, never by its words. Does not know which model would see it (rules.py) or how data are found (detector.py).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from threading import Lock

import msgspec

from smallfirst.privacy.categories import NOTHING, Finding, Found
from smallfirst.privacy.detector import Detector
from smallfirst.privacy.fields import UNHEARD, holds_tokens, texts_in
from smallfirst.privacy.redaction import REDACTED_FROM, Redaction

MOST_REMEMBERED = 65_536
ALOUD = 4_000
"""Characters that are looked at on the event loop; more are looked at in a thread beside it."""

_listed = msgspec.json.Decoder(list[msgspec.Raw])


class Inspector:
    """Remembers what each message was found to hold. One per gateway."""

    def __init__(self, detector: Detector, *, remembered: int = MOST_REMEMBERED) -> None:
        self._detector, self._most = detector, remembered
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, Found] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="smallfirst-privacy")
        self._room = Lock()
        self._tokens = detector.classes.highest([Finding("token_ids")])
        self.failures = 0

    def look(self, fields: Mapping[str, msgspec.Raw]) -> Found | None:
        """What the fields of one request hold; None where there is so much to read that `look_aside` must.

        Never raises: a detector that does is `failed`.
        """
        found: list[Found] = [self._tokens] if holds_tokens(fields) else []
        fresh: list[tuple[bytes, msgspec.Raw]] = []
        size = 0
        for part in _parts(fields):
            digest = blake2b(part, digest_size=16, key=self._key).digest()
            known = self._known.get(digest)
            if known is None:
                fresh.append((digest, part))
                size += len(memoryview(part))
            elif known is not NOTHING:
                found.append(known)
        if size > ALOUD:
            return None
        if fresh:
            found += self._look_all(fresh)
        return NOTHING if not found else found[0] if len(found) == 1 else _together(found)

    async def look_aside(self, fields: Mapping[str, msgspec.Raw]) -> Found:
        """The same, read in a thread: the event loop serves others meanwhile."""
        fresh = [(blake2b(part, digest_size=16, key=self._key).digest(), part) for part in _parts(fields)]
        found = await asyncio.get_running_loop().run_in_executor(self._pool, self._look_all, fresh)
        if holds_tokens(fields):
            found.append(self._tokens)
        return _together(found) if found else NOTHING

    async def redact(self, fields: Mapping[str, msgspec.Raw]) -> Redaction | None:
        """The fields with placeholders; None where a recogniser raises, and where token numbers hide what should be
        replaced. Long ones are read in the thread."""
        if self._tokens.data_class >= REDACTED_FROM and holds_tokens(fields):
            return None
        loop, size = asyncio.get_running_loop(), sum(len(memoryview(raw)) for raw in fields.values())
        try:
            if size > ALOUD:
                return await loop.run_in_executor(self._pool, Redaction, self._detector, fields)
            return Redaction(self._detector, fields)
        except Exception:  # noqa: BLE001 - as in _look
            self.failures += 1
            return None

    def warm(self) -> None:
        self._pool.submit(self._detector.warm)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _look_all(self, fresh: Sequence[tuple[bytes, msgspec.Raw]]) -> list[Found]:
        return [one for digest, part in fresh if (one := self._look(digest, part)) is not NOTHING]

    def _look(self, digest: bytes, part: msgspec.Raw) -> Found:
        known = self._known.get(digest)
        if known is not None:
            return known
        try:
            found = self._detector.found(list(texts_in(msgspec.json.decode(part))))
        except Exception:  # noqa: BLE001 - whatever a recogniser raises, nothing may leave unseen
            self.failures += 1
            return Found(failed=True)
        with self._room:
            while len(self._known) >= self._most:
                self._known.pop(next(iter(self._known)))
            self._known[digest] = found
        return found


def _parts(fields: Mapping[str, msgspec.Raw]) -> Iterator[msgspec.Raw]:
    """The raw JSON of each message, and of each other field that may hold words."""
    for name, raw in fields.items():
        if name == "messages":
            yield from _listed.decode(raw)
        elif name not in UNHEARD and bytes(memoryview(raw)[:64]).lstrip()[:1] in (b'"', b"[", b"{"):
            yield raw


def _together(found: Sequence[Found]) -> Found:
    categories = sorted({category for one in found for category in one.categories})
    return Found(max(one.data_class for one in found), tuple(categories), failed=any(one.failed for one in found))
