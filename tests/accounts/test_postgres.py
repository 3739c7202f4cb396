"""Keys and budgets shared by several processes over PostgreSQL; a real server, real processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from smallfirst.accounts.accounts import Accounts
from smallfirst.accounts.keys import Terms
from smallfirst.accounts.limits import Limits, periods
from smallfirst.accounts.migrations import ROOM, STEPS
from smallfirst.accounts.purses import Bank
from smallfirst.accounts.settings import KeysSettings
from smallfirst.accounts.vault import DEAD_S, Ask, Report, Vault
from smallfirst.errors import StoreError
from smallfirst.store.database import open_any

SPENDER = Path(__file__).with_name("spender.py")
NOW = 1_800_000_000
NAME = ("key/a", "usd/total")


def accounts_at(url: str) -> Accounts:
    return Accounts(KeysSettings(), {}, open_any(url, Path("unused")))


def spawn(url: str, secret: str, seed: int, calls: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(SPENDER), url, secret, str(seed), str(calls)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def bills(process: subprocess.Popen[str]) -> int:
    """What its upstream billed."""
    output, _ = process.communicate(timeout=60)
    return sum(int(line) for line in output.splitlines() if line.isdigit())


def test_three_processes_never_pass_the_budget_together(postgres: str) -> None:
    accounts = accounts_at(postgres)
    budget = 20_000  # nano-dollars, a token each; every process alone would spend more
    secret, _ = accounts.register.create("a", Terms(usd_total=budget / 1e9), NOW)
    processes = [spawn(postgres, secret, seed, 700) for seed in range(3)]
    total = sum(bills(process) for process in processes)
    assert budget * 0.95 <= total <= budget
    (line,) = accounts.vault.spending()
    assert (line.spent, line.leased) == (total, 0)


def test_a_process_that_is_killed_does_not_free_what_it_may_have_spent(postgres: str) -> None:
    accounts = accounts_at(postgres)
    budget = 30_000
    secret, _ = accounts.register.create("a", Terms(usd_total=budget / 1e9), NOW)
    first, victim = spawn(postgres, secret, 1, 1000), spawn(postgres, secret, 2, 10_000)
    assert victim.stdout is not None
    spent = [int(victim.stdout.readline()) for _ in range(60)]
    victim.kill()
    total = sum(spent) + bills(victim) + bills(first)
    (line,) = accounts.vault.spending()
    assert total <= line.spent + line.leased <= budget
    Vault(accounts._database, "later").sweep(4_000_000_000)
    (line,) = accounts.vault.spending()
    assert line.leased == 0
    assert total <= line.spent <= budget


def test_requests_a_minute_are_shared(postgres: str) -> None:
    accounts = accounts_at(postgres)
    (period,) = periods(Limits(rpm=30), NOW)

    async def run() -> int:
        banks = [Bank(Vault(open_any(postgres, Path("x")), f"p{n}"), clock=lambda: NOW) for n in range(3)]
        for bank in banks:
            bank._vault._database.migrate(ROOM, STEPS)
        taken = 0
        for _ in range(20):
            for bank in banks:
                taken += await bank.take([(bank.purse("key/a", period), 1)]) is None
        return taken

    assert accounts.vault is not None
    assert asyncio.run(run()) == 30


def test_processes_that_start_together_make_the_tables_once(postgres: str) -> None:
    found: list[object] = []

    def start() -> None:
        try:
            found.append(accounts_at(postgres))
        except StoreError as fault:
            found.append(fault)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(one) for one in found] == [Accounts] * 4


def test_a_key_made_by_one_process_is_known_to_the_other(postgres: str) -> None:
    one, other = accounts_at(postgres), accounts_at(postgres)
    secret, _ = one.register.create("a", Terms(tags=("x",)), NOW)
    other.refresh()
    key = other.keys.check(None, secret)
    assert key is not None
    assert (key.name, key.tags) == ("a", ("x",))


def test_leases_of_the_dead_and_late_reports(postgres: str) -> None:
    vault = accounts_at(postgres).vault
    (grant,) = vault.lease([Ask(NAME, 1000, 0, 100, 300)], NOW)
    assert (grant.given, grant.left) == (300, 700)
    assert vault.report([Report(NAME, 50, 100)], NOW) == [True]
    vault.sweep(NOW + DEAD_S + 1)
    (line,) = vault.spending()
    assert (line.spent, line.leased) == (200, 0)
    assert vault.report([Report(NAME, 50, 100)], NOW) == [False]


def test_a_connection_that_was_cut_is_made_again(postgres: str) -> None:
    accounts = accounts_at(postgres)
    accounts._database._conn.close()  # type: ignore[attr-defined]
    assert accounts.register.all() == []


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        accounts_at(f"postgresql://someone:pa55word@/x?host={tmp_path}")
    assert "pa55word" not in str(caught.value)
