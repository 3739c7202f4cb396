"""OpenTelemetry over a real loopback collector: a span a request, one a call inside it, and no prompt."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from smallfirst.core import Usage
from smallfirst.gateway.settings import ServerSettings
from smallfirst.gateway.telemetry import Telemetry
from smallfirst.gateway.traces import read_trace
from smallfirst.models.scripted import Reply


@pytest.fixture
def collector():
    got: dict[str, list[bytes]] = {"/v1/traces": [], "/v1/metrics": []}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            got[self.path].append(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


def test_spans_and_metrics_of_a_request_that_was_handed_up(stage, collector):
    endpoint, got = collector
    telemetry = Telemetry(endpoint, {})
    up = stage(small=lambda _: "", large=lambda _: Reply(text="a secret answer", usage=Usage(10, 5, 2)))
    up.app.engine.observers = (*up.app.engine.observers, telemetry)
    raw = up.ask("a secret question")
    telemetry.close()
    spans = [
        span
        for body in got["/v1/traces"]
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    by_name = {span.name: span for span in spans}
    assert set(by_name) == {"chat auto", "chat small", "chat large"}
    request, call = by_name["chat auto"], by_name["chat large"]
    assert {call.parent_span_id, by_name["chat small"].parent_span_id} == {request.span_id}
    assert request.start_time_unix_nano <= call.start_time_unix_nano
    assert call.end_time_unix_nano <= request.end_time_unix_nano

    def of(span):
        return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}

    assert of(request)["smallfirst.request_id"] == raw.headers["x-smallfirst-request-id"]
    assert of(request)["gen_ai.response.model"] == "large"
    assert (of(call)["gen_ai.usage.input_tokens"], of(call)["gen_ai.usage.output_tokens"]) == (10, 5)
    names = {
        metric.name
        for body in got["/v1/metrics"]
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {"gen_ai.client.token.usage", "gen_ai.client.operation.duration", "smallfirst.cost"} <= names
    assert not any(b"secret" in body for bodies in got.values() for body in bodies)


def test_a_callers_trace_is_joined_and_models_are_told_of_our_span(stage, collector):
    endpoint, got = collector
    telemetry = Telemetry(endpoint, {})
    up = stage(small=lambda _: "Hello.", server=ServerSettings(otlp=endpoint))
    up.app.engine.observers = (*up.app.engine.observers, telemetry)
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    for given in (f"00-{trace}-{parent}-01", f"00-{trace}-{parent}-00", f"00-{'0' * 32}-{parent}-01", "nonsense"):
        headers = {"traceparent": given, "tracestate": "vendor=words of the caller's own"}
        up.ask(extra_headers=headers)
    telemetry.close()
    told = [request.headers.get("traceparent") for request in up.upstreams["small"].requests]
    assert told[2:] == [None, None]
    assert told[0][:36] == f"00-{trace}-"
    assert (told[0][-3:], told[1][-3:]) == ("-01", "-00")
    assert all(request.headers.get("tracestate") is None for request in up.upstreams["small"].requests)
    spans = [
        span
        for body in got["/v1/traces"]
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    joined = [span for span in spans if span.trace_id.hex() == trace]
    assert {span.name for span in joined} == {"chat auto", "chat small"}
    (request,) = (span for span in joined if span.name == "chat auto")
    assert (request.parent_span_id.hex(), request.span_id.hex()) == (parent, told[0].split("-")[2])
    assert len(spans) == 6  # the second caller asked not to be sampled, the last two began traces of their own


def test_without_telemetry_no_trace_is_passed_on(stage):
    up = stage(small=lambda _: "Hello.")
    up.ask(extra_headers={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    assert up.upstreams["small"].requests[0].headers.get("traceparent") is None


@pytest.mark.parametrize(
    ("header", "read"),
    [
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        (b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-09-what-comes-later", True),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", False),
        (b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", False),
        (b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", False),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", False),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nX: y", False),
        (b"", False),
    ],
)
def test_only_what_the_format_allows_is_a_traceparent(header, read):
    assert (read_trace(header, "sf-1") is not None) == read
