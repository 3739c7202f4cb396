"""`smallfirst audit`: prove that the trail is whole, ask what reached where, export it.

Erasing, showing and retaining are in audit_erase_cmd.py.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path

import click
import msgspec

from smallfirst.cli.audit_erase_cmd import ERASING
from smallfirst.cli.audit_formats import FORMATS, iso
from smallfirst.cli.build import ledger_place, read_settings
from smallfirst.cli.console import out
from smallfirst.cli.ledger_option import LEDGER_OPTION
from smallfirst.core import DataClass
from smallfirst.errors import DataError
from smallfirst.ledger.anchors import Anchor, read_anchors
from smallfirst.ledger.audit import Line, Verified, lines, reached, verify
from smallfirst.ledger.exported import verify_export
from smallfirst.ledger.queries import open_ledger
from smallfirst.privacy.classes import NAMES
from smallfirst.privacy.locations import location_problem
from smallfirst.store.connection import Connection, Place

MOST_SHOWN = 20

_CONFIG = click.option(
    "--config", "-c", type=click.Path(path_type=Path, dir_okay=False), help="The gateway's YAML file."
)
_SINCE = click.option("--since", default="1970-01-01", help="From this day on (UTC), such as 2026-07-01.")
_UNTIL = click.option("--until", default="2262-01-01", help="To before this day (UTC).")
_ANCHORS = click.option(
    "--anchors", help="Where the anchors went: a file, or a database's URL  [default: ledger.anchor]."
)


@click.group()
def audit() -> None:
    """The audit trail: what was sent where, chained so that a change shows.

    \b
    Examples:
      smallfirst audit verify --anchors anchors.jsonl
      smallfirst audit query --class health --location cloud --since 2026-07-01
      smallfirst audit export --since 2026-07-01 > trail.jsonl
      smallfirst audit verify --file trail.jsonl
      smallfirst audit erase --session s-81723
    """


for command in ERASING:
    audit.add_command(command)


@audit.command("verify")
@_CONFIG
@LEDGER_OPTION
@_ANCHORS
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="An exported JSONL file, no ledger.")
def verify_command(config: Path | None, ledger: Place | None, anchors: str | None, file: Path | None) -> None:
    """Walk every chain; exit status 1 where an entry was changed, removed or moved, and say where.

    Entries are compared with the requests they are about too, and with the anchors. With --file an export is checked,
    without any database.
    """
    if file is not None:
        found = verify_export(file, _anchors(anchors))
    else:
        conn, place = _open(config, ledger)
        found = verify(conn, _anchors(anchors or place))
    _print_verified(found)
    if not found.whole:
        sys.exit(1)


@audit.command("query")
@_CONFIG
@LEDGER_OPTION
@_ANCHORS
@click.option(
    "--class", "classes", multiple=True, type=click.Choice(NAMES), help="Data class; may stand several times."
)
@click.option("--location", help="device, premises, cloud or cloud/<region>; finer places count too  [default: any].")
@_SINCE
@_UNTIL
@click.option("--json", "as_json", is_flag=True, help="As JSON, every entry included.")
def query_command(
    config: Path | None, ledger: Place | None, anchors: str | None, classes: tuple[str, ...], location: str | None,
    since: str, until: str, as_json: bool,
) -> None:  # fmt: skip
    """Which queries of a class reached a location, or may have: with the verification of the trail they stand in."""
    problem = None if location is None else location_problem(location)
    if problem:
        raise click.BadParameter(problem, param_hint="--location")
    wanted = [DataClass[name] for name in classes] or [of for of in DataClass if of > DataClass.internal]
    conn, place = _open(config, ledger)
    verified = verify(conn, _anchors(anchors or place))
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
@LEDGER_OPTION
@click.option("--format", "form", type=click.Choice(tuple(FORMATS)), default="jsonl", show_default=True)
@_SINCE
@_UNTIL
def export_command(config: Path | None, ledger: Place | None, form: str, since: str, until: str) -> None:
    """Every entry of a time on standard output, for an auditor. A JSONL export can be verified by itself."""
    conn, _ = _open(config, ledger)
    for text in FORMATS[form](lines(conn, _us(since), _us(until))):
        sys.stdout.write(text)


def _open(config: Path | None, ledger: Place | None) -> tuple[Connection, str | None]:
    """The ledger, and where its anchors are. Raises LedgerError, ConfigError."""
    settings = read_settings(config, os.environ)
    return open_ledger(ledger or ledger_place(settings, os.environ)), settings.ledger.anchor


def _anchors(place: str | None) -> list[Anchor]:
    return [] if place in (None, "stdout") else list(read_anchors(str(place)))


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
    else:
        out.print(f"[red]damaged:[/red] {len(found.damages)} places in {found.entries:,} entries", highlight=False)
    for damage in found.damages:
        where = f"writer {damage.writer}, entry {damage.seq}: " if damage.seq else ""
        out.print(f"  {where}{damage.what}", highlight=False, markup=False, soft_wrap=True)
    for writer, seq, us in found.jumps[:MOST_SHOWN]:
        words = f"a clock was set back: writer {writer}, entry {seq} says {us / 1e6:.3f} s before the one it follows"
        out.print(f"  {words}", highlight=False, soft_wrap=True)
    if found.jumps:
        out.print("  (entries stand in the order of their numbers; a question about a time may miss these)")


def _print_lines(found: list[Line], most: int = MOST_SHOWN) -> None:
    for line in found[:most]:
        where = ", ".join(line.locations)
        out.print(f"  {iso(line.at_us)}  {line.request_id}  {line.data_class}  {', '.join(line.models)} at {where}",
                  highlight=False, soft_wrap=True)  # fmt: skip
    if len(found) > most:
        out.print(f"  and {len(found) - most} more; --json shows all", highlight=False)
