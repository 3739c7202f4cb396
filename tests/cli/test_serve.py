"""`smallfirst serve` as a black box: what it says, what clients get, how it ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from smallfirst.models.loopback import Wire, fault
from smallfirst.models.scripted import Reply

FINE = {"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}


def get(gateway: Any, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(gateway.root + path, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()


def test_the_openai_client_gets_an_answer_a_stream_and_the_decision(serve, configured):
    up = serve("--config", configured(small=lambda _: "unused", large=lambda _: "Hello there."))
    raw = up.ask()
    assert raw.parse().choices[0].message.content == "Hello there."
    said = {name: raw.headers[f"x-smallfirst-{name}"] for name in ("tier", "model", "attempts", "reason")}
    assert said == {"tier": "frontier", "model": "large", "attempts": "1", "reason": "top_tier"}
    for name in ("request-id", "complexity", "cost-usd", "baseline-cost-usd", "overhead-ms"):
        assert raw.headers[f"x-smallfirst-{name}"]
    stream = up.client.chat.completions.create(**FINE, stream=True)
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Hello there."
    assert chunks[-1].model_extra["smallfirst"]["model"] == "large"
    assert [model.id for model in up.client.models.list()] == ["auto", "small", "large"]
    assert up.stop() == 0
    assert "the ledger is written" in up.said
    assert up.requests() == 2


def test_the_banner_says_what_runs_and_its_lines_can_be_pasted(serve, configured, environ):
    up = serve("--config", configured(small=lambda _: "unused", large=lambda _: "Paris, of course."))
    assert "small: never probed" in " ".join(up.said.split())
    assert "smallfirst probe small" in up.said
    curl = up.said[up.said.index("curl -i") : up.said.index("python -c")]
    ran = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, timeout=20, check=True)
    assert ran.stdout.startswith("HTTP/1.1 200")
    assert "x-smallfirst-model: large" in ran.stdout
    assert "Paris, of course." in ran.stdout
    snippet = up.said[up.said.index("python -c") : up.said.index("smallfirst report")]
    snippet = snippet.replace("python -c", f"'{sys.executable}' -c")
    ran = subprocess.run(["bash", "-c", snippet], capture_output=True, text=True, timeout=30, check=True, env=environ)
    assert ran.stdout.strip() == "Paris, of course."


def test_the_pages_around_it(serve, configured):
    up = serve("--config", configured(small=lambda _: "unused", large=lambda _: "Hello."))
    up.ask()
    assert json.loads(get(up, "/health")[1])["status"] == "ok"
    status, ready = get(up, "/ready")
    assert (status, json.loads(ready)["parts"]["ledger"]) == (200, "ok")
    assert b'smallfirst_requests_total{reason="top_tier",status="200",tier="frontier"} 1.0' in get(up, "/metrics")[1]
    assert json.loads(get(up, "/openapi.json")[1])["openapi"].startswith("3.1")
    assert get(up, "/v1/nothing")[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=20)
    connection.request("HEAD", "/health")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    connection.request("HEAD", "/v1/chat/completions")  # on the same connection: nothing was left over
    assert connection.getresponse().status == 405
    connection.close()


def test_a_chunked_body_from_curl(serve, configured):
    up = serve("--config", configured(small=lambda _: "unused", large=lambda _: "Hello."))
    command = ["curl", "-s", "-H", "transfer-encoding: chunked", "-H", "content-type: application/json"]
    command += ["--data-binary", "@-", f"{up.url}/chat/completions"]
    ran = subprocess.run(command, input=json.dumps(FINE), capture_output=True, text=True, timeout=20, check=True)
    assert json.loads(ran.stdout)["choices"][0]["message"]["content"] == "Hello."


def test_rubbish_leaves_it_alive(serve, configured):
    up = serve("--config", configured(small=lambda _: "unused", large=lambda _: "Hello."))
    post = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: "
    for rubbish in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # a TLS greeting
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"\x00" * 5000,
        post + b"99999999999999999999\r\n\r\n",
        post + b'7\r\n\r\n{"a": \xff',
        post + b"3\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        post + b"100\r\n\r\n{",  # and then it goes away
    ):
        with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", up.port), 20) as sock:
            sock.sendall(rubbish)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
    assert up.ask().parse().choices[0].message.content == "Hello."
    assert up.process.poll() is None


def test_one_clean_error_when_nobody_answers(serve, configured):
    up = serve("--config", configured(only=lambda _: fault(500)))
    body = json.dumps(FINE).encode()
    request = urllib.request.Request(f"{up.url}/chat/completions", body, {"content-type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=20)
    assert caught.value.code == 502
    assert json.loads(caught.value.read())["error"]["code"] == "upstream_failed"


def test_sigterm_lets_a_running_request_finish(serve, configured):
    asked, go_on = threading.Event(), threading.Event()

    def slow(_: Any) -> str:
        asked.set()
        go_on.wait(30)
        return "Late, and whole."

    up = serve("--config", configured(only=slow))
    answers: list[str] = []
    caller = threading.Thread(target=lambda: answers.append(up.ask().parse().choices[0].message.content))
    caller.start()
    assert asked.wait(20)
    up.process.send_signal(signal.SIGTERM)
    wait_until_closed(up.port)
    go_on.set()
    caller.join(20)
    assert answers == ["Late, and whole."]
    assert up.process.wait(20) == 0
    assert up.requests() == 1


def wait_until_closed(port: int) -> None:
    """Until nobody listens there: the gateway has understood that it is to stop."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return
    raise AssertionError("it still takes connections")


