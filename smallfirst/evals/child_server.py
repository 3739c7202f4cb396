"""A server in a child process, for as long as a replay needs it.

Knows how to start a command, wait until its URL answers, and stop it again. Does not know what it serves.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from smallfirst.errors import SetupError

POLL_S = 0.05
STOP_S = 25.0
"""How long it may take to stop: a gateway finishes running requests first."""

TAIL = 2000
"""Characters of its last words that are shown when it does not come up."""


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ChildServer:
    """Context manager: inside it, `url` answers 200. Raises SetupError when that does not happen in `ready_s`."""

    def __init__(
        self, command: Sequence[str], url: str, *, environ: Mapping[str, str] | None = None, ready_s: float = 60.0
    ) -> None:
        self._command, self._url, self._environ, self._ready_s = list(command), url, environ, ready_s
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()  # not a pipe: one that nobody reads would block it
        environ = {**os.environ, **(self._environ or {})}
        # A session of its own: Ctrl-C is for the replay, which then stops this in order.
        self._process = subprocess.Popen(
            self._command,
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
            env=environ,
            start_new_session=True,
        )
        try:
            self._wait(self._process)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + self._ready_s
        while time.monotonic() < end:
            if process.poll() is not None:
                raise SetupError(f"it stopped with status {process.returncode} before it was ready:\n{self._tail()}")
            if _answers(self._url):
                return
            time.sleep(POLL_S)
        raise SetupError(f"it was not ready after {self._ready_s:.0f} s:\n{self._tail()}")

    def _tail(self) -> str:
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")[-TAIL:]

    def _stop(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        with contextlib.suppress(OSError):
            self._log.close()


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
