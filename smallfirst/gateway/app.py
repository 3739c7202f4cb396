"""The ASGI application: one function that finds the handler for a path.

Knows paths and methods. Does not know what the handlers do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from smallfirst.errors import NotFound, Overloaded, RequestError
from smallfirst.gateway.attendant import Receive
from smallfirst.gateway.chat import Scope, Send, send_error

log = logging.getLogger("smallfirst.gateway")

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


class Gateway:
    """Dispatches requests; runs `startup` and `shutdown` with the server's own life."""

    def __init__(
        self,
        routes: Mapping[tuple[str, str], Handler],
        *,
        startup: Callable[[], Awaitable[None]],
        shutdown: Callable[[], Awaitable[None]],
        admin: Handler | None = None,
    ) -> None:
        """`admin` serves all that begins with /admin/, and only what comes in on `admin_port`, once that is known."""
        self._routes = dict(routes)
        self.admin, self.admin_port = admin, 0
        self._paths = {path for _, path in routes}
        self._startup, self._shutdown = startup, shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        handler = self._routes.get((method, path)) or self._routes.get(("GET", path) if method == "HEAD" else ("", ""))
        if handler is None and self.admin is not None and path.startswith("/admin/"):
            handler = self.admin if (scope.get("server") or ("", None))[1] == self.admin_port else None
        if handler is None:
            await send_error(send, self._no_route(method, path), self._allow(path))
            return
        try:
            await handler(scope, receive, send)
        except RequestError as error:
            await send_error(send, error, [])
        except asyncio.CancelledError:  # the server stops, and has waited for this request as long as it may
            await _last_words(send, _stopping())
        except Exception:  # the one place where an unforeseen error must not take the server down
            log.exception("an unforeseen error while serving %s %s", method, path)
            await _last_words(send, RequestError(_UNFORESEEN, code="internal_error"))

    def _no_route(self, method: str, path: str) -> NotFound:
        if path in self._paths:
            return NotFound(f"{method} is not allowed on {path}", code="method_not_allowed", status=405)
        if path.startswith("/v1/tasks/"):
            return NotFound(f"there is no task at {path[:200]}; GET /v1/tasks lists them", code="task_not_found")
        return NotFound(f"there is nothing at {path[:200]}", code="not_found")

    def _allow(self, path: str) -> list[tuple[bytes, bytes]]:
        methods = sorted(method for method, known in self._routes if known == path)
        return [(b"allow", ", ".join(methods).encode())] if methods else []

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._startup()
                except Exception as error:  # the server must hear of it, whatever it is
                    log.exception("the gateway could not start")
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return


_UNFORESEEN = "an unforeseen error in the gateway; its log says more"


def _stopping() -> RequestError:
    return Overloaded("the gateway is stopping; ask again", code="stopping", status=503, retry_after_s=1.0)


async def _last_words(send: Send, error: RequestError) -> None:
    try:
        await send_error(send, error, [])
    except RuntimeError:  # the reply had begun: all that is left is to close the connection
        log.warning("the reply had already begun; the connection is closed")
