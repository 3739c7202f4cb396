"""`smallfirst audit`: prove that the trail is whole, ask what reached where, export, erase, show, retain."""

from __future__ import annotations

import csv
import datetime as dt
import html
import io
import os
import secrets
import sqlite3
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from smallfirst.cli.build import ledger_file, read_settings
from smallfirst.cli.console import out
from smallfirst.core import DataClass
from smallfirst.errors import DataError, LedgerError
from smallfirst.ledger.anchors import read_anchors
from smallfirst.ledger.audit import Line, Verified, lines, reached, verify
from smallfirst.ledger.erasure import Scope, access, erase, retain
from smallfirst.ledger.migrations import ROOM, STEPS
from smallfirst.ledger.queries import open_ledger
from smallfirst.privacy.classes import NAMES
from smallfirst.privacy.locations import location_problem
from smallfirst.store.migrations import check
from smallfirst.store.sqlite import open_database

_CONFIG = click.option(
    "--config", "-c", type=click.Path(path_type=Path, dir_okay=False), help="The gateway's YAML file."
)
_LEDGER = click.option("--ledger", type=click.Path(path_type=Path, dir_okay=False), help="The ledger's SQLite file.")
_SINCE = click.option("--since", default="1970-01-01", help="From this day on (UTC), such as 2026-07-01.")
_UNTIL = click.option("--until", default="2262-01-01", help="To before this day (UTC).")
_ANCHORS = click.option(
    "--anchors", help="Where the anchors went: a file, or sqlite:///path  [default: ledger.anchor]."
)


@click.group()
def audit() -> None:
    """The audit trail: what was sent where, chained so that a change shows.

    \b
    Examples:
      smallfirst audit verify --anchors anchors.jsonl
      smallfirst audit query --class health --location cloud --since 2026-07-01
      smallfirst audit export --format html --since 2026-07-01 > trail.html
      smallfirst audit erase --session s-81723
    """


@audit.command("verify")
@_CONFIG
@_LEDGER
@_ANCHORS
def verify_command(config: Path | None, ledger: Path | None, anchors: str | None) -> None:
    """Walk every chain; exit status 1 where an entry was changed, removed or moved, and say where."""
    conn, place = _open(config, ledger)
    found = _verify(conn, anchors or place)
    _print_verified(found)
    if not found.whole:
        sys.exit(1)


@audit.command("query")
@_CONFIG
@_LEDGER
@_ANCHORS
@click.option(
    "--class", "classes", multiple=True, type=click.Choice(NAMES), help="Data class; may stand several times."
)
@click.option("--location", help="device, premises, cloud or cloud/<region>; finer places count too  [default: any].")
@_SINCE
@_UNTIL
@click.option("--json", "as_json", is_flag=True, help="As JSON, every entry included.")
def query_command(
    config: Path | None, ledger: Path | None, anchors: str | None, classes: tuple[str, ...], location: str | None,
    since: str, until: str, as_json: bool,
) -> None:  # fmt: skip
    """Which queries of a class reached a location, or may have: with the verification of the trail they stand in."""
    problem = None if location is None else location_problem(location)
    if problem:
        raise click.BadParameter(problem, param_hint="--location")
    wanted = [DataClass[name] for name in classes] or [of for of in DataClass if of > DataClass.internal]
    conn, place = _open(config, ledger)
    verified = _verify(conn, anchors or place)
    sent, unsure = reached(conn, wanted, location, _us(since), _us(until))
    if as_json:
        out.print_json(msgspec.json.encode({"reached": sent, "open": unsure, "verified": verified}).decode())
    else:
        what = " or ".join(of.name for of in wanted)
        where = location or "any location"
        out.print(
            f"[bold]{len(sent)}[/bold] queries of class {what} reached {where} from {since} to {until}", highlight=False
        )
        _print_lines(sent)
        if unsure:
            out.print(
                f"[yellow]{len(unsure)}[/yellow] more may have: their intent was committed, and no decision follows"
            )
            _print_lines(unsure)
        _print_verified(verified)
    if not verified.whole:
        sys.exit(1)


@audit.command("export")
@_CONFIG
@_LEDGER
@click.option("--format", "form", type=click.Choice(("jsonl", "csv", "html")), default="jsonl", show_default=True)
@_SINCE
@_UNTIL
def export_command(config: Path | None, ledger: Path | None, form: str, since: str, until: str) -> None:
    """Every entry of a time on standard output, for an auditor."""
    conn, _ = _open(config, ledger)
    entries = lines(conn, _us(since), _us(until))
    write = {"jsonl": _jsonl, "csv": _csv, "html": _html}[form]
    for text in write(entries):
        sys.stdout.write(text)


@audit.command("erase")
@_CONFIG
@_LEDGER
@click.option("--request", help="A request's id.")
@click.option("--session", help="A session's name.")
@click.option("--key", help="A client key's name.")
def erase_command(
    config: Path | None, ledger: Path | None, request: str | None, session: str | None, key: str | None
) -> None:
    """Destroy what ties requests to a person (GDPR Art. 17); the chain still verifies, and says that it was done."""
    scope, name = _one_of(request, session, key)
    conn, _ = _open(config, ledger, write=True)
    out.print(f"{erase(conn, scope, name, secrets.token_hex(6))} requests erased", highlight=False)


