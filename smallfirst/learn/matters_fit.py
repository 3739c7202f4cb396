"""The fit of the classifier of private matters: windows of words, pairs and kinds, and one line through them.

Knows features and their weights, as privacy/matters.py reads them. Does not know where texts come from
(matters_examples.py) nor what is held out (train_matters.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from smallfirst.learn.matters_examples import Example
from smallfirst.learn.name_lists import read_names
from smallfirst.privacy.categories import IDENTIFYING
from smallfirst.privacy.detector import Detector
from smallfirst.privacy.matters import (
    PER_DOUBLING,
    Names,
    blocks_of,
    capitals,
    kinds_together,
    shape_of,
)
from smallfirst.privacy.words import fold

Array = NDArray[np.float64]

STRENGTH = 0.3
LEAST_WEIGHT = 0.01
KIND = 2.0
"""What the feature of a kind is worth where a word's is 1: kinds carry over to unseen styles, words less."""
LEAST_WORD, LEAST_PAIR = 4, 8
"""Templates (not texts) in which a word or a pair must stand to be a feature: what one template says is no rule."""

Features = dict[str, float]
_patterns = Detector()
WINDOWS = 4
"""Windows of a benign text that are fitted on, at most; of a private one the first, which its template filled."""


class Seen(msgspec.Struct, frozen=True):
    """What is looked up of a text whatever the fit: its blocks, its capitals, its words, and if the patterns fired."""

    text: str
    folded: list[bytes]
    capitals: frozenset[bytes]
    identified: bool


def seen_of(text: str) -> Seen:
    identified = any(finding.category in IDENTIFYING for finding in _patterns.scan(text))
    return Seen(text, fold(text), frozenset(capitals(text)), identified)


def windows_of(seen: Seen, known: frozenset[bytes], names: Names) -> list[Features]:
    """The features of each window of two blocks: `w:word`, `p:one two`, `k:kind+kind`. What is private is in one."""
    shape = shape_of(seen.text, identified=seen.identified, strange=len(seen.capitals - known))
    blocks = blocks_of(seen.folded, shape, names)
    found = []
    for at in range(max(1, len(blocks) - 1)):
        one: Features = {}
        kinds = 0
        for block in blocks[at : at + 2]:
            for word in block.words:
                one[f"w:{word.decode('utf-8', 'replace')}"] = 1.0
            for first, second in block.pairs:
                one[f"p:{first.decode('utf-8', 'replace')} {second.decode('utf-8', 'replace')}"] = 1.0
            kinds |= block.kinds
        one.update({f"k:{name}": KIND for name in kinds_together(kinds)})
        found.append(one)
    return found


class Vocabulary:
    """In how many texts each word stands in lower case, and in how many with a capital letter."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.lower: Counter[bytes] = Counter()
        self.capital: Counter[bytes] = Counter()
        for text in texts:
            self.lower.update({word.encode() for word in _LOWER.findall(text)})
            self.capital.update({word.lower().encode() for word in _CAPITAL.findall(text)})

    def __add__(self, other: Vocabulary) -> Vocabulary:
        both = Vocabulary()
        both.lower, both.capital = self.lower + other.lower, self.capital + other.capital
        return both

    def known(self) -> frozenset[bytes]:
        """Words that are also written in lower case, and the names of days and months, which never are."""
        return frozenset(word for word, count in self.lower.items() if count >= LEAST_COMMON) | ALWAYS

    def names(self) -> Names:
        """Given and family names but for those that are rather common words: Mark may be one, Will may not."""
        common = {word for word in self.known() if self.lower[word] >= COMMON_SHARE * self.capital[word]}
        return Names(*(frozenset(name.encode() for name in of) - common for of in NAMES))


_LOWER = re.compile(r"(?<![^\W\d_])[a-z][^\W\d_A-Z]{2,20}(?![^\W\d_])")
_CAPITAL = re.compile(r"(?<![^\W\d_])[A-Z][^\W\d_A-Z]{2,20}(?![^\W\d_])")
LEAST_COMMON = 2
COMMON_SHARE = 0.25
"""A name is a common word where it stands in lower case in this share of the texts that capitalise it."""
NAMES = read_names()
"""Given and family names, common words among them."""


ALWAYS = frozenset(
    b"monday tuesday wednesday thursday friday saturday sunday january february march april may june july august "
    b"september october november december english french german spanish italian chinese japanese american british "
    b"european".split()
)


def kept(features: Sequence[Features], groups: Sequence[str]) -> list[Features]:
    """Only what stands in enough templates."""
    seen: dict[str, set[str]] = {}
    for one, group in zip(features, groups, strict=True):
        for name in one:
            seen.setdefault(name, set()).add(group)
    least = {"w": LEAST_WORD, "p": LEAST_PAIR, "k": 1}
    enough = {name for name, of in seen.items() if len(of) >= least[name[0]]}
    return [{name: value for name, value in one.items() if name in enough} for one in features]


class Fitted:
    """A vectoriser, a line, and the words that are no names."""

    def __init__(self, examples: Sequence[Example], seen: Sequence[Seen], vocabulary: Vocabulary, seed: int) -> None:
        met = vocabulary + Vocabulary(one.text for one in examples if not one.private)
        self.known, self.names = met.known(), met.names()
        rows = [
            (one, window)
            for one, of in zip(examples, seen, strict=True)
            for window in windows_of(of, self.known, self.names)[: 1 if one.private else WINDOWS]
        ]
        chosen = kept([features for _, features in rows], [one.group for one, _ in rows])
        self.vectoriser = DictVectorizer()
        matrix = self.vectoriser.fit_transform(chosen)
        self.line = LogisticRegression(C=STRENGTH, max_iter=600, random_state=seed)
        self.line.fit(matrix, [one.private for one, _ in rows], sample_weight=_weights([one for one, _ in rows]))

    def tables(self) -> dict[str, dict[str, float]]:
        """`w`, `p` and `k`: what a word, a pair of words or kinds that stand together add to the log-odds."""
        found: dict[str, dict[str, float]] = {"w": {}, "p": {}, "k": {}}
        for name, weight in zip(self.vectoriser.get_feature_names_out(), self.line.coef_[0], strict=True):
            found[name[0]][name[2:]] = float(weight) * (KIND if name[0] == "k" else 1.0)
        return found

    def log_odds(self, seen: Sequence[Seen]) -> Array:
        """Of each text: that of its most private window, as privacy/matters.py has it."""
        windows = [windows_of(one, self.known, self.names) for one in seen]
        flat = self.line.decision_function(self.vectoriser.transform([one for of in windows for one in of]))
        starts = np.cumsum([0, *(len(of) for of in windows[:-1])])
        sizes = np.array([len(of) for of in windows])
        scores: Array = np.maximum.reduceat(flat, starts) - PER_DOUBLING * np.log2(sizes)
        return scores

    def scores(self, seen: Sequence[Seen]) -> Array:
        """The log-odds; above all where the patterns found an identifier, which alone makes a text private."""
        return np.where([one.identified for one in seen], np.inf, self.log_odds(seen))


def _weights(examples: Sequence[Example]) -> list[float]:
    """Each template of a source counts the same, and each source by the square root of its templates."""
    templates: dict[tuple[str, str], int] = {}
    for one in examples:
        templates[one.source, one.group] = templates.get((one.source, one.group), 0) + 1
    of_source: dict[str, int] = {}
    for source, _ in templates:
        of_source[source] = of_source.get(source, 0) + 1
    return [25.0 / templates[one.source, one.group] / of_source[one.source] ** 0.5 for one in examples]
