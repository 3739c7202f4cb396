"""Counts finished entries for Prometheus.

Counting is plain addition into dictionaries (a request must not pay for locks and label look-ups); the metrics are
written out when somebody asks. Labels are bounded: tiers, models and reasons of the config, never a caller's words.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from smallfirst.core import NANO, Entry
from smallfirst.monitor.audit import Audits
from smallfirst.monitor.guard import Guarded, watched_slices

LATENCY_US = (
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    60_000_000,
)
OVERHEAD_US = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000)


class Spread:
    """A histogram of microseconds."""

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self.bounds, self.counts, self.total = bounds, [0] * (len(bounds) + 1), 0

    def add(self, value: int) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, in seconds, as Prometheus wants them."""
        labels = [*(f"{bound / 1e6:g}" for bound in self.bounds), "+Inf"]
        running, rows = 0, []
        for label, count in zip(labels, self.counts, strict=True):
            running += count
            rows.append((label, float(running)))
        return rows


class Metrics(Collector):
    """One per gateway, so that several can live in one process. `observe` is for one thread, the event loop's."""

    def __init__(self, promises: tuple[Guarded, ...] = (), audits: Audits | None = None) -> None:
        self.registry = CollectorRegistry()
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._input: Counter[str] = Counter()
        self._output: Counter[str] = Counter()
        self._deferrals: Counter[str] = Counter()
        self._cost = self._baseline = 0
        self._latency: dict[str, Spread] = {}
        self._overhead = Spread(OVERHEAD_US)
        self._guards, self._audits = promises, audits
        self._standing: Counter[tuple[str, str]] = Counter()
        self.registry.register(self)

    def observe(self, entry: Entry) -> None:
        """Count one finished request."""
        tier = entry.served_tier or "none"
        self._requests[tier, entry.reason, str(entry.status)] += 1
        for attempt in entry.attempts:
            outcome = attempt.outcome
            self._attempts[outcome.model, outcome.status] += 1
            self._input[outcome.model] += outcome.usage.input_tokens
            self._output[outcome.model] += outcome.usage.output_tokens
        for why in entry.deferrals:
            self._deferrals[why] += 1
        if entry.certificate_id is not None:
            self._standing[entry.policy, entry.out_reason or "inside"] += 1
        self._cost += entry.cost
        self._baseline += entry.baseline_cost or 0
        latency = self._latency.get(tier)
        if latency is None:
            latency = self._latency[tier] = Spread(LATENCY_US)
        latency.add(entry.latency_us)
        self._overhead.add(entry.overhead_us)

    def collect(self) -> Iterator[Metric]:
        """All metrics as they stand."""
        yield _counts("requests", "Requests by outcome", ("tier", "reason", "status"), self._requests.items())
        yield _counts("attempts", "Calls to models", ("model", "status"), self._attempts.items())
        tokens = [((m, "input"), n) for m, n in self._input.items()] + [
            ((m, "output"), n) for m, n in self._output.items()
        ]
        yield _counts("tokens", "Tokens by direction", ("model", "direction"), tokens)
        yield _counts("deferrals", "Hand-ups by reason", ("why",), (((why,), n) for why, n in self._deferrals.items()))
        yield from self._promises()
        spent = CounterMetricFamily("smallfirst_cost_usd", "Dollars spent on models, every attempt")
        spent.add_metric((), self._cost / NANO)
        yield spent
        baseline = CounterMetricFamily("smallfirst_baseline_cost_usd", "Dollars the baseline would have cost")
        baseline.add_metric((), self._baseline / NANO)
        yield baseline
        words = "From request to the end of its answer"
        latency = HistogramMetricFamily("smallfirst_latency_seconds", words, labels=("tier",))
        for tier, spread in self._latency.items():
            latency.add_metric((tier,), spread.buckets(), spread.total / 1e6)
        yield latency
        overhead = HistogramMetricFamily("smallfirst_overhead_seconds", "Time not spent waiting for models")
        overhead.add_metric((), self._overhead.buckets(), self._overhead.total / 1e6)
        yield overhead

    def _promises(self) -> Iterator[Metric]:
        """Certificates and what watches over them; nothing where there are none."""
        if self._guards:
            words = "Requests by standing: inside, or why not"
            yield _counts("promised_requests", words, ("policy", "standing"), self._standing.items())
            force = GaugeMetricFamily("smallfirst_certificate_in_force", "1: it is", labels=("policy",))
            alarm = GaugeMetricFamily("smallfirst_monitor_alarm", "1: it stands", labels=("policy", "slice"))
            for guarded in self._guards:
                force.add_metric((guarded.name,), float(guarded.in_force))
                for name in watched_slices(guarded.certificate):
                    alarm.add_metric((guarded.name, name), float(name in guarded.alarms))
            yield from (force, alarm)
        if self._audits is not None:
            counts = (((status,), count) for status, count in self._audits.counts.items())
            yield _counts("audits", "Requests that the coin chose", ("status",), counts)
            spent = CounterMetricFamily("smallfirst_audit_cost_usd", "Dollars spent on shadow calls and judges")
            spent.add_metric((), self._audits.spent_ever / NANO)
            yield spent


def _counts(
    name: str, words: str, labels: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], int]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"smallfirst_{name}", words, labels=labels)
    for values, count in list(rows):
        family.add_metric(values, count)
    return family
