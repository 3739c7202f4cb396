"""Every way to route as one line of the report: what it costs, how good it is, and what the same money gives elsewhere.

Knows ways that were run, the predictions of query routers, and the models that figures are relative to. Does not know
curves or the page. Settings of query routers are chosen on the fit part.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from smallfirst.evals.agreement_rule import Rule
from smallfirst.evals.baselines import Served, always, choose, oracle, random_mix
from smallfirst.evals.curves import Anchors
from smallfirst.evals.dataset import Dataset
from smallfirst.evals.deferral import pgr_of
from smallfirst.evals.evaluation_report import Beside, Kind, WayLine
from smallfirst.evals.metrics import cost_save
from smallfirst.evals.query_routers import TRADES, Predicted, at_budget, picks
from smallfirst.evals.recorded_policies import Run
from smallfirst.evals.resamples import Resamples


class Shown(msgspec.Struct, frozen=True):
    """Something that served every query, with a note on what it is."""

    served: Served
    note: str = ""


class Ways:
    """The lines of one evaluation."""

    def __init__(
        self,
        data: Dataset,
        at: Anchors,
        weak: str,
        predicted: Sequence[Predicted],
        resamples: Resamples,
        *,
        runs: Sequence[Run],
        others: Sequence[Shown],
        target_loss: float,
    ) -> None:
        self.data, self.fit, self.out = data, data.fit, data.report
        self.at, self.weak, self.predicted, self.resamples = at, weak, predicted, resamples
        self.runs, self.others, self.target_loss = runs, others, target_loss
        self.top_name = data.players.baseline
        self.top = always(data.report, self.top_name, "always baseline")

    def lines(self, agreed: Served | None, rule: Rule | None) -> list[tuple[WayLine, Served]]:
        """Every way with its line: policies, the rule, query routers at the target, single models, the oracle."""
        found: list[tuple[WayLine, Served]] = []
        for run in self.runs:
            found.append((self._line(run.served, "policy", dict(run.reasons), beside=True), run.served))
        for one in self.others:
            found.append((self._line(one.served, "policy", beside=True, note=one.note), one.served))
        if agreed is not None:
            found.append((self._line(agreed, "rule", beside=True, note=str(rule)), agreed))
        for predicted in self.predicted:
            served = self._tuned(predicted)
            note = f"cheapest setting within {self.target_loss:.1%} loss on the fit part; not certified"
            found.append((self._line(served, "router", beside=False, note=note), served))
        budget = float(found[0][1].costs.mean()) if found else float(self.top.costs.mean()) / 2
        mix = random_mix(self.fit, self.out, budget)
        found.append((self._line(mix, "router", note=f"as dear as {found[0][1].name}"), mix))
        for name in self.out.models:
            roles = [("baseline", self.at.baseline), ("best single", self.at.best), ("cheapest", self.at.cheapest)]
            note = ", ".join(word for word, column in roles if self.out.models[column] == name)
            single = always(self.out, name, name)
            found.append((self._line(single, "single", note=note), single))
        ideal = oracle(self.out)
        found.append((self._line(ideal, "oracle", note="knows the scores; nobody can route so"), ideal))
        return found

    def _line(
        self, served: Served, kind: Kind, reasons: dict[str, int] | None = None, *, beside: bool = False, note: str = ""
    ) -> WayLine:
        weak, strong = (self.out.scores[:, self.out.table.column(name)] for name in (self.weak, self.top_name))
        best = always(self.out, self.out.models[self.at.best])
        quality, latency = float(served.scores.mean()), served.latency.summary() if served.latency else None
        base = self.top.latency.summary() if self.top.latency else None
        tiers = {tier.name: 0.0 for tier in self.data.players.tiers}
        for model, share in served.shares.items():
            tier = self.data.tier_of(model)
            tiers[tier] = tiers.get(tier, 0.0) + share
        return WayLine(
            name=served.name,
            kind=kind,
            cost=self.resamples.ratio(served.costs, self.top.costs),
            quality=quality,
            relative=self.resamples.ratio(served.scores, self.top.scores),
            recovered=pgr_of(quality, weak, strong),
            cost_save=cost_save([served.costs.mean()], [quality], float(best.costs.mean()), float(best.scores.mean())),
            tiers=tiers,
            calls=served.calls,
            sequential=served.sequential,
            latency=latency,
            latency_ratio=latency.mean_us / base.mean_us if latency and base and base.mean_us else None,
            beside=tuple(self._beside(served)) if beside else (),
            reasons=reasons or {},
            note=note,
        )

    def _beside(self, served: Served) -> Sequence[Beside]:
        """Random and each query router at the same mean cost."""
        budget = float(served.costs.mean())
        others = [random_mix(self.fit, self.out, budget)]
        others += [at_budget(predicted, self.fit, self.out, budget) for predicted in self.predicted]
        return [
            Beside(other.name, float(other.scores.mean()), self.resamples.mean(served.scores - other.scores))
            for other in others
        ]

    def _tuned(self, predicted: Predicted) -> Served:
        """The cheapest trade whose relative quality on the fit part is at least 1 - target loss."""
        fit, rows = self.fit, predicted.rows
        goal = (1 - self.target_loss) * fit.scores[rows, self.at.baseline].mean()
        best: tuple[float, float] | None = None
        for trade in TRADES:
            inside = picks(predicted, fit, trade)[0]
            cost, quality = fit.costs[rows, inside].mean(), fit.scores[rows, inside].mean()
            if quality >= goal and (best is None or cost < best[0]):
                best = (float(cost), trade)
        if best is None:
            return msgspec.structs.replace(self.top, name=predicted.name)
        return choose(self.out, picks(predicted, fit, best[1])[1], predicted.name)
