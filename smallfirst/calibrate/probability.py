"""A score that orders well -> a probability that can be taken at its word.

Knows scores or probabilities and truths (0..1, a share counts as that much of a positive row). Does not know what they
speak of. Fit on rows that the score was not fitted on; measures of calibration are evals' and learn's.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.calibrate.units import Floats
from smallfirst.errors import DataError

_EDGE = 1e-6
"""Probabilities are held this far from 0 and 1 before their logarithm is taken."""

_ROUNDS = 100
_TOLERANCE = 1e-10


class Isotonic(msgspec.Struct, frozen=True):
    """A rising step function through the knots `at` (ascending), joined by straight lines; flat beyond the ends."""

    at: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, scores: npt.ArrayLike) -> Floats:
        """Probabilities, in the shape of `scores`."""
        return np.asarray(np.interp(np.asarray(scores, dtype=np.float64), self.at, self.values))


class Platt(msgspec.Struct, frozen=True):
    """1 / (1 + exp(-(slope x score + offset)))."""

    slope: float
    offset: float

    def __call__(self, scores: npt.ArrayLike) -> Floats:
        """Probabilities, in the shape of `scores` (any real numbers, such as log-odds)."""
        return _sigmoid(self.slope * np.asarray(scores, dtype=np.float64) + self.offset)


class Beta(msgspec.Struct, frozen=True):
    """1 / (1 + exp(-(a ln p - b ln(1 - p) + offset))), with a, b >= 0; a = b = 1 and offset 0 change nothing."""

    a: float
    b: float
    offset: float

    def __call__(self, chance: npt.ArrayLike) -> Floats:
        """Probabilities from probabilities, in the same shape."""
        up, down = _logarithms(np.asarray(chance, dtype=np.float64))
        return _sigmoid(self.a * up + self.b * down + self.offset)


def fit_isotonic(scores: npt.ArrayLike, truth: npt.ArrayLike) -> Isotonic:
    """The rising function nearest to the truths (least squares), by pooling adjacent violators.

    Equal scores are pooled first. It overfits below some hundred rows: prefer Platt there. Source: Barlow, Bartholomew,
    Bremner, Brunk 1972, section 1.2; Zadrozny and Elkan 2002. Raises DataError for no rows or truths outside 0..1.
    """
    x, y = _checked(scores, truth)
    at, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=y) / counts
    blocks: list[tuple[float, float, int]] = []  # mean, rows, distinct scores
    for mean, rows in zip(means.tolist(), counts.tolist(), strict=True):
        blocks.append((mean, rows, 1))
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (m1, r1, k1), (m2, r2, k2) = blocks[-2:]
            blocks[-2:] = [((m1 * r1 + m2 * r2) / (r1 + r2), r1 + r2, k1 + k2)]
    values = np.repeat([mean for mean, _, _ in blocks], [k for _, _, k in blocks])
    ends = np.ones(len(at), dtype=bool)  # knots inside a flat part say nothing
    ends[1:-1] = (np.diff(values)[:-1] != 0) | (np.diff(values)[1:] != 0)
    return Isotonic(tuple(at[ends].tolist()), tuple(np.clip(values[ends], 0.0, 1.0).tolist()))


def fit_platt(scores: npt.ArrayLike, truth: npt.ArrayLike) -> Platt:
    """Logistic regression on one score, with Platt's targets instead of 0 and 1, so that no slope runs away.

    Source: Platt 1999, "Probabilistic outputs for support vector machines", section 2.2; Lin, Lin, Weng 2007. Raises
    DataError as `fit_isotonic`.
    """
    x, y = _checked(scores, truth)
    slope, offset = _logistic(x[:, None], _targets(y))
    return Platt(slope, offset)


def fit_beta(chance: npt.ArrayLike, truth: npt.ArrayLike) -> Beta:
    """Logistic regression on ln p and -ln(1 - p); a weight that comes out negative is dropped, the rest fitted again.

    It can bend either end by itself, and it can change nothing, which Platt on probabilities can't. Source: Kull, Silva
    Filho, Flach 2017, "Beta calibration", section 4. Raises DataError as `fit_isotonic`, and for p outside 0..1.
    """
    p, y = _checked(chance, truth)
    if p.min() < 0 or p.max() > 1:
        raise DataError(f"chance: {p.min():g} to {p.max():g}; beta calibration takes probabilities, Platt any score")
    up, down = _logarithms(p)
    target = _targets(y)
    a, b, offset = _logistic(np.column_stack([up, down]), target)
    if a < 0:
        b, offset = _logistic(down[:, None], target)
        return Beta(0.0, max(b, 0.0), offset)
    if b < 0:
        a, offset = _logistic(up[:, None], target)
        return Beta(max(a, 0.0), 0.0, offset)
    return Beta(a, b, offset)


def _logistic(columns: Floats, target: Floats) -> list[float]:
    """Weights and, last, the intercept that maximise the likelihood, by Newton steps with halving."""
    x = np.column_stack([columns, np.ones(len(columns))])
    weights = np.zeros(x.shape[1])
    worth = _likelihood(x @ weights, target)
    for _ in range(_ROUNDS):
        p = _sigmoid(x @ weights)
        curvature = (x * (p * (1 - p))[:, None]).T @ x + _EDGE * np.eye(x.shape[1])
        move = np.linalg.solve(curvature, x.T @ (target - p))
        while (better := _likelihood(x @ (weights + move), target)) < worth and np.abs(move).max() > _TOLERANCE:
            move /= 2
        if better - worth <= _TOLERANCE * len(x):
            break
        weights, worth = weights + move, better
    return [float(w) for w in weights]


def _likelihood(logits: Floats, target: Floats) -> float:
    return float((target * logits - np.logaddexp(0.0, logits)).sum())


def _targets(truth: Floats) -> Floats:
    """Platt's: as if one more row of each kind had been seen."""
    positive = truth.sum()
    negative = len(truth) - positive
    high, low = (positive + 1) / (positive + 2), 1 / (negative + 2)
    return np.asarray(truth * high + (1 - truth) * low)


def _logarithms(chance: Floats) -> tuple[Floats, Floats]:
    """ln p and -ln(1 - p)."""
    p = np.clip(chance, _EDGE, 1 - _EDGE)
    return np.log(p), -np.log1p(-p)


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -logits)))


def _checked(scores: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise DataError(f"scores have shape {x.shape}, truth {y.shape}: one of each a row is needed")
    bad = np.flatnonzero(~np.isfinite(x) | ~((y >= 0) & (y <= 1)))
    if len(bad):
        raise DataError(f"row {int(bad[0])}: score {x[bad[0]]:g}, truth {y[bad[0]]:g}; truths lie in 0..1")
    return x, y
