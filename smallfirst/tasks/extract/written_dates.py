"""Dates as contracts write them: `this 8th day of May, 2014`, `July 11 , 2006`, `5/17/12`, `____ day of ____, 2013`.

Knows English months and the blanks of a form that nobody has filled in. Does not know which date means what. A part
that was left blank is X, as ISO 8601-2 writes what is not known: 2013-XX-XX.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")  # fmt: skip
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third twenty-fourth "
    "twenty-fifth twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first"
)
_WORDS = {word: n for n, word in enumerate(_ORDINALS.split(), 1)}

_BLANK = r"(?:(?<!_)_++(?:\s{1,3}+_++){0,3}+|\[[\s_\u25cf\u2022\u00b7*.]{0,20}\]|[\u25cf\u00b7]|(?<!\.)\.{3,40}+)"
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY = r"\d{1,2}(?!\d)(?:\s?(?:st|nd|rd|t\s?h))?"
_WORD_DAY = "(?:" + "|".join(sorted(_WORDS, key=len, reverse=True)) + ")"
_IN_FIGURES = r"(?:\(\s?\d{1,2}(?:\s?(?:st|nd|rd|th))?\s?\))?"
_YEAR = r"(?:1[89]|20)\d\d(?!\d)"
_OPEN_YEAR = rf"(?:{_YEAR}|(?:19|20)\d?\s?{_BLANK})"
_S = r"\s*+"  # takes all the blanks there are and gives none back: contracts have hundreds in a row

_FORMS = re.compile(
    "|".join(
        [
            # May 8, 2014; May 8th 2014; May __, 2014
            rf"\b(?P<m1>{_MONTH}){_S}(?P<d1>{_DAY}|{_BLANK}){_S}(?:day)?{_S}[,.]?{_S}(?:of)?{_S}(?P<y1>{_OPEN_YEAR})",
            # 8th day of May, 2014; 8 May 2014; ___ day of May 2014; ___ day of ____, 2014; 20 March day of 1998
            rf"(?<![\d/])(?P<d2>{_DAY}|\b{_WORD_DAY}|{_BLANK}){_S}{_IN_FIGURES}{_S}(?:day)?{_S}(?:of)?{_S},?{_S}"
            rf"(?P<m2>{_MONTH}|{_BLANK}){_S}(?:day\s++of)?{_S},?{_S}(?:of|in\s++the\s++year)?{_S}(?P<y2>{_OPEN_YEAR})",
            # a line to write on, and the year: ________, 2013
            rf"(?P<b3>{_BLANK}){_S},?{_S}(?P<y3>{_OPEN_YEAR})",
            # 2014-05-08
            r"(?<![\d-])(?P<y4>(?:19|20)\d\d)-(?P<m4>\d\d)-(?P<d4>\d\d)(?![\d-])",
            # 5/8/14, 5-8-2014, 5.8.2014
            r"(?<![\d/.-])(?P<a5>\d{1,2})(?P<s5>[/.-])(?P<b5>\d{1,2})(?P=s5)(?P<y5>(?:19|20)?\d\d)(?![\d/-])(?!\.\d)",
        ]
    ),
    re.IGNORECASE,
)


class Written(msgspec.Struct, frozen=True):
    """A date in a text: `document[start:end]`, and its ISO form."""

    start: int
    end: int
    iso: str


def written_dates(document: str, *, day_first: bool = False) -> Iterator[Written]:
    """Every date in a text, in order. `day_first`: how 3/4/2011 is meant where both readings are dates."""
    for match in _FORMS.finditer(document):
        iso = _iso(match.groupdict(), day_first=day_first)
        if iso is not None:
            yield Written(match.start(), match.start() + len(match.group().rstrip()), iso)


def _iso(part: dict[str, str | None], *, day_first: bool) -> str | None:
    if (year := part["y1"]) is not None:
        return _joined(year, _month(part["m1"]), _day(part["d1"]))
    if (year := part["y2"]) is not None:
        return _joined(year, _month(part["m2"]), _day(part["d2"]))
    if (year := part["y3"]) is not None:
        return _joined(year, "XX", "XX")
    if (year := part["y4"]) is not None:
        return _joined(year, part["m4"], part["d4"])
    first, second = int(part["a5"] or 0), int(part["b5"] or 0)
    if (day_first and second <= 12) or first > 12:
        first, second = second, first
    return _joined(part["y5"] or "", f"{first:02d}", f"{second:02d}")


def _joined(year: str, month: str | None, day: str | None) -> str | None:
    if month is None or day is None:
        return None
    if (month.isdigit() and not 1 <= int(month) <= 12) or (day.isdigit() and not 1 <= int(day) <= 31):
        return None
    digits = re.sub(r"\D", "", year)
    if len(digits) == 2 and digits == year:
        digits = ("19" if int(digits) > 49 else "20") + digits
    return f"{digits.ljust(4, 'X')}-{month}-{day}"


def _month(text: str | None) -> str | None:
    """01 to 12, XX for a blank."""
    if text is None:
        return None
    start = text.lower()[:3]
    return next((f"{n + 1:02d}" for n, name in enumerate(MONTHS) if name.startswith(start)), "XX")


def _day(text: str | None) -> str | None:
    """01 to 31, XX for a blank."""
    if text is None:
        return None
    word = text.lower().split("(")[0].strip()
    if word in _WORDS:
        return f"{_WORDS[word]:02d}"
    digits = re.match(r"\d+", text)
    return f"{int(digits.group()):02d}" if digits else "XX"
