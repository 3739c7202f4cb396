"""A text and a field -> the value's normal form, or None where the text is no value of that type.

Knows which normaliser belongs to which type. Does not know where the text stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from smallfirst.tasks.extract.amounts import currency_of, find_amounts, money, number
from smallfirst.tasks.extract.dates import iso_date
from smallfirst.tasks.extract.identifiers import checked, plain_id
from smallfirst.tasks.extract.names import loose, plain, tidy_address, tidy_name
from smallfirst.tasks.extract.schema import Field


def normalise(field: Field, text: str) -> str | None:
    """The normal form of `text` as a value of `field`."""
    if not text.strip():
        return None
    return _NORMALISERS[field.type](field, text) or None


def same(field: Field, one: str | None, other: str | None) -> bool:
    """Whether two normal forms say the same: words by their letters and digits, everything else exactly."""
    if one is None or other is None:
        return one is other
    if field.type in ("name", "address", "text"):
        return loose(one) == loose(other)
    return one == other


def _amount(field: Field, text: str) -> str | None:
    found = list(find_amounts(text, field.decimal))
    if not found:
        return None
    _, _, value, sign = max(found, key=lambda one: (bool(one[3]), one[1] - one[0]))
    return money(value, currency_of(sign, field.currency)) if field.type == "money" else number(value)


def _identifier(field: Field, text: str) -> str | None:
    if field.form:
        return checked(field.form, text)
    said = plain_id(text)
    if field.pattern and not re.fullmatch(field.pattern, said, re.IGNORECASE):
        return None
    return said or None


def _choice(field: Field, text: str) -> str | None:
    return _meanings(field).get(loose(text))


@lru_cache(maxsize=64)
def _known(choices: tuple[tuple[str, tuple[str, ...]], ...]) -> dict[str, str]:
    return {loose(word): value for value, words in choices for word in (value, *words)}


def _meanings(field: Field) -> dict[str, str]:
    return _known(tuple((value, tuple(words)) for value, words in field.choices.items()))


def _free(field: Field, text: str) -> str | None:
    said = plain(text)
    return said if not field.pattern or re.fullmatch(field.pattern, said) else None


_NORMALISERS: dict[str, Callable[[Field, str], str | None]] = {
    "date": lambda field, text: iso_date(text, field.order),
    "money": _amount,
    "number": _amount,
    "id": _identifier,
    "choice": _choice,
    "name": lambda _, text: tidy_name(text),
    "address": lambda _, text: tidy_address(text),
    "text": _free,
}
