"""A small HTTP/1.1 client: POST over kept-alive connections, whole answers or streamed bodies.

Knows where to connect, TLS, the pool of connections, and when a request may be sent once more. Does not know models,
JSON or SSE. Not supported on purpose: HTTP/2, compression (not asked for), redirects, cookies, proxies (HTTPS_PROXY is
ignored).
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from smallfirst.models.connection import MAX_BODY, Connection, HttpFault, Tap

CONNECT_S = 10.0
"""For DNS, TCP and TLS together."""


class Target:
    """One endpoint and the key for it: where to connect, and the request's head up to its length."""

    __slots__ = ("head", "host", "idle", "port", "tls")

    def __init__(self, host: str, port: int, tls: bool, head: bytes, idle: list[Connection]) -> None:
        self.host, self.port, self.tls, self.head, self.idle = host, port, tls, head, idle


class Answer:
    """A whole response. `headers`, as they came (ask `find_header`), are kept for other statuses than 200 only."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


class Body:
    """A response whose body is still coming."""

    __slots__ = ("_connection", "headers", "status")

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self.status, self.headers = connection.status, dict(connection.headers)

    def ready(self) -> bytes | None:
        """The bytes that are there; b"" at the end; None when there is only to wait. Raises HttpFault."""
        connection = self._connection
        if connection is None:
            return b""
        if connection.parts:
            return connection.take()
        if connection.complete:
            self._connection = None
            connection.done()
            return b""
        if connection.fault is not None:
            self._connection = None
            raise connection.fault.again()
        return None

    @property
    def take(self) -> Callable[[], bytes]:
        """For a `tap`: what takes the bytes that have come."""
        if self._connection is None:
            raise RuntimeError("the body has ended")
        return self._connection.take

    def wait(self, tap: Tap | None = None) -> asyncio.Future[None]:
        """Until `ready` says something else than None. Whoever is cancelled while waiting must `close`.

        `tap`: bytes are taken by it instead, as they come (connection.py).
        """
        if self._connection is None:
            raise RuntimeError("the body has ended")
        return self._connection.wait(tap)

    async def read(self) -> bytes:
        """The next bytes, at once when there are any; b"" at the end. Raises HttpFault. Cancelled: it is closed."""
        while (data := self.ready()) is None:
            try:
                await self.wait()
            except asyncio.CancelledError:
                self.close()
                raise
        return data

    async def read_all(self) -> bytes:
        """All that is still to come, up to MAX_BODY."""
        parts, size = [], 0
        while data := await self.read():
            parts.append(data)
            size += len(data)
            if size > MAX_BODY:
                self.close()
                raise HttpFault("too_large", f"the upstream's answer is longer than {MAX_BODY} bytes")
        return b"".join(parts)

    def finish(self) -> None:
        """Nothing more is needed: the connection is kept if its body ends soon."""
        if self._connection is not None:
            self._connection.done()
            self._connection = None

    def close(self) -> None:
        """Stop the upstream: closes the connection unless the body has ended."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if connection.complete:
                connection.done()
            else:
                connection.drop()


class HttpClient:
    """A pool of connections. Belongs to the event loop that first uses it."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._pools: dict[tuple[str, int, bool], list[Connection]] = {}
        self._alive: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def target(self, url: str, key: str | None, headers: Mapping[str, str] | None = None) -> Target:
        """Prepare POSTs to `url` with `key` as bearer token, and with further headers.

        Raises ValueError for a url or key that can't be sent.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the url must be http://HOST... or https://HOST...")
        tls = parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        if parts.port is not None:
            host = f"{host}:{parts.port}"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", "User-Agent: smallfirst"]
        if key:
            lines.append(f"Authorization: Bearer {key.strip()}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if not all(line.isascii() and line.isprintable() for line in (url, *lines)) or " " in path + host:
            raise ValueError("the url or the key holds characters that a request can't carry")
        head = "\r\n".join([*lines, "Content-Length: "]).encode()
        idle = self._pools.setdefault((parts.hostname, port, tls), [])
        return Target(parts.hostname, port, tls, head, idle)

    async def post(self, target: Target, body: bytes, timeout_s: float, more: bytes = b"") -> Answer:
        """Send `body`, return the whole answer. Raises HttpFault. Cancelled: the connection is closed.

        `more`: header lines of this request alone, each with its line end.
        """
        connection = await self._send(target, body, timeout_s, 0.0, more=more)
        status = connection.status
        answer = Answer(status, {} if status == 200 else dict(connection.headers), connection.take())
        connection.done()
        return answer

    async def open(
        self, target: Target, body: bytes, timeout_s: float, whole_s: float = math.inf, more: bytes = b""
    ) -> Body:
        """Send `body`, return once the answer's head is there. `timeout_s`: to the first byte, then for each gap;
        `whole_s`: to its end; `more`: as for `post`."""
        return Body(await self._send(target, body, timeout_s, timeout_s, whole_s, more))

    async def close(self) -> None:
        """Close every connection, used or not; the client takes no more requests."""
        self._closed = True
        for connection in list(self._alive):
            connection.close()

    async def _send(
        self,
        target: Target,
        body: bytes,
        timeout_s: float,
        gap_s: float,
        whole_s: float = math.inf,
        more: bytes = b"",
    ) -> Connection:
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        now = loop.time()
        deadline, end = now + timeout_s, now + whole_s
        data = b"%b%d\r\n%b\r\n%b" % (target.head, len(body), more, body)
        reused = bool(target.idle)
        connection = target.idle.pop() if reused else await self._connect(target, timeout_s)
        while True:
            waiter = connection.send(data, deadline, gap_s, end)
            try:
                await waiter
            except asyncio.CancelledError:
                connection.drop()
                raise
            fault = connection.fault
            if fault is None:
                return connection
            if not reused or fault.kind != "closed":
                raise fault.again()
            # It was kept alive and died before a byte of an answer: the upstream had hung up. Once more, freshly.
            reused = False
            connection = await self._connect(target, max(deadline - loop.time(), 0.001))

    async def _connect(self, target: Target, timeout_s: float) -> Connection:
        loop = asyncio.get_running_loop()
        if self._closed:
            raise HttpFault("connect", "the client is closed")
        context = self._context() if target.tls else None
        connection = Connection(loop, target.idle, self._alive)
        try:
            async with asyncio.timeout(min(CONNECT_S, timeout_s)):
                await loop.create_connection(
                    lambda: connection,
                    target.host,
                    target.port,
                    ssl=context,
                    server_hostname=target.host if context else None,
                )
        except TimeoutError as error:
            raise HttpFault("connect", f"no connection to {target.host}:{target.port} in time") from error
        except (OSError, UnicodeError) as error:  # refused, DNS, certificate; a host that IDNA can't encode
            raise HttpFault("connect", f"no connection to {target.host}:{target.port}: {_brief(error)}") from error
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _brief(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted ({error.verify_message})"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror).splitlines()[0][:120]
    return type(error).__name__
