"""Numbers that name a person or an account: is this run of digits one, by its shape, its check digits, its context?

Knows the shapes and, through python-stdnum and phonenumbers, the checks. Does not know where in a text to look
(patterns.py does). A number whose check digit one in ten random numbers passes counts only beside a word that says what
it is. Both packages are imported when the first candidate comes: together they take a few hundred milliseconds.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

Check = Callable[[str], bool]

_MODULES = {
    "us_ssn": "stdnum.us.ssn",
    "us_itin": "stdnum.us.itin",
    "uk_nhs": "stdnum.gb.nhs",
    "de_tax_id": "stdnum.de.idnr",
    "fr_nir": "stdnum.fr.nir",
    "es_dni": "stdnum.es.dni",
    "es_nie": "stdnum.es.nie",
    "it_codice_fiscale": "stdnum.it.codicefiscale",
    "nl_bsn": "stdnum.nl.bsn",
    "pl_pesel": "stdnum.pl.pesel",
    "in_aadhaar": "stdnum.in_.aadhaar",
    "in_pan": "stdnum.in_.pan",
    "br_cpf": "stdnum.br.cpf",
    "vn_id": "stdnum.vn.mst",
    "iban": "stdnum.iban",
}


@cache
def _validator(category: str) -> Check:
    check: Check = importlib.import_module(_MODULES[category]).is_valid
    return check


def warm() -> None:
    """Import everything now: at the start of a gateway, in a thread, so that no request waits for it."""
    for category in _MODULES:
        _validator(category)
    _phones()


@lru_cache(maxsize=4096)
def is_valid(category: str, compact: str) -> bool:
    """Whether `compact` (no separators) passes the check of its category."""
    return _validator(category)(compact)


_CARD_STARTS = re.compile(
    r"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[0-9]|6(?:011|4[4-9]|5|2|3|7)|1800|2131|5[06-8]"
)
_CARD_LENGTHS = range(12, 20)


def is_card(digits: str) -> bool:
    """A payment card: a known issuer's first digits, 12 to 19 digits, Luhn's check (ISO/IEC 7812-1, Annex B)."""
    if len(digits) not in _CARD_LENGTHS or _CARD_STARTS.match(digits) is None or len(set(digits)) < 2:
        return False
    raw = digits.encode()[::-1]
    return (sum(raw[::2]) + sum(raw[1::2].translate(_DOUBLED))) % 10 == _ZEROS[len(digits)]


_DOUBLED = bytes(sum(divmod((byte - 48) * 2, 10)) + 48 if 48 <= byte < 58 else 0 for byte in range(256))
_ZEROS = [size * 48 % 10 for size in range(20)]
"""The digits are summed as ASCII, where 0 is 48."""

NUMERIC: dict[int, tuple[tuple[str, re.Pattern[str] | None, tuple[str, ...]], ...]] = {}
"""By number of digits: (category, how it must be written to count by itself, words that make any writing count)."""


def _rule(digits: int, category: str, written: str | None, *words: str) -> None:
    shape = None if written is None else re.compile(written)
    NUMERIC[digits] = (*NUMERIC.get(digits, ()), (category, shape, words))


_rule(9, "us_ssn", r"\d{3}-\d\d-\d{4}$", "ssn", "social sec")
_rule(9, "us_itin", r"9\d\d-\d\d-\d{4}$", "itin", "taxpayer", "tax id")
_rule(9, "nl_bsn", None, "bsn", "burgerservice", "sofi")
_rule(8, "nl_bsn", None, "bsn", "burgerservice", "sofi")
_rule(10, "uk_nhs", None, "nhs", "patient", "health service", "health number")
_rule(10, "vn_id", None, "mst", "thuế", "tax code")
_rule(11, "de_tax_id", None, "steuer", "identifikation", "idnr", " tin", "tax id", "tax number")
_rule(11, "pl_pesel", None, "pesel", "identity", "national id")
_rule(11, "br_cpf", r"\d{3}\.\d{3}\.\d{3}-\d\d$", "cpf", "cadastro")
_rule(12, "in_aadhaar", r"\d{4} \d{4} \d{4}$", "aadhaar", "aadhar", "uidai", "uid ")
_rule(12, "vn_card", None, "cccd", "cmnd", "căn cước", "identity", "national id")
_rule(13, "fr_nir", None, "nir", "sécurité", "securite", "insee", "sécu")
_rule(15, "fr_nir", r"[12]")


def numeric(written: str, digits: str, around: str) -> str | None:
    """The category of a run of digits, or None. `around`: what stands before and after it, in lower case."""
    for category, shape, words in NUMERIC.get(len(digits), ()):
        alone = shape is not None and shape.match(written) is not None
        if not alone and not (around and any(word in around for word in words)):
            continue
        if category == "vn_card":  # 12 digits without a check digit: a century and a province begin it
            if digits[0] == "0":
                return "vn_id"
        elif category == "us_ssn" and alone:
            if is_plausible_ssn(digits):
                return category
        elif is_valid(category, digits):
            return category
    if len(digits) in _CARD_LENGTHS and is_card(digits):
        return "payment_card"
    return None


def is_plausible_ssn(digits: str) -> bool:
    """The Social Security Administration's own limits since 2011: no 000, 666 or 9xx, no 00, no 0000."""
    return digits[:3] not in ("000", "666") and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


