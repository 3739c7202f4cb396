"""Where somebody can be reached: e-mail, network and postal addresses.

Knows their shapes. Does not know names of towns or people: an address without a number, a street word, a box or a
postcode is not seen. Every pattern is anchored and bounded, so that a text costs time in proportion to its length.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from smallfirst.privacy.categories import Finding

_LOCAL = re.compile(r"[\w.+%'~&$!#*/=?^`{|}-]{1,64}\Z")
_DOMAIN = re.compile(r"[^\W_](?:[\w-]{0,62}\.)+[^\W\d_][\w-]{1,62}|\[?\d{1,3}(?:\.\d{1,3}){3}\]?")
_LONGEST_LOCAL = 64


def find_emails(text: str) -> Iterator[Finding]:
    """Each `@` with a local part before it and a domain after it (RFC 5321, 4.5.3.1: 64 characters before)."""
    at = text.find("@")
    while at >= 0:
        end = at + 1
        domain = _DOMAIN.match(text, at + 1, at + 255)
        if domain is not None:
            local = _LOCAL.search(text[max(0, at - _LONGEST_LOCAL) : at])
            if local is not None:
                end = domain.end()
                yield Finding("email", at - len(local[0]), end)
        at = text.find("@", end)


_V4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_COLONS = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_MAC = re.compile(r"(?<![\w:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])")


def find_networks(text: str) -> Iterator[Finding]:
    """IP addresses, apart by whether they are someone's or of a private network, and MAC addresses."""
    if text.count(".") >= 3:
        for match in _V4.finditer(text):
            if not _goes_on(text, match.start()):
                yield from _network(match)
    colons = text.count(":")
    if colons >= 2:
        for match in _COLONS.finditer(text):
            yield from _network(match)
    if colons >= 5 or text.count("-") >= 5:
        for match in _MAC.finditer(text):
            yield Finding("mac_address", *match.span())


def _goes_on(text: str, start: int) -> bool:
    """Whether what begins here is the end of something longer. A look-behind would cost at every character."""
    return start > 0 and (text[start - 1].isalnum() or text[start - 1] in "._")


def _network(match: re.Match[str]) -> Iterator[Finding]:
    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:
        return
    if not address.is_unspecified:
        private = not address.is_global and (address.version == 4 or address.is_private or address.is_loopback)
        yield Finding("private_network" if private else "ip_address", *match.span())


_WORD = r"[^\W\d_][\w'\u2019.-]{0,30}"
_STREETS = (
    r"(?:street|avenue|ave|road|lane|drive|boulevard|blvd|court|terrace|crescent|highway|parkway|pkwy|alley|circle|"
    r"trail|square|place|plaza|way|row|close|rd|st|ln|dr|ct)"
)
_BEFORE_NAME = re.compile(
    rf"\d{{1,5}}[A-Za-z]?,?(?:[ ](?:[NSEW]\.?|{_WORD}|\d{{1,3}}(?:st|nd|rd|th))){{1,4}}?[ ]{_STREETS}\b\.?",
    re.I,
)
_AFTER_NAME = re.compile(
    rf"\b(?:rue|chemin|impasse|quai|via|viale|piazza|corso|calle|avenida|avda|paseo|plaza|rua|travessa|ul\.|ulica|"
    rf"aleja|strada|bulevardul|avenue|boulevard)[ ](?:{_WORD}[ ,]{{1,2}}){{1,4}}?\d{{1,4}}\b",
    re.I,
)
_GLUED = (
    "straße", "strasse", "str.", "weg", "gasse", "platz", "allee", "damm", "laan", "straat", "plein", "gade", "vej",
    "gatan", "vägen", "katu", "tie", "utca", "útja", "tér", "veien", "gata",
)  # fmt: skip
_HOUSE = re.compile(r" \d{1,4}\b")
_LONGEST_NAME = 30
_ZIP = re.compile(r"(?<=[A-Z]{2}[ \n])\d{5}(?:-\d{4})?\b")
_POSTCODE = re.compile(r" \d[ABD-HJLNP-UW-Z]{2}\b")
_OUTWARD = re.compile(r"\b[A-Z]{1,2}\d[A-Z\d]?\Z")
_STATES = frozenset(
    name.decode()
    for name in (
        b"AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY "
        b"NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC AP AE AA PR"
    ).split()
)
_BOX = re.compile(
    r"\bp\.? ?o\.? ?box \d{1,6}\b|\bpsc \d{1,5},? box \d{1,5}\b|\bunit \d{1,6} box \d{1,6}\b|"
    r"\b(?:suite|apt\.?|apartment|flat) #?\d{1,5}\b",
    re.I,
)

BOXES = frozenset(b"box suite apt apartment flat".split())
BEFORE = frozenset(
    b"street avenue ave road lane drive boulevard blvd court terrace crescent highway parkway pkwy alley circle trail "
    b"square place plaza way row close rd st ln dr ct".split()
)
AFTER = frozenset(
    b"rue chemin impasse quai via viale piazza corso calle avenida avda paseo plaza rua travessa ul ulica aleja strada "
    b"bulevardul avenue boulevard".split()
)


def find_postal(text: str, present: set[bytes]) -> Iterator[Finding]:
    """Streets with numbers, boxes, suites, ZIP codes behind a US state, UK postcodes. `present`: the text's words."""
    for words, pattern in ((BEFORE, _BEFORE_NAME), (AFTER, _AFTER_NAME), (BOXES, _BOX)):
        if not present.isdisjoint(words):
            for match in pattern.finditer(text):
                yield Finding("postal_address", *match.span())
    for match in _HOUSE.finditer(text):
        start = match.start()
        if start and text[max(0, start - 8) : start].lower().endswith(_GLUED):
            name = max(
                text.rfind(" ", max(0, start - _LONGEST_NAME), start),
                text.rfind("\n", max(0, start - _LONGEST_NAME), start),
            )
            yield Finding("postal_address", name + 1 if name >= 0 else max(0, start - _LONGEST_NAME), match.end())
    for match in _ZIP.finditer(text):
        start = match.start() - 3
        if text[start : start + 2] in _STATES and not text[start - 1 : start].isalnum():
            yield Finding("postal_address", start, match.end())
    for match in _POSTCODE.finditer(text):
        outward = _OUTWARD.search(text, max(0, match.start() - 5), match.start())
        if outward is not None:
            yield Finding("postal_address", outward.start(), match.end())
