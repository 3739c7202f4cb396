"""`smallfirst keys`: client keys by hand. What it changes, a running gateway notices within a second.

Knows options and tables. Does not know how keys are kept (accounts/register.py).
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table

from smallfirst.accounts.accounts import Accounts
from smallfirst.accounts.keys import Terms
from smallfirst.accounts.register import Record
from smallfirst.accounts.spans import seconds
from smallfirst.accounts.vault import Spending
from smallfirst.cli.build import keys_file, ledger_file, read_settings
from smallfirst.cli.console import err, out
from smallfirst.cli.report_cmd import usd
from smallfirst.cli.settings import Settings
from smallfirst.core import NANO
from smallfirst.errors import BadRequest, RequestError, SmallfirstError
from smallfirst.gateway.admin import check_terms, shown, spent
from smallfirst.store.database import open_any
from smallfirst.tasks.registry import wire_name

CONFIG: Callable[[Callable[..., None]], Callable[..., None]] = click.option(
    "--config", "-c", type=click.Path(path_type=Path, dir_okay=False), help="The gateway's YAML file."
)


@click.group()
def keys() -> None:
    """Client keys: create, list, rotate, revoke, and what they spent.

    Only a hash of each key is stored, in `keys.url` of the config, by default keys.db beside the ledger.
    """


@contextmanager
def _opened(config: Path | None) -> Iterator[tuple[Settings, Accounts]]:
    """The accounts of a config, gateway or not. A caller's mistake is shown as one line."""
    settings = read_settings(config, os.environ)
    database = open_any(settings.keys.url, keys_file(ledger_file(settings, os.environ)))
    try:
        yield settings, Accounts(settings.keys, settings.teams, database)
    except RequestError as error:
        raise SmallfirstError(error.message) from error
    finally:
        database.close()


def _terms_options(command: Callable[..., None]) -> Callable[..., None]:
    several: dict[str, Any] = {"multiple": True, "metavar": "NAME"}
    for option in reversed(
        (
            click.option("--team", help="A team of the config; its limits hold beside the key's own."),
            click.option("--model", "models", help="A model it may name; may be repeated.", **several),
            click.option("--policy", "policies", help="A policy it may name; may be repeated.", **several),
            click.option("--class", "classes", help="A data class it may send; may be repeated.", **several),
            click.option("--min-class", metavar="NAME", help="Its queries are at least this data class."),
            click.option("--tag", "tags", help="Goes to the ledger with its requests; may be repeated.", **several),
            click.option("--usd-per-day", type=float, help="Budget for a day (UTC)."),
            click.option("--usd-per-month", type=float, help="Budget for a calendar month (UTC)."),
            click.option("--usd-total", type=float, help="Budget for good."),
            click.option("--rpm", type=int, help="Requests a minute."),
            click.option("--tpm", type=int, help="Tokens a minute, of every call made for it."),
        )
    ):
        command = option(command)
    return command


@keys.command()
@click.argument("name")
@_terms_options
@click.option("--expires", metavar="SPAN", help="For how long it is good: 12h, 30d, 4w.")
@click.option("--json", "as_json", is_flag=True, help="The key and its record as JSON.")
@CONFIG
def create(name: str, config: Path | None, expires: str | None, as_json: bool, **given: Any) -> None:
    """Create a key called NAME and print it, this once.

    \b
    Examples:
      smallfirst keys create support --usd-per-month 50 --rpm 60
      smallfirst keys create ci --policy auto --expires 30d --config smallfirst.yaml
      smallfirst keys create ward --class health --class personal --team clinic
    """
    terms = msgspec.convert({field: value for field, value in given.items() if value not in (None, ())}, Terms)
    with _opened(config) as (settings, accounts):
        tasks = (wire_name(*task) for task in settings.tasks.items())
        names = {"models": list(settings.models), "policies": ["auto", *settings.policies, *tasks]}
        check_terms(terms, accounts, names)
        if name in {one.name for one in accounts.keys.listed}:
            raise BadRequest(f"a key of the config is called {name} already", code="name_taken")
        now = int(time.time())
        secret, record = accounts.register.create(name, terms, now, None if expires is None else now + _span(expires))
    _tell(secret, record, as_json)


