"""Candidates that have a shape of their own (dates, amounts, numbers, identifiers, choices), and what is seen of each.

Knows where the shapes are and the words, the place, the size and the sums around them, as a list of feature names. Does
not know which candidate is wanted: that is the ranker's or the patterns' affair.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from smallfirst.tasks.extract.amounts import currency_of, find_amounts, money, number
from smallfirst.tasks.extract.dates import find_dates
from smallfirst.tasks.extract.layout import Layout, line_at, read_layout
from smallfirst.tasks.extract.normal import normalise
from smallfirst.tasks.extract.schema import Field

SHAPED = ("date", "money", "number", "id", "choice")
"""Types whose values can be seen by their shape."""

MOST = 2000
"""Candidates of a field and part of a document; what follows is not looked at."""

_ID = re.compile(r"(?<![\w])(?=[\w/.#-]*\d)[A-Z0-9][\w/.#-]{2,40}(?<![.#-])(?![\w])", re.IGNORECASE)
_ID_BLANKS = re.compile(r"(?<!\w)[A-Z0-9](?:[A-Z0-9./-]|[ ](?=[A-Z0-9])){3,44}(?!\w)", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+|\d+|[%@#/]")


class Mention(msgspec.Struct, frozen=True):
    """document[start:end] reads as `normal`; `size` is the value of a number."""

    start: int
    end: int
    normal: str
    size: Decimal | None = None


def find_mentions(field: Field, document: str) -> list[Mention]:
    """What has the shape of `field`'s type, in order of the text."""
    found: list[Mention] = []
    for mention in _FINDERS[field.type](field, document):
        found.append(mention)
        if len(found) == MOST:
            break
    return sorted(found, key=lambda mention: mention.start)


def _dates(field: Field, document: str) -> Iterator[Mention]:
    for start, end, iso in find_dates(document, field.order):
        yield Mention(start, end, iso)


def _amounts(field: Field, document: str) -> Iterator[Mention]:
    for start, end, size, sign in find_amounts(document, field.decimal):
        if field.type == "money":
            yield Mention(start, end, money(size, currency_of(sign, field.currency)), size)
        else:
            yield Mention(start, end, number(size), size)


def _identifiers(field: Field, document: str) -> Iterator[Mention]:
    if field.pattern:
        for match in re.finditer(rf"(?<!\w)(?:{field.pattern})(?!\w)", document, re.IGNORECASE):
            if (said := normalise(field, match[0])) is not None:
                yield Mention(*match.span(), said)
        return
    if not field.form:
        for match in _ID.finditer(document):
            if (said := normalise(field, match[0])) is not None:
                yield Mention(*match.span(), said)
        return
    for match in _ID_BLANKS.finditer(document):
        yield from _checked(field, document, *match.span())


def _checked(field: Field, document: str, start: int, end: int) -> Iterator[Mention]:
    """The longest runs of blank-separated pieces that pass the check; identifiers are often printed in groups."""
    if not any(letter.isdigit() for letter in document[start:end]):
        return
    words = [(start + at.start(), start + at.end()) for at in re.finditer(r"\S+", document[start:end])]
    first = 0
    while first < len(words):
        for last in range(min(len(words), first + 9), first, -1):
            begin, stop = words[first][0], words[last - 1][1]
            if stop - begin >= 4 and (said := normalise(field, document[begin:stop])) is not None:
                yield Mention(begin, stop, said)
                first = last - 1
                break
        first += 1


def _choices(field: Field, document: str) -> Iterator[Mention]:
    words = {word for value, several in field.choices.items() for word in (value, *several) if word.strip()}
    shape = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in sorted(words, key=len, reverse=True))
    for match in re.finditer(rf"(?<!\w)(?:{shape})(?!\w)", document, re.IGNORECASE):
        if (said := normalise(field, match[0])) is not None:
            yield Mention(*match.span(), said)


