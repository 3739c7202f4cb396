"""What a routing policy has to beat, computed from scores and costs of the same queries.

Knows always one model, the best and the cheapest single model, a random mix at equal cost, the nearest-neighbour query
router and the oracle. Does not know the gateway or its policies. Whatever is chosen (which model, which mix, which
trade) is chosen on the fit part and measured on the report part; only the oracle sees the report part's scores, and
that is what makes it one.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.core import Price, Usage
from smallfirst.errors import DataError
from smallfirst.evals.outcomes import ScoreTable
from smallfirst.evals.statistics import Floats
from smallfirst.models.recorded import characters_to_tokens

FEATURES = 4096
"""Buckets that words and word pairs are hashed into."""

NEIGHBOURS = 40

TRADES = (0.0, *np.logspace(-3, 1.5, 60).tolist())
"""Score that a neighbour router gives up for one frontier call's worth of cost; the study's grid."""

_WORD = re.compile(r"\w+|[^\w\s]")


class Priced(msgspec.Struct, frozen=True):
    """The same models on the same queries: scores (n, m) in 0..1, costs (n, m) in nano-dollars of one call each."""

    table: ScoreTable
    costs: Floats

    @property
    def scores(self) -> Floats:
        return self.table.scores

    @property
    def models(self) -> tuple[str, ...]:
        return self.table.models

    def rows(self, groups: Collection[str]) -> Priced:
        """Only the rows of these prompt groups."""
        keep = [group in groups for group in self.table.groups]
        return Priced(self.table.rows(groups), self.costs[keep])


class Served(msgspec.Struct, frozen=True):
    """What a way to route gives on each query: score (n,), cost (n,) in nano-dollars, and how often each model served.

    A mix is in expectation: scores and costs are weighted, nothing is drawn.
    """

    name: str
    scores: Floats
    costs: Floats
    shares: Mapping[str, float]
    calls: float = 1.0  # a request, mean


def price_table(table: ScoreTable, prices: Mapping[str, Price]) -> Priced:
    """Price every call: tokens are characters / 4, rounded up, as recorded upstreams report them."""
    columns = []
    for m, model in enumerate(table.models):
        if model not in prices:
            raise DataError(f"no price for {model!r}")
        rows = zip(table.input_chars[:, m], table.output_chars[:, m], strict=True)
        usages = (Usage(characters_to_tokens(int(sent)), characters_to_tokens(int(got))) for sent, got in rows)
        columns.append([float(prices[model].cost(usage)) for usage in usages])
    return Priced(table, np.array(columns).T)


def always(data: Priced, model: str, name: str = "") -> Served:
    """Every query to one model."""
    column = data.table.column(model)
    return _choose(data, np.full(len(data.scores), column), name or f"always {model}")


def best_single(fit: Priced, report: Priced) -> Served:
    """The model with the highest mean score on the fit part; of equals the cheaper."""
    order = np.lexsort((fit.costs.mean(0), -fit.scores.mean(0)))
    return always(report, fit.models[int(order[0])], f"best single ({fit.models[int(order[0])]})")


def cheapest_single(fit: Priced, report: Priced) -> Served:
    """The model with the lowest mean cost on the fit part."""
    model = fit.models[int(np.argmin(fit.costs.mean(0)))]
    return always(report, model, f"cheapest single ({model})")


def random_mix(fit: Priced, report: Priced, budget: float) -> Served:
    """The best mix of two models drawn by a biased coin whose mean cost is `budget` nano-dollars a query.

    Which two is chosen by mean scores on the fit part; the coin's bias makes the mean cost on the report part equal
    to the budget, or as near below as one model can come. Below the cheapest model's cost: the cheapest model.
    """
    quality, cost = fit.scores.mean(0), report.costs.mean(0)
    best: tuple[float, int, int, float] | None = None
    for i in range(len(cost)):
        for j in range(len(cost)):
            if cost[i] > budget:
                continue
            share = 1.0 if cost[j] <= cost[i] else min((budget - cost[i]) / (cost[j] - cost[i]), 1.0)
            candidate = (float((1 - share) * quality[i] + share * quality[j]), i, j, float(share))
            if best is None or candidate[0] > best[0]:
                best = candidate
    if best is None:
        cheapest = int(np.argmin(cost))
        best = (0.0, cheapest, cheapest, 0.0)
    weights = np.zeros(len(cost))
    weights[best[1]] += 1 - best[3]
    weights[best[2]] += best[3]
    shares = {model: float(w) for model, w in zip(report.models, weights, strict=True) if w > 0}
    return Served("random at equal cost", report.scores @ weights, report.costs @ weights, shares)


def oracle(data: Priced) -> Served:
    """For each query the cheapest model that was right (score at least 0.5); where none was, the cheapest."""
    right = data.scores >= 0.5
    cost = np.where(right, data.costs, np.inf)
    pick = np.where(right.any(1), np.argmin(cost, 1), np.argmin(data.costs, 1))
    return _choose(data, pick, "oracle")


def nearest_neighbours(fit: Priced, report: Priced, budget: float, k: int = NEIGHBOURS) -> Served:
    """Route on the query's words alone: the model with the best mean score among the k nearest fit prompts, less cost.

    How much score a dollar is worth is chosen on the fit part, each prompt left out of its own neighbours: a coin
    between the last value that costs more than `budget` and the first that does not, so that the mean cost is `budget`.
    Likeness is the cosine of hashed words and word pairs, weighted by rarity.
    """
    counts = hash_words(fit.table.prompts)
    rarity = np.log((1 + len(counts)) / (1 + (counts > 0).sum(0))) + 1
    known, asked = _unit(counts, rarity), _unit(hash_words(report.table.prompts), rarity)
    own, other = known @ known.T, asked @ known.T
    same = np.array(fit.table.groups)
    own[same[:, None] == same[None, :]] = -1.0  # copies of a prompt must not vouch for each other
    inside, outside = (_neighbour_means(x, fit.scores, min(k, len(fit.scores) - 1)) for x in (own, other))
    cost = fit.costs.mean(0) / fit.costs.mean(0).max()
    dearer, spent = None, 0.0
    for trade in TRADES:
        mean = _choose(fit, np.argmax(inside - trade * cost, 1), "").costs.mean()
        within = _choose(report, np.argmax(outside - trade * cost, 1), "kNN on the query's words")
        if mean <= budget:
            break
        dearer, spent = within, float(mean)
    if dearer is None or mean > budget:
        return within
    share = (budget - float(mean)) / (spent - float(mean))
    return Served(
        within.name,
        share * dearer.scores + (1 - share) * within.scores,
        share * dearer.costs + (1 - share) * within.costs,
        {m: share * dearer.shares.get(m, 0) + (1 - share) * within.shares.get(m, 0) for m in report.models},
    )


def hash_words(prompts: Sequence[str]) -> npt.NDArray[np.float32]:
    """(n, FEATURES): 1 + log of how often each hashed word or word pair occurs, 0 where it does not."""
    counts = np.zeros((len(prompts), FEATURES), dtype=np.float32)
    memo: dict[str, int] = {}
    for row, prompt in enumerate(prompts):
        words = _WORD.findall(prompt.lower())
        for term in (*words, *map(" ".join, pairwise(words))):
            bucket = memo.get(term)
            if bucket is None:
                bucket = memo[term] = zlib.crc32(term.encode("utf-8", "replace")) % FEATURES
            counts[row, bucket] += 1
    return np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0).astype(np.float32)


def _unit(counts: npt.NDArray[np.float32], rarity: Floats) -> npt.NDArray[np.float32]:
    weighted = counts * rarity.astype(np.float32)
    lengths = np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-9)
    unit: npt.NDArray[np.float32] = (weighted / lengths).astype(np.float32)
    return unit


def _neighbour_means(likeness: npt.NDArray[np.float32], scores: Floats, k: int) -> Floats:
    """(n, m): mean scores of the k likest."""
    nearest = np.argpartition(-likeness, k - 1, axis=1)[:, :k]
    means: Floats = scores[nearest].mean(1)
    return means


def _choose(data: Priced, pick: npt.NDArray[np.intp], name: str) -> Served:
    rows = np.arange(len(pick))
    served = np.bincount(pick, minlength=len(data.models)) / max(len(pick), 1)
    shares = {model: float(share) for model, share in zip(data.models, served, strict=True) if share > 0}
    return Served(name, data.scores[rows, pick], data.costs[rows, pick], shares)
