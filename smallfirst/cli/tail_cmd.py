"""`smallfirst tail`: what a running gateway decides, a line a request, as it comes into the ledger.

Knows the columns that a line shows. Reads the ledger like any reader: a gateway is not disturbed, nor even asked.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
from rich.text import Text

from smallfirst.cli.console import err, out
from smallfirst.cli.ledger_option import LEDGER_OPTION
from smallfirst.cli.report_cmd import default_ledger, usd
from smallfirst.core import NANO
from smallfirst.errors import LedgerError
from smallfirst.ledger.queries import open_ledger
from smallfirst.store.connection import Connection, Place, shown

LOOK_S = 0.2
"""How often the ledger is looked at."""

_COLUMNS = (
    "rowid, id, at, asked, policy, key_id, kind, complexity, reason, status, error_code, served_model, served_tier, "
    "attempts, cost, baseline_cost, latency_us, deferrals, stream"
)


class Line(NamedTuple):
    """One request."""

    row: int
    id: str
    at: int
    asked: str
    policy: str
    key_id: str | None
    kind: str
    complexity: float
    reason: str
    status: int
    error_code: str | None
    served_model: str | None
    served_tier: str | None
    attempts: int
    cost: int
    baseline_cost: int | None
    latency_us: int
    deferrals: str
    stream: int


@click.command()
@LEDGER_OPTION
@click.option("--config", "-c", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its `ledger.url`.")
@click.option("--lines", "-n", type=click.IntRange(0), default=10, show_default=True, help="How many past ones first.")
@click.option("--follow/--no-follow", default=True, help="Whether to wait for more.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
def tail(ledger: Place | None, config: Path | None, lines: int, follow: bool, as_json: bool) -> None:
    """Show decisions as they are made: who answered, why, what it cost. No prompt and no answer: the ledger has none.

    \b
    Examples:
      smallfirst tail
      smallfirst tail -n 100 --no-follow
      smallfirst tail --json | jq 'select(.status >= 400)'
    """
    path = ledger or default_ledger(config)
    try:
        conn = open_ledger(path)
    except LedgerError:
        if ledger is not None or not follow:
            raise
        err.print(f"there is no ledger at {shown(path)} yet; waiting", style="dim", markup=False)
        conn = _wait(path)
    try:
        last = 0
        for line in latest(conn, lines):
            last = line.row
            _show(line, as_json)
        last = last or newest(conn)
        while follow:
            for line in after(conn, last):
                last = line.row
                _show(line, as_json)
            time.sleep(LOOK_S)
    finally:
        conn.close()


def _wait(path: Place) -> Connection:
    while True:
        try:
            return open_ledger(path)
        except LedgerError:
            time.sleep(LOOK_S)


def latest(conn: Connection, count: int) -> list[Line]:
    """The last entries, the oldest of them first."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM request ORDER BY rowid DESC LIMIT ?", (count,))  # noqa: S608
    return [Line(*row) for row in rows.fetchall()][::-1]


def newest(conn: Connection) -> int:
    return int(conn.execute("SELECT coalesce(max(rowid), 0) FROM request").fetchone()[0])


def after(conn: Connection, row: int) -> Iterator[Line]:
    """Entries that were written after `row`, in the order in which they were."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM request WHERE rowid > ? ORDER BY rowid", (row,))  # noqa: S608
    return (Line(*one) for one in rows.fetchall())


def _show(line: Line, as_json: bool) -> None:
    if as_json:
        fields = {name: value for name, value in line._asdict().items() if name not in ("row", "deferrals")}
        fields["deferrals"] = msgspec.json.decode(line.deferrals)
        click.echo(msgspec.json.encode(fields).decode())
    else:
        out.print(in_words(line), soft_wrap=True)


def in_words(line: Line) -> Text:
    """`14:02:11  200  slm/small  accepted  c 0.21  1 call  $0.0000200  84 ms  support`"""
    text = Text()
    when = dt.datetime.fromtimestamp(line.at / 1e6, dt.UTC).astimezone()
    text.append(f"{when:%H:%M:%S}  ", "dim")
    text.append(f"{line.status}  ", "green" if line.status < 400 else "red")
    who = f"{line.served_tier}/{line.served_model}" if line.served_model else line.error_code or "-"
    text.append(f"{who:<24} ", "bold")
    deferrals = msgspec.json.decode(line.deferrals, type=list[str])
    why = line.reason if not deferrals else f"{line.reason} after {', '.join(deferrals)}"
    text.append(f"{why:<28} ")
    text.append(f"c {line.complexity:.2f}  {line.kind:<10} {line.attempts} call{'s' if line.attempts != 1 else ' '} ")
    text.append(f"{usd(line.cost / NANO):>12} {line.latency_us / 1000:>7.0f} ms  ")
    text.append(f"{line.asked[:40]} {line.key_id or ''}", "dim")
    return text