def test_what_does_not_finish_in_time_is_cut_off_and_written_down(serve, configured):
    asked = threading.Event()

    def stuck(_: Any) -> Wire:
        asked.set()
        return Wire(steps=("stall",))

    up = serve("--config", configured("server: {drain_s: 1}", only=stuck))
    with socket.create_connection(("127.0.0.1", up.port), 20) as sock:
        body = json.dumps(FINE).encode()
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        assert asked.wait(20)
        assert up.stop() == 0
        reply = sock.recv(65536)
    assert reply.startswith(b"HTTP/1.1 503")
    assert json.loads(reply.split(b"\r\n\r\n")[1])["error"]["code"] == "stopping"
    assert "Traceback" not in up.said
    assert up.requests() == 1


def test_a_taken_port_and_a_wrong_file_are_one_clear_line(serve, configured, smallfirst, tmp_path):
    up = serve("--config", configured(only=lambda _: Reply(text="Hello.")))
    ran = smallfirst("serve", "--config", tmp_path / "smallfirst.yaml", "--listen", f"127.0.0.1:{up.port}")
    assert ran.returncode == 1
    assert "can't listen on" in ran.stderr
    assert "--listen" in ran.stderr
    (tmp_path / "wrong.yaml").write_text("servr: {listen: x}\n")
    ran = smallfirst("serve", "--config", tmp_path / "wrong.yaml")
    assert ran.returncode == 1
    assert "line 1" in ran.stderr
    assert "server" in ran.stderr
    assert "Traceback" not in ran.stderr


# --- with the embedded model


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]


@pytest.mark.model
@pytest.mark.skipif(not hasattr(os, "pidfd_open") or not Path("/proc").is_dir(), reason="looks for children in /proc")
def test_nothing_configured_answers_with_the_demonstration_and_leaves_nobody_behind(serve, weights):
    up = serve()
    assert "is a demonstration" in up.said
    raw = up.ask("What is the capital of France?", max_tokens=16)  # at once: it waits until the model has loaded
    assert get(up, "/ready")[0] == 200
    assert raw.parse().choices[0].message.content
    assert raw.headers["x-smallfirst-reason"] == "demonstration"
    stream = up.client.chat.completions.with_raw_response.create(**FINE, stream=True, max_tokens=8)
    assert stream.headers["x-smallfirst-reason"] == "demonstration"
    assert list(stream.parse())[-1].model_extra["smallfirst"]["reason"] == "demonstration"
    (child,) = children(up.process.pid)
    watched = os.pidfd_open(child)
    up.process.kill()
    up.process.wait()
    assert select.select([watched], [], [], 20)[0], "the embedded model outlived its gateway"
    os.close(watched)