@audit.command("access")
@_CONFIG
@_LEDGER
@click.option("--request", help="A request's id.")
@click.option("--session", help="A session's name.")
@click.option("--key", help="A client key's name.")
def access_command(
    config: Path | None, ledger: Path | None, request: str | None, session: str | None, key: str | None
) -> None:
    """All that is kept about requests (GDPR Art. 15), as JSON."""
    scope, name = _one_of(request, session, key)
    conn, _ = _open(config, ledger)
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(access(conn, scope, name)), indent=1).decode() + "\n")


@audit.command("retain")
@_CONFIG
@_LEDGER
def retain_command(config: Path | None, ledger: Path | None) -> None:
    """Remove requests that are older than `ledger.retention_days` allows for their class; the chain stays."""
    days = read_settings(config, os.environ).ledger.retention_days
    conn, _ = _open(config, ledger, write=True)
    for name, count in retain(conn, days, time.time_ns() // 1000, secrets.token_hex(6)).items():
        out.print(f"{name}: {count} requests removed", highlight=False)


def _one_of(request: str | None, session: str | None, key: str | None) -> tuple[Scope, str]:
    scopes: tuple[tuple[Scope, str | None], ...] = (("request", request), ("session", session), ("key", key))
    given = [(scope, name) for scope, name in scopes if name]
    if len(given) != 1:
        raise click.UsageError("give one of --request, --session and --key")
    return given[0]


def _open(config: Path | None, ledger: Path | None, *, write: bool = False) -> tuple[sqlite3.Connection, str | None]:
    """The ledger, and where its anchors are. Raises LedgerError, ConfigError."""
    settings = read_settings(config, os.environ)
    path = ledger or ledger_file(settings, os.environ)
    if not write:
        return open_ledger(path), settings.ledger.anchor
    if not path.is_file():
        raise LedgerError(f"there is no ledger at {path}")
    conn = open_database(path)
    check(conn, ROOM, STEPS)
    return conn, settings.ledger.anchor


def _verify(conn: sqlite3.Connection, anchors: str | None) -> Verified:
    return verify(conn, [] if anchors in (None, "stdout") else read_anchors(str(anchors)))


def _us(day: str) -> int:
    try:
        at = dt.datetime.fromisoformat(day)
    except ValueError:
        raise DataError(f"`{day[:40]}` is not a day such as 2026-07-01") from None
    at = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
    return round(at.timestamp() * 1_000_000)


def _print_verified(found: Verified) -> None:
    if found.whole:
        words = f"{found.entries:,} entries of {found.writers} writers are whole"
        held = (
            f"{found.anchored:,} of them before an anchor outside the database" if found.anchors else "no anchors given"
        )
        out.print(f"{words}; {held}", highlight=False)
        return
    out.print(f"[red]damaged:[/red] {len(found.damages)} places in {found.entries:,} entries", highlight=False)
    for damage in found.damages:
        out.print(f"  writer {damage.writer}, entry {damage.seq}: {damage.what}", highlight=False)


def _print_lines(found: list[Line], most: int = 20) -> None:
    for line in found[:most]:
        where = ", ".join(line.locations)
        out.print(f"  {_iso(line.at_us)}  {line.request_id}  {line.data_class}  {', '.join(line.models)} at {where}",
                  highlight=False, soft_wrap=True)  # fmt: skip
    if len(found) > most:
        out.print(f"  and {len(found) - most} more; --json shows all", highlight=False)


def _iso(us: int) -> str:
    return dt.datetime.fromtimestamp(us / 1_000_000, dt.UTC).isoformat(timespec="seconds")


def _jsonl(entries: Iterable[Line]) -> Iterable[str]:
    for line in entries:
        yield msgspec.json.encode(line).decode() + "\n"


_HEAD = ("at", "kind", "request_id", "data_class", "rule", "models", "locations", "detail", "writer", "seq", "hash")


def _cells(line: Line) -> list[str]:
    detail = msgspec.json.encode(line.detail).decode()
    return [
        _iso(line.at_us), line.kind, line.request_id, line.data_class, line.rule, " ".join(line.models),
        " ".join(line.locations), detail, line.writer, str(line.seq), line.hash,
    ]  # fmt: skip


def _csv(entries: Iterable[Line]) -> Iterable[str]:
    for cells in (_HEAD, *map(_cells, entries)):
        row = io.StringIO()
        csv.writer(row).writerow([f"'{cell}" if cell[:1] in "=+-@" else cell for cell in cells])  # no formulas
        yield row.getvalue()


def _html(entries: Iterable[Line]) -> Iterable[str]:
    yield "<!doctype html><meta charset=utf-8><title>Audit trail</title>\n"
    yield f"<table><tr>{''.join(f'<th>{name}' for name in _HEAD)}\n"
    for line in entries:
        yield f"<tr>{''.join(f'<td>{html.escape(cell)}' for cell in _cells(line))}\n"
    yield "</table>\n"
