"""A run over many documents that goes on where it was stopped: what its output file holds already.

Knows files of one JSON line a document, each with an `id`. Does not know what else a task writes into a line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from smallfirst.errors import DataError


class Identified(Protocol):
    """A line of a run."""

    @property
    def id(self) -> str: ...


OneLine = TypeVar("OneLine", bound=Identified)


def ids_in(out: Path, line: type[OneLine], task: str) -> set[str]:
    """Ids that stand in the output already; a last line that was cut off is taken out of it. Raises DataError."""
    if not out.exists():
        return set()
    data = out.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    found = set()
    for number, written in enumerate(whole.splitlines(), 1):
        try:
            found.add(msgspec.json.decode(written, type=line).id)
        except msgspec.DecodeError as error:
            raise DataError(f"{out}, line {number}: not a line of {task} ({error}); name another --out") from None
    if len(whole) < len(data):
        out.write_bytes(whole)
    return found
