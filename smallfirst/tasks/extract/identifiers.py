"""Identifiers with check digits: invoice and tax numbers, bank accounts, whatever python-stdnum knows.

Knows the names of its modules (`iban`, `eu.vat`, `de.idnr`) and asks them. Does not know where in a text to look.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import warnings
from functools import cache
from typing import Any

_BLANKS = re.compile(r"\s+")


@cache
def forms() -> tuple[str, ...]:
    """Every check there is, by the name that a schema says."""
    import stdnum  # noqa: PLC0415 - some hundred files are listed

    found = []
    for one in pkgutil.walk_packages(stdnum.__path__):
        if one.ispkg:
            inner = importlib.import_module(f"stdnum.{one.name}")
            country = one.name.rstrip("_")
            found += [f"{country}.{each.name}" for each in pkgutil.iter_modules(inner.__path__)]
        elif one.name not in {"util", "numdb", "exceptions"}:
            found.append(one.name)
    return tuple(sorted(found))


@cache
def _module(form: str) -> Any:
    parts = form.split(".")
    if len(parts) == 2 and parts[0] in {"in", "is"}:
        parts[0] += "_"  # words of Python
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a few modules were renamed and kept
        return importlib.import_module(".".join(["stdnum", *parts]))


def checked(form: str, text: str) -> str | None:
    """`text` without its separators where it passes the check of `form`, else None."""
    from stdnum.exceptions import ValidationError  # noqa: PLC0415 - as the checks, when the first is needed

    try:
        return str(_module(form).validate(text))
    except ValidationError:
        return None


def plain_id(text: str) -> str:
    """An identifier without a check: upper case, no blanks around, one blank inside."""
    return _BLANKS.sub(" ", text).strip(" .:#").upper()
