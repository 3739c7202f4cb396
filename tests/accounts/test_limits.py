"""Which periods are counted when, and spans of time."""

import datetime as dt

import pytest

from smallfirst.accounts.limits import Limits, periods
from smallfirst.accounts.spans import seconds


def at(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


def test_each_limit_has_its_period_and_its_end():
    limits = Limits(usd_per_day=1.5, usd_per_month=20, usd_total=100, rpm=60, tpm=1000)
    now = at("2026-12-31T23:59:59")
    found = {p.name: (p.unit, p.cap, p.ends_s) for p in periods(limits, now)}
    minute = int(now) // 60
    year = int(at("2027-01-01T00:00:00"))
    assert found == {
        f"requests/{minute}": ("requests", 60, year),
        f"tokens/{minute}": ("tokens", 1000, year),
        "usd/2026-12-31": ("usd", 1_500_000_000, year),
        "usd/2026-12": ("usd", 20_000_000_000, year),
        "usd/total": ("usd", 100_000_000_000, 0),
    }


def test_no_limit_is_no_period():
    assert periods(Limits(), 0.0) == ()
    assert not Limits().any
    assert not Limits(rpm=1).money
    assert Limits(usd_total=1).money


@pytest.mark.parametrize(
    ("text", "wanted"), [("90s", 90), ("15m", 900), ("12h", 43200), ("30d", 2592000), ("2w", 1209600)]
)
def test_spans(text, wanted):
    assert seconds(text) == wanted


@pytest.mark.parametrize("text", ["", "12", "h", "-3d", "1.5h", "3 years", "9999999d"])
def test_what_is_no_span(text):
    with pytest.raises(ValueError, match="no span of time"):
        seconds(text)
