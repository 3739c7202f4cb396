"""Dataset x policies -> report.

Knows the order of the steps, and which figure is made of which. Policies that were run, curves and estimates of others
(a fitted ladder's rungs, say) are handed in; the baselines that every report shows are made here. Whatever is chosen is
chosen on the fit part; every figure is of the report part, with intervals by one bootstrap over its prompt groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from smallfirst import __version__
from smallfirst.core import NANO
from smallfirst.evals.agreement_rule import Rule, agreement_rule, make_rule
from smallfirst.evals.baselines import Priced, Served, always
from smallfirst.evals.curves import Anchors, Curve, anchors, measure_curve, sweep
from smallfirst.evals.dataset import Dataset
from smallfirst.evals.deferral import Deferral, measure, measure_points
from smallfirst.evals.estimates import Estimate, measure_estimate
from smallfirst.evals.evaluation_report import ModelLine, Part, Report, WayLine
from smallfirst.evals.latency import waits
from smallfirst.evals.query_routers import Predicted, by_clusters, by_neighbours, by_regression, read_words
from smallfirst.evals.recorded_policies import Run
from smallfirst.evals.resamples import DRAWS, Resamples
from smallfirst.evals.slices import measure_slices
from smallfirst.evals.statistics import Floats
from smallfirst.evals.ways import Shown, Ways

STEPS = ("words", "kNN", "k-means table", "query-only", "agreement rule", "figures", "slices")
"""What `step` is called with, in order: for a progress bar."""


class Wanted(msgspec.Struct, frozen=True):
    """What to evaluate beside the baselines, and how."""

    runs: Sequence[Run] = ()
    ways: Sequence[Shown] = ()  # anything else that was run, shown as policies
    curves: Sequence[Curve] = ()
    estimates: Sequence[Estimate] = ()
    rule: Rule | None = None  # None: chosen on the fit part
    weak: str = ""  # empty: the best model of the lowest tier on the fit part
    target_loss: float = 0.02
    seed: int = 0
    draws: int = DRAWS


def evaluate(data: Dataset, wanted: Wanted, step: Callable[[str], None] = lambda _: None) -> Report:
    """Raises DataError where the data can't carry it."""
    return _Evaluation(data, wanted).report(step)