@keys.command("list")
@click.option("--all", "everything", is_flag=True, help="Revoked and expired keys too.")
@click.option("--json", "as_json", is_flag=True, help="Keys and spending as JSON.")
@CONFIG
def list_keys(config: Path | None, everything: bool, as_json: bool) -> None:
    """The keys that were created, what they may do, and what they spent.

    Keys that stand in the config file are not listed.

    \b
    Examples:
      smallfirst keys list
      smallfirst keys list --all --json
    """
    with _opened(config) as (_, accounts):
        now = time.time()
        records = [record for record in accounts.register.all() if everything or _state(record, now) == "good"]
        spending = accounts.vault.spending()
    if as_json:
        page = {"keys": [shown(record) for record in records], "spending": [spent(line) for line in spending]}
        out.print_json(msgspec.json.encode(page).decode())
        return
    if not records:
        err.print("no keys; `smallfirst keys create NAME` makes one")
        return
    out.print(_table(records, spending, now))


@keys.command()
@click.argument("name")
@click.option("--grace", metavar="SPAN", default="0s", show_default=True, help="How long the old key stays good.")
@click.option("--json", "as_json", is_flag=True, help="The key and its record as JSON.")
@CONFIG
def rotate(name: str, config: Path | None, grace: str, as_json: bool) -> None:
    """Give the key NAME a new secret and print it, this once. Name, limits and spending stay.

    \b
    Example:
      smallfirst keys rotate support --grace 24h
    """
    with _opened(config) as (_, accounts):
        secret, record = accounts.register.rotate(name, _span(grace), int(time.time()))
    _tell(secret, record, as_json)


@keys.command()
@click.argument("name")
@CONFIG
def revoke(name: str, config: Path | None) -> None:
    """Refuse the key NAME from now on, for good. Running gateways notice within a second.

    \b
    Example:
      smallfirst keys revoke support
    """
    with _opened(config) as (_, accounts):
        accounts.register.revoke(name, int(time.time()))
    out.print(f"{name} is revoked", markup=False)


def _tell(secret: str, record: Record, as_json: bool) -> None:
    if as_json:
        out.print_json(msgspec.json.encode({"key": secret, **shown(record)}).decode())
        return
    out.print(secret, markup=False, soft_wrap=True)
    err.print(f"the key {record.name}: it is shown this once and can't be read again", style="dim", markup=False)


def _span(text: str) -> int:
    try:
        return seconds(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _state(record: Record, now: float) -> str:
    if record.revoked_at is not None:
        return "revoked"
    return "expired" if record.expires_at is not None and record.expires_at <= now else "good"


def _table(records: list[Record], spending: list[Spending], now: float) -> Table:
    today = dt.datetime.fromtimestamp(now, dt.UTC)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("name", "begins", "state", "team", "may", "limits", "today", "this month", "ever"):
        table.add_column(name, justify="right" if name in ("today", "this month", "ever") else "left")
    by_period = {(line.scope, line.period): line.spent for line in spending}
    periods = (f"usd/{today:%Y-%m-%d}", f"usd/{today:%Y-%m}", "usd/total")
    for record in records:
        spent_in = [by_period.get((f"key/{record.name}", period)) for period in periods]
        money = [usd(amount / NANO) if amount is not None else "-" for amount in spent_in]
        table.add_row(record.name, record.shown + "...", _state(record, now), record.terms.team or "-",
                      _may(record.terms), _limits(record.terms), *money)  # fmt: skip
    return table


def _may(terms: Terms) -> str:
    words = [*(terms.policies or ()), *(terms.models or ()), *(terms.classes or ())]
    return ", ".join(words) or "everything"


def _limits(terms: Terms) -> str:
    found = (
        ("usd_per_day", "${:g}/day"), ("usd_per_month", "${:g}/month"), ("usd_total", "${:g} in all"),
        ("rpm", "{} rpm"), ("tpm", "{} tpm"),
    )  # fmt: skip
    words = [shape.format(value) for field, shape in found if (value := getattr(terms, field)) is not None]
    return ", ".join(words) or "none"
