"""Parts of a text against each other: what one part may add to how hard the whole looks, beyond what the rest shows.

Knows sums of words by part, and how far they may lie apart. Does not know what words mean. A text that was made to look
hard, by words put before or after it, is hard in one part and not in the others; a hard question is so in most of them.
So a part adds at most `LEEWAY` more than the middle one of the parts does (of two in the middle, the easier), and takes
at most `HEAD_LEEWAY` more off the usual model's log-odds than the part that takes off least. Nothing is bounded that
makes a text look easier: that is what the verifier is for, which looks at the answer.

The attack: Shafran, Schuster, Ristenpart, Shmatikov 2025, "Rerouting LLM Routers", section 4. bench/abuse.py measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul
from typing import NamedTuple

CALM = 0.7
"""Log-odds of complexity up to which nothing is compared: nearly all texts, which then cost no more time."""
LEEWAY = 0.3
HEAD_LEEWAY = 0.5
"""Log-odds. Less of either would be more robust and cost routing: docs/security.md has the figures."""
FEWEST = 4
"""Words of a part below which its share of unknown ones says nothing."""


class Part(NamedTuple):
    """One part's sums, words, pairs and symbols together. `points`, `factors`: in steps of the table; `room`: in
    segments."""

    points: float
    factors: tuple[int, ...]
    known: int
    words: int
    room: int = 1


def levelled_points(parts: Sequence[Part], leeway: float) -> float:
    """The sum of the parts' points, none more than `leeway` (in steps) above the middle one, or above nothing."""
    points = sorted(part.points for part in parts)
    middle = points[(len(points) - 1) // 2]
    most = (middle if middle > 0.0 else 0.0) + leeway
    return sum(one if one < most else most for one in points)


def excess(parts: Sequence[Part], usual: Sequence[float]) -> list[float] | None:
    """For each part, the share of its factors that may stand; None where all of them may. `usual`: the usual model's
    slopes."""
    taken = [sum(map(mul, usual, part.factors)) for part in parts]
    least = max(taken)
    floor = (least if least < 0.0 else 0.0) - HEAD_LEEWAY
    if min(taken) >= floor:
        return None
    return [floor / one if one < floor else 1.0 for one in taken]


def most_familiar(parts: Sequence[Part]) -> float:
    """The least share of unknown words in any part that has enough of them; 1 where none has."""
    return min((1.0 - part.known / part.words for part in parts if part.words >= FEWEST), default=1.0)
