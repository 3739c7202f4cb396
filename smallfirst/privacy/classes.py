"""Data classes by name, and which one a query has when several parties name one.

Knows the order of the classes. Does not look at what a query says, and does not know which model may see it (rules.py).
"""

from __future__ import annotations

from smallfirst.config.nearest import hint
from smallfirst.core import DataClass

NAMES = tuple(DataClass.__members__)


def parse_class(name: str) -> DataClass:
    """The data class called `name`. Raises ValueError, with the nearest name, where there is none."""
    found = DataClass.__members__.get(name)
    if found is None:
        raise ValueError(f"unknown data class `{name[:60]}`{hint(name, NAMES)}")
    return found


def strictest(*said: DataClass | None) -> DataClass:
    """The class of a query, from what the caller declared, its key's least class and the default.

    The highest wins, so each party can raise the class and none can lower it: a caller that declares `public` where
    the default is `internal` has an `internal` query.
    """
    return max((one for one in said if one is not None), default=DataClass.secret)
