"""Fits heads: per-model chances of a right answer, from texts and the scores of their answers.

Knows the order of the steps: vocabulary, factors, calibration out of fold, rounding to bytes; and how a new model gets
a head from a few hundred labels without touching the rest. Does not know files, or where texts and scores come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smallfirst.classify.heads import FORMAT, Factors, Head, Heads, HeadsFile, Prior
from smallfirst.classify.sample import units
from smallfirst.classify.tables import ZERO
from smallfirst.errors import DataError
from smallfirst.learn.factors import Array, Fitted, Rank, fit_factors, mean_logits
from smallfirst.learn.features import Features, Vocabulary, features_of, make_vocabulary, matrix
from smallfirst.learn.fit import fold_of

LEAST_ROWS = 50
"""Labelled texts below which nothing can be told about a text's words."""


class HeadRecipe(msgspec.Struct, frozen=True):
    """What was chosen by hand; `holds` are tried and the best is kept, by log loss on one fold."""

    least_words: int = 4  # texts a word must stand in
    least_pairs: int = 8
    factors: int = 16
    holds: tuple[float, ...] = (30.0, 100.0, 300.0)  # see Rank: the same on both sides
    rounds: int = 120
    folds: int = 4
    clip_quantile: float = 0.98  # of a segment's radius by its room, out of fold
    familiar_quantile: float = 0.99  # of the share of unknown words, out of fold
    unfamiliar_logit: float = 1.5  # by hand: no recorded prompt is gibberish
    hold_head: float = 1.0  # added to each variance of the prior's covariance, so that it can be inverted


def fit_heads(
    texts: Sequence[str],
    scores: Array,
    models: Sequence[str],
    groups: Sequence[str],
    seed: int,
    recipe: HeadRecipe | None = None,
) -> Heads:
    """Heads for `models` from scores (n, m) in 0..1, nan where a model was not asked.

    `groups`: hex digests, the same for copies of a prompt (learn.outcomes.group_of); copies stay in one fold. The same
    arguments give the same bytes. Raises DataError where shapes differ, a score is outside 0..1, or too little is
    labelled.
    """
    return fit_heads_twice(texts, scores, models, groups, seed, recipe)[0]


def fit_heads_twice(
    texts: Sequence[str],
    scores: Array,
    models: Sequence[str],
    groups: Sequence[str],
    seed: int,
    recipe: HeadRecipe | None = None,
) -> tuple[Heads, Array]:
    """(heads, (n, m) log-odds from fits that did not see the row's fold): what else is fitted on top needs the latter.

    Arguments and errors as `fit_heads`; the folds are `fold_of(groups, recipe.folds)`.
    """
    recipe = recipe or HeadRecipe()
    _check(texts, scores, models, groups)
    shown = [features_of(text) for text in texts]
    fold = fold_of(groups, recipe.folds)
    rank = _choose(shown, scores, fold, recipe, seed)
    out = [outside(shown, scores, fold, part, rank, recipe, seed) for part in range(recipe.folds)]
    vocabulary = _vocabulary(shown, recipe)
    fitted = fit_factors(matrix(vocabulary, shown), scores, rank, seed)
    logits = np.full(scores.shape, np.nan)
    for part in out:
        logits[part.rows] = part.logits
    lines = [_platt(logits[:, m], scores[:, m]) for m in range(len(models))]
    factors = _pack(vocabulary, fitted, recipe, radii=np.concatenate([part.radii for part in out]), out=out)
    levels = mean_logits(scores)
    heads = [
        Head(
            model=model,
            intercept=float(slope * fitted.intercepts[m] + offset),
            slopes=[float(slope * one) for one in fitted.slopes[m]],
            level=float(levels[m]),
            rows=int((~np.isnan(scores[:, m])).sum()),
        )
        for m, (model, (slope, offset)) in enumerate(zip(models, lines, strict=True))
    ]
    honest = np.column_stack([slope * logits[:, m] + offset for m, (slope, offset) in enumerate(lines)])
    return Heads(HeadsFile(FORMAT, factors, make_prior(heads, recipe), heads)), honest


