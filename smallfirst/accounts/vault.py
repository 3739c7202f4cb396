"""What has been spent and who holds how much of the rest: the part of budgets that all processes share.

Knows the tables `purse` and `lease`. Does not know requests: a process leases an amount, spends from it in memory
(purses.py), and reports. Always: spent + leased <= cap, so what all processes may spend together never passes it.

A process that dies keeps its leases. After `DEAD_S` without a report they count as spent: it may have spent them, and
nobody can tell. Reports are made every second, and leases are a small share of a budget, so that little is lost so.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from smallfirst.store.database import Database, Run

DEAD_S = 120
"""A lease that was not renewed for so long belongs to nobody any more."""
KEEP_S = 3600
"""How long the count of a minute is kept after its end,"""
KEEP_MONEY_S = 400 * 86400
"""and that of a day or a month."""

Name = tuple[str, str]
"""(scope, period): `("key:k1f3", "usd/2026-11")`."""


class Ask(msgspec.Struct, frozen=True):
    """A wish for a lease: at least `need`, gladly `want`."""

    name: Name
    cap: int
    ends_s: int
    need: int
    want: int


class Grant(msgspec.Struct, frozen=True):
    """What was leased (0: there is not enough for the need), and what is left for others."""

    given: int
    left: int


class Report(msgspec.Struct, frozen=True):
    """What a process spent of its lease, and what it gives back. `returned` is as large as it likes, never negative."""

    name: Name
    spent: int
    returned: int


class Spending(msgspec.Struct, frozen=True):
    """A line of the list: what a scope has spent in a period, and what processes hold of it."""

    scope: str
    period: str
    spent: int
    leased: int


class Vault:
    """The tables, as one process sees them. Every method is one transaction; call them from a worker thread."""

    def __init__(self, database: Database, process: str) -> None:
        self._database, self.process = database, process

    def lease(self, asks: Sequence[Ask], now_s: float) -> list[Grant]:
        """One grant for each ask, in their order. Raises StoreError; then nothing was leased."""
        grants: dict[Name, Grant] = {}
        with self._database.transaction() as run:
            for ask in sorted(asks, key=lambda one: one.name):  # all processes lock rows in the same order
                grants[ask.name] = self._grant(run, ask, int(now_s))
        return [grants[ask.name] for ask in asks]

    def _grant(self, run: Run, ask: Ask, now_s: int) -> Grant:
        run("INSERT INTO purse VALUES (?, ?, 0, 0, ?) ON CONFLICT DO NOTHING", (*ask.name, ask.ends_s))
        # A change that changes nothing locks the row, in PostgreSQL too: nobody else leases from it until we are done.
        locked = "UPDATE purse SET spent = spent WHERE scope = ? AND period = ? RETURNING spent, leased"
        ((spent, leased),) = run(locked, ask.name)
        left = max(0, ask.cap - spent - leased)
        if left < ask.need:
            return Grant(0, left)
        given = min(left, max(ask.need, ask.want))
        run("UPDATE purse SET leased = leased + ? WHERE scope = ? AND period = ?", (given, *ask.name))
        run(
            "INSERT INTO lease VALUES (?, ?, ?, ?, ?) ON CONFLICT (process, scope, period) "
            "DO UPDATE SET amount = lease.amount + excluded.amount, renewed_at = excluded.renewed_at",
            (self.process, *ask.name, given, now_s),
        )
        return Grant(given, left - given)

    def report(self, reports: Sequence[Report], now_s: float) -> list[bool]:
        """Book what was spent and take back what is not needed. False: the lease was taken away (the process slept for
        longer than `DEAD_S`); all of it counts as spent already, and none of it is left. Raises StoreError."""
        known: dict[Name, bool] = {}
        with self._database.transaction() as run:
            for report in sorted(reports, key=lambda one: one.name):
                known[report.name] = self._book(run, report, int(now_s))
        return [known[report.name] for report in reports]

    def _book(self, run: Run, report: Report, now_s: int) -> bool:
        gone = report.spent + report.returned
        run("UPDATE purse SET spent = spent WHERE scope = ? AND period = ?", report.name)  # purse first, as in _grant
        mine = run(
            "UPDATE lease SET amount = amount - ?, renewed_at = ? WHERE process = ? AND scope = ? AND period = ? "
            "RETURNING amount",
            (gone, now_s, self.process, *report.name),
        )
        if not mine:
            return False
        run(
            "UPDATE purse SET spent = spent + ?, leased = leased - ? WHERE scope = ? AND period = ?",
            (report.spent, gone, *report.name),
        )
        return True

    def sweep(self, now_s: float) -> None:
        """Count the leases of dead processes as spent, and forget what ended long ago. Raises StoreError."""
        now = int(now_s)
        with self._database.transaction() as run:
            dead = "SELECT scope, period FROM lease WHERE renewed_at < ? ORDER BY scope, period"
            for scope, period in dict.fromkeys(run(dead, (now - DEAD_S,))):
                run("UPDATE purse SET spent = spent WHERE scope = ? AND period = ?", (scope, period))
                taken = run(
                    "DELETE FROM lease WHERE scope = ? AND period = ? AND renewed_at < ? RETURNING amount",
                    (scope, period, now - DEAD_S),
                )
                lost = sum(int(amount) for (amount,) in taken)
                run(
                    "UPDATE purse SET spent = spent + ?, leased = leased - ? WHERE scope = ? AND period = ?",
                    (lost, lost, scope, period),
                )
            over = "DELETE FROM purse WHERE ends_at > 0 AND ends_at < ? AND (period NOT LIKE ? OR ends_at < ?)"
            run(over, (now - KEEP_S, "usd/%", now - KEEP_MONEY_S))

    def spending(self) -> list[Spending]:
        """What has been spent, by scope and period, minutes left out. Raises StoreError."""
        with self._database.transaction() as run:
            rows = run("SELECT scope, period, spent, leased FROM purse WHERE period LIKE ? ORDER BY 1, 2", ("usd/%",))
        return [Spending(str(scope), str(period), int(spent), int(leased)) for scope, period, spent, leased in rows]
