"""Candidates without a shape of their own (names, addresses, free text): runs of pieces, and what is seen of a piece.

Knows pieces (layout.py) and the words, marks and place of each, as a list of feature names. A run is judged by what its
first, inner and last piece look like and what stands before and after it, as in a semi-Markov model of one segment
(Sarawagi and Cohen 2004, "Semi-Markov conditional random fields", section 3). Does not know which run is wanted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container
from itertools import pairwise

import msgspec

from smallfirst.tasks.extract.layout import Layout, Piece
from smallfirst.tasks.extract.schema import Field

ROLES = ("first", "inside", "last", "before", "after", "joint")
"""What a piece can be to a run; `joint` is an inner piece that another of the run follows."""

LONGEST = {"name": 8, "address": 16, "text": 8}
"""Pieces of a run, by type of field."""

LEGAL = re.compile(
    r"\b(?:sdn|bhd|berhad|s/b|ltd|limited|inc|llc|llp|plc|corp|corporation|co|company|gmbh|ag|kg|ohg|ug|se|bv|nv|sa|sas|sarl"
    r"|srl|spa|oy|ab|as|aps|pty|pte|pvt|enterprise|trading|restaurant|restoran|store|shop|cafe|group|holdings?)\b",
    re.IGNORECASE,
)
STREET = re.compile(
    r"\b(?:street|st|road|rd|avenue|ave|lane|ln|drive|dr|boulevard|blvd|way|square|court|floor|suite|lot|block|level|unit"
    r"|jalan|jln|lorong|taman|bandar|stra(?:ß|ss)e|str|platz|weg|allee|rue|via|calle|plaza|box)\b",
    re.IGNORECASE,
)
_KINDS = (
    ("phone", re.compile(r"(?:tel|phone|fax|h/p|mobile)|\+?\d[\d -]{7,}\d", re.IGNORECASE)),
    ("web", re.compile(r"www\.|https?:|@|\.com\b", re.IGNORECASE)),
    ("date", re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{2,4}")),
    ("time", re.compile(r"\d{1,2}:\d\d")),
    ("amount", re.compile(r"\d[.,]\d\d(?!\d)")),
    ("postcode", re.compile(r"(?<!\d)\d{5}(?!\d)|\b[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}\b")),
    ("legal", LEGAL),
    ("street", STREET),
    ("registered", re.compile(
        r"(?<!\w)\d{5,8}\s?-?\s?[A-Z](?!\w)|\b(?:gst|vat|reg|roc|tax|ssm)\b|\bco\.?\s?(?:no|reg)", re.IGNORECASE
    )),
    ("label", re.compile(r":$")),
    ("bracket", re.compile(r"^[(\[].*[)\]]$")),
    ("rule", re.compile(r"^[\W_]+$")),
)  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")


def describe_pieces(document: str, layout: Layout) -> list[list[str]]:
    """For each piece the names of what is seen of it."""
    texts = [document[piece.start : piece.end] for piece in layout.pieces]
    counts = Counter(text.lower() for text in texts)
    described = []
    for piece, text in zip(layout.pieces, texts, strict=True):
        seen = _look(text)
        seen += _stands(piece, len(layout.lines))
        if counts[text.lower()] > 1:
            seen.append("again")
        described.append(seen)
    return described


def _look(text: str) -> list[str]:
    words = _WORD.findall(text[:200].lower())
    plain = ["0" * min(len(word), 6) if word.isdigit() else word for word in words[:24]]
    seen = [f"word:{word}" for word in dict.fromkeys(plain)]
    seen += [f"first={plain[0]}", f"final={plain[-1]}"] if plain else ["empty"]
    seen += [f"pair:{a} {b}" for a, b in pairwise(plain)]
    seen += [f"kind:{name}" for name, shape in _KINDS if shape.search(text)]
    seen.append(f"words={min(len(words), 8)}")
    seen.append(f"length={min(len(text) // 8, 8)}")
    letters = [letter for letter in text if letter.isalpha()]
    digits = sum(letter.isdigit() for letter in text)
    seen.append(f"digits={min(digits, 6)}")
    upper = sum(letter.isupper() for letter in letters)
    seen.append("case=" + _case(text, len(letters), upper))
    return seen


def _case(text: str, letters: int, upper: int) -> str:
    if not letters:
        return "none"
    return "upper" if upper == letters else "title" if text.istitle() else "mixed"


def _stands(piece: Piece, lines: int) -> list[str]:
    return [
        f"line={min(piece.line, 10)}",
        f"from-end={min((lines - 1 - piece.line) // 2, 6)}",
        f"edges={piece.opens:d}{piece.closes:d}",
        f"line={min(piece.line, 4)},edges={piece.opens:d}{piece.closes:d}",
    ]


def longest(field: Field) -> int:
    """Pieces that a run of this field may have."""
    return LONGEST.get(field.type, 4)


def rare(seen: list[str], known: Container[str]) -> int | None:
    """Words of a piece that are not known, None where it has no words. A name mostly has one, a label none."""
    words = [name for name in seen if name.startswith("word:") and name[5:6].isalpha()]
    return sum(name not in known for name in words) if words else None


RARE = ("rare=-", "rare=0", "rare=1", "rare=2", "rare=3")
RARES = ("rares=0", "rares=1", "rares=2", "rares=3")


class Contour(msgspec.Struct, frozen=True):
    """(pieces + 1,) what has come before each piece: open brackets, pieces with a legal form, with a street word."""

    level: list[int]
    legal: list[int]
    street: list[int]


def contour(document: str, layout: Layout) -> Contour:
    """Running counts, so that a run is described by differences."""
    level, legal, street = [0], [0], [0]
    for piece in layout.pieces:
        here = document.count("(", piece.start, piece.end) - document.count(")", piece.start, piece.end)
        level.append(level[-1] + here)
        legal.append(legal[-1] + bool(LEGAL.search(document, piece.start, piece.end)))
        street.append(street[-1] + bool(STREET.search(document, piece.start, piece.end)))
    return Contour(level, legal, street)


def describe_run(layout: Layout, shape: Contour, first: int, last: int) -> list[str]:
    """What is seen of the run of pieces first..last as a whole."""
    opening, closing = layout.pieces[first], layout.pieces[last]
    lines = min(closing.line - opening.line, 7) + 1
    inside = shape.legal[last + 1] - shape.legal[first]
    elsewhere = min(shape.legal[min(12, len(layout.pieces))] - inside, 2)
    ends_legal = shape.legal[last + 1] > shape.legal[last]
    return [
        f"lines={lines}",
        f"pieces={min(last - first, 9) + 1}",
        f"whole={opening.opens:d}{closing.closes:d}",
        f"length={min((closing.end - opening.start) // 12, 12)}",
        f"balanced={shape.level[first] == shape.level[last + 1]}",
        f"legal={min(inside, 3)},ends={ends_legal:d},elsewhere={elsewhere}",
        f"legal={min(inside, 2)},lines={lines}",
        f"legal={min(inside, 1)},line={min(opening.line, 3)}",
        f"street={min(shape.street[last + 1] - shape.street[first], 4)}",
    ]
