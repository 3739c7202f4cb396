"""Long running texts (contracts, letters, terms) -> dates and choices, by the words around each mention.

Knows where mentions are in text without a layout, and what is seen of each: the words on either side, the sentence's
head, where in the document it stands, whether it is the first or one of many. The ranker's weights say which is wanted
(ranker.py), as for receipts; only what is looked at differs, because a contract has sentences and no columns.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from smallfirst.tasks.extract import ranker
from smallfirst.tasks.extract.companies import company_key, same_company
from smallfirst.tasks.extract.mentions import Mention, find_mentions
from smallfirst.tasks.extract.party_names import INTRODUCED, describe_names, find_names
from smallfirst.tasks.extract.ranker import Candidates, Ranker, Run
from smallfirst.tasks.extract.schema import Field
from smallfirst.tasks.extract.values import Value
from smallfirst.tasks.extract.written_dates import written_dates

LEFT, RIGHT = 16, 12
"""Words before and after a mention that are looked at."""

PLACES = (150, 300, 600, 1200, 2500, 5000, 10_000, 30_000)
"""Ends of the zones of a document, in characters from its start; beyond the last, tenths of the document count."""

_WORD = re.compile(r"[^\W\d_]+|\d+|[.,;:()\"\u201c\u201d]|_+")


def find_clauses(field: Field, document: str) -> Candidates:
    """Every mention that has the shape of `field`, and what is seen of it."""
    if field.type == "name":
        return _names(document)
    mentions = _dates(field, document) if field.type == "date" else find_mentions(field, document)
    runs = tuple(Run(one.start, one.end, one.normal) for one in mentions)
    return Candidates(runs, describe_running(document, mentions), [])


def _names(document: str) -> Candidates:
    """One candidate a name, however often it stands there: what is seen of any of its mentions is seen of it.

    A company that filed the contract stands in every page's foot and need not be a party; one that is has been
    introduced somewhere.
    """
    mentions = find_names(document)
    around, itself = describe_running(document, mentions), describe_names(document, mentions)
    places: dict[str, list[int]] = {}
    for place, one in enumerate(mentions):
        places.setdefault(company_key(one.normal), []).append(place)
    runs, seen = [], []
    for its in places.values():
        shown = next((mentions[n] for n in its if INTRODUCED in itself[n]), mentions[its[0]])
        runs.append(Run(shown.start, shown.end, shown.normal))
        seen.append(list(dict.fromkeys(name for n in its for name in (*around[n], *itself[n]))))
    return Candidates(tuple(runs), seen, [])


def _dates(field: Field, document: str) -> list[Mention]:
    """Dates as contracts write them, and those that only the other reader knows (other languages)."""
    found = [Mention(one.start, one.end, one.iso) for one in written_dates(document, day_first=field.order == "dmy")]
    starts = [one.start for one in found]
    for other in find_mentions(field, document):
        at = bisect_left(starts, other.end)
        if not any(one.end > other.start and one.start < other.end for one in found[max(0, at - 1) : at]):
            found.append(other)
    return sorted(found, key=lambda one: one.start)


def describe_running(document: str, mentions: Sequence[Mention]) -> list[list[str]]:
    """For each mention the names of what is seen of it; each counts once."""
    counts = Counter(one.normal for one in mentions)
    first: dict[str, int] = {}
    for place, one in enumerate(mentions):
        first.setdefault(one.normal, place)
    described = []
    for place, one in enumerate(mentions):
        seen = _around(document, one)
        seen += _where(document, one, place, len(mentions))
        seen.append(f"times={min(counts[one.normal], 5)}")
        seen.append(f"new={first[one.normal] == place}")
        seen.append(f"open={'X' in one.normal[:10] and one.normal[4:5] == '-'}")
        described.append(list(dict.fromkeys(seen)))
    return described


def _around(document: str, one: Mention) -> list[str]:
    left = _words(document[max(0, one.start - 160) : one.start])[-LEFT:]
    right = _words(document[one.end : one.end + 120])[:RIGHT]
    near, after = left[-4:], right[:3]
    seen = [f"left:{word}" for word in left] + [f"right:{word}" for word in right]
    seen += [f"left{len(near) - n}={word}" for n, word in enumerate(near)]
    seen += [f"right{n + 1}={word}" for n, word in enumerate(after)]
    seen += [f"pair:{a} {b}" for a, b in pairwise(left)] + [f"pair>{a} {b}" for a, b in pairwise(right)]
    seen.append("left=" + " ".join(left[-3:]))
    seen.append("between=" + " ".join((*left[-1:], *right[:1])))
    return seen


def _where(document: str, one: Mention, place: int, count: int) -> list[str]:
    zone = bisect_left(PLACES, one.start)
    part = 10 * one.start // max(1, len(document))
    return [
        f"zone={zone}",
        f"part={part}",
        f"nth={min(place, 6)}",
        f"nth={min(place, 2)},zone={zone}",
        f"last={min(count - 1 - place, 4)}",
        f"only={count == 1}",
    ]


def _words(text: str) -> list[str]:
    return ["0" if word.isdigit() else "_" if word[0] == "_" else word for word in _WORD.findall(text.lower())]


def is_right(field: Field, document: str, candidates: Candidates, wanted: Sequence[str]) -> tuple[bool, ...]:
    """For each candidate whether it says one of the `wanted` normal forms; names may be written in other ways."""
    if field.type != "name":
        return ranker.is_right(field, document, candidates, wanted)
    keys = [company_key(one) for one in wanted]
    return tuple(any(same_company(company_key(run.normal), key) for key in keys) for run in candidates.runs)


class Clauses(Ranker):
    """A Finder. `weights`: an encoded ranker.Weights."""

    method = "clauses"

    def find(self, document: str) -> list[Value]:
        """See model.Finder."""
        return self.judge(document, find_clauses(self._field, document))
