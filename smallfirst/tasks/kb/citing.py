"""An answer and its passages -> the answer with markers that can be trusted to point somewhere, and what they point at.

Knows markers ([1], [2, 3]) and shared words. Does not know whether a passage supports a statement (grounded.py). Models
forget markers, mix them up and invent them: one that points at no passage, or at one that shares far less with the
statement than another, is taken out, and a statement that is left without any gets that of the passage which shares
most with it. Passages are numbered anew in the order in which the answer names them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from smallfirst.tasks.kb.sentences import content, split_sentences
from smallfirst.tasks.kb.store import Passage

LEAST_SHARED = 0.34
"""A statement without a marker gets one where a passage holds at least this share of its words."""

FAR_LESS = 0.5
"""Of the words of a statement: a marker whose passage holds so much less of them than another does is a mistake."""

_MARK = re.compile(r"[ \t]*\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\](?!\()")
_TAIL = re.compile(r"[.!?]+[\"'\u201d\u2019)]*$")


class Citation(msgspec.Struct, frozen=True):
    """What a marker [n] points at: document[start:end], and the words there."""

    n: int
    document: str
    title: str
    start: int
    end: int
    text: str


class Cited(msgspec.Struct, frozen=True):
    """An answer as the caller sees it."""

    text: str
    citations: tuple[Citation, ...]


def plain(answer: str) -> str:
    """Without markers: the statements alone."""
    return _MARK.sub("", answer).strip()


def cite(answer: str, passages: Sequence[Passage]) -> Cited:
    """See the module."""
    order: list[int] = []  # places in `passages`, as they are named
    parts, at = [], 0
    stems = [frozenset(content(f"{one.title} {one.text}")) for one in passages]
    for start, end in _statements(answer):
        statement = answer[start:end]
        named = _pointed(statement, stems)
        order += [place for place in named if place not in order]
        parts += [answer[at:start], marked(plain(statement), [order.index(place) + 1 for place in named])]
        at = end
    text = "".join((*parts, answer[at:])).strip()
    found = (passages[place] for place in order)
    citations = (Citation(n, one.document, one.title, one.start, one.end, one.text) for n, one in enumerate(found, 1))
    return Cited(text, tuple(citations))


def _statements(answer: str) -> list[tuple[int, int]]:
    """Sentences with the markers that follow them ("... two. [1] Three ..." names [1] for the first)."""
    spans: list[tuple[int, int]] = []
    for sentence in split_sentences(answer):
        start = sentence.start
        led = _MARK.match(answer, start)
        if led and spans and led.start() == start:
            spans[-1] = (spans[-1][0], led.end())
            start = led.end()
            while start < sentence.end and answer[start].isspace():
                start += 1
        if start < sentence.end:
            spans.append((start, sentence.end))
    return spans


def _pointed(statement: str, stems: Sequence[frozenset[str]]) -> list[int]:
    """Places of the passages that a statement rests on, each once."""
    numbers = [int(one) for mark in _MARK.findall(statement) for one in re.split(r"\s*[,;]\s*", mark)]
    named = list(dict.fromkeys(number - 1 for number in numbers if 1 <= number <= len(stems)))
    wanted = set(content(plain(statement)))
    if not wanted or not stems:
        return named
    shares = [len(wanted & one) / len(wanted) for one in stems]
    best = max(range(len(shares)), key=lambda place: shares[place])
    kept = [place for place in named if shares[best] - shares[place] < FAR_LESS]
    return kept or ([best] if shares[best] >= LEAST_SHARED else [])


def marked(statement: str, numbers: Sequence[int]) -> str:
    """A statement with the markers [n] before its full stop."""
    if not numbers or not statement:
        return statement
    marks = "".join(f"[{number}]" for number in numbers)
    tail = _TAIL.search(statement)
    cut = tail.start() if tail else len(statement)
    return f"{statement[:cut]} {marks}{statement[cut:]}"
