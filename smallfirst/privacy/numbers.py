"""Every run of digits in a text, and which of them are identifiers: the one scan, and what is looked at around it.

Knows where runs begin and end, and that two numbers may stand side by side. Does not know what makes a number valid
(identifiers.py). Linear: a run is cut at 60 digits, and of its groups at most seven are read together.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from smallfirst.privacy.categories import Finding
from smallfirst.privacy.identifiers import is_phone, lettered, numeric

_RUN = re.compile(r"\d(?:[ .\-/()]{0,2}\d){0,59}+")
_TWO_LETTERS = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2} ")
_GROUP = re.compile(r"\d+")
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?![-/.]?\d)|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d\d)(?![-/.]?\d)|"
    r"(?:19|20)\d\d ?- ?(?:19|20)\d\d$"
)
_DECIMAL = re.compile(r"\d{1,3}\.\d{5,}")
_OCTETS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}$")
LEAST = 8
"""Digits in the shortest identifier; a phone number may have 7."""
BEFORE, AFTER = 48, 24
"""Characters around a number in which a word may say what it is."""
_PREFIX = 8
"""Letters that may stand before an identifier's first digit."""


def find_numbers(text: str, lowered: str, *, phones: Sequence[int], identities: bool) -> Iterator[Finding]:
    """Every identifier that holds a digit. `phones`: where words for a telephone stand, ascending; `identities`:
    whether a word for a document or a number of identity stands somewhere."""
    done = 0
    for match in _RUN.finditer(text):
        start, end = match.span()
        if start < done:
            continue
        begin = start
        while begin > done and start - begin < _PREFIX and text[begin - 1].isalnum():
            begin -= 1
        if begin == start and start >= done + 3 and text[start - 1] == " " and _TWO_LETTERS.match(text, start - 3):
            begin = start - 3  # `AB 12 34 56 C`
        follows = text[end] if end < len(text) else " "
        if begin < start or follows.isalpha():
            named = lettered(text, begin)
            if named is None and start > begin and text[start - 1] != " ":
                continue
            if named is not None:
                done = named[1]
                yield Finding(named[0], begin, done)
                continue
        if end - start < 7 or (follows.isalpha() and follows not in "xX") or _is_part(text, start):
            continue
        around = lowered[max(0, start - BEFORE) : end + AFTER] if identities else ""
        for finding in _in_run(text, start, end, phones=phones, around=around):
            done = finding.end
            yield finding


def _is_part(text: str, start: int) -> bool:
    """Whether the run goes on from something else: a decimal, a path, a UUID, a version."""
    if start == 0:
        return False
    before = text[start - 1]
    return before in "_#" or (before in ".-/:," and start > 1 and text[start - 2].isalnum() and before != ":")


_SHAPES = frozenset(
    bytes(digit - 48 for digit in shape)
    for shape in (
        b"324 3332 444 334 343 2333 122233 1222332 4444 44443 465 464 445 4443 4435 433 335 3333 442 332 333 533 355 "
        b"66 88 84 48"
    ).split()
)
"""How the digits of an identifier are grouped: 3-2-4 is an SSN, 4-4-4-4 a card. Any grouping counts for a whole run."""
_STARTS = frozenset(shape[:2] for shape in _SHAPES)
_GROUPS = (2, 3, 4, 5, 6, 7)


def _in_run(text: str, start: int, end: int, *, phones: Sequence[int], around: str) -> Iterator[Finding]:
    written = text[start:end]
    if _DECIMAL.fullmatch(written):
        return
    whole = "".join(filter(str.isdecimal, written))
    tried = LEAST <= len(whole) <= 19
    if tried and (category := numeric(written, whole, around)):
        yield Finding(category, start, end)
    elif len(whole) == len(written):
        if phone := _phone(text, start, end, phones=phones):
            yield Finding("phone", *phone)
    else:
        yield from _in_groups(text, start, written, whole, phones=phones, around=around, tried=tried)


def _in_groups(
    text: str, start: int, written: str, whole: str, *, phones: Sequence[int], around: str, tried: bool
) -> Iterator[Finding]:
    """Identifiers that some of the run's groups make up; what is left between them may be a phone number. `tried`: all
    groups together are no identifier."""
    groups = [match.span() for match in _GROUP.finditer(written)]
    sizes = bytes([b - a for a, b in groups])
    begins = [0, *accumulate(sizes)]
    at = rest = 0
    while at < len(groups):
        found = None
        if sizes[at] >= LEAST or sizes[at : at + 2] in _STARTS:
            most = len(groups) - 1 if tried and at == 0 else len(groups)
            found = _window(written, whole, groups, sizes, begins, at, around, most)
        if found is None:
            at += 1
            continue
        category, last = found
        if at > rest and (phone := _phone(text, start + groups[rest][0], start + groups[at - 1][1], phones=phones)):
            yield Finding("phone", *phone)
        yield Finding(category, start + groups[at][0], start + groups[last][1])
        at = rest = last + 1
    if rest < len(groups) and (phone := _phone(text, start + groups[rest][0], start + len(written), phones=phones)):
        yield Finding("phone", *phone)


def _window(
    written: str,
    whole: str,
    groups: Sequence[tuple[int, int]],
    sizes: bytes,
    begins: Sequence[int],
    at: int,
    around: str,
    most: int,
) -> tuple[str, int] | None:
    """(category, last group) of the identifier of at most `most` groups that begins with group `at`, or None."""
    if sizes[at] >= LEAST:
        digits = whole[begins[at] : begins[at + 1]]
        if category := numeric(digits, digits, around):
            return category, at
    for count in _GROUPS:
        if count > most or at + count > len(groups):
            return None
        if sizes[at : at + count] in _SHAPES:
            last = at + count - 1
            stretch = written[groups[at][0] : groups[last][1]]
            if category := numeric(stretch, whole[begins[at] : begins[last + 1]], around):
                return category, last
    return None


def _phone(text: str, start: int, end: int, *, phones: Sequence[int]) -> tuple[int, int] | None:
    """The span of a phone number that fills these groups, with the `+` or `(` before it, or None."""
    while start and text[start - 1] in "+(" and end - start < 20:
        start -= 1
    written = text[start:end]
    if len(written) < 7 or len(written) > 26 or _DATE.match(written) or _OCTETS.match(written):
        return None
    near = bisect_left(phones, start - BEFORE)
    beside = near < len(phones) and phones[near] < end + AFTER
    digits = "".join(filter(str.isdecimal, written))
    return (start, end) if is_phone(written, digits, beside_a_word=beside) else None
