"""`--ledger`, as every verb takes it: a SQLite file, or the URL of a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from smallfirst.store.connection import Place, is_postgres


class LedgerPlace(click.ParamType[Place]):
    """A place of store/connection.py. Whether it is there is for whoever opens it to say."""

    name = "file or url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        if isinstance(value, Path):
            return value
        if is_postgres(str(value)):
            return str(value)
        path = Path(str(value))
        if path.is_dir():
            self.fail(f"{value} is a folder", param, ctx)
        return path


LEDGER_OPTION = click.option("--ledger", type=LedgerPlace(), help="The ledger: a SQLite file, or postgresql://...")
