"""How many rows a promise takes, before anyone pays for them.

Knows what one rung is expected to do and plays the test of calibrate/betting.py on rows drawn from that. Does not know
data, prices or paths: a path's walk needs every rung up to the one you want, and the hardest of them decides.

Grading disagreements first: where served and baseline answers differ after canonicalising, both are graded; of the rows
where they agree only a random part with known probability, one grade for both, weighted by 1 / probability. Agreeing
rows carry no difference, only E[f] and with it the margin eps E[f], so little is lost. It holds only where equal
canonical answers were shown to have equal scores.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.calibrate.betting import STANDARD, Bets, bet
from smallfirst.calibrate.promise import Promise
from smallfirst.calibrate.units import Floats, check_scores
from smallfirst.errors import DataError

LANES = 300
"""Plays of a plan: the chance found has a standard error of at most 3 points."""

MOST_PLAYED = 20_000
"""Rows up to which a plan is played; beyond, `BEYOND` says what the betting test takes above the z-test."""

BEYOND = 1.1
"""Rows that the betting test takes for one of the z-test's, where they are very many (bench/quality/validity.py)."""


class Expectation(msgspec.Struct, frozen=True):
    """What you think of the policy at the setting that you want certified; a pilot of 200 graded rows tells enough."""

    loss: float  # relative quality loss
    changed: float  # share of rows whose score is not the baseline's: harm and gain together, for scores of 0 or 1
    baseline: float  # mean score of the baseline
    differing: float | None = None  # share of rows whose answers differ; those scored equal are in it. Default: changed
    from_frontier: float = 0.0  # share of rows that the policy hands up to the baseline anyway: no shadow call there

    @property
    def harm(self) -> float:
        """Share of rows that the baseline gets right and the policy wrong."""
        return (self.changed + self.loss * self.baseline) / 2

    @property
    def gain(self) -> float:
        """Share of rows that the policy gets right and the baseline wrong."""
        return (self.changed - self.loss * self.baseline) / 2

    def check(self) -> None:
        """Raises DataError for shares that don't go together."""
        shares = {"changed": self.changed, "baseline": self.baseline, "from_frontier": self.from_frontier}
        if self.differing is not None:
            shares["differing"] = self.differing
        for name, share in shares.items():
            if not 0.0 <= share <= 1.0:
                raise DataError(f"{name}: {share} is not a share between 0 and 1")
        if self.harm > self.baseline or self.gain > 1 - self.baseline or min(self.harm, self.gain) < -1e-12:
            raise DataError(
                f"a loss of {self.loss:g} with {self.changed:g} of scores changed and a baseline of {self.baseline:g} "
                f"would be {self.harm:.4f} harmed and {self.gain:.4f} gained: that can't be"
            )
        if self.differing is not None and self.differing < self.changed:
            raise DataError(f"differing: {self.differing} is below changed ({self.changed}); equal answers score alike")


def expect(
    served: npt.ArrayLike,
    baseline: npt.ArrayLike,
    *,
    differs: npt.ArrayLike | None = None,
    handed_up: npt.ArrayLike | None = None,
) -> Expectation:
    """What a pilot's graded rows let expect: scores (n,) in 0..1, and for each row whether the answers differ.

    `handed_up` (n,): whether the baseline's answer was served. Continuous scores count by the square of their change,
    which is what the number of rows depends on. Raises DataError for bad scores, or a baseline that never scored.
    """
    s, f = check_scores(served, "served"), check_scores(baseline, "baseline")
    if len(s) != len(f) or not f.any():
        raise DataError(f"{len(s)} scores served beside {len(f)} of a baseline with mean {f.mean() if len(f) else 0:g}")
    loss = float(1 - s.mean() / f.mean())
    changed = max(float(((s - f) ** 2).mean()), abs(loss) * float(f.mean()))
    return Expectation(
        loss=loss,
        changed=changed,
        baseline=float(f.mean()),
        differing=None if differs is None else max(changed, float(np.mean(np.asarray(differs, dtype=bool)))),
        from_frontier=0.0 if handed_up is None else float(np.mean(np.asarray(handed_up, dtype=bool))),
    )


class Plan(msgspec.Struct, frozen=True):
    """What it takes for the promise to be certified with chance `power`, if the expectation is true."""

    promise: Promise
    power: float
    rows: int  # prompt groups
    floor_rows: int  # what a z-test would take: no valid test can take less in the limit
    shadow_calls: int  # of the rows; what the policy handed up needs none
    grades: int  # when every row is graded: two where answers differ, one where they agree
    agree_probability: float
    first_rows: int  # when disagreements are graded first: rows,
    first_shadow_calls: int
    first_grades: int  # and grades

    def explain(self) -> str:
        """Two sentences for a terminal."""
        return (
            f"To certify a loss of at most {self.promise.max_quality_loss:g} at confidence {self.promise.confidence:g} "
            f"with chance {self.power:.0%}: {self.rows:,} prompts, {self.shadow_calls:,} shadow calls, {self.grades:,} "
            f"grades (a z-test, which is not valid, would take {self.floor_rows:,} prompts). Disagreements first, and "
            f"{self.agree_probability:.0%} of the rest: {self.first_rows:,} prompts, "
            f"{self.first_shadow_calls:,} shadow calls, {self.first_grades:,} grades."
        )


