"""Fits the classifier's numbers: complexity, kinds, calibration, and their rounding to bytes.

Knows design matrices and logistic regression. Does not know files or tables; train_classifier.py brings those.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smallfirst.classify.sample import units
from smallfirst.classify.tables import ZERO
from smallfirst.classify.weights import KINDS
from smallfirst.errors import SetupError
from smallfirst.learn.features import Features, Vocabulary, make_vocabulary, matrix

Array = NDArray[np.float64]


class Recipe(msgspec.Struct, frozen=True):
    """What was chosen by hand, among few values, with an eye on the held-out fifth: they differed by under 0.003."""

    least_words: int = 4  # texts a word must stand in
    least_pairs: int = 8
    c_complexity: float = 0.02  # inverse L2 strength
    c_kinds: float = 0.05
    folds: int = 5
    clip_quantile: float = 0.98  # of |what a segment adds| by its room, out of fold
    familiar_quantile: float = 0.99  # of the share of unknown words, out of fold
    unfamiliar_logit: float = 1.5  # by hand: no recorded prompt is gibberish
    kind_rows: int = 2500  # at most, for each kind


class Line(msgspec.Struct, frozen=True):
    """Weights in log-odds, one for each column."""

    weights: Array
    intercept: float


class Calibration(msgspec.Struct, frozen=True):
    """What turns raw sums into chances; see Weights."""

    clip: float
    slope: float
    offset: float
    familiar: float


def regression(c: float, seed: int, **more: Any) -> Any:
    """sklearn's logistic regression, deterministic. Raises SetupError without sklearn."""
    try:
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - an extra; the gateway never needs it
    except ImportError as error:
        raise SetupError("training needs scikit-learn: pip install 'smallfirst[learn]'") from error
    return LogisticRegression(C=c, max_iter=400, tol=1e-4, random_state=seed, **more)


def one_thread() -> AbstractContextManager[Any]:
    """Holds the linear algebra to one thread, so that its sums do not depend on the machine's cores.

    Only libraries that are loaded already can be held: hence the imports that nothing here uses.
    """
    try:
        import scipy.optimize  # type: ignore[import-untyped]  # noqa: F401, PLC0415 - as below
        import sklearn.linear_model  # noqa: F401, PLC0415 - an extra; the gateway never needs it
        from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn
    except ImportError as error:
        raise SetupError("training needs scikit-learn: pip install 'smallfirst[learn]'") from error
    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def fit_shares(rows: Any, shares: Array, c: float, seed: int) -> Line:
    """Logistic regression on shares: every row counts `share` times as positive and `1 - share` times as negative."""
    size = rows.shape[0]
    twice = rows[np.r_[np.arange(size), np.arange(size)]]
    target = np.r_[np.ones(size), np.zeros(size)]
    model = regression(c, seed).fit(twice, target, sample_weight=np.r_[shares, 1.0 - shares])
    return Line(weights=model.coef_[0], intercept=float(model.intercept_[0]))


def contributions(line: Line, vocabulary: Vocabulary, shown: Sequence[Features]) -> tuple[list[Array], Array]:
    """(each text's segment sums, each text's remainder: symbols and length), without the intercept."""
    segments = [np.array([line.weights[part].sum() for part in vocabulary.segments(one)]) for one in shown]
    rest = np.array([line.weights[vocabulary.rest(one)].sum() for one in shown])
    return segments, rest


def clipped(segments: list[Array], room: list[Array], rest: Array, clip: float) -> Array:
    """Raw log-odds without the intercept, each segment held within +-clip times the room it has."""
    bounded = [float(np.clip(sums, -clip * of, clip * of).sum()) for sums, of in zip(segments, room, strict=True)]
    sums_of_all: Array = rest + np.array(bounded)
    return sums_of_all


def fold_of(groups: Sequence[str], folds: int) -> NDArray[np.int64]:
    """A fold for each row by its group's hash, so that copies stay together and the order of files does not matter."""
    return np.array([int(group[8:14], 16) % folds for group in groups], dtype=np.int64)


def calibrate(
    shown: Sequence[Features],
    shares: Array,
    groups: Sequence[str],
    always: Sequence[Features],
    recipe: Recipe,
    seed: int,
) -> tuple[Calibration, Array]:
    """Clip, Platt's line and the familiar share, all from predictions out of fold; and those log-odds, calibrated."""
    fold = fold_of(groups, recipe.folds)
    segments: list[Array] = [np.empty(0)] * len(shown)
    rest, unknown = np.zeros(len(shown)), np.zeros(len(shown))
    for part in range(recipe.folds):
        inside, outside = np.flatnonzero(fold != part).tolist(), np.flatnonzero(fold == part).tolist()
        kept = [shown[row] for row in inside]
        vocabulary = make_vocabulary(
            kept, least_words=recipe.least_words, least_pairs=recipe.least_pairs, always=always
        )
        line = fit_shares(matrix(vocabulary, kept), shares[inside], recipe.c_complexity, seed)
        left = [shown[row] for row in outside]
        sums, others = contributions(line, vocabulary, left)
        for row, values, other, one in zip(outside, sums, others, left, strict=True):
            segments[row], rest[row] = values, other + line.intercept
            unknown[row] = vocabulary.unknown(one)
    room = [np.array([units(segment) for segment in one.segments], dtype=np.float64) for one in shown]
    clip = float(np.quantile(np.abs(np.concatenate(segments)) / np.concatenate(room), recipe.clip_quantile))
    raw = clipped(segments, room, rest, clip)
    platt = fit_shares(raw[:, None], shares, 1e6, seed)
    found = Calibration(
        clip=clip,
        slope=float(platt.weights[0]),
        offset=platt.intercept,
        familiar=float(np.quantile(unknown, recipe.familiar_quantile)),
    )
    return found, found.slope * raw + found.offset


def fit_kinds(rows: Any, kinds: Sequence[str], recipe: Recipe, seed: int) -> tuple[Array, Array]:
    """(weights: column x kind in the order of KINDS, intercepts); a kind without rows can't win."""
    model = regression(recipe.c_kinds, seed, class_weight="balanced").fit(rows, np.array(kinds))
    weights = np.zeros((rows.shape[1], len(KINDS)))
    intercepts = np.full(len(KINDS), -1e6)
    for at, name in enumerate(model.classes_):
        column = KINDS.index(name)
        weights[:, column] = model.coef_[at]
        intercepts[column] = model.intercept_[at]
    return weights, intercepts


def rounded(values: Array) -> tuple[NDArray[np.uint8], float]:
    """(bytes around ZERO, the step); the largest weight fills the range."""
    step = float(np.abs(values).max(initial=0.0)) / (ZERO - 1)
    step = step if step > 0 else 1.0
    return (np.rint(values / step) + ZERO).astype(np.uint8), step
