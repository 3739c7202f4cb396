"""What can be checked word for word in a sentence: numbers, dates and names.

Knows English patterns. Does not know whether a sentence is true, and sees no more of its meaning than
these parts: what follows from them is learned elsewhere (answerable.py, grounded.py).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from smallfirst.tasks.kb.sentences import COMMON, WORD, stem


class Fact(NamedTuple):
    """`normal` is equal for two ways to write the same; start..end is where it stands in its text."""

    kind: str  # number | name
    normal: str
    start: int
    end: int


_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
MONTHS = {name: n for n, name in enumerate(_MONTHS, 1)} | {name[:3]: n for n, name in enumerate(_MONTHS, 1)}
UNITS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "eleventh": 11, "twelfth": 12,
}  # fmt: skip
SCALES = {
    "hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12, "k": 1e3, "m": 1e6, "bn": 1e9,
}  # fmt: skip
_DIGITS = re.compile(
    r"(?<![\w.])(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"(?:st|nd|rd|th|s)?(?:[\s-]*(hundred|thousand|million|billion|trillion|bn)\b)?",
    re.IGNORECASE,
)
_SPELT = re.compile(
    r"\b(?:(" + "|".join(TENS) + r")(?:[\s-]+(" + "|".join(list(UNITS)[1:10]) + r"))?|(" + "|".join(UNITS) + r")|("
    + "|".join(ORDINALS) + r"))\b(?:[\s-]+(hundred|thousand|million|billion|trillion)\b)?",
    re.IGNORECASE,
)  # fmt: skip
_MONTH = re.compile(r"\b(" + "|".join(_MONTHS) + r"|(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)(?=\.?\s\d))\b")
_NAME = re.compile(
    r"\b[A-Z][\w\u2019'&-]*(?:\.(?=\s?[A-Z]))?(?:\s+(?:(?:of|the|and|de|la|von|van|for|&)\s+){0,2}[A-Z][\w\u2019'&-]*)*"
)


def numbers(text: str) -> list[Fact]:
    """Digits and number words by value (`1,500` = `1.5 thousand`), and months as `m7`. Not 'one' as a pronoun."""
    made = [
        Fact("number", _value(float(found[1].replace(",", "")), found[2]), found.start(), found.end())
        for found in _DIGITS.finditer(text)
    ]
    taken = {at for fact in made for at in range(fact.start, fact.end)}
    for found in _SPELT.finditer(text):
        if found.start() in taken:
            continue
        tens, ones, unit, ordinal, scale = (part.lower() if part else None for part in found.groups())
        if unit == "one" and scale is None:
            continue
        value = TENS.get(tens or "", 0) + UNITS.get(ones or unit or "", 0) + ORDINALS.get(ordinal or "", 0)
        made.append(Fact("number", _value(float(value), scale), found.start(), found.end()))
    for found in _MONTH.finditer(text.lower()):
        if found[1] not in ("may", "march") or text[found.start()].isupper():
            made.append(Fact("number", f"m{MONTHS[found[1][:3]]}", found.start(), found.end()))
    return sorted(made, key=lambda fact: fact.start)


def _value(number: float, scale: str | None) -> str:
    return f"{number * SCALES.get((scale or '').lower(), 1):g}"


def names(text: str) -> list[Fact]:
    """Runs of capitalised words, as their stems in order. A common word that only opens a sentence is none."""
    made = []
    for found in _NAME.finditer(text):
        start, run = found.start(), found.group()
        if _opens(text, start):
            first = WORD.match(run)
            if first is not None and first.group().lower() in COMMON:
                rest = run[first.end() :].lstrip(" ,\u2019'-&.")
                start, run = found.end() - len(rest), rest
        if run and run[0].isupper() and run.lower() not in COMMON and run.lower() not in MONTHS:
            normal = " ".join(stem(word.lower()) for word in WORD.findall(run) if word.lower() not in COMMON)
            if normal:
                made.append(Fact("name", normal, start, found.end()))
    return made


def _opens(text: str, at: int) -> bool:
    before = text[max(0, at - 4) : at].rstrip(" \"'\u201c\u2018(`*-\n\t")
    return not before or before[-1] in ".!?:;"
