"""How long calls have been taking lately: one small sketch for each replica, and each kind of wait.

Knows counts in buckets of waiting time, and which quantile is asked for. Does not know calls, clocks or what will be
done with it. A wait is of one of two kinds: until a whole answer, or until a stream's first event.
"""

from __future__ import annotations

import math
from itertools import accumulate

LEAST_S, GROWTH, BUCKETS = 0.001, 1.1, 160
"""The first bucket ends at 1 ms, each further one a tenth later, the last after an hour: a quantile is at most a tenth
too high, never too low."""

USUAL = 0.95
ENOUGH = 20
"""Fewer waits than this say nothing about one in twenty."""

MEMORY = 512
"""Once so many are counted all counts are halved: what a replica did an hour ago fades."""

FRESH = 16
"""A quantile is worked out anew after so many further waits."""

_LOG = math.log(GROWTH)


class Sketch:
    """Waits of one kind."""

    __slots__ = ("_counts", "_stale", "_total", "_usual_s")

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._total = self._stale = 0
        self._usual_s: float | None = None

    def note(self, wait_s: float) -> None:
        at = 0 if wait_s <= LEAST_S else min(BUCKETS - 1, math.ceil(math.log(wait_s / LEAST_S) / _LOG))
        self._counts[at] += 1
        self._total += 1
        self._stale += 1
        if self._total >= MEMORY:
            self._counts = [count // 2 for count in self._counts]
            self._total = sum(self._counts)

    @property
    def usual_s(self) -> float | None:
        """What 19 of 20 waits stay within; None where too few have been seen."""
        if self._total < ENOUGH:
            return None
        if self._usual_s is None or self._stale >= FRESH:
            self._stale, self._usual_s = 0, self._quantile(USUAL)
        return self._usual_s

    def _quantile(self, share: float) -> float:
        wanted = share * self._total
        at = next(at for at, below in enumerate(accumulate(self._counts)) if below >= wanted)
        return float(LEAST_S * GROWTH**at)
