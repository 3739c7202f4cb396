"""`smallfirst estimate`: what a mix of tiers would cost, without any traffic."""

from __future__ import annotations

from decimal import Decimal

import click
import msgspec
from rich.console import Console
from rich.table import Table

from smallfirst.cli.console import out
from smallfirst.errors import ConfigError
from smallfirst.evals.estimate import (
    QUOTED_QUERIES,
    TIERS,
    USUAL_MIX,
    USUAL_PRICES,
    Estimate,
    Range,
    Sums,
    parse_mix,
    parse_prices,
    parse_queries,
    quoted_claim,
)
from smallfirst.evals.estimate import estimate as compute


@click.command()
@click.option("--queries", default="10e6", show_default=True, help="Queries a month.")
@click.option("--mix", default=USUAL_MIX, show_default=True, help="Percent served by slm/mid/frontier.")
@click.option(
    "--prices",
    default=USUAL_PRICES,
    show_default=True,
    help="Dollars a query and tier, each a number or a range.",
)
@click.option(
    "--attempts",
    type=click.Choice(["both", "routed", "cascaded"]),
    default="both",
    show_default=True,
    help="routed: each query pays for the tier that serves it. cascaded: each starts at the lowest tier, and one that "
    "is handed up has paid for the attempts below as well.",
)
@click.option("--json", "as_json", is_flag=True, help="The estimate as JSON, both ways.")
def estimate(queries: str, mix: str, prices: str, attempts: str, as_json: bool) -> None:
    """What a mix of tiers would cost, without any traffic.

    \b
    Examples:
      smallfirst estimate --queries 10e6 --mix 80/15/5
      smallfirst estimate --prices slm=0.0005,mid=0.003,frontier=0.03
      smallfirst estimate --mix slm=70,mid=20,frontier=10 --attempts cascaded
    """
    try:
        found = compute(parse_queries(queries), parse_mix(mix), parse_prices(prices))
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        page = {"estimate": found, "quoted": quoted_claim()}
        out.print_json(msgspec.json.Encoder(decimal_format="number").encode(page).decode())
        return
    render_estimate(found, attempts, out)


def render_estimate(found: Estimate, attempts: str, console: Console) -> None:
    """Print an estimate; `attempts` is both, routed or cascaded."""
    frontier = found.prices[TIERS[-1]]
    console.print(f"{found.queries:,.0f} queries a month, all to frontier at {money(frontier, digits=None)} each:")
    console.print(f"  {money(found.frontier_monthly)} a month, {money(found.frontier_yearly)} a year\n")
    shares = ", ".join(f"{tier} {found.mix[tier]:f}% at {money(found.prices[tier], digits=None)}" for tier in TIERS)
    console.print(f"the mix: {shares}", soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("", "a month", "a year", "saving"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for name, sums in (("routed", found.routed), ("cascaded", found.cascaded)):
        if attempts in ("both", name):
            table.add_row(name, money(sums.monthly), money(sums.yearly), _saving(sums))
    console.print(table)
    console.print(
        "routed: each query goes to the tier that serves it, at once. cascaded: each starts at the lowest tier; one "
        f"that is handed up pays for the attempts below too ({found.attempts_per_query:.2f} calls a query).\n",
        style="dim",
    )
    render_claim(console)


def render_claim(console: Console) -> None:
    """The figure that is often quoted, beside what its own premises give."""
    claim = quoted_claim()
    verdict = "follows" if claim.follows else "does not follow"
    quoted, queries = f"${claim.quoted_usd:,.0f}", f"{QUOTED_QUERIES:,.0f}"
    console.print(
        f"The often-quoted {quoted} a month for {queries} queries at {USUAL_MIX} {verdict} from the usual prices "
        f"({USUAL_PRICES}): they give {money(claim.routed)} a month, and {money(claim.cascaded)} where every query "
        "starts at the lowest tier."
    )


def money(amount: Range, digits: int | None = 0) -> str:
    """A range in dollars; `digits` None: a price, as it was written."""
    low, high = (_dollars(value, digits) for value in (amount.low, amount.high))
    return low if low == high else f"{low} - {high}"


def _dollars(value: Decimal, digits: int | None) -> str:
    if digits is None:
        return f"${value:f}"
    return f"${value:,.{digits if abs(value) >= 100 else 2}f}"


def _saving(sums: Sums) -> str:
    low, high = f"{100 * sums.saving.low:.1f}%", f"{100 * sums.saving.high:.1f}%"
    return low if low == high else f"{low} - {high}"
