"""Two writings of a party's name -> whether they name the same party.

Knows legal forms (Inc., Incorporated), short names in brackets, trade names after d/b/a, small slips of the pen. Does
not know which companies there are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_SHORT_NAME = re.compile(r"\([^()]*[\"'\u201c\u201d\u2018\u2019][^()]*\)?|[\"\u201c].*", re.DOTALL)
_BRACKETS = re.compile(r"\([^()]*\)?")
_TRADE_NAME = re.compile(
    r"\b(?:[dafn]\s?/\s?[bk]\s?/\s?a|doing business as|formerly known as)\b.*", re.IGNORECASE | re.DOTALL
)
_WORD = re.compile(r"\w+")
_FORMS = {
    "incorporated": "inc", "corporation": "corp", "limited": "ltd", "company": "co", "partnership": "lp",
}  # fmt: skip

SLIPS = 12
"""One letter in so many may differ: annotators and scanners write Kowledge for Knowledge."""


def full_name(text: str) -> str:
    """A name without the short names in brackets or quotes that a contract defines for it, and without trade names."""
    return _TRADE_NAME.sub("", _SHORT_NAME.sub("", text)).strip(" ,;:.\n\t")


def company_key(text: str) -> str:
    """Words in small letters, legal forms in one writing, no brackets, no article: equal keys are the same party."""
    folded = unicodedata.normalize("NFKC", _BRACKETS.sub(" ", full_name(text))).casefold().replace("&", " and ")
    folded = re.sub(r"[.'\u2019]", "", folded)
    words = [_FORMS.get(word, word) for word in _WORD.findall(folded)]
    return " ".join(words[1:] if words[:1] == ["the"] else words)


def same_company(one: str, other: str) -> bool:
    """Whether two keys name the same party: equal, or but for slips (Levenshtein 1966)."""
    if one == other:
        return True
    allowed = max(len(one), len(other)) // SLIPS
    return abs(len(one) - len(other)) <= allowed and _distance(one, other) <= allowed


def matched(said: Iterable[str], wanted: Iterable[str]) -> int:
    """How many of the `said` keys name a wanted party, each wanted one once."""
    left = list(wanted)
    found = 0
    for key in said:
        hit = next((one for one in left if same_company(key, one)), None)
        if hit is not None:
            left.remove(hit)
            found += 1
    return found


def _distance(one: str, other: str) -> int:
    """Insertions, deletions and changes of a letter that turn one into the other."""
    row = list(range(len(other) + 1))
    for n, letter in enumerate(one, 1):
        before, row[0] = row[0], n
        for m, wanted in enumerate(other, 1):
            before, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, before + (letter != wanted))
    return row[-1]
