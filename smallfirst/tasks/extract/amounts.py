"""Numbers and amounts of money as people write them -> a plain decimal, with the currency's code.

Knows thousands in groups of three (comma, point, blank, apostrophe), both decimal signs, brackets and minus signs on
either side, currency signs and ISO 4217 codes. Does not know number words ("three dollars"). A sign that several
currencies share ($, kr, ¥) stands for the one that the schema names, else for the most traded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from smallfirst.tasks.extract.schema import Decimal as Sign

CODES = frozenset(
    {
        "AED", "ARS", "AUD", "BDT", "BGN", "BHD", "BRL", "CAD", "CHF", "CLP", "CNY", "COP", "CZK", "DKK", "EGP", "EUR",
        "GBP", "HKD", "HUF", "IDR", "ILS", "INR", "ISK", "JPY", "KES", "KRW", "KWD", "MAD", "MXN", "MYR", "NGN", "NOK",
        "NZD", "PEN", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "RUB", "SAR", "SEK", "SGD", "THB", "TRY", "TWD", "UAH",
        "USD", "VND", "ZAR",
    }
)  # fmt: skip
SYMBOLS = {
    "€": "EUR", "£": "GBP", "RM": "MYR", "₹": "INR", "₩": "KRW", "₺": "TRY", "₽": "RUB", "zł": "PLN", "Kč": "CZK",
    "R$": "BRL", "S$": "SGD", "A$": "AUD", "C$": "CAD", "HK$": "HKD", "US$": "USD", "NT$": "TWD", "Fr.": "CHF",
    "SFr.": "CHF", "Rs.": "INR", "Rs": "INR", "Rp": "IDR", "฿": "THB", "₫": "VND", "₪": "ILS", "₱": "PHP", "₦": "NGN",
}  # fmt: skip
SHARED = {"$": "USD", "kr": "SEK", "kr.": "SEK", "¥": "JPY", "R": "ZAR"}
"""Signs of several currencies, and the most traded of them."""

_SIGN = "|".join(re.escape(sign) for sign in sorted([*CODES, *SYMBOLS, *SHARED], key=len, reverse=True))
_GROUPED = r"\d{1,3}(?:[,.'\u2019\u00a0\u202f ]\d{3})+(?:[.,]\d{1,4})?(?!\d)"
_PLAIN = r"\d+(?:[.,]\d{1,4})?(?!\d)"
_FREE = r"(?<![\w.,])[.,]\d{1,2}(?!\d)"
NUMBER = rf"(?:{_GROUPED}|{_PLAIN}|{_FREE})"
_MINUS = r"[-\u2212\u2013]"
_AMOUNT = re.compile(
    r"(?<![\w.,])(?<!\d[:/-])"
    rf"(?P<open>\()?(?P<minus>{_MINUS}\s?)?(?:(?P<before>{_SIGN})[ \u00a0]{{0,2}}(?P<inner>{_MINUS})?)?"
    rf"(?P<number>{NUMBER})(?P<after>[ \u00a0]?(?:{_SIGN})(?!\w))?(?P<behind>-(?![\d\w]))?(?P<close>\))?"
)
_NOT_AFTER = re.compile(r"[\d/:]|[.,]\d|[-\u2212\u2013]\d|\w")


def find_amounts(text: str, decimal: Sign = "auto") -> Iterator[tuple[int, int, Decimal, str]]:
    """(start, end, value, currency sign or "") of each number in `text` that is not a piece of something longer."""
    for match in _AMOUNT.finditer(text):
        end = match.end()
        if _NOT_AFTER.match(text, end) and not match["after"]:
            continue
        start = match.start()
        if match["open"] and not match["close"]:
            start += 1
        if match["close"] and not match["open"]:
            end -= 1
        value = read_number(match["number"], decimal)
        if value is None:
            continue
        if match["minus"] or match["inner"] or match["behind"] or (match["open"] and match["close"]):
            value = -value
        yield start, end, value, (match["before"] or match["after"] or "").strip()


def read_number(text: str, decimal: Sign = "auto") -> Decimal | None:
    """The value of digits with separators, or None where they contradict `decimal`."""
    bare = re.sub(r"['\u2019\u00a0\u202f ]", "", text)
    points, commas = bare.count("."), bare.count(",")
    known = {"auto": _decimal_sign(bare, points, commas), "point": ".", "comma": ","}
    sign = known[decimal]
    if not sign:
        return Decimal(re.sub("[.,]", "", bare) or "0")
    thousands = "," if sign == "." else "."
    whole, _, part = bare.partition(sign)
    if thousands in part or sign in part:
        return None
    digits = whole.replace(thousands, "")
    return Decimal(f"{digits or '0'}.{part}" if part else digits or "0")


def _decimal_sign(bare: str, points: int, commas: int) -> str:
    """Which of the signs is the decimal one: the last of two kinds; one alone unless it groups three digits."""
    if points and commas:
        return "." if bare.rfind(".") > bare.rfind(",") else ","
    if points + commas != 1:
        return ""  # none, or several of a kind: thousands
    sign = "." if points else ","
    behind = len(bare) - bare.index(sign) - 1
    if behind == 3 and sign == "," and not bare.startswith(("0", ",")):
        return ""  # 1,234; but 1.234 is taken as written
    return sign


def currency_of(sign: str, wanted: str) -> str:
    """The code that a sign stands for; `wanted` where it is shared or there is none."""
    if sign in CODES:
        return sign
    if sign in SYMBOLS:
        return SYMBOLS[sign]
    return wanted or SHARED.get(sign, "")


def money(value: Decimal, currency: str) -> str:
    """At least two decimals, then the code: `1234.50 EUR`."""
    shown = f"{value.normalize():f}"
    whole, _, part = shown.partition(".")
    return f"{whole}.{part:0<2} {currency}".strip()


def number(value: Decimal) -> str:
    """No trailing zeros."""
    return f"{value.normalize():f}" if value else "0"
