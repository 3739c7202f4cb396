"""What is promised, and how the evidence for it is taken: both fixed before anyone looks at the rows.

Knows numbers. Does not know models, prompts or files.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from smallfirst.errors import DataError

Slicing = Literal["alone", "joint", "common"]
"""How slices share a promise; calibrate/walk.py says what each means."""


class Promise(msgspec.Struct, frozen=True):
    """At most this much worse than the baseline, relatively, and the chance that this may be claimed wrongly.

    `max_quality_loss` bounds 1 - E[score of what was served] / E[score of the baseline].
    """

    max_quality_loss: float = 0.02
    confidence: float = 0.95

    @property
    def delta(self) -> float:
        """The chance of a wrong certificate that is accepted."""
        return round(1.0 - self.confidence, 12)

    def check(self) -> None:
        """Raises DataError for a promise that can't be one."""
        if not 0.0 < self.max_quality_loss < 1.0:
            raise DataError(f"max_quality_loss: {self.max_quality_loss} is not between 0 and 1; 0.02 means 2%")
        if not 0.5 <= self.confidence < 1.0:
            raise DataError(f"confidence: {self.confidence} is not between 0.5 and 1; 0.95 is usual")


class Design(msgspec.Struct, frozen=True):
    """How rows become evidence."""

    seed: int = 0  # of the random order of prompt groups
    copies: int = 1  # rows that a prompt group counts for at most; 1: every prompt counts once, with its copies' mean
    least_probability: float = 1.0  # the smallest chance of being graded that a row with differing answers had

    @classmethod
    def of_data(cls, digest: str) -> Design:
        """The order follows from the data's own digest (hex), so that nobody can try seeds until one fits."""
        return cls(seed=int(digest[:12], 16))

    def check(self) -> None:
        """Raises DataError for a design that can't be one."""
        if self.copies < 1:
            raise DataError(f"copies: {self.copies}; a group counts for at least 1 row")
        if not 0.0 < self.least_probability <= 1.0:
            raise DataError(f"least_probability: {self.least_probability} is not in 0..1, or is 0")
