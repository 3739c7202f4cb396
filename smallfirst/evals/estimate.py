"""What a mix of tiers would cost, from a price per query and no traffic.

Knows arithmetic on ranges of prices, in exact decimals. Does not know models, tokens or the ledger: for what a
configuration really costs, send it traffic and read the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import msgspec

from smallfirst.errors import ConfigError

TIERS = ("slm", "mid", "frontier")
USUAL_PRICES = "slm=0.0001-0.001,mid=0.001-0.005,frontier=0.03"
"""Dollars a query, as usually quoted for the three tiers."""
USUAL_MIX = "80/15/5"
QUOTED_QUERIES = Decimal(10_000_000)
QUOTED_USD = Decimal(45_000)
"""The monthly cost that is often quoted for 10 million queries at 80/15/5; `quoted_claim` checks it."""


class Range(msgspec.Struct, frozen=True):
    """A figure that is known to lie between two; both the same where it is known exactly."""

    low: Decimal
    high: Decimal

    def times(self, factor: Decimal) -> Range:
        """For a factor of at least 0."""
        return Range(self.low * factor, self.high * factor)

    def plus(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)


class Sums(msgspec.Struct, frozen=True):
    """Dollars a month and a year, and what is saved of the all-frontier cost (0..1; below 0: it costs more)."""

    monthly: Range
    yearly: Range
    saving: Range


class Estimate(msgspec.Struct, frozen=True):
    """`routed`: each query is sent to one tier, rightly, at once. `cascaded`: each starts at the lowest tier, and a
    query that is handed up has paid for every attempt below as well."""

    queries: Decimal  # a month
    mix: Mapping[str, Decimal]  # percent, by the tier that serves
    prices: Mapping[str, Range]  # dollars a query
    frontier_monthly: Range
    frontier_yearly: Range
    routed: Sums
    cascaded: Sums
    attempts_per_query: Decimal  # of the cascade


class Claim(msgspec.Struct, frozen=True):
    """A figure that is often quoted, beside what its own premises give."""

    quoted_usd: Decimal
    routed: Range
    cascaded: Range
    follows: bool


def estimate(queries: Decimal, mix: Mapping[str, Decimal], prices: Mapping[str, Range]) -> Estimate:
    """The sums for `queries` a month. `mix` and `prices` have an entry for each tier of TIERS."""
    served = {tier: mix[tier] / 100 for tier in TIERS}
    asked = {tier: sum((served[above] for above in TIERS[at:]), Decimal(0)) for at, tier in enumerate(TIERS)}
    frontier = prices[TIERS[-1]].times(queries)
    return Estimate(
        queries=queries,
        mix=mix,
        prices=prices,
        frontier_monthly=frontier,
        frontier_yearly=frontier.times(Decimal(12)),
        routed=_sums(queries, served, prices),
        cascaded=_sums(queries, asked, prices),
        attempts_per_query=sum(asked.values(), Decimal(0)),
    )


def _sums(queries: Decimal, calls: Mapping[str, Decimal], prices: Mapping[str, Range]) -> Sums:
    """`calls`: how many calls a query makes to each tier, on average."""
    a_query = Range(Decimal(0), Decimal(0))
    for tier in TIERS:
        a_query = a_query.plus(prices[tier].times(calls[tier]))
    monthly = a_query.times(queries)
    return Sums(monthly, monthly.times(Decimal(12)), _saving(calls, prices))


def _saving(calls: Mapping[str, Decimal], prices: Mapping[str, Range]) -> Range:
    """Least where the lower tiers are dear and the frontier cheap; the frontier's price is the same on both sides."""
    top, frontier = TIERS[-1], prices[TIERS[-1]]
    dear = sum((prices[tier].high * calls[tier] for tier in TIERS[:-1]), Decimal(0))
    cheap = sum((prices[tier].low * calls[tier] for tier in TIERS[:-1]), Decimal(0))
    return Range(1 - calls[top] - dear / frontier.low, 1 - calls[top] - cheap / frontier.high)


