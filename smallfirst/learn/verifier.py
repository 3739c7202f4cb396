"""Fits what weighs evidence: the expected loss of serving an answer, its chance to be right, the top model's price.

Knows design matrices, scores and costs. Does not know models, steps or rungs; ladder.py brings the rows.

Two views are averaged, because they err differently on a few thousand rows: logistic regression with a strong prior,
and extremely randomised trees (Geurts, Ernst, Wehenkel 2006). Boosted trees overfitted these noisy targets and made
every mean worse; docs/promise.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smallfirst.calibrate.probability import fit_platt
from smallfirst.errors import SetupError
from smallfirst.verify.combiner import Chance, Fan, Gap, Linear, Price, Trees

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

CLIP = 6.0
"""Standard deviations from the mean that a value may lie: further ones count as that far."""


class Forest(msgspec.Struct, frozen=True):
    """How trees are grown; chosen by hand among few."""

    trees: int = 60
    leaf: int = 30  # rows, at least
    leaves: int = 64  # of a tree, at most: bounds the time of a fit and the size of a file
    share: float = 0.4  # of the columns that a split looks at


class Recipe(msgspec.Struct, frozen=True):
    """What was chosen by hand. A prior does not change with the number of rows: more rows outweigh it."""

    prior: float = 0.005  # variance of a weight, for a standardised column, before any row was seen
    hold_price: float = 10.0  # ridge, in rows
    gap: Forest = Forest()
    price: Forest = Forest(trees=40, leaves=32)


class Scale(msgspec.Struct, frozen=True):
    """Means and standard deviations of columns; a constant column has deviation 1, and so no weight."""

    mean: Array
    deviation: Array

    def of(self, rows: Array) -> Array:
        """Standardised and clipped."""
        return np.clip((rows - self.mean) / self.deviation, -CLIP, CLIP)

    def line(self, weights: Array, intercept: float) -> Linear:
        """A linear model of standardised columns as one of the columns themselves."""
        plain = weights / self.deviation
        low, high = self.bounds()
        return Linear(float(intercept - plain @ self.mean), _floats(plain), low, high)

    def fan(self, weights: Array, intercepts: Array) -> Fan:
        """The same for (rungs, columns) and (rungs,)."""
        plain = weights / self.deviation
        low, high = self.bounds()
        return Fan(_floats(intercepts - plain @ self.mean), tuple(map(_floats, plain)), low, high)

    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return _floats(self.mean - CLIP * self.deviation), _floats(self.mean + CLIP * self.deviation)


def scale(rows: Array) -> Scale:
    """Measure the columns of `rows`."""
    deviation = rows.std(0)
    return Scale(rows.mean(0), np.where(deviation > 1e-9, deviation, 1.0))


def fit_gap(rows: Array, top: Array, leading: Array, recipe: Recipe, seed: int) -> Gap:
    """E[top - leading] from evidence (n, f) and two scores (n,) in 0..1."""
    measured = scale(rows)
    return Gap(
        top=_logistic(measured, rows, top, recipe),
        leading=_logistic(measured, rows, leading, recipe),
        trees=_grow(rows, top - leading, recipe.gap, seed),
    )


def fit_right(rows: Array, leading: Array, outside: Array, recipe: Recipe) -> Chance:
    """P(right) of the leading answer; `outside` (n,): its log-odds from fits that did not see the row."""
    platt = fit_platt(outside, leading)
    return Chance(_logistic(scale(rows), rows, leading, recipe), platt.slope, platt.offset)


def fit_leading(rows: Array, leading: Array, recipe: Recipe) -> Linear:
    """Log-odds that the leading answer is right, not yet calibrated."""
    return _logistic(scale(rows), rows, leading, recipe)


def fit_price(rows: Array, cost: Array, recipe: Recipe, seed: int) -> Price:
    """exp E[log cost] from evidence (n, f) and costs (n,) above 0."""
    target = np.log(cost)
    weights, intercepts = _ridge(scale(rows).of(rows), target[:, None], recipe.hold_price, np.ones(len(rows)))
    return Price(scale(rows).line(weights[0], float(intercepts[0])), _grow(rows, target, recipe.price, seed))


def fit_ahead(rows: Array, ratios: Array, weights: Array, hold: float) -> Fan:
    """E[ratio] for each rung: evidence (n, f), ratios (n, r), weights (n,)."""
    measured = scale(rows)
    return measured.fan(*_ridge(measured.of(rows), ratios, hold, weights))


# -- the same as verify/combiner.py, for many rows; sums run in the same order, so that both give the same numbers -----


def linear_values(model: Linear, rows: Array) -> Array:
    """(n,)"""
    total = np.full(len(rows), model.intercept)
    for column, (weight, low, high) in enumerate(zip(model.weights, model.low, model.high, strict=True)):
        x = rows[:, column]
        total += weight * np.where(x < low, low, np.where(x > high, high, x))
    return total


def fan_values(fan: Fan, rows: Array) -> Array:
    """(rungs, n)"""
    weights = np.array(fan.weights)
    total = np.repeat(np.array(fan.intercepts)[:, None], len(rows), 1)
    for column, (low, high) in enumerate(zip(fan.low, fan.high, strict=True)):
        x = rows[:, column]
        total += weights[:, column, None] * np.where(x < low, low, np.where(x > high, high, x))
    return total


def tree_values(trees: Trees, rows: Array) -> Array:
    """(n,)"""
    feature, threshold = np.array(trees.feature), np.array(trees.threshold)
    left, at = np.array(trees.left), np.arange(len(rows))
    total = np.zeros(len(rows))
    for root in trees.roots:
        node = np.full(len(rows), root)
        while (inner := feature[node] >= 0).any():
            further = rows[at, np.maximum(feature[node], 0)] > threshold[node]
            node = np.where(inner, left[node] + further, node)
        total += threshold[node]
    return total


def gap_values(gap: Gap, rows: Array) -> Array:
    """(n,)"""
    apart = logistics(linear_values(gap.top, rows)) - logistics(linear_values(gap.leading, rows))
    return np.asarray((apart + tree_values(gap.trees, rows)) / 2)


def chance_values(chance: Chance, rows: Array) -> Array:
    """(n,)"""
    return logistics(chance.slope * linear_values(chance.linear, rows) + chance.offset)


def price_values(price: Price, rows: Array) -> Array:
    """(n,)"""
    return np.asarray(np.exp((linear_values(price.linear, rows) + tree_values(price.trees, rows)) / 2))


def logistics(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.maximum(x, -700.0))))


def dreads(loss: Array, softness: float) -> Array:
    """verify.combiner.dread for an array."""
    scaled = loss / softness
    return np.asarray(softness * (np.maximum(scaled, 0.0) + np.log1p(np.exp(-np.abs(scaled)))))


# -- fitting ----------------------------------------------------------------------------------------------------------


def _logistic(measured: Scale, rows: Array, target: Array, recipe: Recipe) -> Linear:
    """Logistic regression on shares: a row counts `share` times as right and `1 - share` times as wrong."""
    try:
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - an extra; the gateway never needs it
    except ImportError as error:
        raise SetupError("fitting needs scikit-learn: pip install 'smallfirst[learn]'") from error
    mean = float(np.clip(target.mean(), 1e-3, 1 - 1e-3))
    if target.min() == target.max():  # nothing to tell apart
        return measured.line(np.zeros(rows.shape[1]), float(np.log(mean / (1 - mean))))
    right, wrong = np.flatnonzero(target > 0), np.flatnonzero(target < 1)
    table = measured.of(rows)[np.r_[right, wrong]]
    labels = np.r_[np.ones(len(right)), np.zeros(len(wrong))]
    shares = np.r_[target[right], 1 - target[wrong]]
    model = LogisticRegression(C=recipe.prior, max_iter=300, tol=1e-5).fit(table, labels, sample_weight=shares)
    return measured.line(model.coef_[0], float(model.intercept_[0]))


def _ridge(table: Array, targets: Array, hold: float, weights: Array) -> tuple[Array, Array]:
    """((t, f) weights, (t,) intercepts) of least squares, held back by `hold` rows' worth; targets (n, t)."""
    share = weights / weights.mean()
    middle, goal = np.average(table, axis=0, weights=share), np.average(targets, axis=0, weights=share)
    x, y = table - middle, targets - goal
    found = np.linalg.solve((x * share[:, None]).T @ x + hold * np.eye(x.shape[1]), (x * share[:, None]).T @ y).T
    return found, goal - found @ middle


