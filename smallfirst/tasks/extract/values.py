"""What extraction says of a document: values, where each stands, and how sure each is.

Knows no finder, no schema and no file.
"""

from __future__ import annotations

import msgspec


class Value(msgspec.Struct, frozen=True):
    """One value. `document[start:end] == text`: the evidence. A value without a place in the source is none."""

    text: str  # as it is written
    normal: str  # 2025-04-03, "343.95 EUR", DE89370400440532013000; equal forms are the same value
    start: int  # in characters of the document's text
    end: int
    confidence: float  # 0..1: chance that it is right
    method: str  # the finder, or the model above, that gave it


class Extracted(msgspec.Struct, frozen=True):
    """Every field of the schema has an entry; one that was not found has none in it."""

    fields: dict[str, tuple[Value, ...]]
    doubtful: tuple[str, ...]  # fields that are not sure enough to keep
    sure: dict[str, float]  # chance that the field, as it stands here, is right (also where it is empty)


def best(values: list[Value]) -> list[Value]:
    """One value for each normal form: the surest, the first in the document where they tie. Surest first."""
    found: dict[str, Value] = {}
    for value in sorted(values, key=lambda value: (-value.confidence, value.start)):
        found.setdefault(value.normal, value)
    return list(found.values())


def apart(values: list[Value]) -> list[Value]:
    """Of values that overlap in the document the surest; `values` surest first."""
    kept: list[Value] = []
    for value in values:
        if all(value.end <= other.start or other.end <= value.start for other in kept):
            kept.append(value)
    return kept
