"""Upstreams that fail in every way they do, before a running gateway; real sockets, real processes."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from smallfirst.core import Entry, Status, Usage
from smallfirst.engine.gates import ReplicaHedgeSettings, ResilienceSettings
from smallfirst.gateway.settings import ServerSettings
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.models.loopback import ScriptedUpstream, Wire, fault
from smallfirst.models.scripted import Reply
from smallfirst.models.settings import CostSettings, ModelSettings, ProviderSettings, ReplicaSettings

ROOT = Path(__file__).parents[2]
GOOD = Reply(text="Hello there, friend.", usage=Usage(10, 5))
FREE = CostSettings(input_per_m=1, output_per_m=1)


@contextlib.contextmanager
def gateway(tmp_path: Path, urls: list[str], **more: Any) -> Any:
    """A gateway before one model with a replica at each of `urls`; yields (client, app, entries)."""
    from smallfirst.cli.build import App
    from smallfirst.cli.running import running
    from smallfirst.cli.settings import Settings

    replica, model = more.pop("replica", {}), {"timeout_s": 1.0, **more.pop("model", {})}
    settings = Settings(
        providers={f"p{n}": ProviderSettings(url=url) for n, url in enumerate(urls)},
        models={
            "m": ModelSettings(
                replicas=tuple(ReplicaSettings(provider=f"p{n}", **replica) for n in range(len(urls))),
                cost=FREE, **model,
            )
        },
        tiers=({"slm": ("m",)},),
        **more,
    )  # fmt: skip
    entries: list[Entry] = []
    home = {"HOME": str(tmp_path.parent / "home-of-all")}
    app = App(settings, home, ledger_path=tmp_path / "l.db", probes={}, observers=(entries.append,))
    with running(app) as url:
        yield openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=20), app, entries


BOMB = gzip.compress(b"0" * 30_000_000)
"""Thirty kilobytes that would be thirty megabytes; nobody asked for compression, so nobody unpacks it."""


def ask(client: openai.OpenAI, text: str = "hi", **more: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.create(**{"model": "m", "messages": messages, **more})


def test_no_more_at_once_than_max_parallel_and_the_rest_wait(tmp_path: Path) -> None:
    """The scripted upstream answers one at a time a connection: what overlaps shows in its connections."""
    with ScriptedUpstream(lambda _: GOOD) as upstream:
        with gateway(tmp_path, [upstream.url], replica={"max_parallel": 2}) as (client, app, entries):
            with ThreadPoolExecutor(12) as pool:
                list(pool.map(lambda _: ask(client), range(36)))
            (gate,) = app.engine.balancer.gates(app.catalogue.models["m"])
        assert upstream.connections <= 2
        assert len(entries) == 36
        assert gate.busy == 0


def test_a_queue_that_is_too_long_or_too_slow_is_503_with_retry_after(tmp_path: Path) -> None:
    resilience = ResilienceSettings(queue_s=0.1, queue=1)
    with ScriptedUpstream(lambda _: Wire(steps=("stall",))) as upstream:
        with gateway(tmp_path, [upstream.url], replica={"max_parallel": 1}, resilience=resilience) as (
            client,
            _,
            entries,
        ):

            def one(_: int) -> openai.APIStatusError:
                with pytest.raises(openai.APIStatusError) as caught:
                    ask(client)
                return caught.value

            with ThreadPoolExecutor(4) as pool:
                errors = list(pool.map(one, range(4)))
        codes = Counter((error.status_code, error.code) for error in errors)
        assert codes[503, "overloaded"] == 3
        assert codes[504, "upstream_timeout"] == 1
        assert all(e.response.headers["retry-after"] == "1" for e in errors if e.status_code == 503)
        assert len(upstream.requests) == 1
        assert len(entries) == 4


def test_a_gateway_that_is_full_says_so_at_once(tmp_path: Path) -> None:
    with ScriptedUpstream(lambda _: Wire(steps=("stall",))) as upstream:
        with gateway(tmp_path, [upstream.url], server=ServerSettings(max_inflight=2)) as (client, _, _ended):
            with ThreadPoolExecutor(2) as pool:
                slow = [pool.submit(pytest.raises, openai.APIStatusError, ask, client) for _ in range(2)]
                while len(upstream.requests) < 2:
                    time.sleep(0.01)
                with pytest.raises(openai.InternalServerError) as caught:
                    ask(client)
                assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
                assert caught.value.response.headers["retry-after"] == "1"
                for one in slow:
                    one.result()


def test_a_broken_replica_is_left_alone_and_probed_and_comes_back(tmp_path: Path) -> None:
    broken = [True]

    def sick(_: Any) -> Any:
        return fault(500) if broken[0] else GOOD

    resilience = ResilienceSettings(break_after=3, rest_s=100)
    with ScriptedUpstream(sick) as one, ScriptedUpstream(lambda _: GOOD) as other:
        with gateway(tmp_path, [one.url, other.url], resilience=resilience) as (client, app, entries):
            for _ in range(20):
                assert ask(client).choices[0].message.content == GOOD.text
            assert len(one.requests) == 3  # three faults, each mended by the other replica
            assert all(entry.status == 200 for entry in entries)
            broken[0] = False
            real = app.engine.balancer.clock
            app.engine.balancer.clock = lambda: real() + 1000
            for _ in range(20):
                ask(client)
            assert len(one.requests) > 3


def test_when_all_are_left_alone_the_answer_is_a_quick_503(tmp_path: Path) -> None:
    resilience = ResilienceSettings(break_after=2, rest_s=100)
    with ScriptedUpstream(lambda _: fault(500)) as upstream:
        with gateway(tmp_path, [upstream.url], resilience=resilience) as (client, _, entries):
            with pytest.raises(openai.InternalServerError):
                ask(client)  # two tries
            with pytest.raises(openai.InternalServerError) as caught:
                ask(client)
            assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
            assert int(caught.value.response.headers["retry-after"]) >= 70
            assert len(upstream.requests) == 2
            assert entries[-1].attempts[0].outcome.status is Status.unavailable


def test_calls_are_spread_by_weight(tmp_path: Path) -> None:
    with ScriptedUpstream(lambda _: GOOD) as one, ScriptedUpstream(lambda _: GOOD) as other:
        with gateway(tmp_path, [one.url, other.url]) as (client, _, _entries):
            for _ in range(60):
                ask(client)
        assert len(one.requests) + len(other.requests) == 60
        assert min(len(one.requests), len(other.requests)) > 10


def test_a_retry_waits_as_long_as_it_is_told_and_not_past_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    waits: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await real(0)

    monkeypatch.setattr("smallfirst.engine.replicas.asyncio", types.SimpleNamespace(sleep=sleep))
    answers = iter([fault(503, retry_after="0.7"), GOOD, fault(503, retry_after="0.7"), GOOD, fault(500), GOOD])
    with ScriptedUpstream(lambda _: next(answers)) as upstream:
        with gateway(tmp_path, [upstream.url]) as (client, _, entries):
            ask(client)
            assert waits == [0.7]
            with pytest.raises(openai.InternalServerError):
                ask(client, extra_body={"smallfirst": {"max_latency_ms": 500}})
            assert waits == [0.7]
            next(answers)
            ask(client)
            assert 0.05 <= waits[1] <= 0.15
            assert entries[0].attempts[0].outcome.tries == 2


def test_what_a_failed_try_cost_is_part_of_the_call(tmp_path: Path) -> None:
    answers = iter([Wire(steps=(b'{"choices": ', "cut")), GOOD])
    with ScriptedUpstream(lambda _: next(answers)) as upstream:
        with gateway(tmp_path, [upstream.url]) as (client, _, entries):
            ask(client, "word " * 100)
    (attempt,) = entries[0].attempts
    assert attempt.outcome.tries == 2
    assert attempt.outcome.cost > 15_000  # the prompt that the first upstream read and may bill


def test_a_replica_that_hangs_is_helped_by_the_other_one(tmp_path: Path) -> None:
    resilience = ResilienceSettings(hedge=ReplicaHedgeSettings(after=30, most=1.0))
    with ScriptedUpstream(lambda _: Wire(steps=("stall",))) as slow, ScriptedUpstream(lambda _: GOOD) as quick:
        with gateway(tmp_path, [slow.url, quick.url], resilience=resilience) as (client, app, entries):
            for n in range(12):
                if n % 2:
                    assert ask(client).choices[0].message.content == GOOD.text
                else:
                    chunks = list(ask(client, stream=True))
                    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
                    assert said == GOOD.text
            gates = app.engine.balancer.gates(app.catalogue.models["m"])
        assert len(quick.requests) == 12
        twice = [entry.attempts[0].outcome for entry in entries if entry.attempts[0].outcome.tries == 2]
        assert len(twice) == len(slow.requests) > 0
        assert all(outcome.cost > 15_000 for outcome in twice)  # 15 tokens of the answer, and what the other had read
        assert all(len(entry.reached) == entry.attempts[0].outcome.tries for entry in entries)
        assert [gate.busy for gate in gates] == [0, 0]


# --- upstreams that misbehave


def test_dns_failure_goes_to_the_other_replica(tmp_path: Path) -> None:
    with ScriptedUpstream(lambda _: GOOD) as upstream:
        with gateway(tmp_path, ["http://no-such-host.invalid/v1", upstream.url]) as (client, _, entries):
            for _ in range(6):
                ask(client)
        assert all(entry.status == 200 for entry in entries)


@pytest.mark.parametrize("rubbish", [
    Wire(steps=(b"<html>proxy error</html>",)),
    Wire(steps=(b"\x00\xff" * 50,), framing="raw"),
    Wire(steps=(b"",)),
    Wire(steps=(b'{"choices": [{"message": 5}]}',)),
    Wire(steps=("cut",)),
    Wire(steps=(b"",), status=302, headers=(("Location", "http://127.0.0.1:9/v1"),)),
    Wire(steps=(BOMB,), headers=(("Content-Type", "application/json"), ("Content-Encoding", "gzip"))),
    Wire(steps=(b"{}",), headers=(("X-Long", "x" * 200_000),)),
    Wire(steps=(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", "cut"), framing="raw"),
], ids=["html", "bytes", "empty", "shape", "cut", "redirect", "bomb", "long head", "head only"])  # fmt: skip
def test_rubbish_is_mended_by_the_other_replica(tmp_path: Path, rubbish: Wire) -> None:
    with ScriptedUpstream(lambda _: rubbish) as bad, ScriptedUpstream(lambda _: GOOD) as good:
        with gateway(tmp_path, [bad.url, good.url]) as (client, _, entries):
            for _ in range(6):
                assert ask(client).choices[0].message.content == GOOD.text
        assert len(good.requests) == 6
        assert len(entries) == 6


@pytest.mark.parametrize("rubbish", [
    Wire(steps=(b"data: {not json}\n\n",), headers=(("Content-Type", "text/event-stream"),), framing="close"),
    Wire(steps=(b'{"choices": []}',)),
    Wire(steps=(b"<html></html>",), headers=(("Content-Type", "text/html"),), framing="close"),
    Wire(steps=(b"event: x\n",) * 3, headers=(("Content-Type", "text/event-stream"),), framing="close"),
], ids=["no json", "no stream", "html", "no data"])  # fmt: skip
def test_a_stream_of_rubbish_is_mended_by_the_other_replica(tmp_path: Path, rubbish: Wire) -> None:
    with ScriptedUpstream(lambda _: rubbish) as bad, ScriptedUpstream(lambda _: GOOD) as good:
        with gateway(tmp_path, [bad.url, good.url]) as (client, _, entries):
            for _ in range(6):
                chunks = list(ask(client, stream=True))
                assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == GOOD.text
        assert len(good.requests) == len(entries) == 6


def test_an_upstream_that_trickles_for_ever_is_cut_off(tmp_path: Path) -> None:
    """A slow loris: a comment well within each gap, and never an end."""
    over = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def trickle() -> None:
        with contextlib.suppress(OSError):
            conn, _ = server.accept()
            conn.recv(65536)
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not over.wait(0.05):
                conn.sendall(b"d\r\n: still here\n\r\n")

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
    try:
        with gateway(tmp_path, [url], model={"stream_s": 0.5}) as (client, _, entries):
            with pytest.raises(openai.APIError):
                list(ask(client, stream=True))
            assert entries[0].attempts[0].outcome.status is Status.timed_out
    finally:
        over.set()
        server.close()
        thread.join()


def test_a_connection_that_is_half_open_times_out(tmp_path: Path) -> None:
    """It is accepted, the request is taken, and nothing ever comes."""
    with ScriptedUpstream(lambda _: Wire(steps=("stall",), framing="raw")) as dead:
        with gateway(tmp_path, [dead.url], model={"timeout_s": 0.3}) as (client, _, entries):
            with pytest.raises(openai.APIStatusError) as caught:
                ask(client)
    assert caught.value.status_code == 504
    assert entries[0].attempts[0].outcome.status is Status.timed_out


def test_an_upstream_process_killed_in_mid_stream(tmp_path: Path) -> None:
    script = (
        "import socket, time\n"
        "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
        "c, _ = s.accept(); c.recv(65536)\n"
        "c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\n\\r\\n')\n"
        "while True:\n"
        '    c.sendall(b\'data: {"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\\n\\n\')\n'
        "    time.sleep(0.02)\n"
    )
    upstream = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert upstream.stdout is not None
    url = f"http://127.0.0.1:{upstream.stdout.readline().strip()}/v1"
    with gateway(tmp_path, [url]) as (client, _, entries):
        stream = ask(client, stream=True)
        words = [next(iter(stream)).choices[0].delta.content for _ in range(3)]
        upstream.kill()
        upstream.wait()
        with pytest.raises(openai.APIError, match="broke off"):
            list(stream)
    upstream.stdout.close()
    assert words == ["word "] * 3
    (attempt,) = entries[0].attempts
    assert (attempt.outcome.status, attempt.released) == (Status.broken, True)
    assert attempt.outcome.usage.output_tokens >= 3


def test_faults_at_random_each_request_is_answered_once_and_has_its_entry(tmp_path: Path) -> None:
    """A small one of bench/chaos.py: whatever the upstreams do, one answer and one entry a request."""
    rng = random.Random(11)
    lock = threading.Lock()

    def moody(request: Any) -> Any:
        with lock:
            draw = rng.random()
        if draw < 0.1:
            return fault(rng.choice((429, 500, 503, 529)))
        if draw < 0.15:
            return Wire(steps=(b'{"cho', "cut"))
        if draw < 0.2:
            return Wire(steps=(b"rubbish",), framing="raw")
        text = request.fields["messages"][-1]["content"]
        if draw < 0.25 and request.fields.get("stream"):
            return Reply(text=text, cut_after=2)
        return Reply(text=text, usage=Usage(3, 1))

    resilience = ResilienceSettings(rest_s=0.05, longest_rest_s=0.1)
    with ScriptedUpstream(moody) as one, ScriptedUpstream(moody) as other:
        with gateway(tmp_path, [one.url, other.url], resilience=resilience) as (client, app, entries):

            def single(n: int) -> str:
                try:
                    if n % 3:
                        return str(ask(client, f"number {n}").choices[0].message.content)
                    chunks = list(ask(client, f"number {n}", stream=True))
                    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
                except openai.APIError:
                    return "error"

            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(single, range(240)))
            assert all(answer in (f"number {n}", "error") for n, answer in enumerate(answers))
            assert answers.count("error") < 120
            assert len({entry.id for entry in entries}) == len(entries) == 240
            assert all(gate.busy == 0 for gate in app.engine.balancer.gates(app.catalogue.models["m"]))


# --- the gateway itself


def test_a_ledger_that_fails_is_said_or_refused_by_setting(tmp_path: Path) -> None:
    with ScriptedUpstream(lambda _: GOOD) as upstream:
        for on_fault, status in (("serve", 200), ("refuse", 503)):
            folder = tmp_path / on_fault
            folder.mkdir()
            with gateway(folder, [upstream.url], ledger=LedgerSettings(on_fault=on_fault)) as (client, app, _entries):
                app.ledger._trouble = "database or disk is full"
                answer = client.chat.completions.with_raw_response
                host = str(client.base_url.host), client.base_url.port
                conn = http.client.HTTPConnection(*host, timeout=5)
                conn.request("GET", "/ready")
                ready = conn.getresponse()
                assert (ready.status, json.loads(ready.read())["parts"]["ledger"]) == (503, "failing")
                conn.close()
                if status == 200:
                    assert answer.create(model="m", messages=[{"role": "user", "content": "hi"}]).status_code == 200
                else:
                    with pytest.raises(openai.InternalServerError) as caught:
                        ask(client)
                    assert (caught.value.status_code, caught.value.code) == (503, "ledger_unavailable")
                app.ledger._trouble = ""


CONFIG = """\
ledger: {{url: "sqlite:///{folder}/ledger.db"}}
providers: {{up: {{url: "{url}"}}}}
models: {{m: {{provider: up, cost: {{input_per_m: 1, output_per_m: 1}}}}}}
tiers: [{{slm: [m]}}]
"""


def test_sigterm_finishes_streams_refuses_newcomers_and_flushes_the_ledger(tmp_path: Path) -> None:
    go = threading.Event()

    blocks = [
        b'data: {"choices":[{"index":0,"delta":{"content":"begun "},"finish_reason":null}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"and done"},"finish_reason":null}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    ]
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        conn, _ = server.accept()
        conn.recv(65536)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + blocks[0])
        go.wait(20)
        conn.sendall(blocks[1] + blocks[2])
        conn.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    config = tmp_path / "smallfirst.yaml"
    config.write_text(CONFIG.format(folder=tmp_path, url=f"http://127.0.0.1:{server.getsockname()[1]}/v1"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {**os.environ, "SMALLFIRST_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "smallfirst.cli.main", "serve", "-c", str(config), "--listen", f"127.0.0.1:{port}"]
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=20)
        for _ in range(400):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                break
            time.sleep(0.05)
        stream = ask(client, stream=True)
        first = next(iter(stream))
        child.send_signal(signal.SIGTERM)
        refused = False
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
            except OSError:
                refused = True
                break
            time.sleep(0.02)
        assert refused
        assert child.poll() is None  # it waits for the stream
        go.set()
        rest = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert (first.choices[0].delta.content, rest) == ("begun ", "and done")
        assert child.wait(10) in (0, -signal.SIGTERM)  # uvicorn ends by the signal that it was sent
    finally:
        child.kill()
        go.set()
        thread.join()
        server.close()
    import sqlite3

    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger:
        assert ledger.execute("SELECT status, attempts FROM request").fetchall() == [(200, 1)]
