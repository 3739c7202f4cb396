"""The embedded model: a child that answers like any upstream, comes back when it dies, and never stays behind."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest

from smallfirst.config.paths import cache_dir
from smallfirst.core import DataClass, Model, Permit, Query, Replica, Status
from smallfirst.errors import SetupError
from smallfirst.models.embedded import EmbeddedRuntime, default_threads
from smallfirst.models.http_sender import HttpSender
from smallfirst.models.sender import Call
from smallfirst.models.weights import DEMONSTRATION, place

QUESTION = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
GONE_WITHIN_S = 20.0


@pytest.fixture(scope="module")
def weights() -> Path:
    path = place(DEMONSTRATION, cache_dir(os.environ))
    if not path.is_file():
        pytest.skip("`smallfirst models pull smollm2-135m` fetches the weights")
    return path


def make(weights: Path, tmp_path: Path) -> EmbeddedRuntime:
    environ = {**os.environ, "OPENAI_API_KEY": "not for the child"}
    return EmbeddedRuntime(weights, name="smollm", log=tmp_path / "child.log", environ=environ, context=512)


def post(runtime: EmbeddedRuntime, body: dict[str, Any], key: str | None = None) -> tuple[int, bytes]:
    headers = {"authorization": f"Bearer {key or runtime.key}", "content-type": "application/json"}
    body = {"messages": QUESTION, "max_tokens": 8, "temperature": 0, **body}
    request = urllib.request.Request(f"{runtime.url}/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()


def wait_until_gone(pid: int) -> None:
    """Until a process that is not our child has ended; the kernel tells where it can."""
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            assert select.select([descriptor], [], [], GONE_WITHIN_S)[0], "the child outlived its parent"
        finally:
            os.close(descriptor)
        return
    deadline = time.monotonic() + GONE_WITHIN_S
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("the child outlived its parent")


def test_address_and_key_are_known_before_it_runs(tmp_path: Path) -> None:
    one, other = make(tmp_path / "x.gguf", tmp_path), make(tmp_path / "x.gguf", tmp_path)
    assert one.url.startswith("http://127.0.0.1:")
    assert one.url != other.url
    assert one.key != other.key
    assert one.key not in repr(one)
    assert one.threads == default_threads() >= 1
    assert not one.is_ready


def test_secrets_of_the_gateway_do_not_reach_the_child(tmp_path: Path) -> None:
    runtime = make(tmp_path / "x.gguf", tmp_path)
    assert "OPENAI_API_KEY" not in runtime._environ
    assert runtime._environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    async def start() -> None:
        runtime = make(tmp_path / "none.gguf", tmp_path)
        with pytest.raises(SetupError, match=r"none\.gguf"):
            await runtime.start()
        await runtime.stop()
        await runtime.stop()

    asyncio.run(start())


def test_weights_that_can_not_be_loaded_are_an_error_with_its_cause(tmp_path: Path) -> None:
    async def start() -> None:
        bad = tmp_path / "bad.gguf"
        bad.write_bytes(b"this is no model" * 100)
        runtime = make(bad, tmp_path)
        await runtime.start()
        with pytest.raises(SetupError, match=r"can't be loaded from .*bad\.gguf"):
            await runtime.ready()
        assert runtime.pid is None
        await runtime.stop()

    asyncio.run(start())


@pytest.mark.model
def test_it_answers_as_an_upstream_does(weights: Path, tmp_path: Path) -> None:
    async def go() -> None:
        runtime = make(weights, tmp_path)
        try:
            await runtime.start()
            await runtime.ready()
            await asyncio.to_thread(check_answers, runtime)
            await check_sender(runtime)
        finally:
            await runtime.stop()

    asyncio.run(go())
    assert (tmp_path / "child.log").stat().st_mode & 0o077 == 0
    assert b"capital of France" not in (tmp_path / "child.log").read_bytes()


def check_answers(runtime: EmbeddedRuntime) -> None:
    """Plain, signals, schema, stream, and what it refuses."""
    status, raw = post(runtime, {"logprobs": True, "top_logprobs": 1})
    answer = json.loads(raw)
    assert status == 200
    assert answer["model"] == "smollm", "never a path of this machine"
    assert "Paris" in answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["logprobs"]["content"][0]["logprob"] <= 0
    assert answer["usage"]["prompt_tokens"] > 10

    schema = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    _, raw = post(runtime, {"response_format": wanted, "max_tokens": 40})
    assert json.loads(json.loads(raw)["choices"][0]["message"]["content"])["city"] in ("Paris", "Rome")

    _, raw = post(runtime, {"stream": True, "stream_options": {"include_usage": True}})
    events = [json.loads(line[6:]) for line in raw.splitlines() if line.startswith(b"data: {")]
    assert events[-1]["usage"]["completion_tokens"] > 0
    assert raw.rstrip().endswith(b"data: [DONE]")

    _, raw = post(runtime, {"ignore_eos": True, "max_tokens": None})  # else it went on until its 512 tokens are full
    answer = json.loads(raw)
    assert (answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]) == ("length", 128)

    assert post(runtime, {}, key="guess")[0] == 401
    status, raw = post(runtime, {"messages": [{"role": "user", "content": "word " * 2000}]})
    assert status == 400
    assert b"context" in raw


async def check_sender(runtime: EmbeddedRuntime) -> None:
    """The gateway's own client has no special case for it."""
    replica = Replica("builtin", runtime.url, "smollm", "device", runtime.key)
    model = Model("smollm", "slm", (replica,))
    fields = {"messages": msgspec.Raw(json.dumps(QUESTION).encode()), "max_tokens": msgspec.Raw(b"8")}
    query = Query(id="q", asked="auto", text="", fields=fields)
    sender = HttpSender()
    permit = Permit(DataClass.internal, frozenset({("smollm", "builtin")}), "test")
    outcome = await sender.ask(Call(model, replica, query, logprobs=True), permit)
    await sender.close()
    assert outcome.status is Status.ok
    assert outcome.text
    assert outcome.signals.first_logprob is not None
    assert outcome.usage.output_tokens > 0


