"""Words that deny, and words that mean the contrary of each other.

Knows short English lists and a few prefixes. Does not know sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from smallfirst.tasks.kb.sentences import COMMON, WORD, stem

NEGATIONS = frozenset(
    """not no never none nobody nothing neither nor nowhere cannot without hardly rarely except unless lack lacks lacked
    fail fails failed unable false""".split()  # noqa: SIM905 - a table
)
_NEGATED = re.compile(r"n['\u2019]t$")


def negations(text: str) -> int:
    """How many words deny."""
    return sum(1 for word in _lower(text) if word in NEGATIONS or _NEGATED.search(word))


def _lower(text: str) -> Iterator[str]:
    return (word.lower() for word in WORD.findall(text))


_OPPOSED = """
increase/decrease rise/fall rose/fell grow/shrink more/less more/fewer most/least high/low higher/lower
highest/lowest large/small larger/smaller largest/smallest big/little long/short longest/shortest longer/shorter
old/new older/newer oldest/newest oldest/youngest early/late earlier/later earliest/latest first/last before/after
begin/end began/ended start/stop started/stopped start/finish open/close opened/closed win/lose won/lost
victory/defeat success/failure accept/reject accepted/rejected allow/forbid allowed/forbidden allow/prohibit
allowed/prohibited permit/prohibit legal/illegal possible/impossible able/unable include/exclude included/excluded
inside/outside internal/external upper/lower above/below north/south northern/southern east/west eastern/western
left/right male/female man/woman men/women boy/girl father/mother son/daughter brother/sister husband/wife
king/queen public/private rich/poor strong/weak strongest/weakest good/bad better/worse best/worst positive/negative
true/false same/different similar/different always/never all/none everyone/nobody many/few major/minor
maximum/minimum import/export buy/sell bought/sold give/take gave/took gain/loss gained/lost attack/defend
support/oppose supported/opposed agree/disagree agreed/disagreed like/dislike love/hate hot/cold warm/cool wet/dry
light/dark black/white day/night morning/evening summer/winter domestic/foreign native/foreign active/passive
ancient/modern add/remove added/removed appear/disappear arrive/leave ascend/descend build/destroy built/destroyed
create/destroy created/destroyed employ/dismiss enter/exit expand/contract freeze/melt friend/enemy ally/enemy
help/hinder prevent/cause encourage/discourage hire/fire join/leave lead/follow live/die born/died alive/dead
majority/minority natural/artificial natural/synthetic near/far often/rarely frequently/rarely optional/required
optional/mandatory voluntary/mandatory parent/child praise/criticize push/pull raise/lower raised/lowered
receive/send received/sent safe/dangerous simple/complex easy/difficult easy/hard sharp/blunt slow/fast
slower/faster solid/liquid superior/inferior temporary/permanent top/bottom urban/rural vertical/horizontal
visible/invisible war/peace wide/narrow young/old younger/older primary/secondary direct/indirect
conservative/liberal catholic/protestant democratic/republican formal/informal known/unknown usual/unusual
likely/unlikely available/unavailable enable/disable enabled/disabled current/former before/since married/divorced
increased/decreased increasing/decreasing rising/falling
"""
OPPOSITES: dict[str, frozenset[str]] = {}
for _pair in _OPPOSED.split():
    _one, _other = _pair.split("/")
    OPPOSITES[_one] = OPPOSITES.get(_one, frozenset()) | {_other}
    OPPOSITES[_other] = OPPOSITES.get(_other, frozenset()) | {_one}


def opposites(word: str) -> frozenset[str]:
    """Words that mean the contrary of a lower-case word: from the list, or by a prefix (un-, non-, dis-, in-)."""
    found = OPPOSITES.get(word, frozenset())
    if len(word) > 5:
        found |= {prefix + word for prefix in ("un", "non", "dis", "in", "im")}
        found |= {word[len(prefix) :] for prefix in ("un", "non", "dis") if word.startswith(prefix)}
    return found


REACH = 3
"""Content words after a denial that it is taken to speak of."""


def denied(said: Sequence[str]) -> frozenset[str]:
    """Of a sentence's words (lower case, in order) the stems that a denial speaks of: the next REACH content words."""
    made: set[str] = set()
    for at, word in enumerate(said):
        if word in NEGATIONS or _NEGATED.search(word):
            made.update([stem(other) for other in said[at + 1 : at + 9] if other not in COMMON][:REACH])
    return frozenset(made)
