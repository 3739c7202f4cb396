"""Short texts as tokens, and what a tagger may look at of each: words, shapes, affixes, neighbours, what was asked.

Knows characters, and the English words for numbers, months and days. Does not know fields or labels. A feature is a
string; which of them matter is learned (tagging.py).

Lines that begin with > are what was said before, as mail quotes it: the assistant's question, or the names of the
fields that it asked for. They are read (`5` after `> how many people?` is no hour), and no value is found in them.
"""

from __future__ import annotations

import re

import msgspec

_TOKEN = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?|\d+|[^\w\s]|_")
_QUOTED = re.compile(r"^>.*(?:\n|\Z)", re.MULTILINE)
_WORD = re.compile(r"\w+")

WINDOW = 4
"""Tokens on either side whose words are looked at."""

AFFIXES = 4
"""Longest prefix and suffix of a word."""

ASKED = 12
"""Words of what was said before that are read: its last ones."""

_CLASSES = {
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty": "<number>",
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth": "<ordinal>",
    "january february march april may june july august september october november december jan feb mar apr jun jul "
    "aug sep sept oct nov dec": "<month>",
    "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun": "<day>",
}
_CLASS = {word: name for words, name in _CLASSES.items() for word in words.split()}
_SIZES = (0, 12, 24, 31, 59, 99, 1899, 2099)


class Token(msgspec.Struct, frozen=True):
    """A word, a run of digits, or a sign; `text[start:end]` of the source."""

    text: str
    start: int
    end: int


def tokens(document: str) -> list[Token]:
    """The tokens of a document outside its quoted lines."""
    return [Token(match.group(), *match.span()) for match in _TOKEN.finditer(without_quoted(document))]


def without_quoted(document: str) -> str:
    """The document with blanks where its quoted lines are, so that places stay what they are."""
    return _QUOTED.sub(lambda match: " " * len(match.group()), document) if ">" in document else document


def asked(document: str) -> list[str]:
    """The last words of the quoted lines, lower case, each once, in the order of the alphabet."""
    if ">" not in document:
        return []
    words = [word for match in _QUOTED.finditer(document) for word in _WORD.findall(match.group().lower())]
    return sorted(set(words[-ASKED:]))


def shape(word: str) -> str:
    """How a word is written: d.. (digits), x, Xx, XX, or . for a sign."""
    if word.isdigit():
        return "d" * min(len(word), 5)
    if not word[0].isalpha():
        return "."
    if word.islower():
        return "x"
    return "XX" if word.isupper() and len(word) > 1 else "Xx"


def kind(word: str) -> str:
    """A lower-case word, or the class it belongs to: a number's size, a month, a day."""
    if word.isdigit():
        value = int(word[:6])
        return f"<={next((size for size in _SIZES if value <= size), 'more')}"
    return _CLASS.get(word, word)


def features(found: list[Token], said: list[str]) -> list[list[str]]:
    """For each token its features; `said`: what `asked` gave."""
    words = [token.text.lower() for token in found]
    shapes = [shape(token.text) for token in found]
    kinds = ["<", *(kind(word) for word in words), ">"]
    before = "+".join(said) or "-"
    length = min(len(found), 6)
    rows = []
    for n, word in enumerate(words):
        row = ["bias", f"asked={before}", f"asked={before}|{word}", f"asked={before}|{shapes[n]}"]
        row += [f"asked={before}|{kinds[n + 1]}", f"asked={before}|{min(n, 3)}/{length}"]
        row += [f"said={one}" for one in said]
        row += _neighbours(n, words, shapes, kinds)
        row += _affixes(word)
        if n:
            row.append("joined" if found[n - 1].end == found[n].start else "apart")
        if n + 1 < len(found):
            row.append("joins" if found[n].end == found[n + 1].start else "parts")
        rows.append(row)
    return rows


def _neighbours(n: int, words: list[str], shapes: list[str], kinds: list[str]) -> list[str]:
    """`kinds` has a mark at either end, so token n is kinds[n + 1]."""
    row = []
    for far in range(-WINDOW, WINDOW + 1):
        at = n + far
        if 0 <= at < len(words):
            row.append(f"{far}={words[at]}")
            if kinds[at + 1] != words[at]:
                row.append(f"{far}:{kinds[at + 1]}")
            if abs(far) <= 2:
                row.append(f"{far}~{shapes[at]}")
        elif at in {-1, len(words)}:
            row.append(f"{far}=end")
    for size, first in ((2, -3), (3, -3)):
        for far in range(first, 4 - size + 1):
            at = n + 1 + far
            if at >= 0 and at + size <= len(kinds):
                row.append(f"{far}:{' '.join(kinds[at : at + size])}")
    return row


def _affixes(word: str) -> list[str]:
    sizes = range(1, min(AFFIXES, len(word) - 1) + 1)
    return [f"^{word[:size]}" for size in sizes] + [f"{word[-size:]}$" for size in sizes]
