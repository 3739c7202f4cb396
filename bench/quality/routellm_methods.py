"""Ways to rank MMLU prompts by what the strong model would gain on them, each from a few labelled prompts.

A method gets a pool, the rows that are labelled and the rows to rank, and gives one score a ranked row: the higher, the
sooner it is sent to the strong model. What it may look at of a ranked row is its text (words, surface, vector).

The best one predicts the gain itself, P(strong right) - P(weak right), in two ways and adds them up: the mean gain of
the subjects that the text seems to be of (their posterior learned from the labelled prompts' subjects), and one ridge
regression on what the text looks like, means, and is about.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

SHARPNESS = 4.0  # of the subject posterior: the softmax's factor on the ridge scores
HELD_SUBJECT = 0.5  # ridge of the subject regression
HELD_GAIN = 40.0  # ridge of the gain regression
SUBJECT_WEIGHT, SURFACE_WEIGHT = 4.0, 0.2  # of these features beside unit-length vectors
PRIOR_ROWS = 10  # rows of the overall mean added to a subject's mean gain
FOLDS = 5


@dataclass(frozen=True)
class Pool:
    texts: list[str]
    groups: np.ndarray
    subjects: np.ndarray  # numbers; methods read them of labelled rows only, but for those that say "given"
    weak: np.ndarray
    strong: np.ndarray
    surface: np.ndarray
    vectors: np.ndarray | None

    @property
    def gain(self) -> np.ndarray:
        return self.strong - self.weak


def surface(texts: list[str]) -> np.ndarray:
    """Ten counts that need no words: lengths, digits, formulas, brackets, lines, a gap to fill, a question mark."""
    rows = []
    for text in texts:
        words, stem = text.split(), text.split("\nA. ")[0]
        letters = float(np.mean([len(word) for word in words])) if words else 0.0
        counts = [len(text), len(stem), sum(c.isdigit() for c in text), text.count("$") + text.count("\\"), letters]
        counts += [text.count("("), len(set(words)), stem.count("\n"), float("___" in stem), float("?" in stem)]
        rows.append(counts)
    return np.log1p(np.array(rows, dtype=np.float64))


def standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(0)) / (values.std(0) + 1e-9)


def ridge(known: np.ndarray, target: np.ndarray, held: float, asked: np.ndarray) -> np.ndarray:
    """Linear regression held back by `held` times the squared weights, around the means."""
    middle, mean = known.mean(0), target.mean(0)
    inside = known - middle
    weights = np.linalg.solve(inside.T @ inside + held * np.eye(known.shape[1]), inside.T @ (target - mean))
    return (asked - middle) @ weights + mean


def kernel_ridge(known: np.ndarray, target: np.ndarray, held: float, asked: np.ndarray) -> np.ndarray:
    """The same from likenesses: `known` (n, n), `asked` (m, n)."""
    mean = target.mean(0)
    return asked @ np.linalg.solve(known + held * np.eye(len(known)), target - mean) + mean


def likenesses(pool: Pool, fit: np.ndarray, asked: np.ndarray, vectors: bool) -> tuple[np.ndarray, np.ndarray]:
    """(fit x fit, asked x fit): cosines of words and word pairs by rarity, plus those of the sentence vectors."""
    weigher = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    known = weigher.fit_transform([pool.texts[row] for row in fit])
    other = weigher.transform([pool.texts[row] for row in asked])
    inside, outside = (known @ known.T).toarray(), (other @ known.T).toarray()
    if vectors:
        moved = pool.vectors - pool.vectors[fit].mean(0)
        inside, outside = inside + moved[fit] @ moved[fit].T, outside + moved[asked] @ moved[fit].T
    return inside, outside


def softmax(values: np.ndarray) -> np.ndarray:
    made = np.exp(SHARPNESS * values)
    return made / made.sum(1, keepdims=True)


def subject_gains(pool: Pool, fit: np.ndarray) -> np.ndarray:
    """Mean gain of each subject over the labelled rows, with PRIOR_ROWS of the overall mean added."""
    size = pool.subjects.max() + 1
    count = np.bincount(pool.subjects[fit], minlength=size)
    total = np.bincount(pool.subjects[fit], weights=pool.gain[fit], minlength=size)
    return (total + PRIOR_ROWS * pool.gain[fit].mean()) / (count + PRIOR_ROWS)


def posteriors(pool: Pool, fit: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(of the labelled rows out of fold, of the asked rows): which subject each text seems to be of."""
    told = np.eye(pool.subjects.max() + 1)[pool.subjects[fit]]
    asked = softmax(kernel_ridge(inside, told, HELD_SUBJECT, outside))
    known = np.zeros_like(told)
    fold = np.arange(len(fit)) % FOLDS
    for part in range(FOLDS):
        kept, left = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
        scores = kernel_ridge(inside[np.ix_(kept, kept)], told[kept], HELD_SUBJECT, inside[np.ix_(left, kept)])
        known[left] = softmax(scores)
    return known, asked