@pytest.mark.model
def test_it_comes_back_at_the_same_address_when_it_dies(weights: Path, tmp_path: Path) -> None:
    async def go() -> None:
        runtime = make(weights, tmp_path)
        await runtime.start()
        await runtime.ready()
        first = runtime.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        while runtime.restarts == 0:  # noqa: ASYNC110 - nothing in the gateway waits for a death, so there is no event
            await asyncio.sleep(0.01)
        await runtime.ready()
        second = runtime.pid
        assert second not in (None, first)
        assert (await asyncio.to_thread(post, runtime, {}))[0] == 200
        await runtime.stop()
        assert runtime.pid is None
        with pytest.raises(ProcessLookupError):
            os.kill(second or 0, 0)

    asyncio.run(go())


PARENT = """
import asyncio, os, sys
from pathlib import Path
from smallfirst.models.embedded import EmbeddedRuntime

async def main():
    weights, log = Path(sys.argv[1]), Path(sys.argv[2])
    runtime = EmbeddedRuntime(weights, name="smollm", log=log, environ=os.environ, context=512)
    await runtime.start()
    await runtime.ready()
    print(runtime.pid, "xllamacpp" in sys.modules, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.model
def test_kill_9_of_the_parent_leaves_no_child(weights: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(weights), str(tmp_path / "child.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, loaded = parent.stdout.readline().split()
        parent.kill()
    assert loaded == "False", "llama.cpp belongs into the child only"
    wait_until_gone(int(pid))


@pytest.mark.model
def test_the_pipe_alone_ends_the_child_too(weights: Path) -> None:
    """As on systems without PR_SET_PDEATHSIG: the parent lives on, only its end of the pipe is closed."""
    orders = {"weights": str(weights), "name": "x", "port": 0, "key": "k", "threads": 1, "context": 256, "slots": 1}
    command = [sys.executable, "-m", "smallfirst.models.embedded_child"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(orders | {"parent": os.getpid()}).encode() + b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"ready\n"
        child.stdin.close()
        assert child.wait(timeout=GONE_WITHIN_S) == 0
