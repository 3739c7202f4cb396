"""Once sensitive, a session stays so: after a restart, and in every process that shares the ledger."""

from __future__ import annotations

import asyncio

import pytest

from smallfirst.core import DataClass
from smallfirst.errors import LedgerError
from smallfirst.ledger.floors import LedgerFloors
from smallfirst.store.connection import open_to_write
from tests.ledger.stores import change, rows, write

DAY_US = 86_400_000_000


@pytest.fixture
def floors(place):
    """Makes the floors of one process; the ledger's secret is the same for all."""
    names = write(place, []).names
    made = []

    def process(days=30.0):
        made.append(LedgerFloors(place, names, DataClass.internal, days))
        return made[-1]

    yield process
    for one in made:
        one.close()


def ask(floors, session, data_class, key="k"):
    return asyncio.run(floors.raised(key, session, data_class))


def test_a_floor_survives_a_restart_and_holds_for_its_key_alone(place, floors):
    first = floors()
    assert ask(first, "s", DataClass.internal) is DataClass.internal
    assert rows(place, "SELECT * FROM session") == [], "what every query is needs no row"
    assert ask(first, "s", DataClass.health) is DataClass.health
    first.close()
    second = floors()
    assert ask(second, "s", DataClass.public) is DataClass.health
    assert ask(second, "s", DataClass.internal, key="another") is DataClass.internal
    assert ask(second, "other", DataClass.internal) is DataClass.internal
    assert "s" not in rows(place, "SELECT id FROM session")[0]


def test_processes_see_each_others_floors_at_once_and_none_lowers_one(floors):
    one, other = floors(), floors()
    assert ask(one, "s", DataClass.personal) is DataClass.personal
    assert ask(other, "s", DataClass.financial) is DataClass.financial
    assert ask(one, "s", DataClass.health) is DataClass.financial
    assert ask(other, "s", DataClass.internal) is DataClass.financial


def test_many_at_once_get_at_least_their_own(floors):
    made = floors()

    async def all_at_once():
        classes = [DataClass(n % 6) for n in range(60)]
        found = await asyncio.gather(*(made.raised("k", f"s{n % 10}", of) for n, of in enumerate(classes)))
        assert all(floor >= of for floor, of in zip(found, classes, strict=True))

    asyncio.run(all_at_once())


def test_a_session_is_forgotten_after_its_time_and_kept_while_it_goes_on(place, floors):
    made = floors(days=30)
    ask(made, "s", DataClass.health)
    change(place, f"UPDATE session SET expires_at = expires_at - {20 * DAY_US}")
    (before,) = rows(place, "SELECT expires_at FROM session")
    assert ask(made, "s", DataClass.public) is DataClass.health
    (after,) = rows(place, "SELECT expires_at FROM session")
    assert after[0] - before[0] > 19 * DAY_US, "a turn gives it its time anew"
    change(place, f"UPDATE session SET expires_at = expires_at - {31 * DAY_US}")
    assert ask(made, "s", DataClass.public) is DataClass.internal


def test_what_cannot_be_known_or_kept_is_an_error(place, floors):
    made = floors()
    ask(made, "s", DataClass.health)
    conn = open_to_write(place)
    conn.execute("ALTER TABLE session RENAME TO elsewhere")
    with pytest.raises(LedgerError, match="can't be known"):
        ask(made, "s", DataClass.internal)
    conn.execute("ALTER TABLE elsewhere RENAME TO session")
    conn.close()
    assert ask(made, "s", DataClass.internal) is DataClass.health, "and it recovers"
    made.close()
    with pytest.raises(LedgerError, match="closed"):
        ask(made, "s", DataClass.internal)
