"""The demo's arithmetic: what is fitted on one half of the samples, what was served on the other, and against what.

Two folds: each half is routed with a probe and thresholds that come from the other half alone. Mid and frontier are
taken to be always right (they answer from gold), so only the small model's judgement is under test. Knows samples,
recorded answers, prices and replies of the gateway. Does not know how the gateway is built or shown.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.probes import Probe
from smallfirst.core import NANO, Outcome, Price, Signals, Status, Usage
from smallfirst.errors import DataError
from smallfirst.evals.chat import Chat, Reply
from smallfirst.evals.demo_upstream import FRONTIER, MID, PACES, SLM, from_gold
from smallfirst.evals.probe import Scored, fit_probe, wilson
from smallfirst.evals.probe_run import make_query
from smallfirst.evals.prompts_sample import Part, Sample, body, digest, part
from smallfirst.evals.record import Recorded
from smallfirst.evals.scorers import score
from smallfirst.verify.judge import make_judge

MOST_LOSS = 0.02
"""Share of a fit half's prompts that the small model may serve wrongly when the threshold is chosen."""

NEVER = 0.995
"""A threshold that no verdict reaches."""

CALLERS = 4


class Fold(msgspec.Struct, frozen=True):
    """What one half taught: the probes, and the cascade's two thresholds for the small tier."""

    fitted_on: Part
    probes: Mapping[str, Probe]
    accept: float
    try_above: float


class Served(msgspec.Struct, frozen=True):
    """One prompt as the gateway served it; money in nano-dollars, `score` by the sample's scorer."""

    id: str
    tier: str
    score: float
    cost: int
    frontier_cost: int  # of the frontier's own (gold) answer to the same prompt
    attempts: int
    latency_us: int
    overhead_us: int


class Point(msgspec.Struct, frozen=True):
    """A way to serve all prompts: mean score, and cost as a share of the all-frontier cost."""

    name: str
    quality: float
    cost: float
    n: int

    def interval(self) -> tuple[float, float]:
        """95% Wilson interval of the quality."""
        return wilson(self.quality * self.n, self.n)


def fit_fold(
    fitted_on: Part, asked: Sequence[Sample], answers: Mapping[str, Recorded], weights: bytes, most_loss: float
) -> Fold:
    """Fit probe and thresholds on the samples of the half `fitted_on`; the others are not looked at."""
    half = [sample for sample in asked if part(sample) == fitted_on]
    prompts = digest(half)
    right = {sample.id: score(sample, answers[sample.id].text).value for sample in half}
    probe = fit_probe(SLM, (Scored(it.input, right[it.id]) for it in half), weights, prompts=prompts, at=0)
    gold = {
        name: fit_probe(name, (Scored(it.input, 1.0) for it in half), weights, prompts=prompts, at=0) for name in PACES
    }
    classifier = Classifier.from_bytes(weights)
    judged = [(*_judge(sample, answers[sample.id], classifier, probe), right[sample.id]) for sample in half]
    accept = _threshold([(verdict, ok) for verdict, _, ok in judged], most_loss)
    taken = [prior for verdict, prior, _ in judged if verdict >= accept]
    return Fold(fitted_on, {SLM: probe, **gold}, accept, min(taken, default=1.0) * 0.98)


def _judge(sample: Sample, answer: Recorded, classifier: Classifier, probe: Probe) -> tuple[float, float]:
    """What the gateway's own judge makes of a recorded answer, and the prior it starts from."""
    query = make_query(sample)
    before = classifier.score(query, {SLM: probe})
    many = len(answer.logprobs)
    signals = Signals(answer.logprobs[0], sum(answer.logprobs) / many, many) if many else Signals()
    outcome = Outcome(
        SLM,
        Status.ok,
        answer.text,
        finish=answer.finish,
        usage=Usage(answer.input_tokens, answer.output_tokens),
        signals=signals,
    )
    verdict = make_judge(query, before)(outcome, ())
    return verdict.p_correct, before.p_correct[SLM] or 0.0


