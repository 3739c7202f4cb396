"""What a key or a team may do and spend, and in which periods that is counted.

Pure: the time is handed in. Does not know who is calling, nor what has been spent (purses.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

from smallfirst.core import NANO

Unit = Literal["usd", "requests", "tokens"]
"""Money is counted in nano-dollars."""

MINUTE_S = 60


class Limits(msgspec.Struct, frozen=True):
    """None: no limit. Dollars as a person writes them."""

    usd_per_day: float | None = None
    usd_per_month: float | None = None
    usd_total: float | None = None
    rpm: int | None = None
    tpm: int | None = None

    @property
    def any(self) -> bool:
        return self != _NONE

    @property
    def money(self) -> bool:
        return not (self.usd_per_day is None and self.usd_per_month is None and self.usd_total is None)


_NONE = Limits()


class Period(msgspec.Struct, frozen=True):
    """One span in which something is counted against a cap. `name` is how the database knows it; `ends_s` 0: never."""

    unit: Unit
    name: str
    cap: int  # nano-dollars, requests or tokens
    ends_s: int
    words: str  # "daily budget"


def limits_of(settings: msgspec.Struct) -> Limits:
    """The limits among the fields of a key's or a team's settings."""
    return Limits(**{field: getattr(settings, field) for field in Limits.__struct_fields__})


def limit_problems(limits: Limits) -> list[tuple[str, str]]:
    """(field, words) for each figure that makes no sense."""
    return [
        (field, "must be above 0; leave it out for no limit")
        for field in Limits.__struct_fields__
        if (value := getattr(limits, field)) is not None and not 0 < value < 1e9
    ]


def periods(limits: Limits, now_s: float) -> tuple[Period, ...]:
    """What is counted now, the cheapest to refuse first. Days and months are UTC's."""
    found: list[Period] = []
    minute = int(now_s) // MINUTE_S
    ends = (minute + 1) * MINUTE_S
    if limits.rpm is not None:
        found.append(Period("requests", f"requests/{minute}", limits.rpm, ends, "requests a minute"))
    if limits.tpm is not None:
        found.append(Period("tokens", f"tokens/{minute}", limits.tpm, ends, "tokens a minute"))
    today = dt.datetime.fromtimestamp(now_s, dt.UTC).date()
    if limits.usd_per_day is not None:
        found.append(_money(f"usd/{today}", limits.usd_per_day, today + dt.timedelta(days=1), "daily budget"))
    if limits.usd_per_month is not None:
        after = (today.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
        found.append(_money(f"usd/{today:%Y-%m}", limits.usd_per_month, after, "monthly budget"))
    if limits.usd_total is not None:
        found.append(_money("usd/total", limits.usd_total, None, "budget"))
    return tuple(found)


def _money(name: str, usd: float, ends: dt.date | None, words: str) -> Period:
    ends_s = 0 if ends is None else int(dt.datetime(ends.year, ends.month, ends.day, tzinfo=dt.UTC).timestamp())
    return Period("usd", name, round(usd * NANO), ends_s, words)
