"""A valid p-value by betting: a bettor who plays against the hypothesis can't grow rich if it is true.

Knows bounded units (calibrate/units.py). Does not know rungs, slices or certificates.

Validity (Waudby-Smith and Ramdas 2023, "Estimating means of bounded random variables by betting", section 3; Ville
1939). Start with 1 and before each unit stake a share l of the wealth, chosen from earlier units only, with
0 <= l < 1/worst: the wealth becomes (1 + l Z) times itself and stays positive. If E[Z] <= 0 it is a supermartingale, so
the chance that it ever reaches 1/delta is at most delta, for every number of units, every law of Z and every way of
choosing l. 1 / (the most it ever was) is therefore a p-value, also for a reader who looks after every unit.

Power. Any choice of l is valid, so the choice is free to aim at one thing: to stand at 1/delta when the units run out.
For a Brownian wealth the way to maximise that chance is known (Kulldorff 1993; Browne 1999, "Reaching goals by a
deadline", section 3): hold what replicates a bet that pays 1/delta or nothing. With q = wealth / goal, m units left of
variance v, and d the q-quantile of the normal law with density phi,

    l = phi(d) / (q sqrt(m v)),

whatever the drift is. In that limit it rejects exactly when the z-test does; what is lost with real units is the
estimate of v and their jumps. (Voracek and Orabona 2025, "STaR-Bets", aim at the goal in the same spirit with
l = sqrt(2 log(1/q) / (m v)).) The goal is set a little above 1/delta, because the last jump must still reach it.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import msgspec
import numpy as np

from smallfirst.calibrate.units import Floats, Units

_LEAST_VARIANCE = 1e-6
_NEXT_GOAL = math.log(10.0)


class Bets(msgspec.Struct, frozen=True):
    """How to bet; fixed before the rows are seen. None of it touches validity, all of it power."""

    variance: float = 0.1  # of a unit, as guessed before the first one
    guess_rows: float = 4.0  # units that the guess counts for
    most: float = 0.9  # of the stake that one unit could ruin
    reserve: float = 0.15  # the goal is this share above 1/delta


STANDARD = Bets()


def _stakes() -> tuple[Floats, Floats]:
    """phi(d) / q on a grid of log q, from 1e-30 to nearly 1."""
    normal = NormalDist()
    shares = np.concatenate([np.geomspace(1e-30, 0.5, 2000), 1.0 - np.geomspace(0.499, 1e-9, 1000)])
    points = (normal.inv_cdf(float(share)) for share in shares)
    return np.log(shares), np.array([normal.pdf(d) / q for d, q in zip(points, shares, strict=True)])


_LOG_SHARES, _STAKES = _stakes()


def log_wealth(units: Units, delta: float, bets: Bets = STANDARD) -> Floats:
    """(k,): natural log of the most that a bettor on each rung ever owned, with 1/delta as the goal.

    The rungs are bet on side by side on the same units; the time is one pass over u units of k lanes.
    """
    return bet(units.gains, units.worst, delta, bets)


def bet(gains: Floats, worst: float, delta: float, bets: Bets = STANDARD) -> Floats:
    """`log_wealth` for bare gains (u, k), none below -worst. The order of rows is the order of play."""
    count, lanes = gains.shape
    goal = np.full(lanes, -math.log(delta))
    reserve, largest = math.log1p(bets.reserve), bets.most / worst
    wealth, top = np.zeros(lanes), np.zeros(lanes)
    total, squares = np.zeros(lanes), np.full(lanes, bets.guess_rows * bets.variance)
    for t, gain in enumerate(gains):
        left = (count - t) / (bets.guess_rows + t) * np.maximum(squares, _LEAST_VARIANCE)
        stake = np.minimum(np.interp(wealth - goal - reserve, _LOG_SHARES, _STAKES) / np.sqrt(left), largest)
        wealth += np.log1p(stake * gain)
        np.maximum(top, wealth, out=top)
        goal[wealth >= goal] += _NEXT_GOAL  # there; what was owned counts, so go for more
        surprise = gain - total / (t + 1)
        squares += surprise * surprise
        total += gain
    return top


def p_values(units: Units, delta: float, bets: Bets = STANDARD) -> Floats:
    """(k,): valid p-values of H0: E[gain] <= 0, tuned to fall below `delta` where they can.

    Far below delta they are larger than a z-test's: the bettor aims at delta first, and then at a tenth of it.
    """
    return np.asarray(np.exp(-log_wealth(units, delta, bets)))


def fewest_units(units: Units, epsilon: float, delta: float, bets: Bets = STANDARD) -> int:
    """About how many such units the baseline itself would need to be certified against itself: fewer can't do.

    Each unit then gains epsilon times the baseline's score, and the largest stake is right every time.
    """
    growth = np.log1p(bets.most / units.worst * epsilon * units.baseline.min(1)).sum()
    return math.ceil(units.count * -math.log(delta) / growth) if growth > 0 else 0
