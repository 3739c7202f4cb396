"""The summary agrees with sums made the slow way from the entries themselves."""

import asyncio
import math
from collections import Counter

import pytest
from entries import NOW, attempt, entry, intent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smallfirst.core import Reason
from smallfirst.errors import LedgerError
from smallfirst.ledger.queries import open_intents, open_ledger, summary
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.ledger.summary import Percentiles
from smallfirst.ledger.writer import Ledger
from smallfirst.store.sqlite import open_database


def written(path, entries, intents=()):
    """A read-only connection to a ledger that holds these."""
    ledger = Ledger.open(LedgerSettings(batch_ms=1), path)
    for each in entries:
        ledger.record(each)

    async def go():
        for each in intents:
            await ledger.intent(each)

    asyncio.run(go())
    ledger.close()
    assert ledger.dropped == 0
    return open_ledger(path)


@st.composite
def some_entries(draw):
    entries = []
    for i in range(draw(st.integers(0, 30))):
        tier = draw(st.sampled_from(["slm", "mid", "frontier", "attic", None]))
        attempts = tuple(
            attempt(n, cost=draw(st.integers(0, 99)), tokens=draw(st.integers(0, 2)))
            for n in range(draw(st.integers(0, 3)))
        )
        entries.append(
            entry(
                i,
                attempts=attempts,
                served_tier=tier,
                reason=Reason.accepted if tier else draw(st.sampled_from([Reason.failed, Reason.client_gone])),
                baseline_cost=draw(st.none() | st.integers(0, 500)) if tier else None,
                baseline_method=draw(st.sampled_from(["served", "list price"])),
                kind=draw(st.sampled_from(["faq", "code"])),
                latency_us=draw(st.integers(0, 50)),
                would_escalate=draw(st.booleans()),
                deferrals=tuple(draw(st.lists(st.sampled_from(["invalid", "unprobed"]), max_size=2))),
                status=200 if tier else 502,
            )
        )
    return entries


def nearest(values, percent):
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)] if values else 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=some_entries())
def test_summary_is_the_sum_of_the_entries(tmp_path_factory, entries):
    conn = written(tmp_path_factory.mktemp("q") / "ledger.db", entries)
    found = summary(conn, 0, NOW * 2)
    conn.close()
    served = [e for e in entries if e.served_tier]
    assert found.requests == len(entries)
    assert {t.tier: t.requests for t in found.tiers} == Counter(e.served_tier for e in served)
    assert [t.tier for t in found.tiers] == [
        t for t in ("slm", "mid", "frontier", "attic") if t in {e.served_tier for e in served}
    ]
    assert found.failed == sum(e.reason is Reason.failed for e in entries)
    assert found.gone == sum(e.reason is Reason.client_gone for e in entries)
    assert found.errors == len(entries) - len(served)
    assert found.cost == sum(e.cost for e in entries)
    assert found.attempts == sum(len(e.attempts) for e in entries)
    assert found.baseline_cost == sum(e.baseline_cost or 0 for e in entries)
    assert found.compared_cost == sum(e.cost for e in entries if e.baseline_cost is not None or not e.served_tier)
    assert sum(found.baseline_methods.values()) == found.with_baseline
    assert found.deferrals == Counter(word for e in entries for word in e.deferrals)
    assert found.decisions == Counter(e.reason for e in entries)
    assert found.would_escalate == sum(e.would_escalate for e in entries)
    assert found.unpriced == sum(
        a.outcome.cost == 0 and a.outcome.usage.input_tokens > 0 for e in entries for a in e.attempts
    )
    assert sum(k.requests for k in found.kinds) == len(entries)
    assert sum(k.cost for k in found.kinds) == found.cost
    groups = {t.tier: [e.latency_us for e in served if e.served_tier == t.tier] for t in found.tiers}
    assert {t.tier: t.latency for t in found.tiers} == {
        tier: Percentiles(nearest(values, 50), nearest(values, 95)) for tier, values in groups.items()
    }
    everyone = [e.latency_us for e in entries]
    assert found.latency == Percentiles(nearest(everyone, 50), nearest(everyone, 95))


def test_the_window_holds_its_start_and_not_its_end(tmp_path):
    conn = written(tmp_path / "ledger.db", [entry(i) for i in range(10)])
    found = summary(conn, NOW + 2, NOW + 5)
    assert (found.requests, found.first_us, found.last_us) == (3, NOW + 2, NOW + 4)
    conn.close()


def test_saving_counts_what_failures_cost(tmp_path):
    conn = written(
        tmp_path / "ledger.db",
        [
            entry(0, attempts=(attempt(0, cost=30),), baseline_cost=100),
            entry(1, attempts=(attempt(0, cost=20),), baseline_cost=None, served_tier=None, reason=Reason.failed),
            entry(2, attempts=(attempt(0, cost=999),), baseline_cost=None),  # served, but nothing to compare with
        ],
    )
    found = summary(conn, 0, NOW * 2)
    assert found.saving == pytest.approx(0.5)
    assert not found.cost_is_lower_bound
    conn.close()


def test_without_a_baseline_there_is_no_saving(tmp_path):
    conn = written(tmp_path / "ledger.db", [entry(0, baseline_cost=None)])
    assert summary(conn, 0, NOW * 2).saving is None
    conn.close()


def test_reading_goes_on_beside_a_writer(tmp_path):
    path = tmp_path / "ledger.db"
    ledger = Ledger.open(LedgerSettings(batch_ms=1), path)
    conn = open_ledger(path)
    for i in range(3):
        ledger.record(entry(i))
        ledger.flush()
        assert summary(conn, 0, NOW * 2).requests == i + 1
    conn.close()
    ledger.close()


def test_intents_without_an_entry_are_open(tmp_path):
    conn = written(tmp_path / "ledger.db", [entry(1)], [intent(0), intent(1), intent(2, models=("a", "b"))])
    assert [(i.request_id, i.models) for i in open_intents(conn, NOW * 2)] == [
        ("req_00000000", ("small",)),
        ("req_00000002", ("a", "b")),
    ]
    assert [i.request_id for i in open_intents(conn, NOW + 2)] == ["req_00000000"]
    assert len(open_intents(conn, NOW * 2, limit=1)) == 1
    conn.close()


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(LedgerError, match=r"no ledger at .*absent\.db"):
        open_ledger(tmp_path / "absent.db")
    open_database(tmp_path / "other.db").close()
    with pytest.raises(LedgerError, match=r"other\.db: .*holds no tables"):
        open_ledger(tmp_path / "other.db")
    conn = written(tmp_path / "ledger.db", [entry(0)])
    other = open_database(tmp_path / "ledger.db")
    other.execute("DROP TABLE request")
    other.close()
    with pytest.raises(LedgerError, match="can't be read"):
        summary(conn, 0, 1)
    conn.close()
