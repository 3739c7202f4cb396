"""Do two answers say the same?

Knows canonical forms, and one cheap measure for free text. Does not know which of the two is right.
"""

from __future__ import annotations

import re
from typing import Literal

from smallfirst.core import Outcome
from smallfirst.verify.canonical import canonical

Agreement = Literal["same", "alike", "unclear", "different"]
"""`same` and `different`: of two short answers, by canonical form. `alike`: of two free texts, by shared words.

`unclear`: anything else. Free texts that share few words may still both be right, so they are never `different`.
"""

ALIKE = 0.6
"""Least share of words (Jaccard: shared words / all words) from which two free texts count as alike."""

LONGEST_READ = 2000
"""Characters of each free text that are looked at."""

_WORD = re.compile(r"[^\W_]{3,}|\d+")


def agreement(one: Outcome, other: Outcome) -> Agreement:
    """Compare what two calls answered."""
    return compare(canonical(one), canonical(other), one.text, other.text)


def compare(one: str | None, other: str | None, one_text: str, other_text: str) -> Agreement:
    """The same, with the canonical forms already made."""
    if one is None and other is None:
        return "alike" if similarity(one_text, other_text) >= ALIKE else "unclear"
    if one is None or other is None:
        return "unclear"
    if one == other or _same_but_for_unit(one, other) or _same_but_for_unit(other, one):
        return "same"
    return "different"


def similarity(one: str, other: str) -> float:
    """Share of words that two texts have in common, 0..1; 0 where the numbers in them differ, or a text has no words.

    Words of three letters and more, case-folded, each counted once. Order is not looked at, so "the dog bit the man"
    reads like "the man bit the dog": this is weak evidence and is weighed as such.
    """
    ours = set(_WORD.findall(one[:LONGEST_READ].casefold()))
    theirs = set(_WORD.findall(other[:LONGEST_READ].casefold()))
    if not ours or not theirs:
        return 0.0
    if {word for word in ours ^ theirs if word[0].isdigit()}:
        return 0.0
    return len(ours & theirs) / len(ours | theirs)


def _same_but_for_unit(number: str, label: str) -> bool:
    """ "42" and "42 apples": one of them left the unit to the question."""
    return number.isdigit() and label.startswith(number + " ") and not any(c.isdigit() for c in label[len(number) :])
