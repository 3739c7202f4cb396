"""The built-in recogniser: one look at the characters and one at the words say which of the others must look closer.

Knows what triggers what. Does not know the shapes themselves (numbers.py, addresses.py, credentials.py, contexts.py).
A plain text without digits, `@`, long words or personal topics costs a search for each of them and nothing more.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence

from smallfirst.privacy import addresses, contexts, credentials, words
from smallfirst.privacy.categories import Finding
from smallfirst.privacy.numbers import find_numbers

_DIGIT = re.compile(r"\d")
LONG = 16
"""Characters from which a word may be a key, a token or base64."""
_ENCODED = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{24,}={0,2}(?![A-Za-z0-9+/_=-])")
MOST_DECODED = 1 << 16
"""Characters of base64 that are read of one text; what is longer is a file that was not meant to be read."""


def find_patterns(text: str, folded: Sequence[bytes], longest: int) -> list[Finding]:
    """Everything structured in `text` (without disguises: normalise.py); `folded` are its words (words.py), `longest`
    the length of its longest stretch without a space.

    Spans may overlap: a number may look like two things.
    """
    found: list[Finding] = []
    present = set(folded)
    secret = present & words.SECRET
    digits = _DIGIT.search(text) is not None
    lowered = lower(text) if digits or secret else ""
    if digits:
        phones = sorted(start for start, _ in contexts.places(lowered, present & words.PHONE))
        found += find_numbers(text, lowered, phones=phones, identities=not present.isdisjoint(words.IDENTITY))
        found += contexts.find_named(text, lowered, present)
        found += addresses.find_networks(text)
        found += addresses.find_postal(text, present)
    elif "::" in text:
        found += addresses.find_networks(text)
    if "@" in text:
        found += addresses.find_emails(text)
    if longest >= LONG or secret:
        found += credentials.find_credentials(text, lowered, long_words=longest >= LONG, named=secret)
    if not present.isdisjoint(words.MATTERS):
        found += contexts.find_matters(folded, present)
    return found


def longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def lower(text: str) -> str:
    """Lower case, every character where it was: the one letter that becomes two is replaced before."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text.replace("\u0130", "I").lower()


def encoded(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, what it says) of each stretch of base64 that decodes to text."""
    left = MOST_DECODED
    for match in _ENCODED.finditer(text):
        word = match[0][:left]
        left -= len(word)
        if left <= 0:
            return
        said = _decoded(word.rstrip("="))
        if said is not None:
            yield match.start(), match.end(), said


def _decoded(word: str) -> str | None:
    try:
        said = base64.urlsafe_b64decode(word.replace("+", "-").replace("/", "_") + "=" * (-len(word) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    return said if all(char.isprintable() or char.isspace() for char in said) else None
