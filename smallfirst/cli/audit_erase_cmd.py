"""`smallfirst audit erase | access | retain | compact | rekey`: what is kept about a person, and for how long.

Knows where a person can be found: the ledger, its content, and the file of audited answers. Erasing itself is
ledger/erasure.py's.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from smallfirst.cli.audit_formats import iso
from smallfirst.cli.build import ledger_place, read_settings
from smallfirst.cli.console import err, out
from smallfirst.cli.ledger_option import LEDGER_OPTION
from smallfirst.cli.settings import Settings
from smallfirst.config.paths import data_dir
from smallfirst.errors import LedgerError
from smallfirst.ledger.audit import erasures
from smallfirst.ledger.compact import compact
from smallfirst.ledger.content import Reader
from smallfirst.ledger.erasure import Scope, access, commitment, erase
from smallfirst.ledger.migrations import ROOM, STEPS
from smallfirst.ledger.queries import open_ledger
from smallfirst.ledger.rekey import rekey
from smallfirst.ledger.retention import retain
from smallfirst.ledger.sealing import read_master
from smallfirst.monitor.pairs import PAIRS, forget
from smallfirst.store.connection import Connection, Place, open_to_write
from smallfirst.store.migrations import check

_CONFIG = click.option(
    "--config", "-c", type=click.Path(path_type=Path, dir_okay=False), help="The gateway's YAML file."
)
F = TypeVar("F", bound=Callable[..., Any])
_WHOSE: tuple[tuple[Scope, str], ...] = (
    ("request", "A request's id."),
    ("session", "A session's name, as its caller gave it."),
    ("key", "A client key's name."),
    ("team", "A team's name: the requests of all its keys."),
    ("subject", "Whom requests are about, as their caller named that person (smallfirst.subject)."),
)


def _whose(command: F) -> F:
    for scope, words in reversed(_WHOSE):
        command = click.option(f"--{scope}", help=words)(command)
    return command


@click.command("erase")
@_CONFIG
@LEDGER_OPTION
@_whose
@click.option("--compact/--no-compact", "compacts", default=True, help="Whether to rewrite the files without it now.")
def erase_command(config: Path | None, ledger: Place | None, compacts: bool, **whose: str | None) -> None:
    """Destroy what ties requests to a person, and what they said (GDPR Art. 17).

    Keys and salts are destroyed, names removed, and the files rewritten without them; audited answers go too. The chain
    still verifies. Its entry says how many requests it was, and whose only to who has the receipt that is printed here.
    Requests that are under way are written a moment later: end the key or the session first.

    \b
    Examples:
      smallfirst audit erase --subject patient-4711
      smallfirst audit erase --key former-customer -c smallfirst.yaml
    """
    scope, name = _one_of(whose)
    conn, _ = _open(config, ledger)
    done = erase(conn, scope, name, secrets.token_hex(6))
    forgotten = forget(data_dir(os.environ) / PAIRS, done.requests)
    if compacts:
        compact(conn)
    out.print(f"{len(done.requests)} requests erased, content of {done.contents}, {done.keys} tenants' keys destroyed",
              highlight=False)  # fmt: skip
    if forgotten:
        out.print(f"{forgotten} audited answers removed from {data_dir(os.environ) / PAIRS}", markup=False)
    out.print(f"entry 2 of chain {done.writer}; receipt {done.receipt}: with it and the name the entry can be checked",
              highlight=False, soft_wrap=True)  # fmt: skip
    if not compacts:
        err.print("the files still hold what was deleted: run `smallfirst audit compact`", style="yellow")
    conn.close()


@click.command("receipt")
@_CONFIG
@LEDGER_OPTION
@_whose
@click.argument("receipt")
def receipt_command(config: Path | None, ledger: Place | None, receipt: str, **whose: str | None) -> None:
    """Find the erasure that a RECEIPT and a name belong to; exit status 1 where there is none.

    \b
    Example:
      smallfirst audit receipt --subject patient-4711 0f9b6c0a52de4e0ba0d2c2ee9f5a8c11
    """
    scope, name = _one_of(whose)
    settings = read_settings(config, os.environ)
    conn = open_ledger(ledger or ledger_place(settings, os.environ))
    found = erasures(conn, commitment(scope, name, receipt))
    for line in found:
        what = f"{line.detail.get('requests')} requests, content of {line.detail.get('contents')}"
        out.print(f"{iso(line.at_us)}  entry {line.seq} of chain {line.writer}: {what} erased", highlight=False,
                  soft_wrap=True)  # fmt: skip
    if not found:
        out.print("no erasure belongs to this receipt and this name", highlight=False)
        sys.exit(1)


@click.command("access")
@_CONFIG
@LEDGER_OPTION
@_whose
def access_command(config: Path | None, ledger: Place | None, **whose: str | None) -> None:
    """All that is kept about requests (GDPR Art. 15), as JSON; content is opened with the config's master key."""
    scope, name = _one_of(whose)
    settings = read_settings(config, os.environ)
    conn = open_ledger(ledger or ledger_place(settings, os.environ))
    read = None
    if settings.ledger.content == "encrypted":
        read = Reader(conn, read_master(settings.ledger.master_key)).read
    found = access(conn, scope, name, read)
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=1).decode() + "\n")


