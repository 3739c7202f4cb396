"""What the betting test is compared with: the z-test, which is the floor, and Hoeffding-Bentkus.

Knows bounded units. Neither p-value is ever used for a certificate: the z-test is valid only in the limit of many rows,
and on rare harm its error is well above delta; Hoeffding-Bentkus is valid and nearly blind at these margins.
"""

from __future__ import annotations

import math

import numpy as np

from smallfirst.calibrate.units import Floats, Units


def z_p_values(units: Units) -> Floats:
    """(k,): one-sided p-values of H0: E[gain] <= 0 by the normal approximation, with the variance between groups."""
    mean, spread = z_parts(units)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(spread > 0, mean / spread, np.where(mean > 0, np.inf, -np.inf))
    return np.array([0.5 * math.erfc(x / math.sqrt(2.0)) for x in z])


def z_parts(units: Units) -> tuple[Floats, Floats]:
    """(k,) mean gain and (k,) its standard error."""
    return units.gains.mean(0), np.asarray(units.gains.std(0, ddof=1) / math.sqrt(units.count))


def hoeffding_bentkus_p_values(units: Units) -> Floats:
    """(k,): the smaller of Hoeffding's and e times Bentkus' tail, on units rescaled to losses in 0..1.

    Source: Bates, Angelopoulos, Lei, Malik, Jordan 2021, "Distribution-free, risk-controlling prediction sets",
    section 3.1; Angelopoulos et al. 2021, "Learn then test", proposition 1.
    """
    width = units.best + units.worst
    bound = units.best / width
    risks = (units.best - units.gains.mean(0)) / width
    return np.array([_hoeffding_bentkus(float(risk), bound, units.count) for risk in risks])


def _hoeffding_bentkus(risk: float, bound: float, count: int) -> float:
    if risk >= bound:
        return 1.0
    divergence = _times_log(risk, bound) + _times_log(1.0 - risk, 1.0 - bound)
    return min(1.0, math.exp(-count * divergence), math.e * binomial_cdf(math.ceil(count * risk), count, bound))


def _times_log(p: float, q: float) -> float:
    return p * math.log(p / q) if p > 0 else 0.0


def binomial_cdf(most: int, count: int, chance: float) -> float:
    """P(X <= most) for X binomial(count, chance), 0 < chance < 1."""
    if most >= count:
        return 1.0
    k = np.arange(count + 1, dtype=np.float64)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(k[1:]))])
    log_choose = log_factorial[count] - log_factorial - log_factorial[::-1]
    terms = log_choose + k * math.log(chance) + (count - k) * math.log1p(-chance)
    return float(min(1.0, np.exp(terms[: most + 1]).sum()))
