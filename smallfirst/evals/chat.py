"""A blocking client for one chat-completions endpoint, over a connection that is kept.

For programs of evals that ask many questions one after the other (recording, the demo's callers, each in a thread).
Knows HTTP and the OpenAI chat fields that are read back. Does not retry and does not know what is asked.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from smallfirst.errors import SetupError


class Reply(msgspec.Struct, frozen=True):
    """One HTTP answer; header names in lower case; `latency_us` from sending to the last byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    latency_us: int


class Chat:
    """Asks `url` (a base URL ending in /v1). Not for two threads at once."""

    def __init__(self, url: str, key: str | None = None, timeout_s: float = 300.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SetupError(f"not an http(s) URL: {url}")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=timeout_s)
        self._path = parts.path.rstrip("/") + "/chat/completions"
        self._headers = {"content-type": "application/json"}
        if key:
            self._headers["authorization"] = f"Bearer {key}"

    def ask(self, body: Mapping[str, Any]) -> Reply:
        """Send one request. Raises SetupError where nobody listens, OSError where the connection breaks."""
        start = time.perf_counter_ns()
        try:
            self._connection.request("POST", self._path, json.dumps(body), self._headers)
        except ConnectionRefusedError as error:
            raise SetupError(f"nothing listens on {self._connection.host}:{self._connection.port}") from error
        response = self._connection.getresponse()
        payload = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, headers, payload, (time.perf_counter_ns() - start) // 1000)

    def close(self) -> None:
        self._connection.close()