def _grow(rows: Array, target: Array, forest: Forest, seed: int) -> Trees:
    try:
        from sklearn.ensemble import ExtraTreesRegressor  # noqa: PLC0415 - an extra; the gateway never needs it
    except ImportError as error:
        raise SetupError("fitting needs scikit-learn: pip install 'smallfirst[learn]'") from error
    model = ExtraTreesRegressor(
        forest.trees,
        min_samples_leaf=min(forest.leaf, max(1, len(rows) // 4)),
        max_leaf_nodes=forest.leaves,
        max_features=forest.share,
        random_state=seed,
        n_jobs=1,
    ).fit(rows, target)
    return _flat([one.tree_ for one in model.estimators_])


def _flat(grown: list[Any]) -> Trees:
    """sklearn's trees as one set of arrays, their leaves divided by their number; the right child follows the left."""
    roots: list[int] = []
    feature: list[int] = []
    threshold: list[float] = []
    left: list[int] = []
    for tree in grown:
        roots.append(len(feature))
        feature.append(-1)
        threshold.append(0.0)
        left.append(0)
        waiting = [(0, roots[-1])]
        while waiting:
            old, new = waiting.pop()
            if tree.children_left[old] < 0:
                threshold[new] = float(tree.value[old, 0, 0]) / len(grown)
                continue
            at = len(feature)
            feature[new], threshold[new], left[new] = int(tree.feature[old]), float(tree.threshold[old]), at
            feature += [-1, -1]
            threshold += [0.0, 0.0]
            left += [0, 0]
            waiting += [(int(tree.children_left[old]), at), (int(tree.children_right[old]), at + 1)]
    return Trees(tuple(roots), tuple(feature), tuple(threshold), tuple(left))


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(x) for x in values)


def outside(fold: NDArray[np.int64], fit_and_predict: Callable[[Ints, Ints], Array]) -> Array:
    """Predictions out of fold: `fit_and_predict(inside, left)` gets row indices and gives one number for each left."""
    found = np.zeros(len(fold))
    for part in np.unique(fold):
        inside, left = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
        found[left] = fit_and_predict(inside, left)
    return found
