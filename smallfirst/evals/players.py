"""Who takes part in an evaluation: names, tiers, prices, and the baseline.

Knows how roles are filled up from what outcome rows say of themselves. Does not read files or the config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from smallfirst.core import NANO, Price, Tier
from smallfirst.errors import DataError
from smallfirst.evals.baselines import Priced
from smallfirst.evals.outcomes import Scored, ScoreTable
from smallfirst.evals.recorded_experiment import USD_PER_M
from smallfirst.ledger.summary import tier_place


class Players(msgspec.Struct, frozen=True):
    """Who takes part. `roles`: name -> recorded model ("a|b": two played it). Empty fields are read from the data."""

    roles: Mapping[str, str] = {}
    tiers: tuple[Tier, ...] = ()
    prices: Mapping[str, Price] = {}  # of models or tiers; missing ones by the data's own costs, else by tier
    baseline: str = ""

    def tier_of(self, model: str) -> str:
        """The tier a model stands in; empty where it stands in none."""
        return next((tier.name for tier in self.tiers if model in tier.models), "")


def tiers_of(names: Sequence[str], rows: Sequence[Scored]) -> tuple[Tier, ...]:
    """By the rows' `tier`; none where a model has none."""
    said = {row.model: row.tier for row in rows if row.tier}
    if any(name not in said for name in names):
        return ()
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(said[name], []).append(name)
    return tuple(Tier(tier, tuple(members[tier])) for tier in sorted(members, key=tier_place))


def with_prices(players: Players, tables: Sequence[ScoreTable], notes: list[str]) -> Players:
    """A price for every model: its own, its tier's, none where the data has its costs, else its tier's usual one."""
    prices: dict[str, Price] = {}
    usual: list[str] = []
    for at, name in enumerate(players.roles):
        tier = players.tier_of(name)
        price = players.prices.get(name) or players.prices.get(tier)
        if price is not None:
            prices[name] = price
        elif all(table.costs is not None and not np.isnan(table.costs[:, at]).any() for table in tables):
            continue
        elif tier in USD_PER_M:
            rate_in, rate_out = (round(rate * NANO) for rate in USD_PER_M[tier])
            prices[name] = Price(rate_in, rate_out, rate_in, "usual price of the tier")
            usual.append(tier)
        else:
            raise DataError(
                f"no price for {name!r}; give one in dollars per million tokens, like --price {name}=0.15/0.60, "
                "or a cost_usd in every row"
            )
    if usual:
        said = ", ".join(f"{tier} {USD_PER_M[tier][0]:g}/{USD_PER_M[tier][1]:g}" for tier in dict.fromkeys(usual))
        notes.append(f"prices are assumed by tier, dollars per million tokens in/out: {said}")
    return msgspec.structs.replace(players, prices=prices)


def with_baseline(players: Players, fit: Priced) -> Players:
    """The best of the highest tier on the fit part, where none was named; without tiers the best of all."""
    order = sorted(players.roles, key=lambda name: float(fit.costs[:, fit.table.column(name)].mean()))
    tiers = players.tiers or tuple(Tier(name, (name,)) for name in order)
    top = tiers[-1].models if players.tiers else tuple(players.roles)
    best = max((name for name in top if name in players.roles), key=lambda n: fit.scores[:, fit.table.column(n)].mean())
    return msgspec.structs.replace(players, tiers=tiers, baseline=players.baseline or best)
