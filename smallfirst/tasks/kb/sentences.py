"""A text -> its sentences, with where each stands, and its words.

Knows full stops, abbreviations, line breaks and list items of English and of text that was cut into words before. Does
not know what a sentence says.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

LONGEST = 600
"""Characters: what runs on longer without a full stop (tables, menus) is cut at a blank."""

SHORTEST = 3
"""Characters: less is a stray mark, no sentence."""

WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
"""A word or a number, with an apostrophe inside."""

_END = re.compile(
    r"""[.!?]+['"\u201d\u2019)\]]*(?=\s)|\n\s*\n|\r?\n(?=\s*(?:[-*•]|\d+[.)])\s)"""
    r"""|\n(?=\s*[A-Z0-9"\u201c])"""
)
_SHORT = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Mt|Jr|Sr|vs|etc|No|Nos|Inc|Ltd|Co|Corp|Gen|Col|Lt|Capt|Sgt|Rev|Hon|Fig|approx|"
    r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|e\.g|i\.e|c|ca|cf|al|pp|ed|vol|Ave|Blvd|Rd)|\b[A-Z](?:\.[A-Z])*)$"
)
_NEXT = re.compile(r"\s*[\"\u201c\u2018'(\[`]*\s*[A-Z0-9$€£#*•-]")


class Sentence(NamedTuple):
    """`text` is the source's [start:end]."""

    start: int
    end: int
    text: str


def split_sentences(text: str) -> list[Sentence]:
    """In order, without the blanks around them. Nothing is lost but blanks and strays under SHORTEST characters."""
    cuts = [0]
    for found in _END.finditer(text):
        if found.group()[0] not in ".!?" or _ends(text, found.start(), found.end()):
            cuts.append(found.end())
    cuts.append(len(text))
    made: list[Sentence] = []
    for start, end in pairwise(cuts):
        made += _pieces(text, start, end)
    return made


def _ends(text: str, at: int, after: int) -> bool:
    """Whether the full stop at `at` ends a sentence: no abbreviation stands before it, and a new start follows."""
    if _NEXT.match(text, after) is None:
        return False
    return text[at] != "." or _SHORT.search(text, max(0, at - 12), at) is None


def _pieces(text: str, start: int, end: int) -> list[Sentence]:
    made = []
    while end - start > LONGEST:
        blank = text.rfind(" ", start + LONGEST // 2, start + LONGEST)
        cut = blank if blank > 0 else start + LONGEST
        made += _trimmed(text, start, cut)
        start = cut
    return [*made, *_trimmed(text, start, end)]


def _trimmed(text: str, start: int, end: int) -> list[Sentence]:
    cut = text[start:end]
    start += len(cut) - len(cut.lstrip())
    cut = cut.strip()
    return [Sentence(start, start + len(cut), cut)] if len(cut) >= SHORTEST else []


COMMON = frozenset(
    """a about above after again all also am an and any are as at be because been before being below between both but by
    can could did do does doing down during each else ever few for from further get gets give given had has have having
    he her here hers herself him himself his how i if in into is it its itself just know let like made make many may me
    mean means might mine more most much must my myself no nor not of off on once one only or other our ours out over
    own please same shall she should so some such tell than that the their theirs them themselves then there these they
    this those through to too under until up upon us use used very was we were what whats when where which while who
    whom whose why will with would yes you your yours yourself s t d m re ve ll o y ok okay well""".split()  # noqa: SIM905 - a table
)
"""Words that hold a sentence together and say little of what it is about."""


def words(text: str) -> list[str]:
    """Lower case, in order, common words too."""
    return [word.lower().replace("\u2019", "'") for word in WORD.findall(text)]


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """A word without its commonest English endings, so that 'filmed' meets 'filming': light, and often wrong alone."""
    if word.endswith("'s"):
        word = word[:-2]
    if len(word) <= 3 or word[0].isdigit():
        return word
    for ending, kept in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: len(word) - len(ending)] + kept
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] in "bdfgmnprt":
        word = word[:-1]
    return word[:-1] if len(word) > 4 and word[-1] == "e" else word


_ENDINGS = (
    ("ational", "at"), ("ization", "iz"), ("isation", "iz"), ("iveness", "iv"), ("fulness", "ful"), ("ations", "at"),
    ("ation", "at"), ("ingly", ""), ("edly", ""), ("ement", ""), ("ments", ""), ("ment", ""), ("ities", ""),
    ("ness", ""), ("ions", ""), ("ing", ""), ("ies", "y"), ("ied", "y"), ("ion", ""), ("ers", ""), ("ity", ""),
    ("ors", ""), ("est", ""), ("ed", ""), ("er", ""), ("or", ""), ("ly", ""), ("es", ""), ("al", ""), ("s", ""),
)  # fmt: skip


def content(text: str) -> list[str]:
    """Stems of the words that are not common, in order."""
    return [stem(word) for word in words(text) if word not in COMMON]
