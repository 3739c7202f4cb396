"""The trained tables as they lie in the package: one msgpack file, written by learn, read once at start.

Knows the file's layout and how a row of small weights becomes one integer. Does not know how weights are fitted.

A row is FIELDS bytes: complexity, known (1 for a word, else 0), then one weight for each kind of KINDS. A weight is a
byte: 128 is zero, a step is `step` (complexity) or `kind_step` (kinds). In memory a row is one Python integer with 16
bits for each field, so that adding integers adds all fields at once. A pair speaks of complexity only: one byte.
"""

from __future__ import annotations

import struct

import msgspec

from smallfirst.classify.sample import LENGTHS, SEGMENTS, SYMBOLS, WORDS
from smallfirst.core import Kind
from smallfirst.errors import DataError

FORMAT = 1
KINDS: tuple[Kind, ...] = (
    "faq",
    "label",
    "extraction",
    "arithmetic",
    "formatting",
    "rewriting",
    "choice",
    "mathematics",
    "code",
    "other",
)
"""The kinds that text can tell apart; `tools` is known from the request."""

FIELDS = 2 + len(KINDS)
ZERO = 128
FIELD_BITS = 16
FIELD_MASK = (1 << FIELD_BITS) - 1
_FIELDS = struct.Struct(f"<{FIELDS}H")
NEUTRAL = int.from_bytes(_FIELDS.pack(ZERO, 0, *[ZERO] * len(KINDS)), "little")
"""The row of a word that is not in the table."""
_MOST_STEPS = 4_000
"""Intercepts beyond this stand for a kind without training prompts."""

# the words of every segment, the symbols, a length, an intercept: their sum must fit into a field
assert (SEGMENTS * WORDS + len(SYMBOLS) + 1) * 255 + 2 * _MOST_STEPS < 1 << FIELD_BITS  # noqa: S101 - checked once, at import


class Provenance(msgspec.Struct, frozen=True):
    """Where weights come from. No date: the same data and seed give the same bytes."""

    program: str
    seed: int
    files: dict[str, str]  # name of a table -> sha256; evaluate-only files never stand here
    kinds_file: str  # sha256 of the prompts of known kind, "" where none was given
    rows: int  # prompts fitted
    groups: int  # distinct prompts among them
    metrics: dict[str, float]  # on held-out groups
    settings: dict[str, float]


class Weights(msgspec.Struct, frozen=True):
    """The file. Units of every `*_step`, `clip`, `intercept`: natural log-odds."""

    format: int
    provenance: Provenance
    words: list[str]
    pairs: list[str]  # two words with a space between
    word_rows: bytes  # a row for each word
    pair_points: bytes  # a byte for each pair
    other_rows: bytes  # a row for each symbol (order of SYMBOLS), then for each length class
    step: float
    kind_step: float
    intercept: float
    kind_intercepts: list[float]  # order of KINDS
    clip: float  # a segment's contribution is held within +-clip
    slope: float  # Platt: calibrated = slope * raw + offset
    offset: float
    familiar: float  # share of unknown words up to which a text counts as familiar
    unfamiliar_logit: float  # added when every word is unknown


def encode(weights: Weights) -> bytes:
    """The file's bytes."""
    return msgspec.msgpack.encode(weights)


def decode(data: bytes) -> Weights:
    """Read the file's bytes. Raises DataError when they are not weights of this format."""
    try:
        weights = msgspec.msgpack.decode(data, type=Weights)
    except msgspec.DecodeError as error:
        raise DataError(f"classifier weights: {error}") from error
    sizes = (len(weights.word_rows), len(weights.pair_points), len(weights.other_rows), len(weights.kind_intercepts))
    right = (len(weights.words) * FIELDS, len(weights.pairs), (len(SYMBOLS) + LENGTHS) * FIELDS, len(KINDS))
    if weights.format != FORMAT or sizes != right:
        raise DataError(f"classifier weights: not format {FORMAT} or cut short; train them again")
    return weights


def unpack_rows(table: bytes) -> list[int]:
    """One integer for each row of `table`."""
    spread = bytearray(2 * len(table))
    spread[::2] = table  # a byte becomes a 16-bit field, little-endian
    size = _FIELDS.size
    return [int.from_bytes(spread[at : at + size], "little") for at in range(0, len(spread), size)]


def unpack_points(table: bytes) -> list[float]:
    """Steps of complexity for each pair, each moved by less than a thousandth so that all differ.

    A set of them therefore holds each pair once, and since all are multiples of 2**-30 their sum is exact in any order.
    """
    return [byte - ZERO + at * 2.0**-30 for at, byte in enumerate(table)]


def pack_intercepts(intercepts: list[float], step: float) -> int:
    """The kinds' intercepts as a row, lifted so that the least is 0; a kind that was never trained stays there."""
    steps = [round(value / step) for value in intercepts]
    usable = [value for value in steps if abs(value) < _MOST_STEPS]
    least = min(usable, default=0)
    return int.from_bytes(
        _FIELDS.pack(0, 0, *[value - least if abs(value) < _MOST_STEPS else 0 for value in steps]), "little"
    )


def fields_of(total: int) -> tuple[int, ...]:
    """The fields of a sum of rows: complexity, known, one for each of KINDS."""
    return _FIELDS.unpack(total.to_bytes(_FIELDS.size, "little"))
