"""A replay of recorded models through the real gateway, with real scores joined afterwards.

Knows which recorded models play which tier, how prompts are split, what the gateway is configured and probed with, and
how its replies meet the scores. Starts nothing (bench/quality/replay_recorded.py does). What routes never gets a score
of the part that is reported on: the gateway sees prompts and answers over HTTP, and probes made from the fit part.

These are models of 2024, and tokens are characters / 4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
import yaml

from smallfirst.classify.probes import Probe
from smallfirst.core import NANO, Price
from smallfirst.errors import DataError
from smallfirst.evals.baselines import (
    Priced,
    Served,
    always,
    best_single,
    cheapest_single,
    oracle,
    price_table,
    random_mix,
)
from smallfirst.evals.outcomes import Scored, score_table, split
from smallfirst.evals.probe import Scored as ProbeAnswer
from smallfirst.evals.probe import fit_probe
from smallfirst.evals.query_routers import nearest_neighbours
from smallfirst.evals.replies import Reply
from smallfirst.evals.statistics import Interval, bootstrap_ratio

FRACTIONS = (0.4, 0.6)
"""Fit and report, by prompt group: the study's."""

USD_PER_M = {"slm": (0.10, 0.10), "mid": (0.15, 0.60), "frontier": (2.50, 10.0)}
"""Dollars per million input and output tokens: the study's."""


class Lineup(msgspec.Struct, frozen=True):
    """Which recorded models play which tier. "a|b": two models play one role, each where it was recorded."""

    name: str
    source: str  # the table of outcomes
    slm: Mapping[str, str]  # name in the config -> recorded model; the first is the one a cascade asks
    mid: Mapping[str, str]
    frontier: Mapping[str, str]

    @property
    def tiers(self) -> dict[str, Mapping[str, str]]:
        return {"slm": self.slm, "mid": self.mid, "frontier": self.frontier}

    @property
    def roles(self) -> dict[str, str]:
        """Name in the config -> recorded model, lowest tier first."""
        return {name: recorded for models in self.tiers.values() for name, recorded in models.items()}

    @property
    def recorded(self) -> list[str]:
        """Every recorded model that plays."""
        return [model for role in self.roles.values() for model in role.split("|")]

    def tier_of(self, model: str) -> str:
        return next(tier for tier, models in self.tiers.items() if model in models)

    def prices(self) -> dict[str, Price]:
        """Nano-dollars per million tokens by name in the config."""
        rates = {name: USD_PER_M[tier] for tier, models in self.tiers.items() for name in models}
        return {
            name: Price(round(i * NANO), round(o * NANO), round(i * NANO), "study") for name, (i, o) in rates.items()
        }


LINEUPS = {
    "zeroeval": Lineup(
        name="ZeroEval: GSM8K, MATH level 5, CRUX",
        source="zeroeval",
        slm={
            "gemma-9b": "gemma-2-9b-it",
            "llama-8b": "Meta-Llama-3.1-8B-Instruct",
            "qwen-7b": "Qwen2.5-7B-Instruct|Qwen2-7B-Instruct",  # no Qwen2.5-7B on GSM8K; the study's choice too
        },
        mid={"mini": "gpt-4o-mini-2024-07-18"},
        frontier={"gpt-4o": "gpt-4o-2024-08-06"},
    ),
    "mmlu_pro": Lineup(
        name="MMLU-Pro, strict parse",
        source="mmlu_pro",
        slm={
            "llama-8b": "Llama-3.1-8B-Instruct",
            "phi-3-mini": "Phi-3-mini-4k-instruct",
            "mathstral-7b": "mathstral-7B-v0.1",
        },
        mid={"flash": "gemini-1.5-flash-002"},
        frontier={"gpt-4o": "gpt-4o-2024-05-13"},
    ),
}


def play_roles(rows: Iterable[Scored], roles: Mapping[str, str]) -> list[Scored]:
    """Rows under the names of the config; of a role that several models play, the first that answered the query."""
    by_query: dict[tuple[str, str], dict[str, Scored]] = {}
    for row in rows:
        by_query.setdefault((row.benchmark, row.query_id), {})[row.model] = row
    played = []
    for answers in by_query.values():
        for name, role in roles.items():
            found = next((answers[model] for model in role.split("|") if model in answers), None)
            if found is not None:
                played.append(msgspec.structs.replace(found, model=name))
    return played


def prepare(rows: Iterable[Scored], lineup: Lineup, seed: int) -> tuple[Priced, Priced]:
    """(fit part, report part), priced; all copies of a prompt are on one side."""
    table = score_table(play_roles(rows, lineup.roles), list(lineup.roles))
    data = price_table(table, lineup.prices())
    fit, report = split(table.groups, seed=seed, fractions=FRACTIONS)
    return data.rows(fit), data.rows(report)


def sample_rows(data: Priced, limit: int | None, seed: int) -> Priced:
    """At most `limit` rows, drawn at random by whole prompt groups, so that a limited replay is no choice of ours."""
    if limit is None or len(data.table.groups) <= limit:
        return data
    groups = sorted(set(data.table.groups))
    counts = Counter(data.table.groups)
    kept: set[str] = set()
    total = 0
    for at in np.random.default_rng(seed).permutation(len(groups)):
        if total + counts[groups[at]] <= limit:
            kept.add(groups[at])
            total += counts[groups[at]]
    return data.rows(kept)


