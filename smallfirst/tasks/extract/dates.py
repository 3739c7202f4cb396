"""Dates as people write them -> ISO 8601.

Knows numeric dates in three orders, dates with a month's name in eight languages, and ordinals.
Does not know relative dates ("next Friday"). A numeric date that can be read in one way only is read so, whatever the
order asked for; two-digit years lie between 1970 and 2069.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from smallfirst.tasks.extract.schema import Order

_NAMES = (
    "january january jan janvier janv januar jan jaenner jänner enero ene gennaio gen januari janeiro styczeń stycznia",
    "february feb février fevrier févr februar febrero febbraio februari fevereiro fev luty lutego",
    "march mar mars märz maerz mrz marzo maart mrt março marzec marca",
    "april apr avril avr abril abr aprile kwiecień kwietnia",
    "may mai mayo maggio mag mei maio maj maja",
    "june jun juin juni junio giugno giu junho czerwiec czerwca",
    "july jul juillet juil juli julio luglio lug julho lipiec lipca",
    "august aug août aout agosto ago augustus sierpień sierpnia",
    "september sep sept septembre septiembre settembre set setembro wrzesień września",
    "october oct octobre oktober okt octubre ottobre ott outubro out październik października",
    "november nov novembre noviembre novembro listopad listopada",
    "december dec décembre decembre déc dezember dez diciembre dic dicembre december dezembro grudzień grudnia",
)
MONTHS = {word: month for month, words in enumerate(_NAMES, 1) for word in words.split()}

_MONTH = "(?P<{}>" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\.?"
_DAY = r"(?P<{}>\d{{1,2}})(?:st|nd|rd|th|er|º|\.)?"
_EDGE, _END = r"(?<![\w/.-])", r"(?![\w/]|[.-]\d)"

_NUMERIC = re.compile(
    r"(?<![\w/.,-])(?P<a>\d{1,4})\s?(?P<s>[-/.])\s?(?P<b>\d{1,2})\s?(?P=s)\s?(?P<c>\d{1,4})(?![\d/]|[.-]\d)"
)
_COMPACT = re.compile(r"(?<![\w/.,-])(?P<y>(?:19|20)\d\d)(?P<m>0[1-9]|1[0-2])(?P<d>0[1-9]|[12]\d|3[01])(?!\w|[.,-]\d)")
_WORDS = re.compile(
    "|".join(
        (
            _EDGE + _DAY.format("d1") + r"(?:\s+day)?[\s./,'-]{0,3}(?:of\s+|de\s+)?" + _MONTH.format("m1")
            + r"[\s./,'-]{0,3}(?:de\s+|of\s+)?(?P<y1>\d{4}|\d{2})" + _END,
            _EDGE + _MONTH.format("m2") + r"[\s./-]{0,2}" + _DAY.format("d2")
            + r"[\s,./'-]{1,3}(?P<y2>\d{4}|\d{2})" + _END,
            _EDGE + r"(?P<y3>\d{4})[\s./-]{1,2}" + _MONTH.format("m3") + r"[\s./-]{1,2}" + _DAY.format("d3") + _END,
        )
    ),
    re.IGNORECASE,
)  # fmt: skip

_CENTURY = 70
"""Two-digit years from here on belong to the last century."""


def find_dates(text: str, order: Order = "dmy") -> Iterator[tuple[int, int, str]]:
    """(start, end, ISO date) of each date in `text`, form by form."""
    for match in _NUMERIC.finditer(text):
        if (read := _numeric(match, order)) is not None:
            yield *match.span(), read
    for match in _WORDS.finditer(text):
        n = next(n for n in "123" if match[f"m{n}"])
        month = MONTHS[match[f"m{n}"].lower()]
        if (read := _iso(match[f"y{n}"], month, int(match[f"d{n}"]))) is not None:
            yield *match.span(), read
    for match in _COMPACT.finditer(text):
        if (read := _iso(match["y"], int(match["m"]), int(match["d"]))) is not None:
            yield *match.span(), read


def iso_date(text: str, order: Order = "dmy") -> str | None:
    """The ISO form of a text that holds one date and little else (a weekday, a time), or None."""
    found = min(find_dates(text, order), default=None)
    return found[2] if found else None


def _numeric(match: re.Match[str], order: Order) -> str | None:
    a, b, c = match["a"], match["b"], match["c"]
    if len(a) == 4 and len(c) <= 2:
        return _iso(a, int(b), int(c))
    if len(a) > 2 or len(c) not in (2, 4):
        return None
    if len(c) == 4:
        orders: tuple[str, ...] = ("mdy", "dmy") if order == "mdy" else ("dmy", "mdy")
    else:
        orders = {"dmy": ("dmy", "mdy", "ymd"), "mdy": ("mdy", "dmy", "ymd"), "ymd": ("ymd", "dmy", "mdy")}[order]
    for one in orders:
        year, month, day = {"dmy": (c, b, a), "mdy": (c, a, b), "ymd": (a, b, c)}[one]
        if (read := _iso(year, int(month), int(day))) is not None:
            return read
    return None


def _iso(year: str, month: int, day: int) -> str | None:
    number = int(year)
    if len(year) == 2:
        number += 1900 if number >= _CENTURY else 2000
    if len(year) == 3:
        return None
    try:
        return datetime.date(number, month, day).isoformat()
    except ValueError:
        return None
