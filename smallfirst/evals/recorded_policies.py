"""Policies of the config on recorded answers: every query through the policy itself, on a virtual clock.

Knows recorded answers, what each call costs and takes, and probes made from the fit part's scores. The policy sees what
it would see live: no score of the part that is reported on. A call that the policy stops is paid in full, so that the
figures never flatter it. Does not know how policies decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.probes import Probe
from smallfirst.core import Attempt, Outcome, Query, Score, Status, Tier, Usage
from smallfirst.engine.virtual import Trace, simulate
from smallfirst.errors import DataError
from smallfirst.evals.baselines import Priced, Served, tokens_of
from smallfirst.evals.dataset import Dataset
from smallfirst.evals.latency import waits
from smallfirst.evals.probe import Scored, fit_probe
from smallfirst.evals.statistics import Floats
from smallfirst.policy.hand_over import HandingOver
from smallfirst.policy.protocol import Facts, Policy, Start
from smallfirst.verify.judge import make_judge


class Run(msgspec.Struct, frozen=True):
    """One policy over all queries. `chance` (n,): the verdict's p_correct of what was served, nan without one."""

    served: Served
    chance: Floats
    tiers: Mapping[str, float]
    reasons: Mapping[str, int]


class Bench(msgspec.Struct, frozen=True):
    """The report part laid out for policies: each query's facts, and each model's outcome for it."""

    tiers: tuple[Tier, ...]
    report: Priced
    outcomes: tuple[Mapping[str, tuple[Outcome, int]], ...]  # by query: model -> (what it answers, after how long)
    scores: tuple[Score, ...]
    queries: tuple[Query, ...]
    usual_ms: Mapping[str, float] = {}  # by model: what 19 of 20 of its calls on the fit part stay within, by the laws


def lay_out(data: Dataset, weights: bytes) -> Bench:
    """Raises DataError where a model's answer to a reported prompt was not recorded, or there are no answers."""
    if data.recordings is None:
        raise DataError(
            "policies need the models' answers, and the outcomes have none: add an `answer` to every row, or name a "
            "recordings file with --answers"
        )
    report, names = data.report, list(data.players.roles)
    classifier = Classifier.from_bytes(weights)
    probes = make_probes(data, weights)
    outcomes, scores, queries = [], [], []
    sent, got = tokens_of(report.table)
    for row, prompt in enumerate(report.table.prompts):
        query = Query(id=str(row), asked="", text=prompt, fields={})
        queries.append(query)
        scores.append(classifier.score(query, probes))
        outcomes.append({name: _outcome(data, row, at, sent, got) for at, name in enumerate(names)})
    return Bench(data.players.tiers, report, tuple(outcomes), tuple(scores), tuple(queries), _usual_ms(data.fit))


def _usual_ms(fit: Priced) -> dict[str, float]:
    if fit.times is None or not len(fit.scores):
        return {}
    usual = np.percentile(fit.times.total, 95, axis=0) / 1000
    return dict(zip(fit.models, usual.tolist(), strict=True))


def make_probes(data: Dataset, weights: bytes) -> dict[str, Probe | None]:
    """What the gateway would know of each model after probing it with the fit part's prompts; top tier unprobed."""
    fit = data.fit
    top = set(data.players.tiers[-1].models) if len(data.players.tiers) > 1 else set()
    found: dict[str, Probe | None] = {}
    for at, name in enumerate(fit.models):
        pairs = zip(fit.table.prompts, fit.scores[:, at].tolist(), strict=True)
        scored = [Scored(text, score) for text, score in pairs]
        found[name] = None if name in top else fit_probe(name, scored, weights, prompts="fit", at=0)
    return found