LETTERED = re.compile(
    r"(?P<iban>[A-Z]{2}\d\d(?:[ -]?[A-Z0-9]){11,30})(?![A-Z0-9])"
    r"|(?P<it_codice_fiscale>[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z])(?![A-Z0-9])"
    r"|(?P<in_pan>[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z])(?![A-Z0-9])"
    r"|(?P<uk_nino>(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D])(?![A-Z0-9])"
    r"|(?P<es_nie>[XYZ]-?\d{7}-?[A-Z])(?![A-Z0-9])"
    r"|(?P<es_dni>\d{8}-?[A-Z])(?![A-Z0-9])",
    re.I,
)
"""Identifiers of letters and digits; matched where a word that holds a digit begins."""

_SEPARATORS = str.maketrans("", "", " -./")


def lettered(text: str, at: int) -> tuple[str, int] | None:
    """(category, end) of the identifier that begins at text[at], or None."""
    match = LETTERED.match(text, at)
    if match is None:
        return None
    category = match.lastgroup or ""
    if category == "iban":
        return _iban(match[0], at)
    compact = match[0].translate(_SEPARATORS).upper()
    if category == "uk_nino" or is_valid(category, compact):
        return category, match.end()
    return None


def _iban(written: str, at: int) -> tuple[str, int] | None:
    """The longest prefix of `written` that is one: words may follow it ("... 9268 19 is mine")."""
    compact = written.translate(_SEPARATORS).upper()
    size = IBAN_LENGTHS.get(compact[:2])
    if size is None or len(compact) < size or not is_iban(compact[:size]):
        return None
    seen = 0
    for end, char in enumerate(written, 1):
        seen += char not in " -"
        if seen == size:
            return "iban", at + end
    return None


def is_iban(compact: str) -> bool:
    """The check digits of ISO 13616: rearranged and read as a number, the remainder by 97 is 1."""
    moved = compact[4:] + compact[:4]
    return moved.isascii() and moved.isalnum() and int("".join(str(int(char, 36)) for char in moved)) % 97 == 1


IBAN_LENGTHS = {
    country.decode(): int(size)
    for size, countries in (
        pair.split(b":")
        for pair in (
            b"15:NO 16:BE 18:DK,FI,FO,GL,NL,SD 19:MK,SI 20:AT,BA,EE,KZ,LT,LU,XK,MN "
            b"21:CH,HR,LI,LV 22:BG,BH,CR,DE,GB,GE,IE,ME,RS,VA "
            b"23:AE,GI,IL,IQ,OM,TL,SO 24:AD,CZ,ES,MD,PK,RO,SA,SE,SK,TN,VG 25:LY,PT,ST 26:IS,TR "
            b"27:BI,DJ,FR,GR,IT,MC,MR,SM 28:AL,AZ,BY,CY,DO,GT,HU,LB,PL,SV,NI "
            b"29:BR,EG,PS,QA,UA 30:JO,KW,MU,YE 31:MT,SC 32:LC 33:RU"
        ).split()
    )
    for country in countries.split(b",")
}
"""Length of an IBAN by country (ISO 13616, the registry of SWIFT)."""

REGIONS = ("GB", "FR", "DE", "IT", "ES", "NL", "BR", "AU")
"""Countries whose own way of writing a number, without the country's code, is recognised beside North America's."""

_GROUPED = re.compile(r"\(?0?\d{1,4}\)?(?:[ .\-/]{1,2}\d{2,6}){1,5}")
_NORTH_AMERICAN = re.compile(r"(?:1[ .-]?)?\(?[2-9]\d\d\)?[ .-]?[2-9]\d\d[ .-]\d{4}")
_ABROAD = re.compile(r"\+|00[1-9]")


def is_phone(written: str, digits: str, *, beside_a_word: bool) -> bool:
    """Whether a run of digits is a telephone number.

    With a word for it beside it the length is enough (ITU-T E.164: at most 15 digits). Without, it must be written
    with its country's code, or grouped as where it is valid.
    """
    if not 7 <= len(digits) <= 15:
        return False
    if beside_a_word or _NORTH_AMERICAN.fullmatch(written):
        return True
    if _ABROAD.match(written):
        return _valid("+" + digits.lstrip("0"), None)
    if written[0] not in "0(" or _GROUPED.fullmatch(written) is None:
        return False
    return any(_valid(written, region) for region in REGIONS)


@lru_cache(maxsize=4096)
def _valid(number: str, region: str | None) -> bool:
    """About 80 us where it is not remembered."""
    parse, valid = _phones()
    parsed = parse(number, region)
    return parsed is not None and valid(parsed)


@cache
def _phones() -> tuple[Callable[[str, str | None], Any], Callable[[Any], bool]]:
    import phonenumbers  # noqa: PLC0415 - 0.1 s, and only where a number may be one

    def parse(number: str, region: str | None) -> Any:
        try:
            return phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            return None

    return parse, phonenumbers.is_valid_number