_FINDERS = {"date": _dates, "money": _amounts, "number": _amounts, "id": _identifiers, "choice": _choices}


def describe(document: str, mentions: Sequence[Mention]) -> list[list[str]]:
    """For each mention the names of what is seen of it; each counts once."""
    layout = read_layout(document)
    counts = Counter(mention.normal for mention in mentions)
    sizes = sorted({mention.size for mention in mentions if mention.size is not None})
    sums = _Sums(sizes) if sizes else None
    described = []
    for place, mention in enumerate(mentions):
        seen = _around(document, layout, mention)
        seen += _place(layout, mention, place, len(mentions))
        times = counts[mention.normal]
        seen.append(f"times={min(times, 5)}")
        seen.append("shape=" + _shape(document[mention.start : mention.end]))
        if mention.size is not None and sums is not None:
            seen += sums.describe(mention.size)
        described.append(list(dict.fromkeys(seen)))
    return described


def label_of(document: str, layout: Layout, start: int) -> tuple[str, str]:
    """(what stands left of `start` on its line, the line above) in lower case: where a label would be."""
    line = line_at(layout, start)
    left = document[layout.lines[line][0] : start]
    above = "" if line == 0 else document[slice(*layout.lines[line - 1])]
    return left.lower(), above.lower()


def _around(document: str, layout: Layout, mention: Mention) -> list[str]:
    line = line_at(layout, mention.start)
    left, above = label_of(document, layout, mention.start)
    right = document[mention.end : layout.lines[line][1]].lower() if mention.end < layout.lines[line][1] else ""
    words, after, over = _words(left), _words(right), _words(above)
    below = _words(document[slice(*layout.lines[line + 1])].lower()) if line + 1 < len(layout.lines) else []
    seen = [f"left:{word}" for word in words[-8:]] + [f"right:{word}" for word in after[:5]]
    seen.append("label=" + " ".join(words[-6:]))
    seen += [f"left{n}={' '.join(words[-n:])}" for n in (1, 2, 3) if len(words) >= n]
    seen.append(f"right1={after[0] if after else ''}")
    seen += [f"above:{word}" for word in over[:8]] + [f"below:{word}" for word in below[:6]]
    if not words:
        seen += ["alone", "alone,above=" + " ".join(over[-4:]), *(f"alone,above:{word}" for word in over[:8])]
    seen.append(f"numbers-left={sum(word == '0' for word in words) and 1}")
    return seen


def _place(layout: Layout, mention: Mention, place: int, count: int) -> list[str]:
    line = line_at(layout, mention.start)
    return [
        f"line={min(line, 12)}",
        f"part={10 * line // max(1, len(layout.lines))}",
        f"nth={min(place, 6)}",
        f"last={min(count - 1 - place, 6)}",
        f"only={count == 1}",
    ]


def _words(text: str) -> list[str]:
    return ["0" if word.isdigit() else word for word in _WORD.findall(text)]


def _shape(text: str) -> str:
    return re.sub(r"[^\W\d_]", "A", re.sub(r"\d", "9", text))[:24]


class _Sums:
    """How a size stands among the others: its rank, and what it is the sum or the difference of."""

    def __init__(self, sizes: list[Decimal]) -> None:
        self._sizes = sizes[-200:]
        self._known = set(self._sizes)

    def describe(self, size: Decimal) -> list[str]:
        rank = len(self._sizes) - bisect_left(self._sizes, size)
        seen = [f"largest={min(rank, 8)}", f"decimals={-int(size.as_tuple().exponent)}"]
        if size <= 0:
            return [*seen, "not positive"]
        parts = [one for one in self._sizes if 0 < one < size and size - one in self._known]
        more = [one for one in self._sizes if one > size and one - size in self._known]
        seen.append(f"sum={min(len(parts), 4)}")
        seen.append(f"difference={min(len(more), 4)}")
        seen.append(f"largest={min(rank, 4)},sum={bool(parts)},difference={bool(more)}")
        return seen
