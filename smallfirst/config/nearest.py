"""The nearest known name, for error messages.

Knows how to compare words. Does not know what the names stand for.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` is most likely a slip of, or None where none is near."""
    by_folded = {word.casefold(): word for word in known}
    found = get_close_matches(name.casefold()[:100], by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def hint(name: str, known: Iterable[str]) -> str:
    """What to add to "unknown ...": `; did you mean `x`?`, or the list of what there is, or nothing."""
    names = list(known)
    near = nearest(name, names)
    if near is not None:
        return f"; did you mean `{near}`?"
    return f"; known: {', '.join(names)}" if 0 < len(names) <= 12 else ""
