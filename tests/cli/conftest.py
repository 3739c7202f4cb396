"""The real command, as a process: what a user types, what comes back, and a gateway that is up."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from smallfirst.config.paths import cache_dir
from smallfirst.ledger import queries
from smallfirst.models.loopback import Script, ScriptedUpstream
from smallfirst.models.weights import DEMONSTRATION, place

COMMAND = [sys.executable, "-m", "smallfirst.cli.main"]
PATIENCE_S = 60
VENDORS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "MISTRAL_API_KEY")


class Gateway:
    """A `smallfirst serve` that is up. `said` grows with what it prints, banner first."""

    def __init__(self, process: subprocess.Popen[str], home: Path) -> None:
        self.process, self.home, self.said = process, home, ""
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.url = self.wait_for(r"serves on (http://\S+/v1)")[1]
        self.wait_for(r"ctrl-c stops")
        self.root = self.url.removesuffix("/v1")
        self.port = int(self.root.rsplit(":", 1)[1])
        self.client = openai.OpenAI(base_url=self.url, api_key="none", max_retries=0, timeout=PATIENCE_S)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read on until `pattern` has been printed."""
        while (found := re.search(pattern, self.said)) is None:
            line = self._lines.get(timeout=PATIENCE_S)
            assert line, f"it ended without saying {pattern!r}:\n{self.said}"
            self.said += line
        return found

    def ask(self, text: str = "Say hello.", **more: Any) -> Any:
        """The raw response of one chat completion."""
        return self.client.chat.completions.with_raw_response.create(
            **{"model": "auto", "messages": [{"role": "user", "content": text}], **more}
        )

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Send a signal, read what it still says, return its exit status."""
        self.process.send_signal(how)
        status = self.process.wait(PATIENCE_S)
        while line := self._lines.get(timeout=PATIENCE_S):
            self.said += line
        return status

    def requests(self) -> int:
        """How many requests its ledger holds; it must have stopped."""
        with contextlib.closing(queries.open_ledger(self.home / "data" / "ledger.db")) as conn:
            return queries.summary(conn, 0, 1 << 62).requests


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A user who has nothing yet: an empty home, no keys."""
    kept = {name: value for name, value in os.environ.items() if name not in VENDORS}
    return {**kept, "SMALLFIRST_HOME": str(tmp_path / "home"), "COLUMNS": "120", "NO_COLOR": "1"}


@pytest.fixture
def smallfirst(environ: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`smallfirst("report", "--json")`: runs it to its end, in a folder of its own."""

    def run(*words: object, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            env={**environ, **more},
            cwd=tmp_path,
            timeout=PATIENCE_S,
            check=False,
        )

    return run


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """`configured(small=script, large=script)`: a config file with these models, lowest tier first, on real sockets."""
    with contextlib.ExitStack() as stack:

        def make(sections: str = "", **scripts: Script) -> Path:
            ups = {name: stack.enter_context(ScriptedUpstream(script)) for name, script in scripts.items()}
            tiers = dict(
                zip(scripts, ("slm", "frontier") if len(ups) == 2 else ("slm", "mid", "frontier"), strict=False)
            )
            providers = {f"at-{name}": {"url": up.url, "location": "premises"} for name, up in ups.items()}
            price = {"input_per_m": 1.0, "output_per_m": 2.0}
            models = {name: {"provider": f"at-{name}", "cost": price, "timeout_s": 20} for name in ups}
            file = tmp_path / "smallfirst.yaml"
            listed = [{tier: [name]} for name, tier in tiers.items()]
            parts = {"providers": providers, "models": models, "tiers": listed}
            lines = [f"{name}: {json.dumps(part)}" for name, part in parts.items()]
            file.write_text("\n".join([*lines, sections, ""]))
            return file

        yield make


@pytest.fixture
def serve(environ: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """`serve("--config", file)`: a running gateway on a free port, ended with the test."""
    with contextlib.ExitStack() as stack:

        def start(*words: object, **more: str) -> Gateway:
            process = subprocess.Popen(
                [*COMMAND, "serve", "--listen", "127.0.0.1:0", *map(str, words)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**environ, **more},
                cwd=tmp_path,
            )
            stack.callback(_end, process)
            return Gateway(process, Path(environ["SMALLFIRST_HOME"]))

        yield start


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


@pytest.fixture
def weights(environ: dict[str, str]) -> Path:
    """The embedded model's weights, lent to the empty home."""
    there = place(DEMONSTRATION, cache_dir(os.environ))
    if not there.is_file():
        pytest.skip("`smallfirst models pull smollm2-135m` fetches the weights")
    lent = place(DEMONSTRATION, cache_dir(environ))
    lent.parent.mkdir(parents=True)
    lent.symlink_to(there)
    return lent


def jsonl(path: Path, *rows: object) -> Path:
    """`rows` as lines of JSON at `path`."""
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return path
