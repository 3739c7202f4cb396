"""Names of parties in running text: candidates by capital letters and legal forms, and what is seen of each.

Knows how contracts name who signs them (`between ACME, Inc., a Delaware corporation ("Acme"), and John Doe`): capitals,
connecting words, legal forms after a comma, short names in brackets. Does not know which candidate is a party.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from smallfirst.tasks.extract.companies import company_key
from smallfirst.tasks.extract.mentions import Mention
from smallfirst.tasks.extract.names import tidy_name

OPENING = 6000
"""Characters from the start in which parties are looked for: they are named where a contract opens."""

LONGEST_NAME = 14
"""Words of a name."""

INTRODUCED = "short=True"
"""Seen of a name that a short name in brackets follows."""

_LEGAL = (
    r"(?:inc(?:orporated)?|corp(?:oration)?|co(?:mpany)?|l\.?\s?l\.?\s?[cp]|ltd|limited|l\.?p|n\.?a|s\.?a(?:\.?s|\.?r\.?l)?|"
    r"gmbh|a\.?g|b\.?v|n\.?v|p\.?l\.?c|pty|pte|pvt|k\.?k|a/s|s\.?p\.?a|bhd|jsc|trust|bank|fund)"
)
_SUFFIX = rf"(?:,?\s{{1,3}}{_LEGAL}\b\.?)"
_CAPITAL = (
    r"[\w-]+\.(?:com|net|org)\b|[^\W\d_a-z\xdf-\xff][\w'\u2019.&/\-]*|[a-z]{1,2}[A-Z\d][\w.]*|\d+[A-Za-z][\w.]*|\d{1,4}"
)
_BREAK = (
    r"(?:between|among|amongst|by|this|dated|made|entered|with|effective|agreement|exhibit|whereas|hereinafter|source|party|"
    r"parties|as|contract|is|execution|version|copy|date)\b"
)
_JOIN = r"(?:of|the|de|for|du|van|von|in|la|del|y|et)"
_GAP = rf"(?:[ \t\xa0]{{1,3}}|\n)(?:{_JOIN}[ \t\xa0]+){{0,2}}(?i:(?!{_BREAK}|and\b))"
_PLACE = r"\s\([A-Z][\w ]{1,20}\)(?=\s[A-Z])"  # Rise (Tianjin) Education
_NAME = re.compile(
    rf"(?<![\w])(?i:(?!{_BREAK}))(?:{_CAPITAL})"
    rf"(?:{_GAP}(?:{_CAPITAL}|&)|{_PLACE}|(?i:{_SUFFIX})){{0,{LONGEST_NAME}}}"
)
_LEGAL_END = re.compile(rf"(?:^|[\s,]){_LEGAL}\.?$", re.IGNORECASE)
_LEGAL_INSIDE = re.compile(rf"(?<=[\s,]){_LEGAL}\b\.?", re.IGNORECASE)
_AND = re.compile(r"\s+(?:and|AND|And|&)\s+")
_SHORT = re.compile(r"\s*,?\s*\(\s*(?:the\s+|hereinafter\s+|each\s+|\w+\s+){0,4}[\"\u201c\u201d'?]", re.IGNORECASE)
_SOON = re.compile(r"[^()]{0,220}\(\s*(?:the\s+|hereinafter\s+|\w+\s+){0,5}[\"\u201c\u201d'?]", re.IGNORECASE)
_QUOTES = ('"', "\u201c")
_WORDS = re.compile(r"\w+")


def find_names(document: str) -> list[Mention]:
    """Candidates in the opening; two that `and` joins are there by themselves and together."""
    head = document[:OPENING]
    single = [match.span() for match in _NAME.finditer(head)]
    joined = [
        (one[0], other[1])
        for one, other in pairwise(single)
        if _AND.fullmatch(head[one[1] : other[0]]) and not _LEGAL_END.search(head[one[0] : one[1]])
    ]
    found = []
    for start, end in sorted({*single, *joined, *(_cut(head, *span) for span in single)}):
        stop = end if _LEGAL_END.search(head[start:end]) else start + len(head[start:end].rstrip(".,"))
        normal = tidy_name(head[start:stop])
        if len(normal) > 2 and company_key(normal):
            found.append(Mention(start, stop, normal))
    return found


def _cut(head: str, start: int, end: int) -> tuple[int, int]:
    """The span up to its first legal form: `ZTO Express Co., Ltd. Address` runs on."""
    forms = [match.end() for match in _LEGAL_INSIDE.finditer(head[start:end])]
    if not forms:
        return start, end
    stop = forms[0]
    for other in forms[1:]:
        if not head[start + stop : start + other].strip(" ,.").count(" "):
            stop = other
    return start, start + stop


def describe_names(document: str, mentions: Sequence[Mention]) -> list[list[str]]:
    """What is seen of each name itself; the words around are clauses.py's."""
    low = document.lower()
    keys = [company_key(one.normal) for one in mentions]
    counts = Counter(keys)
    first: dict[str, int] = {}
    for place, key in enumerate(keys):
        first.setdefault(key, place)
    described = []
    for place, (one, key) in enumerate(zip(mentions, keys, strict=True)):
        seen = list(_inside(one.normal))
        seen += _company(document, one)
        seen.append(f"times={min(counts[key], 4)}")
        seen.append(f"again={min(low.count(one.normal.lower()), 6)}")
        seen.append(f"new={first[key] == place}")
        described.append(seen)
    return described


def _inside(name: str) -> Iterator[str]:
    words = [word.lower() for word in _WORDS.findall(name)]
    legal = bool(_LEGAL_END.search(name))
    yield f"legal={legal}"
    yield f"words={min(len(words), 6)},legal={legal}"
    yield f"upper={name.isupper()},legal={legal}"
    yield from (f"has:{word}" for word in words)
    yield f"first={words[0]}"
    yield f"final={words[-1]}"
    yield f"joined={bool(_AND.search(name))},legal={legal}"


def _company(document: str, one: Mention) -> Iterator[str]:
    after = document[one.end : one.end + 260]
    line = document[document.rfind("\n", 0, one.start) + 1 : one.start]
    yield f"short={bool(_SHORT.match(after))}"
    yield f"short-soon={bool(_SOON.match(after))}"
    quoted = document[max(0, one.start - 1) : one.start] in _QUOTES
    yield f"quoted={quoted}"
    yield f"next={after.lstrip()[:1]}"
    yield f"line={' '.join(_WORDS.findall(line.lower())[:1])}"
    alone = not line.strip() and after[:1].strip() == ""
    yield f"alone={alone}"
