"""The embedded model as the gateway sees it: a child process that is started, watched, restarted and stopped.

The child (models/embedded_child.py) speaks the same wire as any other upstream, so whatever sends requests needs only
`url` and `key`, which are known before the child runs. This process never loads xllamacpp.

Knows processes, ports and back-off. Does not know what is asked of the model, and fetches no weights (weights.py does).

Defaults, measured with bench/embedded.py: see `default_threads`, `SLOTS` and `CONTEXT`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from smallfirst.core import Abilities
from smallfirst.errors import SetupError

SLOTS = 2
CONTEXT = 4096
"""Two requests side by side, 4,096 tokens each (prompt and answer). SmolLM2 was trained on 8,192 tokens; the memory for
those is spent once (190 MB at 23 kB a token), and two halves serve a laptop better than one whole: a panel or a second
caller does not wait behind a long answer. More slots would share the same one or two cores."""

ABILITIES = Abilities(
    context=CONTEXT, tools=False, json_object=True, json_schema=True, vision=False, logprobs=True, n=False
)
"""What was seen to work. `tools` are ignored without an error (the chat template has no place for them), `n` above the
number of slots is refused and its usage counts one choice only, so neither is offered."""

READY_WITHIN_S = 120.0
STOP_WITHIN_S = 3.0
BACK_OFF_S = (0.5, 30.0)
"""First and longest pause before a restart; it doubles in between."""
STEADY_S = 60.0
"""A child that lived this long starts the next row of pauses afresh."""

_PRIVATE = ("KEY", "TOKEN", "SECRET", "PASSWORD")


def default_threads() -> int:
    """All cores this process may use but one, at least one.

    The last core stays with the gateway: two threads on two busy cores were 6 times slower than one, because
    llama.cpp's threads meet at a barrier after every layer and wait for the one that was pushed aside.
    """
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)) - 1)
    return max(1, (os.cpu_count() or 1) - 1)


class EmbeddedRuntime:
    """One model in one child process. `start` returns at once; `ready` waits until it answers."""

    def __init__(
        self,
        weights: Path,
        *,
        name: str,
        log: Path,
        environ: Mapping[str, str],
        threads: int | None = None,
        context: int = CONTEXT,
        slots: int = SLOTS,
    ) -> None:
        """`context` is in tokens, for each slot. `log` gets llama.cpp's errors. Reserves a port on 127.0.0.1."""
        self.name, self.weights, self.log = name, weights, log
        self.threads = threads or default_threads()
        self._context, self._slots = context, slots
        self._environ = {k: v for k, v in environ.items() if not any(word in k.upper() for word in _PRIVATE)}
        self._environ["OMP_WAIT_POLICY"] = "PASSIVE"  # waiting threads sleep and leave the core to the gateway
        self._port, self._held = _reserve_port()
        self.url = f"http://127.0.0.1:{self._port}/v1"
        self.key = secrets.token_urlsafe(32)
        self.restarts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._answers = asyncio.Event()
        self._given_up: SetupError | None = None
        self._keeper: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"EmbeddedRuntime({self.name}, {self.url})"

    @property
    def is_ready(self) -> bool:
        """Whether the child answers now."""
        return self._answers.is_set()

    @property
    def pid(self) -> int | None:
        """The child's process id while there is a child."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the child and keep it running. Needs a running event loop; does not wait for the model to load."""
        if not self.weights.is_file():
            raise SetupError(f"{self.name}: there is no weights file {self.weights}")
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name=f"embedded {self.name}")

    async def ready(self, timeout_s: float = READY_WITHIN_S) -> None:
        """Return once the model answers. SetupError: it can't be loaded, with the last lines of its log."""
        if self._keeper is None:
            raise SetupError(f"{self.name} was not started")
        answers = asyncio.create_task(self._answers.wait())
        await asyncio.wait((answers, self._keeper), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        answers.cancel()
        if self._given_up is not None:
            raise self._given_up
        if self._keeper.done():
            self._keeper.result()
        if not self.is_ready:
            raise SetupError(f"{self.name} was not ready after {timeout_s:.0f} s; see {self.log}")

    async def stop(self) -> None:
        """End the child and wait until it is gone. May be called twice, and without a start."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        if self._held is not None:
            self._held.close()

    async def _keep(self) -> None:
        """Run the child again and again, until cancelled or until the very first one can't load."""
        pause = BACK_OFF_S[0]
        while True:
            born = time.monotonic()
            try:
                was_ready = await self._live()
            except OSError as fault:  # no log file, or no more processes
                self._given_up = SetupError(f"{self.name} can't be started: {fault}")
                return
            finally:
                self._answers.clear()
                await self._end()
            if not was_ready and self.restarts == 0:
                self._given_up = SetupError(self._why())
                return
            self.restarts += 1
            pause = BACK_OFF_S[0] if time.monotonic() - born > STEADY_S else pause
            await asyncio.sleep(pause)
            pause = min(2 * pause, BACK_OFF_S[1])

    async def _live(self) -> bool:
        """One life of one child; whether it ever was ready."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "smallfirst.models.embedded_child",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environ,
            )
        process = self._process
        assert process.stdin is not None  # noqa: S101 - both are PIPE above
        assert process.stdout is not None  # noqa: S101
        with contextlib.suppress(ConnectionError):  # it died at once; the log says why
            process.stdin.write(self._orders() + b"\n")
            await process.stdin.drain()
        said = await process.stdout.readline()
        if said.strip() == b"ready":
            self._answers.set()
        await process.wait()
        return self._answers.is_set()

    async def _end(self) -> None:
        """Close the life line; kill what does not follow it."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), STOP_WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    def _orders(self) -> bytes:
        return msgspec.json.encode(
            {
                "weights": str(self.weights),
                "name": self.name,
                "port": self._port,
                "key": self.key,
                "threads": self.threads,
                "context": self._context,
                "slots": self._slots,
                "parent": os.getpid(),
                "share_port": self._held is not None,
            }
        )

    def _why(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-5:]
        if any("libgomp" in line for line in lines):
            lines.append("llama.cpp needs the OpenMP library of the system; on Debian or Ubuntu: apt install libgomp1")
        return "\n".join([f"{self.name} can't be loaded from {self.weights}:", *lines])


def _reserve_port() -> tuple[int, socket.socket | None]:
    """A free port on 127.0.0.1, and the socket that holds it without listening, so that the next child finds it again.

    Where the system shares ports (SO_REUSEPORT: Linux, macOS), nobody but a process of the same user can take the port
    meanwhile; elsewhere the port is let go and only probably still free.
    """
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if hasattr(socket, "SO_REUSEPORT"):
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    port: int = held.getsockname()[1]
    if hasattr(socket, "SO_REUSEPORT"):
        return port, held
    held.close()
    return port, None