def make_probes(fit: Priced, lineup: Lineup, weights: bytes, at: int) -> list[Probe]:
    """What the gateway knows of each model below the frontier: its scores on the fit part, by kind of query."""
    prompts = fit.table.prompts
    return [
        fit_probe(
            name,
            [ProbeAnswer(text, float(score)) for text, score in zip(prompts, fit.scores[:, column], strict=True)],
            weights,
            prompts=f"recorded-{lineup.source}",
            at=at,
        )
        for column, name in enumerate(fit.models)
        if name not in lineup.frontier
    ]


def config_yaml(lineup: Lineup, url: str) -> str:
    """The gateway's config file: recorded upstreams at `url`, the study's prices, three policies."""
    models = {
        name: {
            "provider": "recorded",
            "model": recorded,
            "cost": {"input_per_m": USD_PER_M[tier][0], "output_per_m": USD_PER_M[tier][1]},
            "abilities": {"context": 32768, "logprobs": False},
        }
        for tier, players in lineup.tiers.items()
        for name, recorded in players.items()
    }
    panel = list(lineup.slm)
    config = {
        "providers": {"recorded": {"url": url, "location": "premises"}},
        "models": models,
        "tiers": [{tier: list(players)} for tier, players in lineup.tiers.items()],
        "baseline": {"model": next(iter(lineup.frontier))},
        "policies": {
            "cascade": {"kind": "cascade", "accept": {"slm": 0.90, "mid": 0.80}},
            "panel": {"kind": "panel", "panel": {"models": panel, "with_mid": True}, "accept": {"mid": 1.0}},
            "slm_panel": {"kind": "panel", "panel": {"models": panel}, "accept": {"slm": 1.0, "mid": 0.80}},
        },
        "default_policy": "cascade",
    }
    text: str = yaml.safe_dump(config, sort_keys=False)
    return text


def join(name: str, replies: Sequence[Reply], report: Priced) -> Served:
    """Scores of what was really served, by reply id (the row's number). A query that got no answer scores 0.

    Raises DataError where a row has no reply, two, or one without its cost or from a model that does not play.
    """
    by_row = {int(reply.id): reply for reply in replies}
    if len(by_row) != len(replies) or set(by_row) != set(range(len(report.scores))):
        raise DataError(f"{name}: {len(replies)} replies do not stand for {len(report.scores)} prompts, one each")
    scores, costs = np.zeros(len(by_row)), np.zeros(len(by_row))
    served: dict[str, int] = {}
    for row, reply in by_row.items():
        if reply.cost is None and reply.ok:
            raise DataError(f"{name}: reply {reply.id} names no cost")
        costs[row] = reply.cost or 0
        if reply.ok:
            model = reply.model or "?"
            scores[row] = report.scores[row, report.table.column(model)]
            served[model] = served.get(model, 0) + 1
    shares = {model: count / len(by_row) for model, count in sorted(served.items())}
    return Served(name, scores, costs, shares, sum(reply.attempts for reply in replies) / len(replies))


class Line(msgspec.Struct, frozen=True):
    """One way to route, in the table that the replay ends in."""

    name: str
    cost: float  # relative to always-frontier, every attempt paid
    quality: float  # mean score
    relative: Interval  # mean score over always-frontier's, by bootstrap over prompt groups
    shares: Mapping[str, float]  # by tier
    calls: float  # a query, mean


def make_line(served: Served, report: Priced, lineup: Lineup, seed: int) -> Line:
    """Set a way to route beside always-frontier on the same queries."""
    top = report.table.column(next(iter(lineup.frontier)))
    shares = dict.fromkeys(lineup.tiers, 0.0)
    for model, share in served.shares.items():
        shares[lineup.tier_of(model)] += share
    return Line(
        name=served.name,
        cost=float(served.costs.sum() / report.costs[:, top].sum()),
        quality=float(served.scores.mean()),
        relative=bootstrap_ratio(served.scores, report.scores[:, top], report.table.groups, seed=seed),
        shares=shares,
        calls=served.calls,
    )


def beside(fit: Priced, report: Priced, lineup: Lineup, routed: Sequence[Served]) -> list[Served]:
    """What the routed replays have to be compared with; random and kNN at the mean cost of each of them."""
    lines = [always(report, next(iter(models)), f"always {tier}") for tier, models in lineup.tiers.items()]
    lines += [best_single(fit, report), cheapest_single(fit, report)]
    for policy in routed:
        budget = float(policy.costs.mean())
        mix, nearest = random_mix(fit, report, budget), nearest_neighbours(fit, report, budget)
        lines.append(msgspec.structs.replace(mix, name=f"random, as dear as {policy.name}"))
        lines.append(msgspec.structs.replace(nearest, name=f"kNN, as dear as {policy.name}"))
    return [*lines, oracle(report)]
