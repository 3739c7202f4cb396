"""The question that is put to larger models: the document, and the doubtful fields as constrained output.

Knows the words, the schema, how an answer is read, and what of a long document is shown. Does not know who is asked,
nor what to believe of the answer: merge.py does, by evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from smallfirst.core import Schema as JsonSchema
from smallfirst.tasks.extract.schema import Field, Schema, answer_schema

LONGEST, AROUND = 12_000, 600
"""Characters of a document that are sent; of a longer one its head, its end, and what stands around the candidates."""


class Question(msgspec.Struct, frozen=True):
    """What `schema` wants of a document, but only the fields `names`."""

    schema: Schema
    names: tuple[str, ...]

    @property
    def json_schema(self) -> JsonSchema:
        """What the answer must obey."""
        return JsonSchema("fields", answer_schema(self.schema, self.names))

    def messages(self, document: str, near: Sequence[int] = ()) -> list[dict[str, object]]:
        """System and user turn. `near`: places of a long document that matter."""
        fields = "\n".join(_told(self.schema[name]) for name in self.names)
        about = f" The document: {self.schema.about}." if self.schema.about else ""
        words = (
            f"Find these fields in the document, as JSON.{about} Copy each value exactly as it stands there; null (or "
            f"an empty list) where the document does not say it.\n{fields}"
        )
        return [{"role": "system", "content": words}, {"role": "user", "content": excerpt(document, near)}]

    def read(self, content: str) -> dict[str, tuple[str, ...]] | None:
        """What the model says of each field, or None where its answer does not keep to the form."""
        try:
            said = msgspec.json.decode(content, type=dict[str, str | list[str] | None])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if any(name not in said for name in self.names):
            return None
        return {name: _values(self.schema[name], said[name]) for name in self.names}


def _values(field: Field, said: str | list[str] | None) -> tuple[str, ...]:
    several = said if isinstance(said, list) else [said] if said else []
    found = tuple(dict.fromkeys(one for one in several if one.strip()))
    return found if field.several else found[:1]


def _told(field: Field) -> str:
    kind = f"one of {', '.join(field.choices)}" if field.type == "choice" else field.type
    words = f"- {field.name} ({kind}{', may be several' if field.several else ''})"
    return f"{words}: {field.about}" if field.about else words


def excerpt(document: str, near: Sequence[int] = ()) -> str:
    """`document`, or of a long one its head, the text around the places `near`, and its end."""
    if len(document) <= LONGEST:
        return document
    spans = [(0, LONGEST // 3), (len(document) - LONGEST // 6, len(document))]
    spent = LONGEST // 2
    for place in near:
        if spent + 2 * AROUND > LONGEST:
            break
        spans.append((max(0, place - AROUND), min(len(document), place + AROUND)))
        spent += 2 * AROUND
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return "\n[...]\n".join(document[start:end] for start, end in joined)
