"""What kind of text do documents have, and which finder suits it?

Knows lengths and lines. Short requests are tagged token by token; pages with lines and columns are judged by their
layout; long running texts by the words around each mention (addresses and free text of theirs are tagged, where they
open). The bounds lie
where the three kinds of public data we have (9 tokens; 30 lines; 30,000 characters) leave wide gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Literal

from smallfirst.tasks.extract.mentions import SHAPED
from smallfirst.tasks.extract.schema import Field

Form = Literal["short", "page", "long"]

SHORT, SHORT_LINES = 300, 3
"""At most so many characters and lines, in the median."""

LONG = 6_000
"""At least so many characters, in the median."""


def form_of(texts: Sequence[str]) -> Form:
    """The kind of text that at least half of the documents have. `texts` must not be empty."""
    length = median(len(text) for text in texts)
    lines = median(sum(not line.startswith(">") for line in text.strip().splitlines()) for text in texts)
    if length <= SHORT and lines <= SHORT_LINES:
        return "short"
    return "long" if length >= LONG else "page"


def finder_for(field: Field, form: Form) -> str:
    """tagger, ranker or clauses."""
    if form == "page":
        return "ranker"
    return "clauses" if form == "long" and field.type in (*SHAPED, "name") else "tagger"
