"""A question -> the words worth looking for, and how to ask FTS5 for them.

Knows English function words; a question in another language keeps all its words. Does not know the index.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST = 64
"""Different words of a question that are looked for; of a longer one the first."""

_WORD = re.compile(r"\w+")

_FUNCTION_WORDS = """
    a an the of in on at to for and or nor but is are was were be been being am do does did done has have had having
    what which who whom whose when where why how that this these those it its as by with from into onto than then there
    their theirs them they he she his her hers him i me my mine we us our ours you your yours can could would should
    will shall may might must not no so if about also any some such very just only own same too s t don please tell
    know give want need let get got explain describe
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())


def content_words(text: str) -> list[str]:
    """Lower-case words in order, each once, function words left out; all of them where nothing else is left."""
    found = list(dict.fromkeys(_WORD.findall(text.lower())))
    return ([word for word in found if word not in FUNCTION_WORDS] or found)[:MOST]


def any_of(words: Sequence[str]) -> str:
    """An FTS5 expression that matches a passage with at least one of `words`."""
    return " OR ".join(f'"{word}"' for word in words)
