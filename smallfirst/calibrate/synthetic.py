"""Synthetic policies whose true loss is known exactly: what the certificate's validity is tried on.

Knows how to draw rows of a given loss in several shapes. Does not know tests or certificates. A shape placed at the
promised loss keeps its promise just not: every certificate that it gets is wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.calibrate.promise import Design
from smallfirst.calibrate.units import Floats

RIGHT = 0.7
"""Mean score of the baseline in shapes with scores of 0 or 1."""


class Rows(msgspec.Struct, frozen=True):
    """Scores of one policy and its baseline, as `make_units` takes them."""

    served: Floats
    baseline: Floats
    groups: list[int] | None = None
    weights: Floats | None = None
    design: Design = Design()


Shape = Callable[[np.random.Generator, int, float], Rows]
"""(generator, prompt groups, true loss) -> rows."""


def harm_only(rng: np.random.Generator, count: int, loss: float) -> Rows:
    """The policy is never better than the baseline."""
    return Rows(*right_or_wrong(rng, count, harm=RIGHT * loss, gain=0.0))


def harm_and_gain(rng: np.random.Generator, count: int, loss: float) -> Rows:
    """As on recorded data: one row in nine changes its score, some for the better."""
    return Rows(*right_or_wrong(rng, count, harm=0.05 + RIGHT * loss, gain=0.05))


def strong_baseline(rng: np.random.Generator, count: int, loss: float) -> Rows:
    """The baseline is nearly always right, so there is harm and nothing to gain."""
    return Rows(*right_or_wrong(rng, count, harm=0.98 * loss, gain=0.0, right=0.98))


def rare_collapse(rng: np.random.Generator, count: int, loss: float) -> Rows:
    """Scores of a judge: mostly the baseline's own, now and then next to nothing."""
    f = rng.beta(5, 2, count)
    return Rows(f * rng.beta(1.5 * (1 - loss), 1.5 * loss, count), f)


def noisy_scores(rng: np.random.Generator, count: int, loss: float) -> Rows:
    """Two continuous scores that have nothing to do with each other but their means."""
    mean = 5 / 7 * (1 - loss)
    return Rows(rng.beta(7 * mean, 7 * (1 - mean), count), rng.beta(5, 2, count))


def unequal_groups(rng: np.random.Generator, count: int, loss: float) -> Rows:
    """Prompts with 1 to 8 copies, and all harm falls on whole groups of the large ones."""
    size = rng.choice([1, 2, 4, 8], count, p=[0.6, 0.25, 0.1, 0.05])  # mean 1.9, of which 0.8 in groups of 4 or 8
    f = (rng.random(count) < RIGHT).astype(np.float64)
    harmed = (size >= 4) & (rng.random(count) < loss * 1.9 / 0.8)
    group = np.repeat(np.arange(count), size)
    return Rows(np.where(harmed, 0.0, f)[group], f[group], group.tolist(), None, Design(copies=8))


def graded_in_part(rng: np.random.Generator, count: int, loss: float) -> Rows:
    """`harm_and_gain`, with all differing rows graded and a tenth of the others."""
    s, f = right_or_wrong(rng, count, harm=0.05 + RIGHT * loss, gain=0.05)
    chance = np.where(s == f, 0.1, 1.0)
    graded = rng.random(count) < chance
    return Rows(np.where(graded, s, np.nan), np.where(graded, f, np.nan), None, graded / chance)


def sorted_by_source(rng: np.random.Generator, count: int, loss: float) -> Rows:
    """Rows sorted by data set: gain in the first four fifths, harm in the last."""
    late = np.sort(rng.random(count)) > 0.8
    s, f = right_or_wrong(rng, count, harm=0.0, gain=0.025)
    worse = rng.random(count) < (RIGHT * loss + 0.8 * 0.025) / (0.2 * RIGHT)
    return Rows(np.where(late, np.where(worse, 0.0, f), s), f)


def right_or_wrong(
    rng: np.random.Generator, shape: int | tuple[int, int], *, harm: float, gain: float, right: float = RIGHT
) -> tuple[Floats, npt.NDArray[np.float64]]:
    """Served and baseline scores of 0 or 1; the true loss is (harm - gain) / right."""
    u = rng.random(shape)
    f = (u < right).astype(np.float64)
    s = np.where(u < harm, 0.0, np.where((u >= right) & (u < right + gain), 1.0, f))
    return s, f


SHAPES: dict[str, Shape] = {
    "harm only": harm_only,
    "harm and gain": harm_and_gain,
    "strong baseline": strong_baseline,
    "rare collapse": rare_collapse,
    "noisy scores": noisy_scores,
    "unequal groups": unequal_groups,
    "graded in part": graded_in_part,
    "sorted by source": sorted_by_source,
}
