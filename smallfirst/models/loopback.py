"""A scripted upstream on a real loopback socket: answers, streams, stalls, cuts, talks rubbish, and remembers.

Knows HTTP/1.1 only as far as a test needs it. It runs in a thread of its own, so that tests with and without an event
loop can use it; `with ScriptedUpstream(script) as upstream: ... upstream.url`.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from smallfirst.models.scripted import Reply, completion, events


class Request(msgspec.Struct, frozen=True):
    """What came in. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int  # a number for each connection, from 0

    @property
    def fields(self) -> dict[str, Any]:
        """The body, decoded."""
        fields: dict[str, Any] = msgspec.json.decode(self.body)
        return fields


Step = bytes | float | Literal["stall", "cut"]
"""Bytes to send; seconds to wait; wait until the test is over or the client goes; close the connection in the midst."""


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """One answer on the wire. `framing` raw: `steps` are sent with nothing around them, not even a head."""

    steps: tuple[Step, ...]
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    framing: Literal["length", "chunked", "close", "raw"] = "length"


Script = Callable[[Request], Wire | Reply | str]


class ScriptedUpstream:
    """Serves `script` at `url`. `requests`: all that came; `gone`: how many clients left in the midst of an answer."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self._script, self._tls = script, tls
        self.requests: list[Request] = []
        self.connections = 0
        self.gone = threading.Semaphore(0)
        self.url = ""
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _main(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        clients: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._client(reader, writer, self.connections))
            self.connections += 1
            clients.add(task)
            task.add_done_callback(clients.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=self._tls)
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        await self._over.wait()
        server.close()
        for task in list(clients):
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        try:
            while (request := await _read(reader, number)) is not None:
                self.requests.append(request)
                wire = to_wire(request, self._script(request))
                if not await self._answer(reader, writer, wire):
                    break
        except (OSError, asyncio.IncompleteReadError):
            self.gone.release()
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: Wire) -> bool:
        """Whether the connection is kept."""
        if wire.framing != "raw":
            writer.write(_head(wire))
        for step in wire.steps:
            if step == "stall":
                await writer.drain()
                if not await reader.read(1):
                    self.gone.release()
                return False
            if step == "cut":
                await writer.drain()
                return False
            if isinstance(step, float):
                await asyncio.sleep(step)
                continue
            assert isinstance(step, bytes)  # noqa: S101 - narrows for the type checker
            writer.write(b"%x\r\n%b\r\n" % (len(step), step) if wire.framing == "chunked" else step)
            await writer.drain()
        if wire.framing == "chunked":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        return wire.framing in ("length", "chunked")


def to_wire(request: Request, said: Wire | Reply | str) -> Wire:
    """A reply as the request wants it: whole or streamed."""
    if isinstance(said, Wire):
        return said
    reply = Reply(text=said) if isinstance(said, str) else said
    fields = request.fields
    model, logprobs = fields.get("model", ""), fields.get("logprobs") is True
    if fields.get("stream"):
        return sse(events(model, reply, logprobs), cut_after=reply.cut_after, delay_s=reply.delay_s, gap_s=reply.gap_s)
    whole = msgspec.json.encode(completion(model, reply, logprobs))
    return Wire(steps=(float(reply.delay_s), whole) if reply.delay_s else (whole,))


def sse(blocks: Sequence[bytes], *, cut_after: int | None = None, delay_s: float = 0, gap_s: float = 0) -> Wire:
    """`blocks` as a stream, one write each, `gap_s` apart, the first after `delay_s`; cut off after some."""
    steps: tuple[Step, ...] = tuple(blocks) if cut_after is None else (*blocks[:cut_after], "cut")
    if delay_s or gap_s:
        paced = [(float(gap_s if n else delay_s), step) for n, step in enumerate(steps)]
        steps = tuple(step for pair in paced for step in pair)
    return Wire(steps=steps, headers=(("Content-Type", "text/event-stream"),), framing="chunked")


def fault(status: int, *, code: str = "", retry_after: str | None = None) -> Wire:
    """An OpenAI-shaped error."""
    error = {"error": {"message": "no", "type": "scripted_error", "param": None, "code": code or None}}
    headers = (("Content-Type", "application/json"), *((("Retry-After", retry_after),) if retry_after else ()))
    return Wire(steps=(msgspec.json.encode(error),), status=status, headers=headers)


def _head(wire: Wire) -> bytes:
    lines = [f"HTTP/1.1 {wire.status} Scripted", *(f"{name}: {value}" for name, value in wire.headers)]
    if wire.framing == "length":
        # an answer that stalls or is cut promised at least a byte more than it sends
        size = sum(len(step) if isinstance(step, bytes) else 1 for step in wire.steps if not isinstance(step, float))
        lines.append(f"Content-Length: {size}")
    elif wire.framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
    else:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read(reader: asyncio.StreamReader, number: int) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body, number)
