"""One HTTP/1.1 connection: a request goes out, its answer is parsed as it comes; time-outs and back-pressure.

Knows sockets only as an asyncio transport. Does not know where it leads, who shares it, or what it carries (http.py).

What keeps it thin: one parser for the connection's life, whose callbacks are the append and __setitem__ of a list and a
dict; one timer, which is moved only when it fires.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Callable
from typing import Literal, cast

import httptools

from smallfirst.errors import SmallfirstError

MAX_BODY = 64 * 1024 * 1024
"""Bytes of an answer; a longer one is a fault."""
MAX_HEAD = 64 * 1024
"""Bytes of status line and headers."""
HIGH_WATER = 256 * 1024
"""Unread bytes of a stream above which we stop reading from the socket."""
MAX_IDLE = 256
"""Kept-alive connections for each (scheme, host, port)."""
IDLE_S = 60.0
"""How long an unused connection is kept."""
UNHEARD_MS = 15_000
"""How long what was sent may stay unacknowledged: a peer that vanished without a word is noticed then."""
DRAIN_S = 1.0
"""How long a stream whose answer has ended may take to end its body, before its connection is given up."""

Tap = Callable[[], bool]
"""Takes the bytes that have come, in the turn of the event loop that brought them; whether its waiter must look."""

FaultKind = Literal["connect", "closed", "timeout", "cut", "malformed", "too_large"]


class HttpFault(SmallfirstError):
    """No (whole) answer came; the message never holds what was sent.

    `kind`: connect (DNS, TCP, TLS), closed (before a byte of an answer), timeout, cut (in the midst of an answer),
    malformed (not HTTP), too_large.
    """

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.kind: FaultKind = kind

    def again(self) -> HttpFault:
        """The same, to be raised: one that a connection keeps would hold the frames it went through, and they it."""
        return HttpFault(self.kind, str(self))


class Connection(asyncio.Protocol):
    """One socket, one request at a time. Only HttpClient and Body touch it."""

    __slots__ = (
        "_alive",
        "_deadline",
        "_end",
        "_fires",
        "_gap_s",
        "_headed",
        "_idle",
        "_keep",
        "_loop",
        "_parser",
        "_paused",
        "_tap",
        "_timer",
        "_transport",
        "_unread",
        "_waiter",
        "busy",
        "complete",
        "fault",
        "headers",
        "on_body",
        "on_header",
        "parts",
        "received",
        "status",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, idle: list[Connection], alive: set[Connection]) -> None:
        self._loop, self._idle, self._alive = loop, idle, alive
        self.headers: dict[bytes, bytes] = {}
        self.parts: list[bytes] = []
        self.on_header = self.headers.__setitem__
        self.on_body = self.parts.append
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._tap: Tap | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = self._fires = self._gap_s = self._end = 0.0
        self._headed = self._keep = self._paused = False
        self.busy = self.complete = False
        self.fault: HttpFault | None = None
        self.received = self._unread = self.status = 0

    # --- used by HttpClient and Body

    def send(self, data: bytes, deadline: float, gap_s: float, end: float = math.inf) -> asyncio.Future[None]:
        """Begin a request. `gap_s` 0: the whole answer by `deadline`; else its first byte, then each gap, all by `end`.

        The future ends when the answer is whole (a stream: when its head is there), or with `fault` set.
        """
        self.busy, self.complete, self._headed, self._keep = True, False, False, False
        self.received = self._unread = 0
        self._gap_s, self._end = gap_s, end
        self._until(deadline)
        if self._transport is None or self._transport.is_closing():
            self._fail("closed", "the connection was closed")
        else:
            self._transport.write(data)
        return self.wait()

    def wait(self, tap: Tap | None = None) -> asyncio.Future[None]:
        """A future that ends with the next thing worth knowing: bytes, the end, a fault.

        With `tap`, bytes do not end it: `tap` is called to take them, at once, until it answers True.
        """
        waiter = self._waiter = self._loop.create_future()
        self._tap = tap
        if self.fault is not None:
            waiter.set_result(None)
        return waiter

    def take(self) -> bytes:
        """The body bytes that have come since the last take; reading goes on if it was stopped."""
        parts = self.parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._unread = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._until(self._loop.time() + self._gap_s)
            self._transport.resume_reading()
        return data

    def done(self) -> None:
        """The answer has been taken: back to the pool, or closed."""
        if (
            not self.complete
            and self.fault is None
            and self._transport is not None
            and not self._transport.is_closing()
        ):
            self._drain()
            return
        self.busy = False
        self.parts.clear()
        self.headers.clear()
        if self.complete and self._keep and len(self._idle) < MAX_IDLE:
            self._until(self._loop.time() + IDLE_S)
            self._idle.append(self)
        else:
            self.drop()

    def close(self) -> None:
        """The client is closed: whoever waits is told."""
        if self.busy and not self.complete:
            self._fail("closed", "the client was closed")
        else:
            self.drop()

    def drop(self) -> None:
        """Close at once."""
        self.busy = False
        self._keep = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._alive.add(self)
        with contextlib.suppress(OSError, AttributeError):  # not on every system
            line: socket.socket = transport.get_extra_info("socket")
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_MS)

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if not self.busy or parser is None:  # nobody asked
            self.drop()
            self.connection_lost(None)
            return
        self.received += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._keep = False
            if not self.complete:
                self._fail("malformed", "the upstream did not speak HTTP/1.1")
                return
        if not self._gap_s and self.received > MAX_BODY + MAX_HEAD:  # also where the last read brought its end
            self.complete = False
            self._fail("too_large", f"the upstream's answer is longer than {MAX_BODY} bytes")
        elif self.complete:
            self._wake()
        elif not self._headed:
            if self.received > MAX_HEAD:
                self._fail("too_large", "the upstream sent headers without end")
        elif self._gap_s:
            self._streamed(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport, self._keep = None, False
        self._parser = None  # it holds us: a closed connection is not to wait for the collector
        self._alive.discard(self)
        if not self.busy:
            if self in self._idle:
                self._idle.remove(self)
        elif self.complete:
            self._wake()
        elif self._headed and exc is None and self._ends_at_close():
            self.complete = True
            self._wake()
        elif self.received:
            self._fail("cut", "the upstream closed the connection in the midst of its answer")
        else:
            self._fail("closed", "the upstream closed the connection before it answered")

    # --- httptools

    def on_message_begin(self) -> None:
        if self.complete:
            raise ValueError("bytes after the answer's end")  # stops the parser; the connection is not used again

    def on_headers_complete(self) -> None:
        assert self._parser is not None  # noqa: S101 - it is the one that calls
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self._headed = True

    def on_message_complete(self) -> None:
        if self.status < 200:  # 100 Continue, 103 Early Hints: the answer is still to come
            self.headers.clear()
            return
        self.complete = True
        assert self._parser is not None  # noqa: S101 - as above
        self._keep = self._parser.should_keep_alive()

    # --- inner

    def _streamed(self, size: int) -> None:
        deadline = self._loop.time() + self._gap_s
        self._deadline = deadline if deadline < self._end else self._end
        waiter = self._waiter
        if self._tap is not None and waiter is not None and not waiter.done():
            if self._tap():
                self._wake()
            return
        self._unread += size
        if self._unread > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _drain(self) -> None:
        """Our answer is complete before its body is: wait for the rest unseen, for a moment."""
        self.parts.clear()
        self._gap_s = 0.0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        self._until(self._loop.time() + DRAIN_S)
        self.wait().add_done_callback(lambda _: self.drop() if self.fault is not None else self.done())

    def _ends_at_close(self) -> bool:
        return find_header(self.headers, b"content-length") is None and (
            find_header(self.headers, b"transfer-encoding") is None
        )

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _fail(self, kind: FaultKind, message: str) -> None:
        if self.fault is None:
            self.fault = HttpFault(kind, message)
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def _until(self, deadline: float) -> None:
        self._deadline = deadline
        if self._timer is None or self._fires > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._fires = deadline
            self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._paused:  # the reader is slow, not the upstream
            self._until(now + max(self._gap_s, 1.0))
        elif self._deadline > now + 0.001 and now < self._end:
            self._until(self._deadline)
        elif self.busy:
            self._fail("timeout", "the upstream did not answer in time")
        elif self._transport is not None:  # idle for long enough
            self._transport.abort()


def find_header(headers: dict[bytes, bytes], name: bytes) -> bytes | None:
    """The value of `name` (lower case), whatever case the upstream wrote it in."""
    value = headers.get(name)
    if value is not None:
        return value
    return next((value for key, value in headers.items() if key.lower() == name), None)
