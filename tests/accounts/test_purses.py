"""What is spent never passes a cap, whoever asks at the same time, and the vault ends with the sum."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallfirst.accounts.limits import Limits, periods
from smallfirst.accounts.migrations import ROOM, STEPS
from smallfirst.accounts.purses import Bank, Purse
from smallfirst.accounts.vault import DEAD_S, Ask, Report, Vault
from smallfirst.errors import StoreError
from smallfirst.store.database import SqliteDatabase

NOW = 1_800_000_000.0
(BUDGET,) = periods(Limits(usd_total=1e-6), NOW)  # 1,000 nano-dollars
NAME = ("key/a", BUDGET.name)


@pytest.fixture
def database(tmp_path):
    database = SqliteDatabase(tmp_path / "keys.db")
    database.migrate(ROOM, STEPS)
    yield database
    database.close()


def spent(database):
    return {(line.scope, line.period): (line.spent, line.leased) for line in Vault(database, "reader").spending()}


def bank(database, process="p"):
    return Bank(Vault(database, process), clock=lambda: NOW)


async def call(bank, purse, most, used):
    """One call that may cost `most` and costs `used`; what it spent."""
    if not bank.take_now([(purse, most)]) and await bank.take([(purse, most)]) is not None:
        return 0
    await asyncio.sleep(0)
    purse.settle(most, used)
    return used


def test_many_at_once_never_pass_the_cap(database):
    async def run():
        mine = bank(database)
        purse = mine.purse("key/a", BUDGET)
        total = sum(await asyncio.gather(*[call(mine, purse, 100, 60) for _ in range(200)]))
        await mine.close()
        return total

    total = asyncio.run(run())
    assert 900 <= total <= 1000
    assert spent(database)[NAME] == (total, 0)


def test_three_banks_share_one_cap(database):
    async def run():
        banks = [bank(database, f"p{n}") for n in range(3)]
        rng = random.Random(7)
        total = 0
        for _ in range(30):
            calls = [call(one, one.purse("key/a", BUDGET), 20, rng.randint(0, 20)) for one in banks for _ in range(3)]
            total += sum(await asyncio.gather(*calls))
            (state,) = spent(database).values()
            assert sum(state) <= 1000
            for one in banks:
                await one.tick()
        for one in banks:
            await one.close()
        return total

    total = asyncio.run(run())
    assert 800 <= total <= 1000
    assert spent(database)[NAME] == (total, 0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 300), st.floats(0, 1)), max_size=40), st.integers(1, 5))
def test_any_mixture_of_calls_keeps_within_the_cap(tmp_path_factory, calls, every):
    database = SqliteDatabase(tmp_path_factory.mktemp("h") / "keys.db")
    database.migrate(ROOM, STEPS)

    async def run():
        mine = bank(database)
        purse, total = mine.purse("key/a", BUDGET), 0
        for start in range(0, len(calls), every):
            batch = [call(mine, purse, most, int(most * share)) for most, share in calls[start : start + every]]
            total += sum(await asyncio.gather(*batch))
            await mine.tick()
        await mine.close()
        return total

    total = asyncio.run(run())
    left = spent(database).get(NAME, (0, 0))
    assert left == (total, 0)
    assert total <= 1000
    database.close()


def test_either_all_purses_or_none(database):
    (small,) = periods(Limits(usd_total=1e-8), NOW)  # 10 nano-dollars

    async def run():
        mine = bank(database)
        key, team = mine.purse("key/a", BUDGET), mine.purse("team/t", small)
        assert await mine.take([(key, 50), (team, 50)]) is team
        assert (key.held, team.held) == (0, 0)
        assert await mine.take([(key, 10), (team, 10)]) is None
        assert (key.held, team.held) == (10, 10)

    asyncio.run(run())


def test_what_is_known_to_be_used_up_is_not_asked_for_again(database):
    async def run():
        mine = bank(database)
        purse = mine.purse("key/a", BUDGET)
        assert await mine.take([(purse, 2000)]) is purse
        asked = []
        mine._vault.lease = lambda *given: asked.append(given)
        assert await mine.take([(purse, 2000)]) is purse
        assert asked == []

    asyncio.run(run())


def test_idle_leases_go_back_for_others(database):
    async def run():
        mine = bank(database)
        purse = mine.purse("key/a", BUDGET)
        await call(mine, purse, 10, 5)
        await mine.tick()
        await mine.tick()
        assert spent(database)[NAME] == (5, 0)
        assert purse.remaining == 995

    asyncio.run(run())


def test_a_dead_process_counts_as_having_spent_its_lease(database):
    vault = Vault(database, "dead")
    (grant,) = vault.lease([Ask(NAME, 1000, 0, 100, 300)], NOW)
    assert (grant.given, grant.left) == (300, 700)
    other = Vault(database, "alive")
    other.sweep(NOW + DEAD_S)
    assert spent(database)[NAME] == (0, 300)
    other.sweep(NOW + DEAD_S + 1)
    assert spent(database)[NAME] == (300, 0)
    assert vault.report([Report(NAME, 20, 280)], NOW + DEAD_S + 2) == [False]  # it only slept: too late
    assert spent(database)[NAME] == (300, 0)


def test_a_lease_that_was_taken_away_is_not_spent_from(database):
    async def run():
        mine = bank(database)
        purse = mine.purse("key/a", BUDGET)
        assert await mine.take([(purse, 40)]) is None
        Vault(database, "other").sweep(NOW + DEAD_S + 1)
        purse.settle(40, 30)
        await mine.tick()
        assert spent(database)[NAME][0] >= 30
        assert purse.rest <= 0
        assert await mine.take([(purse, 2000)]) is purse

    asyncio.run(run())


def test_without_the_vault_nothing_is_spent(database):
    async def run():
        mine = bank(database)

        def broken(*given):
            raise StoreError("gone")

        mine._vault.lease = broken
        purse = mine.purse("key/a", BUDGET)
        with pytest.raises(StoreError):
            await mine.take([(purse, 1)])
        with pytest.raises(StoreError):  # at once, without asking again
            await mine.take([(purse, 1)])

    asyncio.run(run())


def test_a_report_that_fails_is_made_later(database):
    async def run():
        mine = bank(database)
        purse = mine.purse("key/a", BUDGET)
        await call(mine, purse, 10, 7)
        real = mine._vault.report

        def broken(*given):
            raise StoreError("gone")

        mine._vault.report = broken
        await mine.tick()
        assert purse.spent == 7
        mine._vault.report = real
        await mine.tick()
        assert spent(database)[NAME][0] == 7

    asyncio.run(run())


def test_a_changed_cap_keeps_the_lease(database):
    async def run():
        mine = bank(database)
        purse = mine.purse("key/a", BUDGET)
        assert await mine.take([(purse, 10)]) is None
        (larger,) = periods(Limits(usd_total=2e-6), NOW)
        assert mine.purse("key/a", larger) is purse
        assert await mine.take([(purse, 1900)]) is None

    asyncio.run(run())


def test_an_upstream_that_counts_more_than_was_reserved_is_booked_in_full(database):
    purse = Purse("key/a", BUDGET)
    purse.rest, purse.held = 0, 10
    purse.settle(10, 15)
    assert (purse.rest, purse.held, purse.spent) == (-5, 0, 15)
