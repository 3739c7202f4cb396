"""Local values and what a larger model said of the doubtful fields -> one answer, by evidence.

Knows whom to believe: a value from above counts only where the document says it (evidence.py); that a required field is
not there is no answer. Does not know who was asked, or how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from smallfirst.tasks.extract.evidence import locate
from smallfirst.tasks.extract.normal import same
from smallfirst.tasks.extract.schema import Field, Schema
from smallfirst.tasks.extract.values import Extracted, Value

UNSURE = "extract (not sure)"


class Found(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value in the output; `document[start:end]` is its evidence. A model above gives no confidence."""

    value: str
    normal: str
    start: int
    end: int
    by: str  # extract, or the model above that gave it
    confidence: float | None = None


class Merged(msgspec.Struct, frozen=True):
    """`doubtful`: fields that nobody is sure of; their values are the best guess."""

    fields: dict[str, tuple[Found, ...]]
    doubtful: tuple[str, ...]
    local: dict[str, tuple[str, ...]] = {}  # what extraction would have said of fields that were answered otherwise
    refused: dict[str, tuple[str, ...]] = {}  # what the model above said and the document does not


def merge(document: str, schema: Schema, found: Extracted, said: Mapping[str, tuple[str, ...]], who: str) -> Merged:
    """Local values of the fields that `said` leaves out, those of `who` where the document bears them out."""
    fields, doubtful = local_fields(found), set(found.doubtful)
    local: dict[str, tuple[str, ...]] = {}
    refused: dict[str, tuple[str, ...]] = {}
    for name, values in said.items():
        field = schema[name]
        places = [(one, locate(field, document, one)) for one in values]
        missing = tuple(one for one, place in places if place is None)
        if missing:
            refused[name] = missing
            doubtful.add(name)
            continue
        if field.required and not values:
            continue  # that there is none is no answer; the best guess stays, doubtful
        mine = found.fields[name]
        theirs = [place for _, place in places if place]
        if _agrees(field, mine, [normal for _, _, normal in theirs]):
            fields[name] = tuple(msgspec.structs.replace(one, by=f"extract+{who}") for one in fields[name])
        else:
            local[name] = tuple(value.normal for value in mine)
            fields[name] = tuple(Found(document[a:b], normal, a, b, who) for a, b, normal in theirs)
        doubtful.discard(name)
    left = tuple(field.name for field in schema.fields if field.name in doubtful)
    return Merged(fields, left, local, refused)


def _agrees(field: Field, mine: tuple[Value, ...], theirs: Sequence[str]) -> bool:
    """Whether both say the same: then the local values stay, with their places and confidence."""
    if len(mine) != len(theirs):
        return False
    return all(any(same(field, value.normal, one) for one in theirs) for value in mine)


def local_fields(found: Extracted) -> dict[str, tuple[Found, ...]]:
    """What extraction found, in the output's words."""
    return {
        name: tuple(
            Found(
                value.text, value.normal, value.start, value.end, UNSURE if name in found.doubtful else "extract",
                round(found.sure[name] if len(values) == 1 else value.confidence, 4),
            )
            for value in values
        )
        for name, values in found.fields.items()
    }  # fmt: skip
