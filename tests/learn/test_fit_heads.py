"""Fitting heads on a small made-up world: they learn, repeat themselves, and take a new model in from few labels."""

from __future__ import annotations

import numpy as np
import pytest

from smallfirst.classify.heads import Heads, encode_heads
from smallfirst.errors import DataError
from smallfirst.learn.factors import Array, Rank, balanced, fit_factors
from smallfirst.learn.features import features_of, make_vocabulary, matrix
from smallfirst.learn.heads import HeadRecipe, fit_head, fit_heads, newton
from smallfirst.learn.metrics import auroc, calibration_error
from smallfirst.learn.outcomes import group_of

FRUITS = ("apple", "pear", "plum", "fig", "lime", "date", "kiwi", "melon")
TASKS = ("prove the theorem about", "count every", "translate this into french:")
CHANCES = {"maths": (0.9, 0.6, 0.2), "tongue": (0.1, 0.6, 0.9), "large": (0.95, 0.95, 0.9), "weak": (0.1, 0.3, 0.1)}
RECIPE = HeadRecipe(least_words=2, least_pairs=4, holds=(3.0,), factors=4)


def world(count: int, seed: int = 0) -> tuple[list[str], Array, list[str]]:
    """(texts, scores of CHANCES' models, groups): what a model gets right depends on the task, hence on its words."""
    rng = np.random.default_rng(seed)
    task = rng.integers(0, 3, count)
    texts = [f"{TASKS[t]} {' '.join(rng.choice(FRUITS, 3))} {chr(97 + n % 26)}{n}" for n, t in enumerate(task)]
    chances = np.array(list(CHANCES.values())).T[task]
    return texts, (rng.random(chances.shape) < chances).astype(float), [group_of(text) for text in texts]


def chances(heads: Heads, texts: list[str]) -> Array:
    return 1.0 / (1.0 + np.exp(-np.array([heads.logits(text) for text in texts])))


@pytest.fixture(scope="module")
def fitted() -> Heads:
    texts, scores, groups = world(900)
    scores[::7, 1] = np.nan  # a model need not have been asked everything
    return fit_heads(texts, scores, list(CHANCES), groups, 0, RECIPE)


def test_every_model_gets_its_own_chances(fitted: Heads) -> None:
    texts, scores, _ = world(600, seed=1)
    found = chances(fitted, texts)
    for m, name in enumerate(CHANCES):
        assert calibration_error(scores[:, m], found[:, m], bins=5) < 0.08, name
    assert auroc(scores[:, 0], found[:, 0]) > 0.75  # the best there is: 0.80
    assert auroc(scores[:, 1], found[:, 1]) > 0.58  # the best there is: 0.62
    maths, tongue = (dict(zip(fitted.models, fitted.logits(f"{task} fig date"), strict=True)) for task in TASKS[::2])
    assert maths["maths"] > maths["tongue"]
    assert tongue["maths"] < tongue["tongue"]


def test_fitting_twice_gives_the_same_bytes(fitted: Heads) -> None:
    texts, scores, groups = world(900)
    scores[::7, 1] = np.nan
    assert encode_heads(fit_heads(texts, scores, list(CHANCES), groups, 0, RECIPE).file) == encode_heads(fitted.file)


def test_the_bytes_say_what_was_fitted() -> None:
    """Rounding a weight to a byte moves no chance by more than a few hundredths."""
    texts, scores, groups = world(300)
    heads = fit_heads(texts, scores, list(CHANCES), groups, 0, RECIPE)
    shown = [features_of(text) for text in texts]
    vocabulary = make_vocabulary(shown, least_words=2, least_pairs=4)
    exact = fit_factors(matrix(vocabulary, shown), scores, Rank(4, 3.0, 3.0, RECIPE.rounds), 0).logits(
        matrix(vocabulary, shown)
    )
    found = np.array([heads.logits(text) for text in texts])
    for m in range(len(CHANCES)):
        line = np.polyfit(exact[:, m], found[:, m], 1)
        near = np.abs(np.polyval(line, exact[:, m]) - found[:, m])
        assert np.quantile(near, 0.9) < 0.15


def test_a_new_model_gets_a_head_from_two_hundred_labels(fitted: Heads) -> None:
    texts, scores, _ = world(900)
    kept = fit_heads(texts, scores[:, 1:], list(CHANCES)[1:], [group_of(text) for text in texts], 0, RECIPE)
    before = encode_heads(kept.file)
    head = fit_head(kept, "maths", texts[:200], scores[:200, 0])
    assert encode_heads(kept.file) == before
    wide = Heads(type(kept.file)(kept.file.format, kept.file.factors, kept.file.prior, [*kept.file.heads, head]))
    new, truth, _ = world(600, seed=2)
    added, refitted = chances(wide, new)[:, -1], chances(fitted, new)[:, 0]
    assert auroc(truth[:, 0], added) > auroc(truth[:, 0], refitted) - 0.05
    assert calibration_error(truth[:, 0], added, bins=5) < 0.12


def test_few_labels_move_a_head_little_and_only_towards_them(fitted: Heads) -> None:
    texts, _, _ = world(3)
    usual = fitted.file.prior.mean[0]
    assert (
        fit_head(fitted, "n", texts, np.ones(3)).intercept > usual > fit_head(fitted, "n", texts, np.zeros(3)).intercept
    )


def test_newton_finds_the_top() -> None:
    rng = np.random.default_rng(0)
    rows, scores = rng.normal(size=(200, 3)), rng.random(200)
    mean, precision = np.zeros(3), np.eye(3)
    found = newton(rows, scores, mean, precision)
    slope = rows.T @ (1.0 / (1.0 + np.exp(-(rows @ found))) - scores) + precision @ (found - mean)
    assert np.abs(slope).max() < 1e-4


def test_balancing_changes_no_log_odds() -> None:
    texts, scores, _ = world(200)
    shown = [features_of(text) for text in texts]
    rows = matrix(make_vocabulary(shown, least_words=2, least_pairs=4), shown)
    found = fit_factors(rows, scores, Rank(4, 3.0, 3.0, 20), 0)
    assert balanced(found).logits(rows) == pytest.approx(found.logits(rows))
    strength = np.linalg.norm(found.weights, axis=0)
    assert (np.diff(strength) <= 1e-9).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s[:-1], "shape"),
        (lambda s: s + 1, "0..1"),
        (lambda s: np.where(np.arange(len(s))[:, None] < 20, s, np.nan), "at least"),
    ],
)
def test_scores_that_cannot_be_used_are_refused(spoil: object, message: str) -> None:
    texts, scores, groups = world(100)
    with pytest.raises(DataError, match=message):
        fit_heads(texts, spoil(scores), list(CHANCES), groups, 0, RECIPE)  # type: ignore[operator]
