"""A disk that is really full under the ledger, and a wall clock that jumps, before a running gateway."""

from __future__ import annotations

import http.client
import json
import sqlite3
import threading
import time
from typing import Any

import openai
import pytest

from smallfirst.accounts.keys import Terms
from smallfirst.core import Usage
from smallfirst.engine.gates import ResilienceSettings
from smallfirst.ledger.queries import open_ledger, summary
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.models.loopback import fault
from smallfirst.models.scripted import Reply

GOOD = Reply(text="Hello there, friend.", usage=Usage(10, 5))
DAY_S = 86_400.0
PERSONAL = {"smallfirst": {"data_class": "personal"}}


def until(true: Any) -> None:
    for _ in range(400):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to that")


def ready(up: Any) -> dict[str, str]:
    connection = http.client.HTTPConnection(up.root.removeprefix("http://"), timeout=5)
    connection.request("GET", "/ready")
    parts: dict[str, str] = json.loads(connection.getresponse().read())["parts"]
    connection.close()
    return parts


class Full:
    """SQLite's own limit on a database's pages: a commit beyond it fails as on a disk that is full (SQLITE_FULL)."""

    def __init__(self, up: Any) -> None:
        self._ledger = up.app.ledger
        self._ledger.flush()
        (pages,) = self._ledger._conn.execute("PRAGMA page_count").fetchone()
        self._ledger._conn.execute(f"PRAGMA max_page_count = {pages}")
        threading.Event().wait(0.01)

    def mend(self) -> None:
        self._ledger._conn.execute("PRAGMA max_page_count = 1000000")


def test_with_a_full_disk_it_serves_on_and_says_so_and_nothing_is_lost(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, sections={"ledger": LedgerSettings(batch_ms=2)})
    up.ask()
    full = Full(up)
    asked = 1
    while not up.app.ledger.failing:  # what fits into the pages that are there is still written
        up.ask("fill " * 20, extra_body={"smallfirst": {"tags": ["x" * 200] * 16}})
        asked += 1
        assert asked < 300
    assert "full" in up.app.ledger.state.trouble
    assert ready(up)["ledger"] == "failing"
    assert up.ask().headers["x-smallfirst-reason"] == "only_tier"
    personal, refused = 0, False
    while not refused:  # above `internal` nothing may leave that is not recorded; small rows fit in for a while
        sent = up.seen("small")
        try:
            up.ask(extra_body=PERSONAL)
            personal += 1
        except openai.InternalServerError as error:
            assert (error.status_code, error.code) == (503, "ledger_unavailable")  # noqa: PT017 - after some
            refused = True
        assert personal < 100
    assert up.seen("small") == sent
    full.mend()
    until(lambda: not up.app.ledger.failing and not up.app.ledger.backlog)
    up.ask(extra_body=PERSONAL)
    up.app.ledger.flush()
    assert up.app.ledger.dropped == 0
    conn = open_ledger(up.app.ledger_path)
    assert summary(conn, 0, 1 << 60).requests == len(up.entries) == asked + personal + 3
    conn.close()


def test_with_a_full_disk_it_refuses_where_it_is_told_to(stage: Any) -> None:
    up = stage(small=lambda _: GOOD, sections={"ledger": LedgerSettings(batch_ms=2, on_fault="refuse")})
    up.ask()
    full = Full(up)
    for _ in range(300):
        try:
            up.ask("fill " * 20, extra_body={"smallfirst": {"tags": ["x" * 200] * 16}})
        except openai.InternalServerError as error:
            assert (error.status_code, error.code) == (503, "ledger_unavailable")  # noqa: PT017 - one of many calls
            break
    else:
        raise AssertionError("the disk was never full")
    sent = up.seen("small")
    with pytest.raises(openai.InternalServerError):
        up.ask()
    assert up.seen("small") == sent
    full.mend()
    until(lambda: not up.app.ledger.failing)
    assert up.ask().headers["x-smallfirst-reason"] == "only_tier"


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the wall clock is off by; the monotonic clock goes on as it does."""
    off = [0.0]
    seconds, nanoseconds = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: seconds() + off[0])
    monkeypatch.setattr(time, "time_ns", lambda: nanoseconds() + int(off[0] * 1e9))
    return off


def test_whatever_the_wall_clock_does_entries_are_in_order_and_take_as_long_as_they_took(
    stage: Any, wall: list[float]
) -> None:
    up = stage(small=lambda _: GOOD)
    for jump in (0.0, -DAY_S, 30 * DAY_S, -3600.0, 0.5, -40 * DAY_S):
        wall[0] = jump
        up.ask()
    up.app.ledger.flush()
    with sqlite3.connect(up.app.ledger_path) as conn:
        rows = conn.execute("SELECT seq, id, latency_us, overhead_us FROM request ORDER BY rowid").fetchall()
        (calls,) = conn.execute("SELECT min(latency_us) >= 0 AND min(after_us) >= 0 FROM attempt").fetchone()
    assert [seq for seq, *_ in rows] == [1, 2, 3, 4, 5, 6]
    assert len({request for _, request, *_ in rows}) == 6
    assert all(0 <= overhead <= latency < 60_000_000 for *_, latency, overhead in rows)
    assert calls
    reader = open_ledger(up.app.ledger_path)
    assert summary(reader, 0, 1 << 60).requests == 6  # the hours that the clock went through hold them all
    reader.close()


def test_a_clock_that_jumps_gives_no_period_its_budget_twice(stage: Any, wall: list[float]) -> None:
    """What a day has spent stays spent when the clock comes back to it, and so does what was ever spent."""
    up = stage(small=lambda _: Reply(text="Hello.", usage=Usage(100, 50)))
    up.app.accounts._bank.clock = lambda: time.time()  # noqa: PLW0108 - the one of the moment, not today's
    terms = Terms(usd_per_day=300 / 1e6, usd_total=500 / 1e6)
    secret, _ = up.app.accounts.register.create("a", terms, int(time.time()))
    up.app.accounts.refresh()
    client = openai.OpenAI(base_url=up.url, api_key=secret, max_retries=0, timeout=20)

    def served() -> bool:
        try:
            client.chat.completions.create(model="auto", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
        except openai.RateLimitError as error:
            assert error.code == "insufficient_quota"  # noqa: PT017 - or it was served
            return False
        return True

    assert (served(), served()) == (True, False)  # a call costs 200
    wall[0] = -DAY_S
    assert not served()  # going back opens no day that was closed
    wall[0] = DAY_S
    assert (served(), served()) == (True, False)
    for jump in (0.0, -DAY_S, DAY_S, 2 * DAY_S, 40 * DAY_S):
        wall[0] = jump
        assert not served()  # and on a new day, 400 of the 500 are gone for ever
    assert up.seen("small") == 2


def test_waiting_is_by_the_clock_that_does_not_jump(stage: Any, wall: list[float]) -> None:
    """A circuit breaker rests for as long as it was told to, whatever day it is said to be."""
    up = stage(small=lambda _: fault(500), sections={"resilience": ResilienceSettings(break_after=2, rest_s=100)})
    with pytest.raises(openai.InternalServerError):
        up.ask()
    sent = up.seen("small")
    for jump in (DAY_S, -DAY_S):
        wall[0] = jump
        with pytest.raises(openai.InternalServerError) as caught:
            up.ask()
        assert caught.value.code == "overloaded"
    assert up.seen("small") == sent