def both(pool: Pool, fit: np.ndarray, asked: np.ndarray, vectors: bool) -> np.ndarray:
    """The subjects' gains by the posterior, plus the ridge regression on vectors, posterior and surface."""
    inside, outside = likenesses(pool, fit, asked, vectors)
    known, seen = posteriors(pool, fit, inside, outside)
    looks = (pool.surface - pool.surface[fit].mean(0)) / (pool.surface[fit].std(0) + 1e-9)
    parts = [
        (SUBJECT_WEIGHT * known, SUBJECT_WEIGHT * seen),
        (SURFACE_WEIGHT * looks[fit], SURFACE_WEIGHT * looks[asked]),
    ]
    if vectors:
        parts.append((pool.vectors[fit], pool.vectors[asked]))
    left, right = (np.column_stack(side) for side in zip(*parts, strict=True))
    regression = ridge(left, pool.gain[fit], HELD_GAIN, right)
    return standard(regression) + standard(seen @ subject_gains(pool, fit))


def nearest(pool: Pool, fit: np.ndarray, asked: np.ndarray, vectors: bool, k: int = 40) -> np.ndarray:
    _, outside = likenesses(pool, fit, asked, vectors)
    likest = np.argpartition(-outside, k, axis=1)[:, :k]
    return pool.gain[fit][likest].mean(1)


def vector_ridge(pool: Pool, fit: np.ndarray, asked: np.ndarray, target: np.ndarray) -> np.ndarray:
    return ridge(pool.vectors[fit], target[fit], 20.0, pool.vectors[asked])


def oracle_subject(pool: Pool, asked: np.ndarray) -> np.ndarray:
    """The reported half's own mean gain of each subject: no router that knows subjects only can do better."""
    count = np.bincount(pool.subjects[asked], minlength=pool.subjects.max() + 1)
    total = np.bincount(pool.subjects[asked], weights=pool.gain[asked], minlength=pool.subjects.max() + 1)
    return (total / np.maximum(1, count))[pool.subjects[asked]]


METHODS = {
    "random": lambda _pool, _fit, asked, rng: rng.random(len(asked)),
    "length": lambda pool, _fit, asked, _rng: pool.surface[asked, 0],
    "kNN, words": lambda pool, fit, asked, _rng: nearest(pool, fit, asked, False),
    "kNN, words and vectors": lambda pool, fit, asked, _rng: nearest(pool, fit, asked, True),
    "ridge on vectors: weak is wrong": lambda pool, fit, asked, _rng: -vector_ridge(pool, fit, asked, pool.weak),
    "ridge on vectors: gain": lambda pool, fit, asked, _rng: vector_ridge(pool, fit, asked, pool.gain),
    "surface only": lambda pool, fit, asked, _rng: ridge(
        standard(pool.surface)[fit], pool.gain[fit], 20.0, standard(pool.surface)[asked]
    ),
    "subject inferred + regression, words": lambda pool, fit, asked, _rng: both(pool, fit, asked, False),
    "subject inferred + regression, vectors": lambda pool, fit, asked, _rng: both(pool, fit, asked, True),
    "subject given, gains from the labels": lambda pool, fit, asked, _rng: subject_gains(pool, fit)[
        pool.subjects[asked]
    ],
    "subject given, the half's own gains": lambda pool, _fit, asked, _rng: oracle_subject(pool, asked),
}
