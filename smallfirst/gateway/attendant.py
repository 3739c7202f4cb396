"""Looks after the clients that are being served: a body that does not come in time, a client that has left.

Knows clocks and disconnects. Does not know bodies or models. One timer looks over all requests a few times a second,
instead of two timers and a task for each of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from smallfirst.errors import BadRequest

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

ROUND_S = 0.1
"""How often it looks. A call that is over before the next round was not worth cancelling."""


class Leavable(Protocol):
    """What wants to know that the client has left: an exchange."""

    def gone(self, cause: str) -> None: ...


class Guest:
    """One request in the house."""

    __slots__ = ("_attendant", "_receive", "_task", "_watch", "exchange", "late", "since")

    def __init__(self, attendant: Attendant, receive: Receive, since: float) -> None:
        self._attendant, self._receive, self.since = attendant, receive, since
        self._task = asyncio.current_task()
        self._watch: asyncio.Task[None] | None = None
        self.exchange: Leavable | None = None
        self.late = False

    def ask(self, exchange: Leavable) -> None:
        """The body is there; from now on the exchange is told when the client leaves."""
        self.exchange = exchange

    def hurry(self) -> None:
        """The body's time is up."""
        if not self.late and self._task is not None:
            self.late = True
            self._task.cancel()

    def explain(self) -> None:
        """Turn the cancelling of `hurry` into the 408 that it means."""
        self.leave()
        if self.late and self._task is not None and self._task.uncancel() == 0:
            raise BadRequest("the body did not arrive in time", code="body_timeout", status=408) from None

    def watch(self) -> None:
        """Begin to wait for the client's leaving."""
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self.exchange is not None:
            self.exchange.gone("the client closed the connection")

    def leave(self) -> None:
        """The request is over."""
        self._attendant.guests.discard(self)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None  # it holds us: without this, all that the request held would wait for the collector


class Attendant:
    """Makes the rounds while there are guests."""

    def __init__(self, body_timeout_s: float) -> None:
        self.guests: set[Guest] = set()
        self._body_timeout_s = body_timeout_s
        self._every_s = min(ROUND_S, body_timeout_s / 2)
        self._walking = False

    def welcome(self, receive: Receive) -> Guest:
        """Look after the request that runs in the current task; call `leave` on what is returned."""
        loop = asyncio.get_running_loop()
        guest = Guest(self, receive, loop.time())
        self.guests.add(guest)
        if not self._walking:
            self._walking = True
            loop.call_later(self._every_s, self._round, loop)
        return guest

    def _round(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for guest in list(self.guests):
            if guest.exchange is not None:
                guest.watch()
            elif now - guest.since > self._body_timeout_s:
                guest.hurry()
        self._walking = bool(self.guests)
        if self._walking:
            loop.call_later(self._every_s, self._round, loop)
