"""The question that is put to larger models where triage is not sure: the text, and the labels as constrained output.

Knows the words, the schema and how an answer is read. Does not know who is asked.
"""

from __future__ import annotations

import msgspec

from smallfirst.core import Schema

LONGEST = 12_000
"""Characters of a text that are sent; of a longer one its first and last halves of that."""

MOST_OFFERED = 250
"""Labels that are offered; of a larger set those that triage holds most likely. (OpenAI's schemas take long lists of
values up to 250 without a limit on their characters.)"""


class _Labels(msgspec.Struct):
    label: str | None = None
    labels: list[str] | None = None


class Offer(msgspec.Struct, frozen=True):
    """The labels that may be given. `several`: more than one may apply; `beyond`: what is said where none does."""

    labels: tuple[str, ...]
    several: bool = False
    beyond: str | None = None

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.labels, self.beyond) if self.beyond is not None else self.labels

    @property
    def schema(self) -> Schema:
        """An object with `label`, or with `labels`."""
        one = {"type": "string", "enum": list(self.all)}
        field = "labels" if self.several else "label"
        value = {"type": "array", "items": one} if self.several else one
        shape = {"type": "object", "properties": {field: value}, "required": [field], "additionalProperties": False}
        return Schema("labels" if self.several else "label", shape)

    def messages(self, text: str) -> list[dict[str, object]]:
        """System and user turn."""
        how = "every label that applies" if self.several else "the one label that fits best"
        words = f"Read the text and give {how}, as JSON. The labels are: {', '.join(self.all)}."
        return [{"role": "system", "content": words}, {"role": "user", "content": shortened(text)}]

    def read(self, answer: str) -> tuple[str, ...] | None:
        """The labels of an answer (`beyond` gives none of them); None where it is not one of those that were offered.

        An answer that is nothing but a label is taken too.
        """
        try:
            found = msgspec.json.decode(answer, type=_Labels)
            said = found.labels if found.labels is not None else [found.label] if found.label is not None else []
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = [answer.strip()]
        if not said and not self.several:
            return None
        if any(one not in self.all for one in said) or (len(said) > 1 and not self.several):
            return None
        return tuple(one for one in dict.fromkeys(said) if one != self.beyond)


def shortened(text: str) -> str:
    """At most LONGEST characters of it, and a mark where something was left out."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}\n[...]\n{text[-LONGEST // 2 :]}"
