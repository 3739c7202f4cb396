"""The trained tables as they lie in the package: one msgpack file, written by learn, read once at start.

Knows the file's layout. Does not know how weights are fitted, nor how rows are added up (tables.py).

A row is: complexity, known (129 for a word, else 128), one weight for each kind of KINDS, one for each factor. A weight
is a byte: 128 is zero, a step is `step` (complexity), `kind_step` or `factor_step`. A pair speaks of complexity and
factors only. Factors are what heads are linear in (heads.py).
"""

from __future__ import annotations

import msgspec

from smallfirst.classify.heads import Prior
from smallfirst.classify.probes import Probe
from smallfirst.classify.tables import OTHERS, ZERO
from smallfirst.core import Kind
from smallfirst.errors import DataError

FORMAT = 2
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

COMPLEXITY, KNOWN, FIRST_KIND = 0, 1, 2
FIRST_FACTOR = FIRST_KIND + len(KINDS)
"""Where the fields of a row stand."""

_MOST_STEPS = 4_000
"""Intercepts beyond this stand for a kind without training prompts."""
_NEVER = -6_000


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
    pair_rows: bytes  # for each pair: complexity, then the factors
    other_rows: bytes  # a row for each symbol (order of SYMBOLS), then for each length class
    factors: int
    step: float
    kind_step: float
    factor_step: float
    intercept: float
    kind_intercepts: list[float]  # order of KINDS
    clip: float  # a segment's contribution to complexity is held within +-clip
    factor_clip: float  # and its factors inside a ball of this radius
    slope: float  # Platt: calibrated = slope * raw + offset
    offset: float
    familiar: float  # share of unknown words up to which a text counts as familiar
    unfamiliar_logit: float  # added when every word is unknown
    prior: Prior  # of a head: intercept, slope of complexity, slope of each factor
    heads: list[Probe]  # of recorded models, by name

    @property
    def width(self) -> int:
        """Fields of a row."""
        return FIRST_FACTOR + self.factors


def encode(weights: Weights) -> bytes:
    """The file's bytes."""
    return msgspec.msgpack.encode(weights)


def decode(data: bytes) -> Weights:
    """Read the file's bytes. Raises DataError when they are not weights of this format."""
    try:
        weights = msgspec.msgpack.decode(data, type=Weights)
    except msgspec.DecodeError as error:
        raise DataError(f"classifier weights: {error}") from error
    width = weights.width
    sizes = (len(weights.word_rows), len(weights.pair_rows), len(weights.other_rows), len(weights.kind_intercepts))
    right = (len(weights.words) * width, len(weights.pairs) * (1 + weights.factors), OTHERS * width, len(KINDS))
    heads = all(len(head.head) == 2 + weights.factors for head in weights.heads)
    if weights.format != FORMAT or sizes != right or not heads or len(weights.prior.mean) != 2 + weights.factors:
        raise DataError(f"classifier weights: not format {FORMAT} or cut short; train them again")
    return weights


def whole_pairs(weights: Weights) -> bytes:
    """The pairs' rows with every field, those that a pair does not speak of at zero."""
    short, silent = 1 + weights.factors, bytes([ZERO] * (FIRST_FACTOR - 1))
    table = weights.pair_rows
    return b"".join(table[at : at + 1] + silent + table[at + 1 : at + short] for at in range(0, len(table), short))


def intercept_steps(intercepts: list[float], step: float) -> list[int]:
    """The kinds' intercepts in steps; a kind that was never trained can't win."""
    steps = [round(value / step) for value in intercepts]
    return [value if abs(value) < _MOST_STEPS else _NEVER for value in steps]
