"""How sure must an answer be, so that those that are kept are right often enough, with a promise?

Knows whether each answer was right and how sure the model was. Does not know tasks. The thresholds are fixed before the
rows are seen and go from strict to lax; each is tested with the exact binomial law (Clopper and Pearson 1934) on the
rows it keeps, at the full level, and the walk ends at the first that fails (fixed-sequence testing: Angelopoulos et al.
2021, "Learn then test", section 3.1). So every threshold before that holds at once, and the laxest is taken.

It speaks of texts like the certified rows: same labels, same source, drawn in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.calibrate.comparison import binomial_cdf
from smallfirst.errors import DataError

NOTHING = 2.0
"""A threshold that no confidence reaches."""


class Certified(msgspec.Struct, frozen=True):
    """The accuracy that was promised of what is kept, and on what it rests."""

    accuracy: float  # at least this, of what is kept
    confidence: float
    threshold: float
    rows: int  # certification rows
    kept: int
    wrong: int
    p_value: float

    def explain(self) -> str:
        """One sentence for people."""
        return (
            f"at least {self.accuracy:.1%} of what is kept is right ({self.confidence:.0%} confidence): "
            f"{self.kept} of {self.rows} rows were kept, {self.wrong} of them wrong (p = {self.p_value:.4f})"
        )


def fewest(accuracy: float, confidence: float) -> int:
    """Kept rows below which even no mistake at all proves nothing."""
    return math.ceil(math.log(1 - confidence) / math.log(accuracy))


def certify(
    right: npt.NDArray[np.bool_],
    sure: npt.NDArray[np.float64],
    thresholds: Sequence[float],
    *,
    accuracy: float,
    confidence: float,
) -> Certified | None:
    """The laxest of `thresholds` (strict to lax) that is certified on rows `right` (n,), `sure` (n,); None: none is.

    Raises DataError for thresholds out of order, a promise that is none, or too few rows ever to certify it.
    """
    if not 0 < accuracy < 1 or not 0.5 <= confidence < 1:
        raise DataError(f"accuracy must lie between 0 and 1 and confidence in 0.5..1, not {accuracy} and {confidence}")
    if any(strict < lax for strict, lax in pairwise(thresholds)):
        raise DataError("thresholds: they must go from strict to lax")
    needed = fewest(accuracy, confidence)
    if len(right) < needed:
        raise DataError(
            f"{len(right)} rows can't certify {accuracy:.1%} at {confidence:.0%} confidence: even without a mistake it "
            f"takes {needed}; label more, or promise less"
        )
    found = None
    for threshold in thresholds:
        kept = sure >= threshold
        wrong = int((kept & ~right).sum())
        p_value = binomial_cdf(wrong, int(kept.sum()), 1 - accuracy)
        if p_value > 1 - confidence:
            break
        found = Certified(accuracy, confidence, threshold, len(right), int(kept.sum()), wrong, p_value)
    return found


def steps(sure: npt.NDArray[np.float64], *, least_kept: float, count: int = 60) -> list[float]:
    """Thresholds by the share that they keep of `sure` (rows that are not certified on), from `least_kept` to all."""
    shares = np.linspace(least_kept, 1.0, count)
    return [float(x) for x in np.quantile(sure, 1 - shares)]
