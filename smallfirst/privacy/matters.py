"""Does a text carry someone's private matters? A trained linear model over words, pairs of words, and what kinds of
words stand together.

Knows look-ups and windows. Does not know how the weights were fitted (learn/train_matters.py). A text is read in blocks
of BLOCK words; two neighbouring blocks are a window, and a text is as private as its most private window: what is said
in one sentence of a long document counts, and a long document does not add up to a secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from importlib import resources
from itertools import combinations, pairwise, repeat
from pathlib import Path

import msgspec

from smallfirst.errors import DataError, SetupError
from smallfirst.privacy import words

FORMAT = 3
NAME = "matters.msgpack"
BLOCK = 32
"""Words in a block."""

PER_DOUBLING = 0.5
"""What a text with twice as many windows must show more, in log-odds: it has twice as many chances to be mistaken."""

GROUPS: tuple[tuple[str, frozenset[bytes]], ...] = (
    ("self", words.SELF),
    ("kin", words.KIN),
    ("other", words.OTHER),
    ("health", words.HEALTH),
    ("finance", words.FINANCE),
    ("strong", words.STRONG),
    ("intimate", words.INTIMATE),
    ("legal", words.LEGAL),
    ("feeling", words.FEELING),
    ("work", words.WORK),
    ("reach", words.PHONE | words.BIRTH | words.STREET),
    ("identity", words.IDENTITY | words.PASSPORT | words.SECRET),
    ("made", frozenset(b"story poem novel fictional character imagine scene song slogan essay article blog".split())),
    ("asked", frozenset(b"explain what how list compare difference define who when which why describe facts".split())),
    ("worked", frozenset(b"code function python javascript sql class return import def program api html css".split())),
)
"""Kinds of words; which of them stand together in a window is a feature."""

_STRANGE = re.compile(r"[A-Z](?<=[^.!?\n] [A-Z])[^\W\d_A-Z]{2,20}\b(?!['\u2019])")
MOST_CAPITALS = 64
"""Capitalised words inside sentences that are looked up in a text."""
_NAMED = re.compile(r"[A-Z](?:(?<=[a-z,:;(] [A-Z])[^\W\d_A-Z]{1,20} [A-Z][^\W\d_]{1,20}\b|(?:r|rs|s|iss)\.? [A-Z])")
_CAPITAL = re.compile(r"[A-Z](?<=[a-z,] [A-Z])[^\W\d_A-Z]{2}")

GROUP_NAMES = (*(name for name, _ in GROUPS), "given", "person", "name", "capital", "found", "strange", "stranger")
"""And of a block: a given name, a given name beside a family name. And of the text as a whole: two capitalised words
inside a sentence or a title (perhaps a name), one capitalised word inside a sentence, an identifier that the patterns
found; a capitalised word that is no common one, and two of them."""
_GIVEN, _PERSON = 1 << len(GROUPS), 2 << len(GROUPS)
_SHAPES = len(GROUPS) + 2
_BITS: Mapping[bytes, int] = {
    word: sum(1 << bit for bit, (_, of) in enumerate(GROUPS) if word in of)
    for word in frozenset().union(*(of for _, of in GROUPS))
}
_KINDED = frozenset(_BITS)
_NOTHING = repeat(0.0)


class MatterWeights(msgspec.Struct, frozen=True):
    """What learn/train_matters.py writes."""

    format: int
    words: dict[str, float]
    pairs: dict[str, float]  # two words with a space between
    together: dict[str, float]  # "health" or "kin+health"
    known: list[str]  # common words: a capitalised word inside a sentence that is none of them may be a name
    given: list[str]  # given names that are no common words
    family: list[str]
    intercept: float
    threshold: float  # log-odds from which a text counts as private
    provenance: dict[str, object]


class Block(msgspec.Struct, frozen=True):
    """The features of up to BLOCK words: each word and pair once, and the kinds as bits."""

    words: frozenset[bytes]
    pairs: frozenset[tuple[bytes, bytes]]
    kinds: int


class Names(msgspec.Struct, frozen=True):
    """Given and family names, folded, that are no common words."""

    given: frozenset[bytes]
    family: frozenset[bytes]

    def kinds(self, words: Set[bytes], pairs: Set[tuple[bytes, ...]]) -> int:
        """The bits of a block. In any case: who types in a hurry writes names in lower case."""
        given = self.given & words
        if not given:
            return 0
        for first, second in pairs:
            if (first in given and second in self.family) or (second in given and first in self.family):
                return _GIVEN | _PERSON
        return _GIVEN


def blocks_of(folded: Sequence[bytes], shape: int, names: Names) -> list[Block]:
    """A text's blocks, for training. `shape` (shape_of) counts in each of them."""
    found = []
    for at in range(0, len(folded), BLOCK):
        part = folded[at : at + BLOCK]
        unique = frozenset(part)
        kinds = shape
        for word in unique:
            kinds |= _BITS.get(word, 0)
        pairs = frozenset(pairwise(part))
        found.append(Block(unique, pairs, kinds | names.kinds(unique, pairs)))
    return found