def _check(texts: Sequence[str], scores: Array, models: Sequence[str], groups: Sequence[str]) -> None:
    if scores.shape != (len(texts), len(models)) or len(groups) != len(texts):
        raise DataError(
            f"heads: scores of shape {scores.shape} and {len(groups)} groups do not fit "
            f"{len(texts)} texts and {len(models)} models"
        )
    if np.nanmin(scores, initial=0.0) < 0.0 or np.nanmax(scores, initial=0.0) > 1.0:
        raise DataError("heads: scores must be in 0..1")
    for model, rows in zip(models, (~np.isnan(scores)).sum(0), strict=True):
        if rows < LEAST_ROWS:
            raise DataError(f"heads: {model} has {rows} labelled texts; at least {LEAST_ROWS} are needed")


class Outside(msgspec.Struct, frozen=True):
    """One fold, seen by a fit on the others: `logits` (rows, m), each segment's radius by its room, unknown words."""

    rows: NDArray[np.int64]
    logits: Array
    radii: Array
    unknown: Array


def _vocabulary(shown: Sequence[Features], recipe: HeadRecipe) -> Vocabulary:
    return make_vocabulary(shown, least_words=recipe.least_words, least_pairs=recipe.least_pairs)


def _choose(shown: Sequence[Features], scores: Array, fold: NDArray[np.int64], recipe: HeadRecipe, seed: int) -> Rank:
    """The hold with the least log loss on fold 0."""
    ranks = [Rank(recipe.factors, hold, hold, recipe.rounds) for hold in recipe.holds]
    if len(ranks) == 1:
        return ranks[0]
    losses = []
    for rank in ranks:
        out = outside(shown, scores, fold, 0, rank, recipe, seed)
        losses.append(log_loss(scores[out.rows], out.logits))
    return ranks[int(np.argmin(losses))]


def outside(
    shown: Sequence[Features],
    scores: Array,
    fold: NDArray[np.int64],
    part: int,
    rank: Rank,
    recipe: HeadRecipe,
    seed: int,
) -> Outside:
    inside, outside = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
    kept, left = [shown[row] for row in inside.tolist()], [shown[row] for row in outside.tolist()]
    vocabulary = _vocabulary(kept, recipe)
    fitted = fit_factors(matrix(vocabulary, kept), scores[inside], rank, seed)
    radii = [radius for one in left for radius in _radii(fitted, vocabulary, one)]
    return Outside(
        rows=outside,
        logits=fitted.logits(matrix(vocabulary, left)),
        radii=np.array(radii),
        unknown=np.array([vocabulary.unknown(one) for one in left]),
    )


def _radii(fitted: Fitted, vocabulary: Vocabulary, shown: Features) -> list[float]:
    """How far each segment moves the factors, for one segment's room; the first carries the symbols and the length."""
    parts = vocabulary.segments(shown)
    parts[0] = [*parts[0], *vocabulary.rest(shown)]
    return [
        float(np.linalg.norm(fitted.weights[columns].sum(0))) / units(segment)
        for segment, columns in zip(shown.segments, parts, strict=True)
    ]


def log_loss(scores: Array, logits: Array) -> float:
    """Mean over the cells that are not nan."""
    losses = np.logaddexp(0.0, logits) - scores * logits
    return float(np.nanmean(losses))


def _platt(logits: Array, scores: Array) -> tuple[float, float]:
    """(slope, offset) that make out-of-fold log-odds calibrated; held to (1, 0) as by ten labels (Platt 1999)."""
    seen = ~np.isnan(scores)
    rows = np.column_stack([logits[seen], np.ones(int(seen.sum()))])
    slope, offset = newton(rows, scores[seen], np.array([1.0, 0.0]), np.diag([10.0, 1.0]))
    return max(0.0, float(slope)), float(offset)


def newton(rows: Array, scores: Array, mean: Array, precision: Array, rounds: int = 30) -> Array:
    """The most likely coefficients of a logistic regression under a normal prior: rows (n, k), scores (n,) in 0..1."""
    found = mean.copy()

    def penalised(at: Array) -> float:
        logits, away = rows @ at, at - mean
        return float((np.logaddexp(0.0, logits) - scores * logits).sum() + 0.5 * away @ precision @ away)

    now = penalised(found)
    for _ in range(rounds):
        chance = 1.0 / (1.0 + np.exp(-(rows @ found)))
        slope = rows.T @ (chance - scores) + precision @ (found - mean)
        step = np.linalg.solve((rows * (chance * (1.0 - chance))[:, None]).T @ rows + precision, slope)
        size = 1.0
        while size > 1e-4 and penalised(found - size * step) > now:
            size *= 0.5
        found = found - size * step
        before, now = now, penalised(found)
        if before - now < 1e-9 * (1.0 + abs(now)):
            break
    return found


