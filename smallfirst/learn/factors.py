"""Learns what a text's factors are: the few sums of words that tell best which models answer it right.

Knows a design matrix and a table of scores with gaps. Does not know texts or files. log-odds(text, model) =
intercept[model] + factors(text) . slopes[model], with factors(text) a sum over its words, pairs, symbols and length:
a reduced-rank logistic regression, held back by squared norms on both sides (together: the nuclear norm of the
coefficients; Srebro and Shraibman 2005, section 2).
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smallfirst.errors import SetupError
from smallfirst.learn.fit import one_thread

Array = NDArray[np.float64]


class Rank(msgspec.Struct, frozen=True):
    """How many factors, and how strongly both sides are held back."""

    factors: int = 16
    hold_words: float = 300.0
    hold_slopes: float = 100.0
    rounds: int = 120  # of L-BFGS


class Fitted(msgspec.Struct, frozen=True):
    """`weights` (columns, factors), `slopes` (models, factors), `intercepts` (models,)."""

    weights: Array
    slopes: Array
    intercepts: Array

    def logits(self, rows: Any) -> Array:
        """(n, models) of a design matrix."""
        made: Array = (rows @ self.weights) @ self.slopes.T + self.intercepts
        return made


def mean_logits(scores: Array) -> Array:
    """Log-odds of each model's mean score, one right and one wrong answer added; nan cells are left out."""
    seen = ~np.isnan(scores)
    right = np.where(seen, scores, 0.0).sum(0)
    made: Array = np.log((right + 1.0) / (seen.sum(0) - right + 1.0))
    return made


def fit_factors(rows: Any, scores: Array, rank: Rank, seed: int) -> Fitted:
    """`rows`: CSR (n, columns); `scores`: (n, models) in 0..1 with nan where a model was not asked.

    Deterministic for a seed. Raises SetupError without scipy.
    """
    try:
        from scipy.optimize import minimize  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra; the gateway never needs it
    except ImportError as error:
        raise SetupError("fitting heads needs scipy: pip install 'smallfirst[learn]'") from error
    columns, models = rows.shape[1], scores.shape[1]
    count = min(rank.factors, models)
    rng = np.random.default_rng(seed)
    base = mean_logits(scores)
    slopes = rng.normal(0.0, 0.3, (models, count))
    slopes[:, 0] = 1.0  # the first is what all models find hard
    start = np.concatenate([rng.normal(0.0, 0.01, columns * count), slopes.ravel(), base])
    loss = _Loss(rows, scores, base, rank, count)
    with one_thread():
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": rank.rounds, "maxcor": 10})
        return balanced(Fitted(*loss.parts(found.x)))


def balanced(fitted: Fitted) -> Fitted:
    """The same log-odds with orthogonal factors, the most telling first, and the weight shared between both sides."""
    left, upper = np.linalg.qr(fitted.weights)
    right, lower = np.linalg.qr(fitted.slopes)
    a, strength, b = np.linalg.svd(upper @ lower.T)
    signs = np.where(a[np.abs(a).argmax(0), np.arange(len(strength))] < 0, -1.0, 1.0)
    root = np.sqrt(strength) * signs
    return Fitted(left @ a * root, right @ b.T * root, fitted.intercepts)


class _Loss:
    """The penalised log loss of all cells that are not nan, and its gradient, over one flat vector."""

    def __init__(self, rows: Any, scores: Array, base: Array, rank: Rank, count: int) -> None:
        self._rows, self._turned = rows, rows.T.tocsr()
        self._seen = ~np.isnan(scores)
        self._scores = np.where(self._seen, scores, 0.0)
        self._base, self._rank = base, rank
        self._shapes = (rows.shape[1], count), (scores.shape[1], count)

    def parts(self, flat: Array) -> tuple[Array, Array, Array]:
        (columns, count), (models, _) = self._shapes
        cut, end = columns * count, (columns + models) * count
        return flat[:cut].reshape(columns, count), flat[cut:end].reshape(models, count), flat[end:]

    def __call__(self, flat: Array) -> tuple[float, Array]:
        weights, slopes, intercepts = self.parts(flat)
        words, held = self._rank.hold_words, self._rank.hold_slopes
        factors = self._rows @ weights
        logits = factors @ slopes.T + intercepts
        missed = np.where(self._seen, 1.0 / (1.0 + np.exp(-logits)) - self._scores, 0.0)
        away = intercepts - self._base
        loss = np.where(self._seen, np.logaddexp(0.0, logits) - self._scores * logits, 0.0).sum()
        loss += 0.5 * (words * np.square(weights).sum() + held * np.square(slopes).sum() + np.square(away).sum())
        by_words = self._turned @ (missed @ slopes) + words * weights
        by_slopes = missed.T @ factors + held * slopes
        return float(loss), np.concatenate([by_words.ravel(), by_slopes.ravel(), missed.sum(0) + away])
