"""Routers that read nothing but the query's words: what anything learned after an answer has to beat.

Knows hashed words, three ways to predict each model's score from them (nearest neighbours, a table by k-means cluster,
ridge regression), and how a prediction becomes a choice: score less what the cost is worth. Everything is fitted on the
fit part; predictions on the fit part itself never use a row's own group, so that a trade chosen there holds elsewhere.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.evals.baselines import Priced, Served, blend, choose
from smallfirst.evals.statistics import Floats

Matrix = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

FEATURES = 4096
"""Buckets that words and word pairs are hashed into."""

NEIGHBOURS = 40

MOST_KNOWN = 4000
"""Fit prompts that are looked at as neighbours, and that trades are chosen on: more costs time and changes little."""

CLUSTERS = 50

FOLDS = 5

RIDGE = 5.0
"""Strength of the regression's penalty; rows have length 1, about. By hand: of 1, 3, 10 and 30 the middle two
had the least squared error out of fold on the recorded tables."""

CHUNK = 1024
"""Queries compared at once: with 4,000 neighbours 16 MB."""

TRADES = (0.0, *np.logspace(-3, 1.5, 60).tolist())
"""Score that a router gives up for one call's worth of the dearest model's cost; the study's grid."""

_WORD = re.compile(r"\w+|[^\w\s]")


class Words(msgspec.Struct, frozen=True):
    """Both parts' prompts as rows of length 1: hashed words and word pairs, weighted by rarity in the fit part."""

    fit: Matrix
    report: Matrix
    groups: npt.NDArray[np.int64]  # of the fit part's rows


class Predicted(msgspec.Struct, frozen=True):
    """Each model's score as predicted from the query: `inside` (f, m) for the fit part's rows `rows`, `outside` (n, m)
    for the report part. A row's own group had no part in its prediction."""

    name: str
    rows: Rows
    inside: Floats
    outside: Floats


def read_words(fit: Priced, report: Priced) -> Words:
    """Hash and weigh both parts' prompts."""
    known = hash_words(fit.table.prompts)
    rarity = (np.log((1 + len(known)) / (1 + (known > 0).sum(0))) + 1).astype(np.float32)
    names = {group: at for at, group in enumerate(dict.fromkeys(fit.table.groups))}
    groups = np.array([names[group] for group in fit.table.groups], dtype=np.int64)
    return Words(_unit(known, rarity), _unit(hash_words(report.table.prompts), rarity), groups)


def by_neighbours(words: Words, scores: Floats, *, k: int = NEIGHBOURS, seed: int = 0) -> Predicted:
    """Mean scores of the k likest fit prompts, by the cosine. At most MOST_KNOWN are looked at, drawn by the seed."""
    rows = np.arange(len(scores))
    if len(rows) > MOST_KNOWN:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_KNOWN, replace=False))
    bank, known, groups = words.fit[rows], scores[rows], words.groups[rows]
    k = max(1, min(k, len(rows) - 1))
    inside = _neighbour_means(bank, bank, known, k, groups)
    return Predicted("kNN", rows, inside, _neighbour_means(words.report, bank, known, k))


def by_clusters(words: Words, scores: Floats, *, clusters: int = CLUSTERS, seed: int = 0) -> Predicted:
    """A table of mean scores by cluster and model. Source: Jitkrittum et al., UniRoute, arXiv 2502.08773, section 5.1.

    A cluster's mean is drawn towards the overall mean as if it had one row more.
    """
    centres = _k_means(words.fit, min(clusters, len(scores)), seed)
    home, asked = (np.argmax(rows @ centres.T, 1) for rows in (words.fit, words.report))
    overall = scores.mean(0)
    sums, counts = np.zeros((len(centres), scores.shape[1])), np.zeros(len(centres))
    np.add.at(sums, home, scores)
    np.add.at(counts, home, 1)
    own, copies = _own_group(home, words.groups, scores)
    inside = (sums[home] - own + overall) / (counts[home] - copies + 1)[:, None]
    outside = (sums[asked] + overall) / (counts[asked] + 1)[:, None]
    return Predicted("k-means table", np.arange(len(scores)), inside, outside)


def by_regression(words: Words, scores: Floats, *, seed: int = 0) -> Predicted:
    """Ridge regression of every model's score on the words, clipped to 0..1; the fit part's by five folds of groups.

    Source: Hoerl and Kennard, Technometrics 12(1), 1970.
    """
    order = np.random.default_rng(seed).permutation(int(words.groups.max()) + 1)
    fold = order[words.groups] % FOLDS
    mean = scores.mean(0)
    target = (scores - mean).astype(np.float32)
    known, asked = _folded(words.fit), _folded(words.report)
    inside = np.empty_like(scores)
    for part in range(FOLDS):
        rows = fold != part
        inside[~rows] = known[~rows] @ _ridge(known[rows], target[rows]) + mean
    outside = asked @ _ridge(known, target) + mean
    clipped = np.clip(outside, 0, 1).astype(np.float64)
    return Predicted("query-only", np.arange(len(scores)), np.clip(inside, 0, 1), clipped)


