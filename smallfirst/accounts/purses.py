"""What this process may spend of each budget right now, in memory: taken before a call, settled after it.

Knows leases (vault.py) and arithmetic. Does not know keys, prices or requests. All of it belongs to one event loop; the
vault is asked in a worker thread, and only when a lease does not suffice: a request that finds enough costs additions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from smallfirst.accounts.limits import Period
from smallfirst.accounts.vault import Ask, Grant, Name, Report, Vault
from smallfirst.errors import StoreError

log = logging.getLogger(__name__)

SMALLEST_SHARE = 20
"""A lease is at most one part in so many of its cap, unless one call needs more: others want their share too."""
CALLS_AHEAD = 8
"""A lease is made for so many calls like the one that asked."""
DRY_S = 0.5
"""How long "there is no more" is believed without asking again."""
RENEW_S = 30.0
"""A lease that is held is reported at least this often, so that nobody takes it for a dead process's."""
DOWN_S = 1.0
"""How long requests that need a lease are refused after the database failed, before it is asked again."""


class Purse:
    """One scope in one period. `rest` is leased and free, `held` is set aside for calls that run, `spent` is not yet
    reported; the three together are the lease."""

    __slots__ = ("cap", "ends_s", "held", "left", "name", "period", "renewed", "rest", "seen", "spent", "used")

    def __init__(self, scope: str, period: Period) -> None:
        self.name: Name = (scope, period.name)
        self.period, self.cap, self.ends_s = period, period.cap, period.ends_s
        self.rest = self.held = self.spent = self.used = 0
        self.left = period.cap  # in the vault, when it was last asked
        self.seen = 0.0  # when that was, on the monotonic clock
        self.renewed = 0.0

    def dry(self, amount: int, now: float) -> bool:
        """Whether it is known that `amount` is not to be had."""
        return self.rest + self.left < amount and now - self.seen < DRY_S

    def settle(self, taken: int, used: int) -> None:
        """A call that was allowed `taken` has used `used`, which may be more where an upstream miscounts."""
        self.held -= taken
        self.rest += taken - used
        self.spent += used
        self.used += used

    @property
    def remaining(self) -> int:
        """What could still be taken, as far as this process knows."""
        return max(0, self.rest + self.left)


