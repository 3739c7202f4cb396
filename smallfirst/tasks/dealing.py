"""Labelled rows by what they are for: to fit, to certify, to report on; a group of rows always on one side.

Knows shares and groups. Does not know what a row is, beyond the group that it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from smallfirst.evals.outcomes import split

FRACTIONS = (0.70, 0.15, 0.15)
"""To fit, to certify, to report on; rows that the caller keeps apart for the report leave their share to the fit."""


class Grouped(Protocol):
    """A row: those of one group are copies of a text, or documents of one sender."""

    @property
    def group(self) -> str: ...


Row = TypeVar("Row", bound=Grouped)


def deal(rows: Sequence[Row], seed: int, report: Sequence[Row] | None) -> tuple[list[Row], list[Row], list[Row]]:
    """(fit, certify, report). `report`: rows the caller keeps apart; the caller sees to it that no group is in both."""
    groups = [row.group for row in rows]
    shares = FRACTIONS if report is None else (FRACTIONS[0] + FRACTIONS[2], FRACTIONS[1])
    fit, proof, *rest = (
        [row for row in rows if row.group in part] for part in split(groups, seed=seed, fractions=shares)
    )
    return fit, proof, rest[0] if report is None else list(report)