def make_prior(heads: Sequence[Head], recipe: HeadRecipe) -> Prior:
    """Mean and covariance of (intercept, slopes) over the heads."""
    table = np.array([[head.intercept, *head.slopes] for head in heads])
    away = table - table.mean(0)
    spread = away.T @ away / max(1, len(heads) - 1)
    widened = spread + np.diag(np.full(len(spread), recipe.hold_head * 0.01) + 0.1 * np.diag(spread))
    return Prior(mean=table.mean(0).tolist(), covariance=widened.tolist())


def fit_head(heads: Heads, model: str, texts: Sequence[str], scores: Array) -> Head:
    """A head for a new model from labelled texts, the factors and all other heads left as they are.

    Raises DataError without a label.
    """
    if len(texts) == 0 or scores.shape != (len(texts),):
        raise DataError(f"heads: {model} needs one score for each of its texts")
    step = heads.file.factors.step
    features = [[1.0, *(step * one for one in heads.read(text)[0])] for text in texts]
    (intercept, *slopes), _ = new_head(features, scores.tolist(), heads.file.prior)
    return Head(model, intercept, slopes, float(mean_logits(scores[:, None])[0]), len(texts))


def new_head(
    features: Sequence[Sequence[float]],
    scores: Sequence[float],
    prior: Prior,
    kinds: Sequence[str] = (),
    spread: Mapping[str, float] = MappingProxyType({}),
) -> tuple[tuple[float, ...], dict[str, float]]:
    """(a new model's head, what it adds for each kind) from n labelled texts, given how other models' heads differ.

    With few labels it is the usual model moved up or down, with many it is the model's own. `kinds`: of each text;
    `spread`: the variance that each kind's addition has before labels speak, for kinds that may have one.
    """
    names = sorted(set(kinds) & set(spread))
    told = np.array([[float(kind == name) for name in names] for kind in kinds]).reshape(len(features), len(names))
    rows = np.column_stack([np.array(features, dtype=np.float64), told])
    size = len(prior.mean)
    precision = np.zeros((rows.shape[1], rows.shape[1]))
    precision[:size, :size] = np.linalg.inv(np.array(prior.covariance))
    precision[size:, size:] = np.diag([1.0 / spread[name] for name in names])
    found = newton(rows, np.array(scores), np.r_[prior.mean, np.zeros(len(names))], precision).tolist()
    return tuple(found[:size]), dict(zip(names, found[size:], strict=True))


def _pack(
    vocabulary: Vocabulary, fitted: Fitted, recipe: HeadRecipe, *, radii: Array, out: Sequence[Outside]
) -> Factors:
    """Round to bytes and leave out pairs that say nothing after rounding (words stay: they are what is familiar)."""
    step = float(np.abs(fitted.weights).max()) / (ZERO - 1)
    step = step if step > 0 else 1.0
    points: NDArray[Any] = (np.rint(fitted.weights / step) + ZERO).astype(np.uint8)
    words, pairs = len(vocabulary.words), len(vocabulary.pairs)
    known = np.full(len(points), ZERO, dtype=np.uint8)
    known[:words] = ZERO + 1
    rows = np.column_stack([known, points])
    telling = [words + at for at in range(pairs) if (points[words + at] != ZERO).any()]
    names = list(vocabulary.pairs)
    clip = float(np.quantile(radii, recipe.clip_quantile)) if len(radii) else 0.0
    return Factors(
        words=[word.decode() for word in vocabulary.words],
        pairs=[b" ".join(names[column - words]).decode() for column in telling],
        word_rows=rows[:words].tobytes(),
        pair_rows=rows[telling].tobytes(),
        other_rows=rows[words + pairs :].tobytes(),
        count=points.shape[1],
        step=step,
        clip=max(clip, step),
        familiar=min(
            0.95, float(np.quantile(np.concatenate([part.unknown for part in out]), recipe.familiar_quantile))
        ),
        unfamiliar_logit=recipe.unfamiliar_logit,
    )