class Bank:
    """All purses of this process."""

    def __init__(self, vault: Vault, clock: Callable[[], float] = time.time) -> None:
        self._vault, self.clock = vault, clock
        self._purses: dict[Name, Purse] = {}
        self._short: dict[Purse, int] = {}  # who waits for a lease, and for how much
        self._filling: asyncio.Task[None] | None = None
        self._down_until = 0.0
        self._swept = 0.0

    def purse(self, scope: str, period: Period) -> Purse:
        """The one purse of that scope and period."""
        found = self._purses.get((scope, period.name))
        if found is None:
            found = Purse(scope, period)
            self._purses[found.name] = found
        elif found.cap != period.cap:  # it was changed: the lease stays, and the vault is asked again
            found.cap, found.period, found.seen = period.cap, period, 0.0
        return found

    @staticmethod
    def take_now(wanted: Sequence[tuple[Purse, int]]) -> bool:
        """Take all of it from what is leased, or nothing."""
        for purse, amount in wanted:
            if purse.rest < amount:
                return False
        for purse, amount in wanted:
            purse.rest -= amount
            purse.held += amount
        return True

    async def take(self, wanted: Sequence[tuple[Purse, int]]) -> Purse | None:
        """Take all of it, leasing what is missing. Returns the purse that has not enough, and then takes nothing.

        Raises StoreError when the vault can't be asked: without a lease nothing may be spent.
        """
        while not self.take_now(wanted):
            now = time.monotonic()
            short = [(purse, amount) for purse, amount in wanted if purse.rest < amount]
            for purse, amount in short:
                if purse.dry(amount, now):
                    return purse
            if now < self._down_until:
                raise StoreError("the database of budgets does not answer")
            for purse, amount in short:
                self._short[purse] = max(self._short.get(purse, 0), amount)
            if self._filling is None:
                self._filling = asyncio.get_running_loop().create_task(self._fill())
            await asyncio.shield(self._filling)
        return None

    async def _fill(self) -> None:
        """Lease for all that wait, in one transaction; those who come meanwhile wait for the next."""
        await asyncio.sleep(0)  # requests of the same moment share the transaction
        short, self._short = self._short, {}
        asks = [_ask(purse, amount) for purse, amount in short.items()]
        try:
            grants = await asyncio.to_thread(self._vault.lease, asks, self.clock())
        except StoreError:
            self._down_until = time.monotonic() + DOWN_S
            raise
        finally:
            self._filling = None
        now = time.monotonic()
        for purse, grant in zip(short, grants, strict=True):
            _receive(purse, grant, now)

    async def tick(self) -> None:
        """Once a second: report what was spent, give back what nobody needs. A fault is logged, and made good later."""
        now, wall = time.monotonic(), self.clock()
        reports = [report for purse in list(self._purses.values()) if (report := _close(purse, now, wall))]
        await self._report(reports, wall)
        for purse in [p for p in self._purses.values() if p.ends_s and p.ends_s < wall and not _lease(p)]:
            del self._purses[purse.name]
        if now - self._swept > RENEW_S:
            self._swept = now
            await self._quietly(asyncio.to_thread(self._vault.sweep, wall))

    async def close(self) -> None:
        """Report everything and give the rest back."""
        reports = [Report(p.name, p.spent, p.rest) for p in self._purses.values() if p.spent or p.rest]
        for purse in self._purses.values():
            purse.spent = purse.rest = 0
        await self._report(reports, self.clock())

    async def _report(self, reports: list[Report], wall: float) -> None:
        if not reports:
            return
        known = await self._quietly(asyncio.to_thread(self._vault.report, reports, wall))
        for index, report in enumerate(reports):
            purse = self._purses.get(report.name)
            if purse is None:
                continue
            if known is None:  # nothing was booked: as before, and again in a second
                purse.spent += report.spent
                purse.rest += report.returned
            elif not known[index]:  # the lease was taken away: all of it, with what still runs, counts as spent already
                log.warning("the lease of %s was taken away: this process had not reported in time", report.name)
                purse.rest, purse.spent = -purse.held, 0
            else:
                purse.left += report.returned

    async def _quietly(self, work: Coroutine[Any, Any, list[bool] | None]) -> list[bool] | None:
        try:
            return await work
        except StoreError as fault:
            log.error("budgets could not be reported: %s; trying again", fault)
            return None


def _lease(purse: Purse) -> int:
    return abs(purse.rest) + purse.held + abs(purse.spent)


def _ask(purse: Purse, amount: int) -> Ask:
    need = amount - purse.rest
    want = min(max(amount * CALLS_AHEAD, 2 * purse.used), max(purse.cap // SMALLEST_SHARE, amount))
    return Ask(purse.name, purse.cap, purse.ends_s, need, want - purse.rest)


def _receive(purse: Purse, grant: Grant, now: float) -> None:
    purse.rest += grant.given
    purse.left, purse.seen = grant.left, now
    purse.renewed = now


def _close(purse: Purse, now: float, wall: float) -> Report | None:
    """What to tell of this purse; the amounts leave it, and come back if they can't be told."""
    over = purse.ends_s and purse.ends_s <= wall
    keep = 0 if over else 2 * purse.used
    spent, returned = purse.spent, max(0, purse.rest - keep)
    purse.used = 0
    if not (spent or returned) and not (_lease(purse) and now - purse.renewed > RENEW_S):
        return None
    purse.spent, purse.rest, purse.renewed = 0, purse.rest - returned, now
    return Report(purse.name, spent, returned)