def run(policy: Policy, bench: Bench, advance: Callable[[int], None] = lambda _: None) -> Run:
    """Every query through `policy`; `advance` is told of every hundred.

    Raises DataError for a policy that hands drafts up: nobody recorded what a model says that has read one.
    """
    if isinstance(policy, HandingOver):
        raise DataError(
            f"{policy.name} hands drafts up, and no answer of a model that has read one was recorded; take hand_over "
            "out, or send prompts through a gateway that is configured with it: smallfirst replay"
        )
    report = bench.report
    n = len(bench.queries)
    scores, costs, times, chance = np.zeros(n), np.zeros(n), np.zeros(n), np.full(n, np.nan)
    calls, steps = 0, 0
    served: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for row, trace in enumerate(_traces(policy, bench)):
        costs[row], times[row] = trace.cost, trace.latency_us
        calls += len(trace.attempts)
        steps += critical_calls(trace.attempts)
        reasons[trace.decision.reason.value] += 1
        winner = next((a for a in trace.attempts if a.n == trace.decision.served), None)
        if winner is not None:
            served[winner.outcome.model] += 1
            scores[row] = report.scores[row, report.table.column(winner.outcome.model)]
            if trace.decision.verdict is not None:
                chance[row] = trace.decision.verdict.p_correct
        if row % 100 == 99:
            advance(100)
    advance(n % 100)
    shares = {model: count / n for model, count in sorted(served.items())}
    tiers = {tier.name: sum(shares.get(model, 0.0) for model in tier.models) for tier in bench.tiers}
    way = Served(policy.name, scores, costs, shares, calls / n, steps / n, waits(times))
    return Run(way, chance, tiers, dict(reasons))


def critical_calls(attempts: Sequence[Attempt]) -> int:
    """Calls on the critical path: the longest chain of calls of which each began after the one before had ended."""
    chains: list[tuple[int, int]] = []  # (end, length)
    for attempt in sorted(attempts, key=lambda a: a.outcome.started_us):
        begun = attempt.outcome.started_us
        before = max((length for end, length in chains if end <= begun and begun > 0), default=0)
        chains.append((begun + attempt.outcome.latency_us, before + 1))
    return max((length for _, length in chains), default=0)


def _traces(policy: Policy, bench: Bench) -> Iterator[Trace]:
    columns = {name: at for at, name in enumerate(bench.report.models)}
    costs = bench.report.costs
    for row, (query, score, outcomes) in enumerate(zip(bench.queries, bench.scores, bench.outcomes, strict=True)):

        def answer(start: Start, outcomes: Mapping[str, tuple[Outcome, int]] = outcomes) -> tuple[Outcome, int]:
            return outcomes[start.model]

        def expected_cost(model: str, row: int = row) -> int:
            return round(float(costs[row, columns[model]]))

        facts = Facts(
            tiers=bench.tiers,
            p_correct=score.p_correct,
            complexity=score.complexity,
            kind=score.kind,
            judge=make_judge(query, score),
            expected_cost=expected_cost,
            format=False,
            query=query,
            usual_ms=lambda model, _streamed: bench.usual_ms.get(model),
        )
        yield simulate(policy, facts, answer)


def _outcome(data: Dataset, row: int, at: int, sent: Floats, got: Floats) -> tuple[Outcome, int]:
    report = data.report
    name, prompt = report.models[at], report.table.prompts[row]
    said = data.recordings.find(prompt, f"{name}|{data.players.roles[name]}") if data.recordings else None
    if said is None:
        raise DataError(
            f"no recorded answer of {name!r} to query_id {report.table.query_ids[row]!r}; policies need every model's "
            "answer to every prompt: add it, or leave the model out"
        )
    first = took = 0
    if report.times is not None:
        first, took = int(report.times.first[row, at]), int(report.times.total[row, at])
    usage = Usage(int(sent[row, at]), int(got[row, at]), estimated=True)
    cost = round(float(report.costs[row, at]))
    outcome = Outcome(
        name, Status.ok, said.text, finish=said.finish, usage=usage, ttft_us=first, latency_us=took, cost=cost
    )
    return outcome, took