def _threshold(judged: list[tuple[float, float]], most_loss: float) -> float:
    """The lowest verdict from which on at most `most_loss` of all answers would be served wrongly."""
    allowed, wrong, best = most_loss * len(judged), 0.0, NEVER
    ranked = sorted(judged, reverse=True)
    for at, (verdict, right) in enumerate(ranked):
        wrong += 1.0 - right
        if wrong > allowed:
            break
        if at + 1 == len(ranked) or ranked[at + 1][0] < verdict:  # never between equals
            best = verdict
    return best


def serve(
    url: str, asked: Sequence[Sample], frontier: Price, callers: int = CALLERS, key: str | None = None
) -> Iterator[Served]:
    """Send `asked` through the gateway at `url` (ending in /v1) and yield each as it comes back, scored.

    Leaving the loop sends no further prompt. Raises DataError where the gateway answers with an error.
    """
    own = threading.local()

    def ask(sample: Sample) -> Served:
        if not hasattr(own, "chat"):
            own.chat = Chat(url, key)
        return _served(sample, own.chat.ask(body(sample, "auto")), frontier)

    with concurrent.futures.ThreadPoolExecutor(callers, thread_name_prefix="demo") as pool:
        try:
            for done in concurrent.futures.as_completed([pool.submit(ask, sample) for sample in asked]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


def _served(sample: Sample, reply: Reply, frontier: Price) -> Served:
    if reply.status != 200:
        raise DataError(f"the gateway answered HTTP {reply.status} to sample {sample.id}")
    text = msgspec.json.decode(reply.body, type=_Completion).choices[0].message.content or ""
    head = reply.headers
    return Served(
        id=sample.id,
        tier=head["x-smallfirst-tier"],
        score=score(sample, text).value,
        cost=round(float(head["x-smallfirst-cost-usd"]) * NANO),
        frontier_cost=gold_cost(sample, FRONTIER, frontier),
        attempts=int(head["x-smallfirst-attempts"]),
        latency_us=reply.latency_us,
        overhead_us=round(float(head["x-smallfirst-overhead-ms"]) * 1000),
    )


def gold_cost(sample: Sample, model: str, price: Price) -> int:
    """Nano-dollars for the gold answer from `model`."""
    said = from_gold(sample, PACES[model])
    return price.cost(Usage(said.input_tokens, said.output_tokens))


def routed(served: Sequence[Served], name: str = "smallfirst") -> Point:
    """What was served, against the frontier alone on the same prompts."""
    whole = sum(it.frontier_cost for it in served)
    quality = sum(it.score for it in served) / max(1, len(served))
    return Point(name, quality, sum(it.cost for it in served) / max(1, whole), len(served))


def baselines(
    asked: Sequence[Sample], answers: Mapping[str, Recorded], prices: Mapping[str, Price], cost: float
) -> list[Point]:
    """Always one tier, and a coin between small and frontier whose mean cost is `cost` (a share of all-frontier)."""
    whole = sum(gold_cost(sample, FRONTIER, prices[FRONTIER]) for sample in asked)
    known = [sample for sample in asked if sample.id in answers]
    small = sum(score(sample, answers[sample.id].text).value for sample in known) / max(1, len(known))
    usages = [Usage(answers[it.id].input_tokens, answers[it.id].output_tokens) for it in known]
    slm = Point("always slm", small, sum(prices[SLM].cost(usage) for usage in usages) / max(1, whole), len(known))
    mid_cost = sum(gold_cost(sample, MID, prices[MID]) for sample in asked) / max(1, whole)
    weight = min(1.0, max(0.0, (cost - slm.cost) / max(1e-9, 1.0 - slm.cost)))
    coin = Point("random slm/frontier, same cost", small + weight * (1.0 - small), cost, len(asked))
    n = len(asked)
    return [Point("always frontier", 1.0, 1.0, n), Point("always mid", 1.0, mid_cost, n), slm, coin]


def path(served: Sequence[Served], asked: Sequence[Sample], frontier: Price) -> list[tuple[float, float]]:
    """(cost, quality) after each prompt, as shares of all-frontier, where what is not served yet goes to the frontier.

    It starts at (1, 1) and ends at what was served.
    """
    whole = sum(gold_cost(sample, FRONTIER, frontier) for sample in asked)
    cost, quality, points = float(whole), float(len(asked)), [(1.0, 1.0)]
    for it in served:
        cost += it.cost - it.frontier_cost
        quality += it.score - 1.0
        points.append((cost / whole, quality / len(asked)))
    return points
