"""What only a knowledge base has in the `tasks` section of the config, as a user writes it."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from smallfirst.privacy.locations import location_problem


class WordsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fixed sentences, in the language of the people who ask."""

    not_found: str = "That is not in the knowledge base."  # where it holds no answer
    unsupported: str = "The knowledge base touches on that, but I found no answer that it supports."  # or none is safe
    handed_off: str = "I have passed your question on to a person."  # added after one of the others


class HandoffSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A webhook that gets what could not be answered, as JSON by POST. The privacy rules hold for it as for a model at
    that location: where they don't let a question go there, it stays."""

    url: str  # http(s)://...
    location: str = "cloud/unknown"  # device, premises or cloud/<region>; unknown is let through only by `to: any`
    key: str | None = None  # sent as a bearer token; write ${NAME}
    timeout_s: float = 10.0  # for all tries together
    tries: int = 3  # again after a fault of the network, 408, 425, 429 or 5xx


def handoff_problems(settings: HandoffSettings) -> Iterator[tuple[str, str]]:
    """What is wrong with it: (field, words)."""
    parts = urlsplit(settings.url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        yield "url", "is not an http(s) address"
    if parts.username or parts.password:
        yield "url", "holds a password: give it as `key`"
    if (problem := location_problem(settings.location)) is not None:
        yield "location", problem
    if not 0 < settings.timeout_s <= 60:
        yield "timeout_s", f"{settings.timeout_s} is not between 0 and 60"
    if not 1 <= settings.tries <= 10:
        yield "tries", f"{settings.tries} is not between 1 and 10"
