"""What is personal only by the words around it: dates of birth, document and record numbers, health and money matters.

Knows words and distances. Does not know grammar: `my diabetes` and `her salary` are seen, what is told without such
words is left to the trained classifier (matters.py). A pattern is tried only in the few characters after its word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from smallfirst.privacy.categories import Finding
from smallfirst.privacy.words import (
    BIRTH,
    FINANCE,
    HEALTH,
    KIN,
    LICENCE,
    MEDICAL,
    OTHER,
    PASSPORT,
    POSSESSIVE,
    SELF,
    STRONG,
)

_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}(?:st|nd|rd|th)?\.?[ ](?:of[ ])?"
    r"[^\W\d_]{3,9}\.?,?[ ]\d{4}|[^\W\d_]{3,9}\.?[ ]\d{1,2}(?:st|nd|rd|th)?,?[ ]\d{4}"
)
_NUMBER = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z0-9-]{0,14}\d)[A-Za-z0-9][A-Za-z0-9-]{4,17}(?![A-Za-z0-9])")
_RECORD = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z0-9-]{0,10}\d)[A-Za-z0-9][A-Za-z0-9-]{3,15}(?![A-Za-z0-9])")
_RECORDED = re.compile(r"mrn|medical record|(?:patient|chart|hospital)(?:'s)? (?:id|no|number|#|record)")

_AFTER: tuple[tuple[str, frozenset[bytes], re.Pattern[str], re.Pattern[str] | None, int, int], ...] = (
    ("date_of_birth", BIRTH, _DATE, None, 44, 4),
    ("passport", PASSPORT, _NUMBER, None, 48, 6),
    ("driving_licence", LICENCE - {b"driver", b"drivers"}, _NUMBER, None, 48, 5),
    ("medical_record", MEDICAL, _RECORD, _RECORDED, 44, 4),
)
"""(category, its words, what must follow, how the phrase must begin, within how many characters, digits at least)"""


def places(lowered: str, words: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """Where each of these words stands: (start, end), word by word."""
    for word in words:
        said = word.decode()
        at = lowered.find(said)
        while at >= 0:
            end = at + len(said)
            yield at, end
            at = lowered.find(said, end)


def find_named(text: str, lowered: str, present: set[bytes]) -> Iterator[Finding]:
    """Dates and numbers behind a word that says whose they are."""
    for category, words, pattern, phrase, within, digits in _AFTER:
        if present.isdisjoint(words):
            continue
        done = 0
        for start, end in sorted(places(lowered, present & words)):
            if start < done or (phrase is not None and phrase.match(lowered, start) is None):
                continue
            match = pattern.search(text, end, min(len(text), end + within))
            if match is not None and sum(char.isdigit() for char in match[0]) >= digits:
                done = match.end()
                yield Finding(category, *match.span())


NEAR = 4
"""Words between a person and a matter, at most."""

_TOPICS = (("health_matter", HEALTH), ("finance_matter", FINANCE))
_HAVE = frozenset(b"have has had got am m ve s is was take taking takes earn earns owe owes with".split())
_GENERAL = frozenset(b"a an any the every if someone people imagine fictional story".split())


def find_matters(words: Sequence[bytes], present: set[bytes]) -> Iterator[Finding]:
    """Health or money beside a person: `my`, `her`, `patient`, `husband` or `I have` at most NEAR words before it."""
    for category, topic in _TOPICS:
        if not present.isdisjoint(topic) and _is_someones(words, topic):
            yield Finding(category)


def _is_someones(words: Sequence[bytes], topic: frozenset[bytes]) -> bool:
    for at, word in enumerate(words):
        if word not in topic:
            continue
        before = words[max(0, at - NEAR) : at]
        if not POSSESSIVE.isdisjoint(before) or (topic is HEALTH and not STRONG.isdisjoint(before)):
            return True
        if not _HAVE.isdisjoint(before) and not (SELF | KIN | OTHER).isdisjoint(before) and _GENERAL.isdisjoint(before):
            return True
    return False
