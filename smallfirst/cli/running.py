"""A gateway on a port, in a thread: what `demo`, `replay`, `ask` and the tests send their requests to.

Knows uvicorn. `smallfirst serve` runs the same server in the main thread (serve.py).
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import uvicorn

from smallfirst.cli.build import App
from smallfirst.errors import BadRequest, SetupError
from smallfirst.gateway.settings import ServerSettings

BACKLOG = 2048
STARTS_WITHIN_S = 30.0


def listen(address: str) -> socket.socket:
    """A listening socket for `host:port` (port 0: any). Raises SetupError when it is taken or makes no sense."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise SetupError(f"server.listen: {address!r} is not HOST:PORT")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host.strip("[]"), int(port)))
        bound.listen(BACKLOG)  # whoever calls as soon as the address is shown waits a moment instead of being refused
    except (OSError, OverflowError) as fault:
        bound.close()
        raise SetupError(f"can't listen on {address}: {fault}; choose another with --listen") from fault
    return bound


def listen_admin(app: App) -> list[socket.socket]:
    """The admin API's own socket, where there is an admin key. Raises SetupError as `listen` does."""
    if app.gateway.admin is None:
        return []
    try:
        bound = listen(app.settings.server.admin_listen)
    except SetupError as fault:
        raise SetupError(f"the admin API (server.admin_listen): {fault}") from fault
    app.gateway.admin_port = bound.getsockname()[1]
    return [bound]


class Server(uvicorn.Server):
    """uvicorn, which by itself waits for ever for a request's head: whoever does not finish it in time gets a 408."""

    def __init__(self, config: uvicorn.Config, head_timeout_s: float) -> None:
        super().__init__(config)
        self._head_timeout_s = head_timeout_s
        self._waiting: dict[Any, float] = {}  # connection -> since when it has been in the midst of a head

    async def on_tick(self, counter: int) -> bool:
        """uvicorn's own beat, ten times a second: one look over all connections instead of a timer for each request."""
        now = time.monotonic()
        self._waiting = {one: self._waiting.get(one, now) for one in self.server_state.connections if _in_head(one)}
        for connection, since in self._waiting.items():
            if now - since > self._head_timeout_s:
                connection.transport.write(TOO_SLOW)
                connection.transport.close()
        return await super().on_tick(counter)


def _in_head(connection: Any) -> bool:
    """Whether it has neither a request that is being served nor uvicorn's own timer for idle connections."""
    served = connection.cycle is not None and not connection.cycle.response_complete
    return not served and connection.timeout_keep_alive_task is None


def _late() -> bytes:
    error = BadRequest("the head of the request did not arrive in time", code="head_timeout", status=408)
    body = msgspec.json.encode(error.body())
    head = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


TOO_SLOW = _late()


def make_server(app: App, settings: ServerSettings) -> Server:
    """uvicorn on uvloop and httptools around the gateway."""
    config = uvicorn.Config(
        app.gateway,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level=logging.WARNING,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
    )
    return Server(config, settings.body_timeout_s)


@contextmanager
def running(app: App, address: str = "127.0.0.1:0") -> Iterator[str]:
    """Serve `app` in a thread; yields its base URL, ending in /v1. Stops and flushes at the end."""
    bound, admin = listen(address), listen_admin(app)
    server = make_server(app, app.settings.server)
    started = threading.Event()
    fault: list[BaseException] = []

    def serve() -> None:
        try:
            server.run(sockets=[bound, *admin])
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits
            fault.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=serve, name="gateway", daemon=True)
    thread.start()
    try:
        _wait_started(server, started)
        if fault or not server.started:
            raise SetupError(f"the gateway did not start: {fault[0] if fault else 'see above'}")
        host, port = bound.getsockname()[:2]
        yield f"http://{host}:{port}/v1"
    finally:
        server.should_exit = True
        thread.join(app.settings.server.drain_s + 5)
        bound.close()


def _wait_started(server: uvicorn.Server, ended: threading.Event) -> None:
    """uvicorn has no event for this: look until it serves, or its thread has ended."""
    for _ in range(int(STARTS_WITHIN_S / 0.01)):
        if server.started or ended.wait(0.01):
            return
