"""Where in a document does it say so? A value from elsewhere (a larger model, a person) is believed only with a place.

Knows exact writing, other blanks and case, and values of a type that read the same (3 April 2025 for 2025-04-03). Does
not know who gave the value.
"""

from __future__ import annotations

import re

from smallfirst.tasks.extract.mentions import SHAPED, find_mentions
from smallfirst.tasks.extract.normal import normalise, same
from smallfirst.tasks.extract.schema import Field

_WORD = re.compile(r"[^\W_]+")


def locate(field: Field, document: str, said: str) -> tuple[int, int, str] | None:
    """(start, end, normal form) of the first place that says `said`, or None: then it is no evidence."""
    normal = normalise(field, said)
    if normal is None:
        return None
    place = _exactly(document, said) or _read_alike(field, document, normal) or _by_words(document, said)
    if place is None:
        return None
    there = normalise(field, document[place[0] : place[1]])
    return (*place, normal) if same(field, there, normal) else None


def _exactly(document: str, said: str) -> tuple[int, int] | None:
    start = document.find(said)
    end = start + len(said)
    return (start, end) if start >= 0 and _is_apart(document, start, end) else None


def _by_words(document: str, said: str) -> tuple[int, int] | None:
    """Whatever stands between the words."""
    words = _WORD.findall(said)
    if not words:
        return None
    shape = r"[\W_]*".join(map(re.escape, words))
    match = re.search(rf"(?<![^\W_]){shape}(?![^\W_])", document, re.IGNORECASE)
    return match.span() if match else None


def _is_apart(document: str, start: int, end: int) -> bool:
    """Not a piece of a longer word or number."""
    before, after = document[start - 1 : start], document[end : end + 1]
    return not (before.isalnum() and document[start].isalnum()) and not (
        after.isalnum() and document[end - 1].isalnum()
    )


def _read_alike(field: Field, document: str, normal: str) -> tuple[int, int] | None:
    if field.type not in SHAPED:
        return None
    return next(((one.start, one.end) for one in find_mentions(field, document) if one.normal == normal), None)
