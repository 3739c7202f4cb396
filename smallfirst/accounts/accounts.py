"""Who is calling, and what they may still take: keys, teams, limits and budgets in one place.

Knows the parts of this room and keeps them fresh: once a tick it reads the keys anew where they have changed, and
reports what was spent. Does not know HTTP or routing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping

from smallfirst.accounts.keys import Key, Keys
from smallfirst.accounts.limits import Limits, periods
from smallfirst.accounts.metered import MeteredSender
from smallfirst.accounts.migrations import ROOM, STEPS
from smallfirst.accounts.purses import Bank, Purse
from smallfirst.accounts.register import Register
from smallfirst.accounts.settings import KeysSettings, TeamSettings
from smallfirst.accounts.tab import Purses, Tab, ends_with_minute
from smallfirst.accounts.vault import Vault
from smallfirst.core import Query
from smallfirst.errors import StoreError
from smallfirst.models.sender import Sender
from smallfirst.store.database import Database

log = logging.getLogger(__name__)

TICK_S = 0.5
"""How soon a key that was made or revoked elsewhere is noticed."""


class Accounts:
    """One per gateway process. `start` and `stop` it in the event loop that serves."""

    def __init__(
        self,
        settings: KeysSettings,
        teams: Mapping[str, TeamSettings],
        database: Database,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Takes over `database` and brings its tables up to date. Raises ConfigError, StoreError."""
        self.keys = Keys.from_settings(settings, teams)
        database.migrate(ROOM, STEPS)
        self.register = Register(database)
        self.vault = Vault(database, secrets.token_hex(6))
        self.teams = dict(teams)
        self._database, self._max_tokens = database, settings.max_tokens
        self._bank = Bank(self.vault, clock)
        self._purses: dict[str, tuple[Key, Purses]] = {}
        self._changes = -1
        self._ticking: asyncio.Task[None] | None = None
        self.refresh()

    def refresh(self) -> None:
        """Read the stored keys where they have changed. Raises StoreError."""
        changes = self.register.changes()
        if changes != self._changes:
            found, ever = self.register.load(self.teams)
            self.keys.replace_stored(found, ever=ever)
            self._changes = changes

    async def start(self) -> None:
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def stop(self) -> None:
        """Report what was spent and close the database."""
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
        await self._bank.close()
        await asyncio.to_thread(self._database.close)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await asyncio.to_thread(self.refresh)
            except StoreError as fault:
                log.error("the keys could not be read: %s; those known so far stay in force", fault)
            await self._bank.tick()

    async def report_now(self) -> None:
        """What this process has spent, told to the database before the next tick."""
        await self._bank.tick()

    def open(self, key: Key, query: Query) -> Tab:
        """The tab of a request, nothing taken yet."""
        return Tab(self._bank, self._purses_of(key, self._bank.clock()), query, self._max_tokens)

    def metered(self, sender: Sender, tab: Tab) -> Sender:
        """`sender`, paying from `tab`; itself where nothing has to be paid."""
        return MeteredSender(sender, tab) if tab.budgeted else sender

    def _purses_of(self, key: Key, now_s: float) -> Purses:
        known = self._purses.get(key.name)
        if known is not None and known[0] is key and now_s < known[1].ends_s:
            return known[1]
        found = [*self._scope(f"key/{key.name}", key.limits, now_s)]
        if key.team is not None:
            found += self._scope(f"team/{key.team}", key.team_limits, now_s)
        by_unit = {unit: tuple(p for p in found if p.period.unit == unit) for unit in ("requests", "tokens", "usd")}
        purses = Purses(ends_with_minute(now_s), by_unit["requests"], by_unit["tokens"], by_unit["usd"])
        self._purses[key.name] = (key, purses)
        return purses

    def _scope(self, scope: str, limits: Limits, now_s: float) -> list[Purse]:
        return [self._bank.purse(scope, period) for period in periods(limits, now_s)]