def _folded(rows: Matrix) -> Matrix:
    """Four buckets made one: a quarter of the columns takes a tiny part of the time and predicts as well."""
    folded: Matrix = rows.reshape(len(rows), 4, -1).sum(1)
    return folded


def _ridge(rows: Matrix, target: Matrix) -> Matrix:
    """Weights (d, m): through the smaller of the two square matrices."""
    few, many = rows.shape
    if few < many:
        weights = rows.T @ np.linalg.solve(rows @ rows.T + RIDGE * np.eye(few, dtype=np.float32), target)
    else:
        weights = np.linalg.solve(rows.T @ rows + RIDGE * np.eye(many, dtype=np.float32), rows.T @ target)
    return np.asarray(weights, dtype=np.float32)


def picks(predicted: Predicted, fit: Priced, trade: float) -> tuple[Rows, Rows]:
    """Which model (column) is asked at this trade: for the fit part's rows, and for the report part."""
    cost = fit.costs.mean(0) / fit.costs.mean(0).max()
    return np.argmax(predicted.inside - trade * cost, 1), np.argmax(predicted.outside - trade * cost, 1)


def at_budget(predicted: Predicted, fit: Priced, report: Priced, budget: float) -> Served:
    """The router at a mean cost of `budget` nano-dollars a query on the fit part.

    A coin between the last trade that costs more and the first that does not.
    """
    dearer, spent, mean = None, 0.0, 0.0
    for trade in TRADES:
        inside, outside = picks(predicted, fit, trade)
        mean = float(fit.costs[predicted.rows, inside].mean())
        within = choose(report, outside, predicted.name)
        if mean <= budget:
            break
        dearer, spent = within, mean
    if dearer is None or mean > budget:
        return within
    return blend(dearer, within, (budget - mean) / (spent - mean), predicted.name)


def nearest_neighbours(fit: Priced, report: Priced, budget: float, k: int = NEIGHBOURS) -> Served:
    """kNN on the query's words at a budget, from the prompts themselves."""
    found = at_budget(by_neighbours(read_words(fit, report), fit.scores, k=k), fit, report, budget)
    return msgspec.structs.replace(found, name="kNN on the query's words")


def hash_words(prompts: Sequence[str]) -> Matrix:
    """(n, FEATURES): 1 + log of how often each hashed word or word pair occurs, 0 where it does not."""
    counts = np.zeros((len(prompts), FEATURES), dtype=np.float32)
    memo: dict[str, int] = {}
    for row, prompt in enumerate(prompts):
        words = _WORD.findall(prompt.lower())
        found: dict[int, int] = {}
        for term in (*words, *map(" ".join, pairwise(words))):
            bucket = memo.get(term)
            if bucket is None:
                bucket = memo[term] = zlib.crc32(term.encode("utf-8", "replace")) % FEATURES
            found[bucket] = found.get(bucket, 0) + 1
        counts[row, list(found)] = list(found.values())
    there = counts > 0
    counts[there] = 1 + np.log(counts[there])
    return counts


def _unit(counts: Matrix, rarity: Matrix) -> Matrix:
    """Weigh and scale in place."""
    counts *= rarity
    counts /= np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)
    return counts


def _neighbour_means(
    asked: Matrix, bank: Matrix, scores: Floats, k: int, groups: npt.NDArray[np.int64] | None = None
) -> Floats:
    """(n, m): mean scores of the k likest; with `groups`, asked and bank are the same and copies may not vouch."""
    means = np.empty((len(asked), scores.shape[1]))
    for start in range(0, len(asked), CHUNK):
        likeness = asked[start : start + CHUNK] @ bank.T
        if groups is not None:
            likeness[groups[start : start + CHUNK, None] == groups[None, :]] = -1.0
        nearest = np.argpartition(-likeness, k - 1, axis=1)[:, :k]
        means[start : start + CHUNK] = scores[nearest].mean(1)
    return means


def _k_means(rows: Matrix, clusters: int, seed: int, rounds: int = 15) -> Matrix:
    """Spherical k-means: centres (c, d) of length 1. Source: Dhillon and Modha, Machine Learning 42, 2001."""
    rng = np.random.default_rng(seed)
    centres = rows[rng.choice(len(rows), clusters, replace=False)].copy()
    for _ in range(rounds):
        home = np.argmax(rows @ centres.T, 1)
        member = np.zeros((clusters, len(rows)), dtype=np.float32)
        member[home, np.arange(len(rows))] = 1
        sums = member @ rows
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        moved = np.where(lengths > 0, sums / np.maximum(lengths, 1e-9), centres)
        if np.allclose(moved, centres, atol=1e-4):
            break
        centres = moved
    return centres


def _own_group(home: Rows, groups: npt.NDArray[np.int64], scores: Floats) -> tuple[Floats, Floats]:
    """For each row the scores (f, m) and the number (f,) of its own group's rows in its own cluster."""
    pairs, at = np.unique(home * (int(groups.max()) + 1) + groups, return_inverse=True)
    sums, counts = np.zeros((len(pairs), scores.shape[1])), np.zeros(len(pairs))
    np.add.at(sums, at, scores)
    np.add.at(counts, at, 1)
    return sums[at], counts[at]
