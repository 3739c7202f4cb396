"""Files from a Hugging Face hub: the real client against a stub of the hub on loopback."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from smallfirst.errors import SetupError
from smallfirst.models.pull import Reference, fetch

CONTENT = bytes(range(256)) * 4096
COMMIT = "a" * 40
REFERENCE = Reference("org/repo", "small.gguf")


class Hub(ThreadingHTTPServer):
    """`/org/repo/resolve/REVISION/small.gguf`, as the hub answers for it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.etag = hashlib.sha256(CONTENT).hexdigest()
        self.status = 200
        self.asked: list[tuple[str, str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.reply(body=False)

    def do_GET(self) -> None:
        self.reply(body=True)

    def reply(self, *, body: bool) -> None:
        hub, wanted = self.server, self.headers.get("Range")
        hub.asked.append((self.command, self.path, wanted))
        status = hub.status if self.path.endswith("/small.gguf") else 404
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and body else 0
        part = CONTENT[start:] if status == 200 else b""
        self.send_response(206 if start else status)
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("ETag", f'"{hub.etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(part)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        if body:
            self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def partial(target: Path, etag: str) -> Path:
    return target.with_name(f"{target.name}.{hashlib.sha256(etag.encode()).hexdigest()[:12]}.partial")


def test_a_file_is_fetched_at_the_commit_that_was_announced(hub: Hub, tmp_path: Path) -> None:
    target, seen = tmp_path / "deep" / "small.gguf", []
    fetch(REFERENCE, target, lambda step, done, total: seen.append((done, total)), hub.url)
    assert target.read_bytes() == CONTENT
    assert hub.asked[-1] == ("GET", f"/org/repo/resolve/{COMMIT}/small.gguf", None)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert list(target.parent.iterdir()) == [target]


def test_a_later_attempt_goes_on_where_the_earlier_one_stopped(hub: Hub, tmp_path: Path) -> None:
    target = tmp_path / "small.gguf"
    partial(target, hub.etag).write_bytes(CONTENT[:1000])
    partial(target, "an older version").write_bytes(b"old")
    fetch(REFERENCE, target, endpoint=hub.url)
    assert target.read_bytes() == CONTENT
    assert hub.asked[-1][2] == "bytes=1000-"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_whose_hash_is_wrong_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.etag = "0" * 64
    with pytest.raises(SetupError, match="sha256"):
        fetch(REFERENCE, tmp_path / "small.gguf", endpoint=hub.url)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("status", "words"), [(401, "HF_TOKEN"), (403, "HF_TOKEN"), (404, "no such")])
def test_a_refusal_is_explained(hub: Hub, tmp_path: Path, status: int, words: str) -> None:
    hub.status = status
    with pytest.raises(SetupError, match=words):
        fetch(REFERENCE, tmp_path / "small.gguf", endpoint=hub.url)


def test_no_hub_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="put the file at"):
        fetch(REFERENCE, tmp_path / "small.gguf", endpoint="http://127.0.0.1:9")


def test_the_verb_heeds_hf_endpoint_and_is_quick_the_second_time(hub: Hub, tmp_path: Path) -> None:
    environ = {**os.environ, "HF_ENDPOINT": hub.url, "SMALLFIRST_HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-m", "smallfirst.cli.main", "models", "pull", "hf:org/repo:small.gguf"]
    first = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    asked = len(hub.asked)
    second = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert "is there already" in second.stdout
    assert len(hub.asked) == asked
    assert (tmp_path / "cache/models/hf/org/repo/small.gguf").read_bytes() == CONTENT
