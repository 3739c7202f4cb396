"""What a routing policy has to beat, computed from scores and costs of the same queries.

Knows always one model, the best and the cheapest single model, a random mix at equal cost and the oracle; routers that
read the query are in query_routers.py, the agreement rule in agreement_rule.py. Does not know the gateway or its
policies. Whatever is chosen (which model, which mix) is chosen on the fit part and measured on the report part; only
the oracle sees the report part's scores, and that is what makes it one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.core import Price, Usage
from smallfirst.errors import DataError
from smallfirst.evals.latency import Times, Waits, mixed, waits
from smallfirst.evals.outcomes import ScoreTable
from smallfirst.evals.statistics import Floats
from smallfirst.models.recorded import CHARACTERS_A_TOKEN


class Priced(msgspec.Struct, frozen=True):
    """The same models on the same queries: scores (n, m) in 0..1, costs (n, m) in nano-dollars of one call each.

    `times`: what each call would take, where laws were stated.
    """

    table: ScoreTable
    costs: Floats
    times: Times | None = None

    @property
    def scores(self) -> Floats:
        return self.table.scores

    @property
    def models(self) -> tuple[str, ...]:
        return self.table.models

    def rows(self, groups: Collection[str]) -> Priced:
        """Only the rows of these prompt groups."""
        keep = np.array([group in groups for group in self.table.groups], dtype=bool)
        times = None if self.times is None else self.times.rows(keep)
        return Priced(self.table.rows(groups), self.costs[keep], times)


class Served(msgspec.Struct, frozen=True):
    """What a way to route gives on each query: score (n,), cost (n,) in nano-dollars, and how often each model served.

    A mix is in expectation: scores and costs are weighted, nothing is drawn. `sequential`: calls on the critical path,
    mean; calls made side by side count as one. None where it is not known.
    """

    name: str
    scores: Floats
    costs: Floats
    shares: Mapping[str, float]
    calls: float = 1.0  # a request, mean
    sequential: float | None = None
    latency: Waits | None = None


def price_table(table: ScoreTable, prices: Mapping[str, Price]) -> Priced:
    """Price every call by its recorded tokens; else characters / 4, rounded up, as recorded upstreams report them."""
    columns = []
    sent, got = tokens_of(table)
    for m, model in enumerate(table.models):
        if model not in prices:
            raise DataError(f"no price for {model!r}")
        rows = zip(sent[:, m].tolist(), got[:, m].tolist(), strict=True)
        columns.append([float(prices[model].cost(Usage(int(i), int(o)))) for i, o in rows])
    return Priced(table, np.array(columns).T)


def tokens_of(table: ScoreTable) -> tuple[Floats, Floats]:
    """Input and output tokens (n, m)."""
    if table.input_tokens is not None and table.output_tokens is not None:
        return table.input_tokens, table.output_tokens
    return np.ceil(table.input_chars / CHARACTERS_A_TOKEN), np.ceil(table.output_chars / CHARACTERS_A_TOKEN)


def always(data: Priced, model: str, name: str = "") -> Served:
    """Every query to one model."""
    column = data.table.column(model)
    return choose(data, np.full(len(data.scores), column), name or f"always {model}")


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
    low, high = (always(report, report.models[column]) for column in best[1:3])
    return blend(low, high, 1 - best[3], "random at equal cost")


def oracle(data: Priced) -> Served:
    """For each query the cheapest model that was right (score at least 0.5); where none was, the cheapest."""
    right = data.scores >= 0.5
    cost = np.where(right, data.costs, np.inf)
    pick = np.where(right.any(1), np.argmin(cost, 1), np.argmin(data.costs, 1))
    return choose(data, pick, "oracle")


def choose(data: Priced, pick: npt.NDArray[np.intp], name: str) -> Served:
    """One call a query, to the model in column `pick` (n,)."""
    rows = np.arange(len(pick))
    served = np.bincount(pick, minlength=len(data.models)) / max(len(pick), 1)
    shares = {model: float(share) for model, share in zip(data.models, served, strict=True) if share > 0}
    latency = None if data.times is None else waits(data.times.total[rows, pick])
    return Served(name, data.scores[rows, pick], data.costs[rows, pick], shares, sequential=1.0, latency=latency)


def blend(first: Served, second: Served, share: float, name: str) -> Served:
    """`share` of the queries one way, the rest the other, by a coin; in expectation."""
    both = {**first.shares, **second.shares}
    parts = [(share, first), (1 - share, second)]
    known = [(part, one.latency) for part, one in parts if part > 0 and one.latency is not None]
    steps = [one.sequential for part, one in parts if part > 0 and one.sequential is not None]
    whole = len([part for part, _ in parts if part > 0])
    return Served(
        name,
        share * first.scores + (1 - share) * second.scores,
        share * first.costs + (1 - share) * second.costs,
        {m: w for m in both if (w := share * first.shares.get(m, 0) + (1 - share) * second.shares.get(m, 0)) > 0},
        share * first.calls + (1 - share) * second.calls,
        sum(part * (one.sequential or 0) for part, one in parts) if len(steps) == whole else None,
        mixed(known) if len(known) == whole else None,
    )