def capitals(text: str) -> set[bytes]:
    """The capitalised words inside its sentences, folded."""
    found: set[bytes] = set()
    for match in _STRANGE.finditer(text):
        found.add(match[0].lower().encode())
        if len(found) >= MOST_CAPITALS:
            break
    return found


def shape_of(text: str, *, identified: bool, strange: int) -> int:
    """The bits that the text as a whole sets. `identified`: the patterns found somebody's identifier in it; `strange`:
    how many of its `capitals` are no common words."""
    capital = _CAPITAL.search(text) is not None
    named = _NAMED.search(text) is not None
    return (named | capital << 1 | identified << 2 | (strange > 0) << 3 | (strange > 1) << 4) << _SHAPES


def kinds_together(kinds: int) -> list[str]:
    """The features of a window's kinds: each, and each two."""
    present = [name for bit, name in enumerate(GROUP_NAMES) if kinds >> bit & 1]
    return [*present, *("+".join(two) for two in combinations(present, 2))]


_Sums = tuple[float, int, set[bytes], set[tuple[bytes, bytes]]]
"""Of a block: the sum of its weights, its kinds, its words and its pairs."""


class Matters:
    """Tables built once; a pure function of its text from then on."""

    def __init__(self, weights: MatterWeights, threshold: float | None = None) -> None:
        self._words = {word.encode(): weight for word, weight in weights.words.items()}
        self._pairs: dict[tuple[bytes, ...], float] = {
            tuple(pair.encode().split(b" ")): weight for pair, weight in weights.pairs.items()
        }
        self._together = weights.together
        self._known = _folded(weights.known)
        self._names = Names(_folded(weights.given), _folded(weights.family))
        self._by_kinds: dict[int, float] = {}
        self._intercept = weights.intercept
        self.threshold = weights.threshold if threshold is None else threshold
        self.provenance = weights.provenance

    def is_private(self, text: str, folded: Sequence[bytes], *, identified: bool) -> bool:
        """Whether the patterns found somebody's identifier, or the most private window reaches the operating point."""
        return identified or self.log_odds(text, folded, identified=identified) >= self.threshold

    def log_odds(self, text: str, folded: Sequence[bytes], *, identified: bool) -> float:
        """Of the most private window; -inf for a text without words. `folded`: its words (words.fold)."""
        if not folded:
            return -math.inf
        shape = shape_of(text, identified=identified, strange=len(capitals(text) - self._known))
        blocks: list[_Sums] = []
        word, pair = self._words.get, self._pairs.get
        for at in range(0, len(folded), BLOCK):
            part = folded[at : at + BLOCK]
            unique = set(part)
            pairs = set(zip(part, part[1:]))  # noqa: B905, RUF007 - faster than pairwise
            total = sum(map(word, unique, _NOTHING)) + sum(map(pair, pairs, _NOTHING))
            kinds = shape
            for one in unique & _KINDED:
                kinds |= _BITS[one]
            kinds |= self._names.kinds(unique, pairs)
            blocks.append((total, kinds, unique, pairs))
        if len(blocks) == 1:
            return self._intercept + blocks[0][0] + self._of(blocks[0][1])
        best = max(self._window(one, other) for one, other in pairwise(blocks))
        return self._intercept + best - PER_DOUBLING * math.log2(len(blocks) - 1)

    def _window(self, one: _Sums, other: _Sums) -> float:
        """Two blocks together: what stands in both counts once."""
        twice = sum(map(self._words.get, one[2] & other[2], _NOTHING))
        twice += sum(map(self._pairs.get, one[3] & other[3], _NOTHING))
        return one[0] + other[0] - twice + self._of(one[1] | other[1])

    def _of(self, kinds: int) -> float:
        known = self._by_kinds.get(kinds)
        if known is None:
            known = self._by_kinds[kinds] = sum(self._together.get(name, 0.0) for name in kinds_together(kinds))
        return known


def _folded(listed: Iterable[str]) -> frozenset[bytes]:
    return frozenset(word.encode() for word in listed)


def decode(data: bytes) -> MatterWeights:
    """Raises DataError."""
    try:
        weights = msgspec.msgpack.decode(data, type=MatterWeights)
    except msgspec.DecodeError as error:
        raise DataError(f"the weights of private matters: {error}") from error
    if weights.format != FORMAT:
        raise DataError(f"the weights of private matters have format {weights.format}; this version reads {FORMAT}")
    return weights


def encode(weights: MatterWeights) -> bytes:
    return msgspec.msgpack.encode(weights)


def shipped() -> Matters:
    """The classifier that comes with the package. Raises SetupError, DataError."""
    file = resources.files("smallfirst.privacy").joinpath(NAME)
    if not file.is_file():
        raise SetupError(
            f"smallfirst/privacy/{NAME} is missing; make it with: python -m smallfirst.learn.train_matters"
        )
    return Matters(decode(file.read_bytes()))


def shipped_path() -> Path:
    """Where the file lies in a checkout: what training writes."""
    return Path(__file__).with_name(NAME)
