"""Names and addresses as they stand in documents -> one line, tidied.

Knows blanks, punctuation at the edges, and that the lines of an address are joined by commas. Changes no word: a name
that is misread in the source stays misread.
"""

from __future__ import annotations

import re
import unicodedata

_BLANKS = re.compile(r"\s+")
_BEFORE = re.compile(r"\s+([,;])")
_COMMAS = re.compile(r"([,;])(?=[^\s\d])|,(?:\s*,)+")
_LINES = re.compile(r"[ \t]*,?[ \t]*[\r\n]+\s*")
_EDGES = " \t,;:-\u2013\u2014*|/\\.\"'"


def plain(text: str) -> str:
    """One line, compatibility forms folded (NFKC), single blanks."""
    return _BLANKS.sub(" ", unicodedata.normalize("NFKC", text)).strip()


def tidy_name(text: str) -> str:
    """A name without punctuation around it; a bracket that has no partner goes, a final point of "Inc." stays."""
    name = plain(text).strip(_EDGES.replace(".", "")).lstrip(".")
    for opening, closing in ("()", "[]"):
        if name.count(opening) != name.count(closing):
            name = name.strip(opening + closing).strip()
    return name


def tidy_address(text: str) -> str:
    """An address on one line: its lines joined by commas, one blank after a comma, none before."""
    joined = plain(_LINES.sub(", ", text.strip()))
    return _COMMAS.sub(lambda found: f"{found[1]} " if found[1] else ",", _BEFORE.sub(r"\1", joined)).strip(_EDGES)


def loose(text: str) -> str:
    """Letters and digits alone, folded: what two writings of the same words have in common."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", text).casefold() if letter.isalnum())
