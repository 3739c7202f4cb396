"""`serve --offline`: nothing beyond loopback is reached, whoever tries; watched from outside while it serves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from smallfirst.models.loopback import ScriptedUpstream
from smallfirst.models.offline import is_local

TRIES = """
import asyncio, http.client, json, socket, ssl, sys, threading, urllib.request
from smallfirst.models.http import HttpClient
from smallfirst.models.offline import go_offline
go_offline()
said = {}
def attempt(name, act):
    try:
        act(); said[name] = "came back"
    except Exception as fault:
        said[name] = repr(fault)
attempt("connect", lambda: socket.create_connection(("192.0.2.1", 80), 1))
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)))
attempt("name", lambda: socket.getaddrinfo("example.com", 80))
attempt("urllib", lambda: urllib.request.urlopen("http://192.0.2.1/", timeout=1))
attempt("v6", lambda: socket.create_connection(("2001:db8::1", 80), 1))
async def post():
    client = HttpClient()
    await client.post(client.target("http://192.0.2.1/v1", None), b"{}", 1.0)
attempt("our client", lambda: asyncio.run(post()))
thread = threading.Thread(target=attempt, args=("thread", lambda: socket.create_connection(("192.0.2.1", 80), 1)))
thread.start(); thread.join()
server = socket.create_server(("127.0.0.1", 0))
attempt("loopback", lambda: socket.create_connection(server.getsockname(), 1))
print(json.dumps(said))
"""


def test_every_way_out_is_closed_and_loopback_is_open() -> None:
    done = subprocess.run([sys.executable, "-c", TRIES], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said.pop("loopback") == "came back"
    assert "no connection" in said.pop("our client")
    assert len(said) == 6
    for name, what in said.items():
        assert "offline: refused" in what, name


@pytest.mark.parametrize(("address", "local"), [
    (("127.0.0.1", 1), True), (("127.8.8.8", 1), True), (("::1", 1, 0, 0), True), ("/run/x.sock", True),
    (("localhost", 1), True), (("192.168.1.2", 1), False), (("8.8.8.8", 1), False), (("example.com", 1), False),
    (("localhost.example.com", 1), False), (("::ffff:8.8.8.8", 1), False), (None, False), ((), False),
])  # fmt: skip
def test_what_is_local(address: object, local: bool) -> None:
    assert is_local(address) is local


CONFIG = """
providers: {{one: {{url: "{url}", location: premises}}}}
models: {{small: {{provider: one}}}}
tiers: [{{slm: [small]}}]
{more}
"""


def serve(tmp_path: Path, config: str, *more: str) -> subprocess.Popen[str]:
    path = tmp_path / "c.yaml"
    path.write_text(config)
    command = [sys.executable, "-m", "smallfirst.cli.main", "serve", "--offline", "--config", str(path), *more]
    environ = {**os.environ, "SMALLFIRST_HOME": str(tmp_path), "COLUMNS": "200"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)


@pytest.mark.parametrize(("url", "more", "says"), [
    ("https://api.openai.com/v1", "", "provider one"),
    ("http://gpu.internal:8000/v1", "", "provider one"),
])  # fmt: skip
def test_what_is_remote_is_named_before_anything_starts(tmp_path: Path, url: str, more: str, says: str) -> None:
    config = CONFIG.format(url=url, more=more).replace("location: premises", "location: cloud/us")
    process = serve(tmp_path, config)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert says in err
    assert "offline" in err


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="watches sockets in /proc")
def test_it_serves_and_opens_only_loopback_sockets(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with ScriptedUpstream(lambda _: "hello") as upstream:
        config = CONFIG.format(url=upstream.url, more="router: {unprobed: trust}")
        process = serve(tmp_path, config, "--listen", f"127.0.0.1:{port}", "--ledger", str(tmp_path / "l.db"))
        try:
            seen = ask_and_watch(process, port)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
    assert len(upstream.requests) == 1
    assert seen, "the watcher saw no socket at all"
    assert {remote for remote in seen if not remote.startswith(("127.", "0.0.0.0", "::1"))} == set()


def ask_and_watch(process: subprocess.Popen[str], port: int) -> set[str]:
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", body, {"content-type": "application/json"}
    )
    seen: set[str] = set()
    for _ in range(400):
        seen |= remotes(process.pid)
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
            assert b"hello" in answer.read()
            return seen | remotes(process.pid)
        time.sleep(0.05)
    raise AssertionError("it did not serve")


def remotes(pid: int) -> set[str]:
    """The far ends of this process's TCP and UDP sockets."""
    held = set()
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                held.add(str(link.readlink()))
    found = set()
    for table, width in (("tcp", 8), ("udp", 8), ("tcp6", 32), ("udp6", 32)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            parts = line.split()
            if f"socket:[{parts[9]}]" in held:
                found.add(address(parts[2].split(":")[0], width))
    return found


def address(written: str, width: int) -> str:
    raw = bytes.fromhex(written)
    if width == 8:
        return socket.inet_ntop(socket.AF_INET, raw[::-1])
    return socket.inet_ntop(socket.AF_INET6, b"".join(raw[at : at + 4][::-1] for at in range(0, 16, 4)))
