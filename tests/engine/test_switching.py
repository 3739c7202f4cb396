"""The price of a switch: when a conversation may go down to a smaller model."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from smallfirst.core import (
    NANO,
    Attempt,
    DataClass,
    Dials,
    Entry,
    Model,
    Needs,
    Outcome,
    Price,
    Query,
    Reason,
    Replica,
    Status,
    Tier,
    Usage,
)
from smallfirst.engine.sessions import Sessions
from smallfirst.engine.settings import SessionSettings


def price(given: float, cached: float, out: float) -> Price:
    """Dollars per million tokens."""
    return Price(round(given * NANO), round(out * NANO), round(cached * NANO), "test")


AT = (Replica("p", "http://x", "m"),)
MODELS = {
    "haiku": Model("haiku", "slm", AT, price=price(1.0, 0.1, 5.0)),
    "own": Model("own", "slm", AT, price=price(0.1, 0.1, 0.1)),
    "sonnet": Model("sonnet", "frontier", AT, price=price(3.0, 0.3, 15.0)),
}
TIERS = (Tier("slm", ("haiku", "own")), Tier("frontier", ("sonnet",)))
MESSAGES = msgspec.Raw(b'[{"role":"user","content":"x"}]')
LONG, SHORT = 50_000, 2_000


def entry(usage: Usage, model: str = "sonnet", tried: str = "") -> Entry:
    """A turn that `model` answered; `tried`: who had read it before."""
    tier = MODELS[model].tier
    calls = [Outcome(name, Status.ok, usage=usage) for name in (tried, model) if name]
    attempts = tuple(Attempt(n, "answer", outcome) for n, outcome in enumerate(calls, 1))
    return Entry(
        id="e", at_us=0, asked="auto", policy="auto", key_id="a", tags=(), session=None, data_class=DataClass.internal,
        kind="faq", complexity=0.1, reason=Reason.accepted, status=200, served_model=model, served_tier=tier,
        attempts=attempts, cost=0, baseline_cost=None, baseline_method="", latency_us=1, overhead_us=1, stream=False,
        would_escalate=False, deferrals=(),
    )  # fmt: skip


class Talks:
    """One conversation with sonnet, of so many tokens."""

    def __init__(self, tokens: int = LONG, tried: str = "", **settings: Any) -> None:
        self.now = 0.0
        self.sessions = Sessions(SessionSettings(ttl_s=3600, **settings), clock=lambda: self.now)
        self.query = Query("q", "auto", "x", {"messages": MESSAGES}, Needs(input_tokens=tokens + 100))
        self.found = self.sessions.find(self.query, "a") or (b"", False)
        self.sessions.note(self.found, entry(Usage(tokens, 300), tried=tried), 300)

    def lower(self, **chances: float) -> tuple[str, ...]:
        """The models of the tier below that are open to its next turn."""
        known = {"haiku": 0.95, "own": 0.95, **chances}
        tiers = self.sessions.narrow(self.found, TIERS, MODELS, self.query, known)
        return next((tier.models for tier in tiers if tier.name == "slm"), ())


def test_a_cheap_model_is_not_taken_where_reading_it_all_again_costs_more_than_staying() -> None:
    """Sonnet: 50,000 at 0.30 + 100 at 3 + 300 at 15 = $0.0198. Haiku: 50,100 at 1 + 300 at 5 = $0.0516. The own model
    reads everything for $0.005."""
    assert Talks(LONG).lower() == ("own",)
    assert MODELS["sonnet"].price.cost(Usage(50_100, 300, 50_000)) == 19_800_000
    assert MODELS["haiku"].price.cost(Usage(50_100, 300)) == 51_600_000
    assert Talks(LONG, cache_s=0).lower() == ("own",)  # the cache is warm at the very moment
    short = Talks(SHORT)  # 2,100 at 1 + 300 at 5 = $0.0036 against 2,000 at 0.3 + 100 at 3 + 300 at 15 = $0.0054
    assert short.lower() == ("haiku", "own")


def test_an_answer_that_is_likely_to_be_handed_up_is_paid_in_vain() -> None:
    assert Talks(SHORT).lower(haiku=0.7, own=0.04) == ("haiku",)
    assert Talks(SHORT).lower(haiku=0.6) == ("own",)


def test_a_model_that_has_read_it_lately_need_not_read_it_all_again() -> None:
    """Handed up a moment ago: both caches are warm; haiku takes 50,000 at 0.1 + 100 at 1 + 300 at 5 = $0.0066."""
    assert Talks(LONG, tried="haiku").lower() == ("haiku", "own")


def test_over_several_turns_the_switch_pays() -> None:
    """Haiku reads it once for $0.0516, then for 0.0065 a turn; sonnet takes 0.0198 a turn, and haiku's 95% of that."""
    assert Talks(LONG, horizon=3).lower() == ("own",)
    assert Talks(LONG, horizon=5).lower() == ("haiku", "own")


def test_a_cache_that_has_gone_cold_holds_nobody() -> None:
    talks = Talks(LONG, cache_s=300)
    talks.now = 301
    assert talks.lower() == ("haiku", "own")


def test_an_upstream_that_read_nothing_from_its_cache_is_not_counted_on_again() -> None:
    talks = Talks(LONG)
    talks.sessions.note(talks.found, entry(Usage(LONG, 300, 0)), 300)
    assert talks.lower() == ("haiku", "own")
    talks.sessions.note(talks.found, entry(Usage(LONG, 300, LONG)), 300)
    assert talks.lower() == ("own",)
    talks.sessions.note(talks.found, entry(Usage(LONG, 300, estimated=True)), 300)  # nobody counted: as before
    assert talks.lower() == ("own",)


def test_a_model_without_a_price_is_not_argued_about() -> None:
    talks = Talks(LONG)
    models = {**MODELS, "haiku": Model("haiku", "slm", AT)}
    kept = talks.sessions.narrow(talks.found, TIERS, models, talks.query, {})
    assert kept[0].models == ("haiku", "own")


@pytest.mark.parametrize("dials", [Dials(), Dials(session="mine")])
def test_with_a_configured_key_every_process_knows_the_conversation_by_the_same_name(dials: Dials) -> None:
    query = Query("q", "auto", "x", {"messages": MESSAGES}, dials=dials)

    def name(key: str | None, caller: str = "a") -> bytes:
        found = Sessions(SessionSettings(ttl_s=60, key=key)).find(query, caller)
        return found[0] if found else b""

    assert name("secret" * 20) == name("secret" * 20)
    assert name("secret") != name("other")
    assert name("secret") != name("secret", caller="b")
    assert name(None) != name(None)
