"""Traces and metrics for OpenTelemetry, over OTLP/HTTP, with the gen_ai names (the extra `otel`).

Knows entries and the SDK. A request is one span, each call to a model a span inside it, made from the finished entry: a
request pays for a queue, not for spans. No prompt, no answer. Attribute names are constants of our own: the semantic
conventions for generative AI are not stable, and their package says so.
Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping

from smallfirst.core import NANO, Attempt, Entry
from smallfirst.errors import SetupError

try:
    from opentelemetry.context import Context
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        SpanKind,
        Status,
        StatusCode,
        TraceFlags,
        set_span_in_context,
    )
except ImportError as missing:  # pragma: no cover - the extra is installed wherever this is tested
    raise SetupError("server.otlp needs the extra: pip install 'smallfirst[otel]'") from missing

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
ASKED_MODEL = "gen_ai.request.model"
ANSWERED_MODEL = "gen_ai.response.model"
INPUT_TOKENS, OUTPUT_TOKENS = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
FINISHES = "gen_ai.response.finish_reasons"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - the name of an attribute
ERROR = "error.type"

WAITING = 10_000
"""Entries that wait to become spans; what comes beyond is counted and left out, never waited for."""

Attributes = dict[str, str | int | float | bool]


class _Ids(RandomIdGenerator):
    """Random, but for a span whose name was given away beforehand."""

    def __init__(self) -> None:
        self.next = 0

    def generate_span_id(self) -> int:
        given, self.next = self.next, 0
        return given or super().generate_span_id()


class Telemetry:
    """An observer of entries (engine/request.py). `close` sends what is left."""

    def __init__(self, endpoint: str, environ: Mapping[str, str], *, every_s: float = 15.0) -> None:
        """`endpoint`: the base of an OTLP/HTTP collector, such as http://127.0.0.1:4318."""
        base = endpoint.rstrip("/")
        resource = Resource.create({"service.name": environ.get("OTEL_SERVICE_NAME", "smallfirst")})
        self._ids = _Ids()
        self._spans = TracerProvider(resource=resource, id_generator=self._ids)
        self._spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{base}/v1/traces")))
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(f"{base}/v1/metrics"), export_interval_millis=every_s * 1000
        )
        self._metrics = MeterProvider(resource=resource, metric_readers=[reader])
        self._tracer = self._spans.get_tracer("smallfirst")
        meter = self._metrics.get_meter("smallfirst")
        self._tokens = meter.create_histogram("gen_ai.client.token.usage", "{token}", "Tokens of a call")
        self._duration = meter.create_histogram("gen_ai.client.operation.duration", "s", "Duration of a call")
        self._whole = meter.create_histogram("gen_ai.server.request.duration", "s", "Duration of a request")
        self._cost = meter.create_counter("smallfirst.cost", "USD", "Dollars spent on models")
        self.dropped = 0
        self._queue: queue.Queue[Entry | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="smallfirst-otlp", daemon=True)
        self._thread.start()

    def __call__(self, entry: Entry) -> None:
        """Never blocks and never raises."""
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join(10)
        self._spans.shutdown()
        self._metrics.shutdown()

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None:
            self._record(entry)

    def _record(self, entry: Entry) -> None:
        began, ended = entry.at_us * 1000, (entry.at_us + entry.latency_us) * 1000
        span = self._tracer.start_span(
            f"chat {entry.asked[:100]}",
            context=self._joined(entry),
            kind=SpanKind.SERVER,
            start_time=began,
            attributes=request_attributes(entry),
        )
        if entry.status >= 500:
            span.set_status(Status(StatusCode.ERROR, entry.error_code))
        first = min((one.outcome.started_us for one in entry.attempts), default=0)
        lead = max(0, entry.latency_us - _span_of_calls(entry, first))
        context = set_span_in_context(span)
        for attempt in entry.attempts:
            self._call(attempt, began + (lead // 2 + attempt.outcome.started_us - first) * 1000, context)
        span.end(ended)
        labels = {OPERATION: "chat", ANSWERED_MODEL: entry.served_model or "none"}
        self._whole.record(entry.latency_us / 1e6, labels)
        self._cost.add(entry.cost / NANO, {"smallfirst.policy": entry.policy or "none"})

    def _joined(self, entry: Entry) -> Context | None:
        """The caller's trace, where it sent one; the next span is then the one that models were told of."""
        trace = entry.trace
        if trace is None:
            return None
        self._ids.next = int(trace.span, 16)
        flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
        return set_span_in_context(
            NonRecordingSpan(SpanContext(int(trace.id, 16), int(trace.parent, 16), is_remote=True, trace_flags=flags))
        )

    def _call(self, attempt: Attempt, began: int, context: Context) -> None:
        outcome = attempt.outcome
        attributes = call_attributes(attempt)
        span = self._tracer.start_span(
            f"chat {outcome.model}", context=context, kind=SpanKind.CLIENT, start_time=began, attributes=attributes
        )
        if not outcome.ok:
            span.set_status(Status(StatusCode.ERROR, outcome.status.value))
        span.end(began + outcome.latency_us * 1000)
        labels = {name: attributes[name] for name in (OPERATION, PROVIDER, ASKED_MODEL)}
        self._duration.record(outcome.latency_us / 1e6, labels)
        self._tokens.record(outcome.usage.input_tokens, {**labels, TOKEN_TYPE: "input"})
        self._tokens.record(outcome.usage.output_tokens, {**labels, TOKEN_TYPE: "output"})


def _span_of_calls(entry: Entry, first: int) -> int:
    """From the first call's start to the last one's end, microseconds."""
    return max((one.outcome.started_us + one.outcome.latency_us for one in entry.attempts), default=first) - first


def request_attributes(entry: Entry) -> Attributes:
    """What is told of a request."""
    found: Attributes = {
        OPERATION: "chat",
        ASKED_MODEL: entry.asked[:200],
        ANSWERED_MODEL: entry.served_model or "",
        "smallfirst.request_id": entry.id,
        "smallfirst.policy": entry.policy,
        "smallfirst.tier": entry.served_tier or "",
        "smallfirst.reason": entry.reason.value,
        "smallfirst.complexity": entry.complexity,
        "smallfirst.data_class": entry.data_class.name,
        "smallfirst.attempts": len(entry.attempts),
        "smallfirst.cost_usd": entry.cost / NANO,
        "smallfirst.overhead_ms": entry.overhead_us / 1000,
        "http.response.status_code": entry.status,
    }
    if entry.error_code:
        found[ERROR] = entry.error_code
    if entry.key_id:
        found["smallfirst.key"] = entry.key_id
    return found


def call_attributes(attempt: Attempt) -> Attributes:
    """What is told of one call to one model."""
    outcome = attempt.outcome
    found: Attributes = {
        OPERATION: "chat",
        PROVIDER: outcome.provider,
        ASKED_MODEL: outcome.model,
        INPUT_TOKENS: outcome.usage.input_tokens,
        OUTPUT_TOKENS: outcome.usage.output_tokens,
        CACHED_TOKENS: outcome.usage.cached_tokens,
        "smallfirst.role": attempt.role,
        "smallfirst.tries": outcome.tries,
        "smallfirst.cost_usd": outcome.cost / NANO,
    }
    if outcome.finish:
        found[FINISHES] = outcome.finish
    if not outcome.ok:
        found[ERROR] = outcome.status.value
    return found
