"""Rows of named evidence -> Weights (smallfirst/tasks/kb/weigh.py): a logistic regression and a small forest, mixed.

How strongly each is held back and how they are mixed is chosen by cross-fitting inside the fit part, by groups. Slope,
offset and threshold come from other rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from passages import auroc
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression

from smallfirst.learn.verifier import _flat as flatten
from smallfirst.learn.verifier import linear_values, tree_values
from smallfirst.tasks.kb.weigh import Weights
from smallfirst.verify.combiner import Linear

PRIORS = (0.003, 0.01, 0.03, 0.1)
LEAVES = (6, 15)
MIXES = (0.0, 0.3, 0.5, 0.7, 1.0)
TREES = 100
FOLDS = 6


@dataclass
class Table:
    """(n, k) evidence, (n,) truth and weight, a group for each row, and a stratum: choices are scored in each."""

    names: tuple[str, ...]
    rows: np.ndarray
    truth: np.ndarray
    weight: np.ndarray
    groups: list[str]
    strata: list[str]


def fit(table: Table, seed: int, told: str) -> tuple[Weights, float]:
    """(weights without calibration, cross-fitted AUROC: the mean over the strata).

    A stratum without a true row (questions spoiled on purpose) is held against all true rows.
    """
    kinds = sorted(set(table.groups))
    order = dict(zip(kinds, np.random.default_rng(seed).permutation(len(kinds)) % FOLDS, strict=True))
    fold = np.array([order[group] for group in table.groups])
    linear = {prior: np.zeros(len(fold)) for prior in PRIORS}
    forest = {leaf: np.zeros(len(fold)) for leaf in LEAVES}
    for part in range(FOLDS):
        inside, left = fold != part, fold == part
        for prior in PRIORS:
            linear[prior][left] = linear_values(_line(table, inside, prior), table.rows[left])
        for leaf in LEAVES:
            forest[leaf][left] = _odds(tree_values(_trees(table, inside, leaf, seed, TREES // 2), table.rows[left]))

    def score(values: np.ndarray) -> float:
        parts, strata = [], np.array(table.strata)
        for stratum in sorted(set(table.strata)):
            here = strata == stratum
            true = here & table.truth if (here & table.truth).any() else table.truth
            parts.append(auroc(values[true], values[here & ~table.truth]))
        return float(np.mean(parts))

    tried = [
        (score((1 - mix) * linear[prior] + mix * forest[leaf]), prior, leaf, mix)
        for prior in PRIORS for leaf in LEAVES for mix in MIXES
    ]  # fmt: skip
    best, prior, leaf, mix = max(tried, key=lambda one: (round(one[0], 4), -one[3]))
    print(f"{told}: cross-fitted {best:.3f} with prior {prior}, leaf {leaf}, forest's share {mix}")
    for alone in (0.0, 1.0):
        print(f"   best with share {alone}: {max(one[0] for one in tried if one[3] == alone):.3f}")
    whole = np.ones(len(fold), dtype=bool)
    made = Weights(
        names=table.names, linear=_line(table, whole, prior), trees=_trees(table, whole, leaf, seed, TREES), share=mix,
        slope=1.0, offset=0.0, threshold=0.5, chosen_for="nothing yet", fitted_on=told,
    )  # fmt: skip
    return made, best


def _line(table: Table, here: np.ndarray, prior: float) -> Linear:
    rows = table.rows[here]
    low, high = np.quantile(rows, 0.005, axis=0), np.quantile(rows, 0.995, axis=0)
    held = np.clip(rows, low, high)
    spread = held.std(axis=0)
    spread[spread < 1e-6] = np.inf
    scaled = (held - held.mean(axis=0)) / spread
    model = LogisticRegression(C=prior, max_iter=1000).fit(scaled, table.truth[here], sample_weight=table.weight[here])
    weights = model.coef_[0] / spread
    intercept = float(model.intercept_[0] - weights @ held.mean(axis=0))
    return Linear(intercept, *(tuple(float(x) for x in part) for part in (weights, low, high)))


def _trees(table: Table, here: np.ndarray, leaf: int, seed: int, count: int):
    model = ExtraTreesRegressor(
        count, min_samples_leaf=leaf, max_leaf_nodes=40, max_features=0.4, random_state=seed, n_jobs=1
    ).fit(table.rows[here], table.truth[here].astype(float), sample_weight=table.weight[here])
    return flatten([one.tree_ for one in model.estimators_])


def _odds(values: np.ndarray) -> np.ndarray:
    held = np.clip(values, 0.02, 0.98)
    return np.log(held / (1 - held))


def mixed(weights: Weights, rows: np.ndarray) -> np.ndarray:
    """(n,) what Weights.p puts through slope and offset."""
    return (1 - weights.share) * linear_values(weights.linear, rows) + weights.share * _odds(
        tree_values(weights.trees, rows)
    )


def calibrated(values: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """(slope, offset) by logistic regression on rows that were not fitted on; the slope is never negative."""
    model = LogisticRegression(C=10.0).fit(values[:, None], truth)
    return max(0.05, float(model.coef_[0, 0])), float(model.intercept_[0])