def quoted_claim() -> Claim:
    """Whether $45,000 a month follows from 10 million queries, 80/15/5 and the usual prices."""
    usual = estimate(QUOTED_QUERIES, parse_mix(USUAL_MIX), parse_prices(USUAL_PRICES))
    routed, cascaded = usual.routed.monthly, usual.cascaded.monthly
    return Claim(QUOTED_USD, routed, cascaded, follows=routed.low <= QUOTED_USD <= routed.high)


def parse_queries(text: str) -> Decimal:
    """Queries a month, like 10e6 or 1,000,000. Raises ConfigError."""
    queries = _number(text.replace(",", "").replace("_", ""), "--queries", text)
    if queries <= 0:
        raise ConfigError([f"--queries: {text!r} must be above 0"])
    return queries


def parse_mix(text: str) -> dict[str, Decimal]:
    """Percent by tier, from `80/15/5` (slm/mid/frontier) or `slm=80,mid=15,frontier=5`. Raises ConfigError."""
    if "=" in text:
        named = _named(text, "--mix")
        shares = {tier: _share(named.get(tier, "0"), text) for tier in TIERS}
    else:
        parts = text.split("/")
        if len(parts) != len(TIERS):
            raise ConfigError([f"--mix: {text!r} has {len(parts)} shares; give one each for {'/'.join(TIERS)}"])
        shares = {tier: _share(part, text) for tier, part in zip(TIERS, parts, strict=True)}
    total = sum(shares.values())
    if total != 100:
        raise ConfigError([f"--mix: the shares of {text!r} are percent and must sum to 100, not {total}"])
    return shares


def _share(text: str, whole: str) -> Decimal:
    share = _number(text, "--mix", whole)
    if share < 0:
        raise ConfigError([f"--mix: a share of {whole!r} is negative"])
    return share


def parse_prices(text: str) -> dict[str, Range]:
    """Dollars a query by tier, each a number or a range: `slm=0.0001-0.001,mid=0.003,frontier=0.03`.

    Raises ConfigError, for a frontier price of 0 too: nothing can be saved against that.
    """
    named = _named(text, "--prices")
    if missing := [tier for tier in TIERS if tier not in named]:
        raise ConfigError([f"--prices: no price for {', '.join(missing)}"])
    prices = {tier: _price(tier, named[tier]) for tier in TIERS}
    if prices[TIERS[-1]].low == 0:
        raise ConfigError([f"--prices: {TIERS[-1]} must cost something; savings are measured against it"])
    return prices


def _price(tier: str, text: str) -> Range:
    where = f"--prices: {tier}={text}"
    if text.startswith("-") or "--" in text:
        raise ConfigError([f"{where} is negative"])
    low, dash, high = _without_exponent_dash(text)
    bounds = Range(_number(low, "--prices", f"{tier}={text}"), _number(high if dash else low, "--prices", where))
    if bounds.low > bounds.high:
        raise ConfigError([f"{where} is a range whose first figure is above its second"])
    return bounds


def _without_exponent_dash(text: str) -> tuple[str, str, str]:
    """Split a range at its dash, but not at that of 1e-4."""
    for at, char in enumerate(text):
        if char == "-" and text[at - 1] not in "eE":
            return text[:at], "-", text[at + 1 :]
    return text, "", ""


def _named(text: str, option: str) -> dict[str, str]:
    """`name=value,...` for tiers that exist, each once."""
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise ConfigError([f"{option}: {part.strip()!r} is not of the form tier=number"])
        if name not in TIERS:
            raise ConfigError([f"{option}: unknown tier {name!r}; the tiers are {', '.join(TIERS)}"])
        if name in found:
            raise ConfigError([f"{option}: {name} is given twice"])
        found[name] = value
    return found


def _number(text: str, option: str, whole: str) -> Decimal:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise ConfigError([f"{option}: {text.strip()!r} in {whole!r} is not a number"]) from None
    if not number.is_finite() or abs(number) > Decimal("1e15"):
        raise ConfigError([f"{option}: {text.strip()!r} in {whole!r} is not a usable number"])
    return number