@click.command("retain")
@_CONFIG
@LEDGER_OPTION
def retain_command(config: Path | None, ledger: Place | None) -> None:
    """Remove requests that are older than `ledger.retention_days` allows for their class, and content whose time is
    over; the chain stays."""
    conn, settings = _open(config, ledger)
    for name, count in retain(
        conn, settings.ledger.retention_days, time.time_ns() // 1000, secrets.token_hex(6)
    ).items():
        out.print(f"{name}: {count} requests removed", highlight=False)


@click.command("compact")
@_CONFIG
@LEDGER_OPTION
def compact_command(config: Path | None, ledger: Place | None) -> None:
    """Rewrite the ledger's files, so that nothing that was deleted is left in them. Writers wait meanwhile."""
    conn, _ = _open(config, ledger)
    compact(conn)
    out.print("compacted", highlight=False)


@click.command("rekey")
@_CONFIG
@LEDGER_OPTION
@click.option("--old-key-env", required=True, metavar="NAME", help="The environment variable with the old master key.")
def rekey_command(config: Path | None, ledger: Place | None, old_key_env: str) -> None:
    """Move the ledger's keys from an old master key to the config's. Content is not touched.

    Stop the gateways, change the key, run this, start them again. A run that was interrupted can be repeated.

    \b
    Example:
      SF_OLD_KEY=... SF_MASTER_KEY=... smallfirst audit rekey -c smallfirst.yaml --old-key-env SF_OLD_KEY
    """
    conn, settings = _open(config, ledger)
    if old_key_env not in os.environ:
        raise LedgerError(f"the environment variable {old_key_env} is not set")
    moved = rekey(conn, read_master(os.environ[old_key_env]), read_master(settings.ledger.master_key))
    compact(conn)
    out.print(f"{moved} keys moved to the new master key", highlight=False)


ERASING = (erase_command, receipt_command, access_command, retain_command, compact_command, rekey_command)


def _one_of(whose: dict[str, str | None]) -> tuple[Scope, str]:
    given = [(scope, name) for scope, _ in _WHOSE if (name := whose[scope])]
    if len(given) != 1:
        raise click.UsageError(f"give one of {', '.join(f'--{scope}' for scope, _ in _WHOSE)}")
    return given[0]


def _open(config: Path | None, ledger: Place | None) -> tuple[Connection, Settings]:
    """The ledger, to write. Raises LedgerError, ConfigError."""
    settings = read_settings(config, os.environ)
    place = ledger or ledger_place(settings, os.environ)
    if isinstance(place, Path) and not place.is_file():
        raise LedgerError(f"there is no ledger at {place}")
    conn = open_to_write(place)
    check(conn, ROOM, STEPS)
    return conn, settings