class _Evaluation:
    """One evaluation on its way."""

    def __init__(self, data: Dataset, wanted: Wanted) -> None:
        self.data, self.wanted = data, wanted
        self.fit, self.out = data.fit, data.report
        self.at: Anchors = anchors(data.fit, data.report, data.players.baseline)
        self.weak = wanted.weak or self._weakest()
        self.resamples = Resamples(data.report.table.groups, seed=wanted.seed, draws=wanted.draws)
        self.top = always(data.report, data.players.baseline, "always baseline")
        self.predicted: list[Predicted] = []
        self.notes = list(data.notes)

    def report(self, step: Callable[[str], None]) -> Report:
        step("words")
        words = read_words(self.fit, self.out)
        for name, predict in (
            ("kNN", by_neighbours),
            ("k-means table", by_clusters),
            ("query-only", by_regression),
        ):
            step(name)
            self.predicted.append(predict(words, self.fit.scores, seed=self.wanted.seed))
        del words
        step("agreement rule")
        rule = self.wanted.rule or make_rule(self.data)
        agreed = None if rule is None else agreement_rule(self.data, rule)
        step("figures")
        curves = [*(sweep(one, self.fit, self.out, self.at.baseline) for one in self.predicted), *self.wanted.curves]
        if rule is not None and agreed is None:
            self.notes.append("no agreement rule: the outcomes hold no answers")
        ways = self._ways(agreed, rule)
        table = self.out.table
        estimates = [measure_estimate(one, table.categories, self.resamples) for one in self._estimates()]
        report = Report(
            smallfirst=__version__,
            data=self.data.name,
            digest=self.data.digest,
            seed=self.wanted.seed,
            draws=self.wanted.draws,
            fit=_part(self.fit),
            report=_part(self.out),
            baseline=self.data.players.baseline,
            weak=self.weak,
            best=self.out.models[self.at.best],
            cheapest=self.out.models[self.at.cheapest],
            target_loss=self.wanted.target_loss,
            models=tuple(self._model(name) for name in self.out.models),
            ways=tuple(line for line, _ in ways),
            curves=tuple(measure_curve(curve, self.out, self.at, self.resamples) for curve in curves),
            deferrals=tuple(self._deferrals()),
            estimates=tuple(one for one in estimates if one is not None),
            slices=(),
            notes=tuple(self.notes),
        )
        step("slices")
        shown = [served for line, served in ways if line.kind in ("policy", "rule", "router")]
        shown = [served for served in shown if not served.name.startswith("random")]
        lines = measure_slices(self.out, self.top, shown, self.resamples, self.wanted.target_loss)
        return msgspec.structs.replace(report, slices=tuple(lines))

    def _ways(self, agreed: Served | None, rule: Rule | None) -> list[tuple[WayLine, Served]]:
        wanted = self.wanted
        made = Ways(
            self.data,
            self.at,
            self.weak,
            self.predicted,
            self.resamples,
            runs=wanted.runs,
            others=wanted.ways,
            target_loss=wanted.target_loss,
        )
        return made.lines(agreed, rule)

    # -- curves and estimates ---------------------------------------------------------------------------------------

    def _deferrals(self) -> list[Deferral]:
        """From the weak model to the baseline: by each prediction, by chance, by the truth, and along given curves."""
        low, high = self.out.table.column(self.weak), self.at.baseline
        weak, strong = self.out.scores[:, low], self.out.scores[:, high]
        found = [
            measure(one.name, one.outside[:, high] - one.outside[:, low], weak, strong, self.resamples)
            for one in self.predicted
        ]
        for curve in self.wanted.curves:
            found.append(measure_points(curve.name, curve.strong, curve.scores, weak, strong, self.resamples))
        found.append(measure("random", np.zeros(len(weak)), weak, strong, self.resamples))
        found.append(measure("oracle", strong - weak, weak, strong, self.resamples))
        return found

    def _estimates(self) -> list[Estimate]:
        low = self.out.table.column(self.weak)
        truth = self.out.scores[:, low]
        before = [Estimate(f"{one.name}: {self.weak}", one.outside[:, low], truth) for one in self.predicted]
        after = [
            Estimate(f"verdict: {run.served.name}", run.chance, run.served.scores)
            for run in self.wanted.runs
            if np.isfinite(run.chance).any()
        ]
        return [*before, *after, *self.wanted.estimates]

    # -- models -----------------------------------------------------------------------------------------------------

    def _weakest(self) -> str:
        """The best model of the lowest tier on the fit part; the baseline never plays both sides."""
        lowest = [m for m in self.data.players.tiers[0].models if m != self.data.players.baseline]
        names = lowest or [m for m in self.fit.models if m != self.data.players.baseline]
        return max(names, key=lambda name: float(self.fit.scores[:, self.fit.table.column(name)].mean()))

    def _model(self, name: str) -> ModelLine:
        at, out, price = self.out.table.column(name), self.out, self.data.players.prices.get(name)
        assert out.times is not None  # noqa: S101 - a dataset always has times
        law = out.times.laws[at]
        return ModelLine(
            name=name,
            recorded=self.data.players.roles[name],
            tier=self.data.tier_of(name),
            input_per_m=None if price is None else price.input / NANO,
            output_per_m=None if price is None else price.output / NANO,
            quality=float(out.scores[:, at].mean()),
            cost_usd=float(out.costs[:, at].mean()) / NANO,
            first_ms=law.first_ms,
            input_token_ms=law.input_token_ms,
            token_ms=law.token_ms,
            spread=law.spread,
            law=law.source,
            latency=waits(_column(out.times.total, at)).summary(),
        )


def _column(matrix: np.ndarray, at: int) -> Floats:
    return matrix[:, at].astype(np.float64)


def _part(data: Priced) -> Part:
    return Part(len(data.table.prompts), len(set(data.table.groups)))