def plan(
    promise: Promise,
    expected: Expectation,
    *,
    power: float = 0.8,
    agree_probability: float = 0.1,
    seed: int = 0,
    bets: Bets = STANDARD,
) -> Plan:
    """How many rows and grades. Raises DataError when no number would do, or for shares that can't be."""
    promise.check()
    expected.check()
    if not 0.5 <= power < 1.0:
        raise DataError(f"power: {power} is not between 0.5 and 1; 0.8 is usual")
    if not 0.0 < agree_probability <= 1.0:
        raise DataError(f"agree_probability: {agree_probability} is not in 0..1, or is 0")
    rows, floor = _rows(promise, expected, power, 1.0, seed, bets)
    first, _ = _rows(promise, expected, power, agree_probability, seed, bets)
    differing = expected.changed if expected.differing is None else expected.differing
    handed_up = expected.from_frontier
    return Plan(
        promise,
        power,
        rows,
        floor,
        math.ceil(rows * (1 - handed_up)),
        math.ceil(rows * (1 + differing)),
        agree_probability,
        first,
        math.ceil(first * (1 - handed_up)),
        math.ceil(first * (2 * differing + agree_probability * (1 - differing))),
    )


def chance(
    promise: Promise,
    expected: Expectation,
    rows: int,
    *,
    agree_probability: float = 1.0,
    seed: int = 0,
    bets: Bets = STANDARD,
    lanes: int = LANES,
) -> float:
    """The chance that `rows` prompt groups certify the promise for this one rung, if the expectation is true."""
    epsilon = promise.max_quality_loss
    gains = _draw(expected, epsilon, (rows, lanes), agree_probability, np.random.default_rng(seed))
    return float((bet(gains, 1.0 - epsilon, promise.delta, bets) >= -math.log(promise.delta)).mean())


def _rows(
    promise: Promise, expected: Expectation, power: float, agree_probability: float, seed: int, bets: Bets
) -> tuple[int, int]:
    """Rows for the betting test, found by playing it; rows for the z-test, by its formula."""
    mean, variance = _moments(expected, promise.max_quality_loss, agree_probability)
    if mean <= 0:
        raise DataError(
            f"no number of rows certifies a loss of at most {promise.max_quality_loss:g} for a policy that is expected "
            f"to lose {expected.loss:g}; choose a setting nearer to always-frontier, or promise less"
        )
    normal = NormalDist()
    reach = normal.inv_cdf(promise.confidence) + normal.inv_cdf(power)
    floor = max(2, math.ceil(reach**2 * variance / mean**2))
    sure = math.ceil(-math.log(promise.delta) / math.log1p(bets.most * mean / (1.0 - promise.max_quality_loss)))
    low = float(max(floor, sure))
    if low > MOST_PLAYED:
        return math.ceil(BEYOND * low), floor

    def enough(rows: float) -> bool:
        found = chance(promise, expected, round(rows), agree_probability=agree_probability, seed=seed, bets=bets)
        return found >= power

    high = low * 1.2
    while not enough(high):
        low, high = high, high * 1.5
    while high / low > 1.03:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return math.ceil(high), floor


def _even(expected: Expectation) -> float:
    """Share of the rows scored alike whose answers differ all the same."""
    if expected.differing is None or expected.changed == 1.0:
        return 0.0
    return (expected.differing - expected.changed) / (1.0 - expected.changed)


def _moments(expected: Expectation, epsilon: float, agree_probability: float) -> tuple[float, float]:
    """Mean and variance of a unit's gain."""
    even, kept = _even(expected), expected.baseline - expected.harm
    mean = expected.gain - expected.harm * (1.0 - epsilon) + epsilon * kept
    square = expected.gain + expected.harm * (1.0 - epsilon) ** 2
    square += epsilon**2 * kept * (even + (1.0 - even) / agree_probability)
    return mean, square - mean**2


def _draw(
    expected: Expectation, epsilon: float, shape: tuple[int, int], agree_probability: float, rng: np.random.Generator
) -> Floats:
    """Gains of rows with scores of 0 or 1."""
    harm, gain = expected.harm, expected.gain
    ends = np.cumsum([harm, gain, expected.baseline - harm])
    even = _even(expected)
    graded = rng.random(shape)
    kept = np.where(graded < even, epsilon, 0.0)
    kept[(graded >= even) & (graded < even + (1.0 - even) * agree_probability)] = epsilon / agree_probability
    case = np.searchsorted(ends, rng.random(shape), side="right")
    return np.choose(case, [np.full(shape, epsilon - 1.0), np.ones(shape), kept, np.zeros(shape)])
