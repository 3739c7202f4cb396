"""What can be found without having learned anything: shapes, labels beside them, legal forms, street words.

Knows types and the labels that the schema names. Chances are set by hand and low: they order candidates, and nothing
was measured. A check digit is worth more than a label, a label more than being the only one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from smallfirst.tasks.extract.layout import Layout, Piece, read_layout
from smallfirst.tasks.extract.mentions import SHAPED, Mention, find_mentions, label_of
from smallfirst.tasks.extract.normal import normalise
from smallfirst.tasks.extract.schema import Field
from smallfirst.tasks.extract.spans import LEGAL, STREET
from smallfirst.tasks.extract.values import Value, apart, best

CHECKED, LABELLED, ONLY, LIKELY, GUESS = 0.85, 0.6, 0.4, 0.25, 0.05
"""A check digit; a label; no other candidate; the first date, the largest amount, a legal form; anything else."""

_POSTCODE = re.compile(r"(?<!\d)\d{5}(?!\d)|\b[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}\b")
_HOUSE = re.compile(r"\b\d{1,5}\s?[A-Za-z]?\b")
LONGEST_ADDRESS = 6
"""Lines."""


def _has_cents(mention: Mention) -> bool:
    """Whole numbers are mostly counts and article numbers."""
    return mention.size is not None and mention.size.as_tuple().exponent == -2


class Patterns:
    """A Finder that needs no weights."""

    method = "patterns"

    def __init__(self, field: Field, weights: bytes = b"") -> None:  # noqa: ARG002 - the shape of every finder
        self._field = field
        words = field.labels or (re.sub(r"[_-]+", " ", field.name),)
        shape = "|".join(r"\W+".join(map(re.escape, re.findall(r"\w+", word.lower()))) for word in words)
        self._beside = re.compile(rf"(?<!\w)(?:{shape})(?!\w)[^\n]{{0,24}}\Z") if shape else None
        self._label = re.compile(rf"(?<!\w)(?:{shape})(?!\w)\s*(?:no\.?|number)?\s*[:.#=-]*\s*", re.IGNORECASE)

    def find(self, document: str) -> list[Value]:
        """See model.Finder."""
        field = self._field
        if field.type in SHAPED:
            found = self._shaped(document)
        elif field.pattern:
            found = self._matches(document)
        else:
            found = self._after_label(document)
            if not found and field.type == "name":
                found = self._names(document)
            if not found and field.type == "address":
                found = self._addresses(document)
        return apart(best(found)) if field.several else best(found)

    def _value(self, document: str, start: int, end: int, chance: float, normal: str | None = None) -> list[Value]:
        said = normal or normalise(self._field, document[start:end])
        return [Value(document[start:end], said, start, end, chance, self.method)] if said else []

    def _shaped(self, document: str) -> list[Value]:
        mentions = find_mentions(self._field, document)
        layout = read_layout(document)
        labelled = {n for n, one in enumerate(mentions) if self._is_labelled(document, layout, one)}
        first = self._likeliest(mentions)
        named = len({mentions[n].normal for n in labelled})
        every = len({one.normal for one in mentions})
        found = []
        for n, one in enumerate(mentions):
            if self._field.form:
                chance = CHECKED / (1 if self._field.several else max(1, named if n in labelled else every))
            elif n in labelled:
                chance = LABELLED / (1 if self._field.several else named)
            else:
                chance = GUESS if labelled else ONLY if every == 1 else LIKELY if n == first else GUESS
            found += self._value(document, one.start, one.end, chance, one.normal)
        return found

    def _likeliest(self, mentions: Sequence[Mention]) -> int:
        """The largest amount, the first of anything else."""
        if self._field.type != "money" or not mentions:
            return 0
        return max(range(len(mentions)), key=lambda n: (_has_cents(mentions[n]), mentions[n].size or 0, n))

    def _is_labelled(self, document: str, layout: Layout, mention: Mention) -> bool:
        if self._beside is None:
            return False
        left, above = label_of(document, layout, mention.start)
        return bool(self._beside.search(left) or (not left.strip() and self._beside.search(above)))

    def _matches(self, document: str) -> list[Value]:
        found = [match.span() for match in re.finditer(self._field.pattern, document) if match[0].strip()]
        chance = LABELLED if self._field.several or len(found) == 1 else LIKELY
        return [value for start, end in found for value in self._value(document, start, end, chance)]

    def _after_label(self, document: str) -> list[Value]:
        """What follows a label in its line, else the next line: up to a column's end."""
        layout = read_layout(document)
        found: list[Value] = []
        for match in self._label.finditer(document):
            begins_line = not document[document.rfind("\n", 0, match.start()) + 1 : match.start()].strip()
            if not (begins_line or match[0].rstrip().endswith((":", "=", "#"))):
                continue  # the word inside a sentence
            run = self._run_from(layout, match.end())
            if run:
                found += self._value(document, run[0].start, run[-1].end, LABELLED)
        for n, value in enumerate(found):
            found[n] = Value(value.text, value.normal, value.start, value.end, LABELLED / len(found), value.method)
        return found

    def _run_from(self, layout: Layout, position: int) -> list[Piece]:
        after = [piece for piece in layout.pieces if piece.start >= position]
        if not after:
            return []
        wanted = LONGEST_ADDRESS if self._field.type == "address" else 1
        return [piece for piece in after if piece.line < after[0].line + wanted][: 2 * wanted]

    def _names(self, document: str) -> list[Value]:
        """Lines with a legal form, else the first line."""
        layout = read_layout(document)
        found: list[Value] = []
        for start, end in layout.lines:
            if LEGAL.search(document, start, end):
                found += self._value(document, start, end, LIKELY if not found else GUESS)
        if not found and layout.lines:
            found = self._value(document, *layout.lines[0], GUESS)
        return found

    def _addresses(self, document: str) -> list[Value]:
        """From a line with a street or house number to the next postcode, at most six lines on."""
        layout = read_layout(document)
        found: list[Value] = []
        for line, (start, end) in enumerate(layout.lines):
            text = document[start:end]
            if not (STREET.search(text) and _HOUSE.search(text)):
                continue
            last = self._last_line(document, layout, line)
            found += self._value(document, start, layout.lines[last][1], LIKELY if not found else GUESS)
        return found

    def _last_line(self, document: str, layout: Layout, line: int) -> int:
        for last in range(line, min(line + LONGEST_ADDRESS, len(layout.lines))):
            if _POSTCODE.search(document, *layout.lines[last]):
                return last
        return line
