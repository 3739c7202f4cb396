"""Fits the factors and the heads of the recorded models that come with the classifier's weights.

Knows prompts with scores of many models and the classifier's log-odds of complexity. Does not know files. Scores have
gaps: no model answered every benchmark. What is fitted to is a score drawn towards the mean of its task, because which
task a text belongs to is most of what its words tell, and a task's mean is less noisy than one answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.classify.heads import Prior
from smallfirst.learn.factors import Array, Fitted, Rank, fit_factors
from smallfirst.learn.features import Features, Vocabulary, matrix
from smallfirst.learn.fit import fold_of
from smallfirst.learn.heads import HeadRecipe, newton, outside
from smallfirst.learn.outcomes import Prompt


class KnownRecipe(msgspec.Struct, frozen=True):
    """What was chosen by hand, among few values, with an eye on the held-out fifth."""

    least_labels: int = 250  # of the fit part; models with fewer get no head
    task_share: float = 0.4  # how far a score is drawn towards the mean of its task
    factors: int = 16
    hold_words: float = 200.0
    hold_slopes: float = 100.0
    rounds: int = 120
    folds: int = 4
    clip_quantile: float = 0.98
    least_words: int = 4
    least_pairs: int = 8
    usual_slope: float = -0.1  # of complexity beside the factors, before a model's labels speak
    widen: float = 2.0  # the spread of heads is this many times what the known ones show


class Known(msgspec.Struct, frozen=True):
    """`weights` (columns, factors); `heads` (models, 2 + factors): intercept, slopes of complexity and each factor."""

    models: tuple[str, ...]
    weights: Array
    heads: Array
    clip: float
    prior: Prior


def score_matrix(prompts: Sequence[Prompt], least: int) -> tuple[tuple[str, ...], Array]:
    """(models with at least `least` scores, scores (n, models) with nan for gaps)."""
    counts: dict[str, int] = {}
    for prompt in prompts:
        for model in prompt.scores:
            counts[model] = counts.get(model, 0) + 1
    models = tuple(sorted(model for model, count in counts.items() if count >= least))
    column = {model: at for at, model in enumerate(models)}
    scores = np.full((len(prompts), len(models)), np.nan)
    for row, prompt in enumerate(prompts):
        for model, score in prompt.scores.items():
            if model in column:
                scores[row, column[model]] = score
    return models, scores


def smoothed(scores: Array, tasks: Sequence[str], share: float) -> Array:
    """Each score drawn by `share` towards its model's mean on the task (two answers of the overall mean added)."""
    names, at = np.unique(np.array(tasks), return_inverse=True)
    seen = ~np.isnan(scores)
    filled = np.where(seen, scores, 0.0)
    sums, counts = np.zeros((len(names), scores.shape[1])), np.zeros((len(names), scores.shape[1]))
    np.add.at(sums, at, filled)
    np.add.at(counts, at, seen)
    overall = filled.sum(0) / np.maximum(1, seen.sum(0))
    means = (sums + 2.0 * overall) / (counts + 2.0)
    drawn: Array = np.where(seen, (1.0 - share) * filled + share * means[at], np.nan)
    return drawn


def fit_known(
    vocabulary: Vocabulary,
    shown: Sequence[Features],
    prompts: Sequence[Prompt],
    complexity: Array,
    recipe: KnownRecipe,
    seed: int,
) -> Known:
    """Factors over the columns of `vocabulary`, and a head for every model with enough labels.

    `complexity` (n,): the classifier's log-odds for each prompt, of a fit that did not see it.
    """
    models, scores = score_matrix(prompts, recipe.least_labels)
    if not models:
        return Known((), np.zeros((vocabulary.width, 0)), np.zeros((0, 2)), 0.0, Prior([0.0, 0.0], np.eye(2).tolist()))
    targets = smoothed(
        scores, [f"{prompt.source}/{prompt.benchmark}/{prompt.category}" for prompt in prompts], recipe.task_share
    )
    rank = Rank(recipe.factors, recipe.hold_words, recipe.hold_slopes, recipe.rounds)
    fitted = fit_factors(matrix(vocabulary, shown), targets, rank, seed)
    folds = HeadRecipe(least_words=recipe.least_words, least_pairs=recipe.least_pairs, folds=recipe.folds)
    fold = fold_of([prompt.group for prompt in prompts], recipe.folds)
    parts = [outside(shown, targets, fold, part, rank, folds, seed) for part in range(recipe.folds)]
    logits = np.full(scores.shape, np.nan)
    for part in parts:
        logits[part.rows] = part.logits
    heads = np.array([_head(fitted, m, logits[:, m], complexity, scores[:, m], recipe) for m in range(len(models))])
    radii = np.concatenate([part.radii for part in parts])
    return Known(models, fitted.weights, heads, float(np.quantile(radii, recipe.clip_quantile)), _prior(heads, recipe))


def _head(fitted: Fitted, model: int, logits: Array, complexity: Array, scores: Array, recipe: KnownRecipe) -> Array:
    """The factor fit's own line for a model, made calibrated out of fold, with a slope for complexity beside it."""
    seen = ~np.isnan(scores)
    rows = np.column_stack([np.ones(int(seen.sum())), complexity[seen], logits[seen]])
    usual = np.array([0.0, recipe.usual_slope, 1.0])
    usual[0] = -recipe.usual_slope * float(complexity[seen].mean())
    offset, slope, scale = newton(rows, scores[seen], usual, np.diag([1.0, 50.0, 50.0]))
    head: Array = np.r_[offset + scale * fitted.intercepts[model], slope, scale * fitted.slopes[model]]
    return head


def _prior(heads: Array, recipe: KnownRecipe) -> Prior:
    """How heads differ: mean, and covariance widened; what no two heads differ in can still move a little."""
    spread = np.atleast_2d(np.cov(heads.T)) if len(heads) > 1 else np.zeros((heads.shape[1], heads.shape[1]))
    return Prior(heads.mean(0).tolist(), (recipe.widen * spread + 0.001 * np.eye(len(spread))).tolist())
