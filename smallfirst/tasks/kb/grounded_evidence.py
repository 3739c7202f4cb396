"""(a claim, the passages it should rest on) -> a row of numbers that speak for or against it.

Knows words, facts and sentence vectors. Does not know how the numbers weigh (grounded.py). What word overlap misses is
looked for on purpose: whether a name or a number stands *beside the claim's other words* in the source and not merely
somewhere; whether what is denied is the same; whether a word was exchanged for its contrary; and whether little is new
in a claim that is otherwise copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smallfirst.tasks.kb.contraries import NEGATIONS, denied, negations, opposites
from smallfirst.tasks.kb.facts import names, numbers
from smallfirst.tasks.kb.rarity import Rarity
from smallfirst.tasks.kb.sentences import COMMON, content, split_sentences, stem, words
from smallfirst.text.embedder import Embedder

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MOST_NEAR = 12
"""Sentences with the most words in common whose vectors are asked for."""


class Line(NamedTuple):
    """A sentence of a passage, taken apart."""

    text: str
    words: tuple[str, ...]
    stems: frozenset[str]
    numbers: frozenset[str]
    denied: frozenset[str]


class Source:
    """The passages of one answer, taken apart once for all its claims."""

    def __init__(self, passages: Sequence[str], embedder: Embedder | None) -> None:
        self.embedder = embedder
        self.lines: list[Line] = []
        self.breaks: set[int] = set()  # lines that open a passage
        for passage in passages:
            self.breaks.add(len(self.lines))
            self.lines += [take_apart(sentence.text) for sentence in split_sentences(passage)]
        self.stems = frozenset().union(*(line.stems for line in self.lines))
        self.numbers = frozenset().union(*(line.numbers for line in self.lines))
        self.wide = [self._wide(n) for n in range(len(self.lines))]
        runs: set[tuple[str, ...]] = set()
        for line in self.lines:
            runs.update(pairwise(line.words))
            runs.update(zip(line.words, line.words[1:], line.words[2:], strict=False))
        self.runs = frozenset(runs)

    def _wide(self, at: int) -> frozenset[str]:
        """The stems of a line and of those before and after it in its passage: 'he' and 'it' point there."""
        made = self.lines[at].stems
        if at not in self.breaks:
            made |= self.lines[at - 1].stems
        if at + 1 < len(self.lines) and at + 1 not in self.breaks:
            made |= self.lines[at + 1].stems
        return made


def take_apart(text: str) -> Line:
    """A sentence's words, stems, numbers and what it denies."""
    said = tuple(words(text))
    figures = frozenset(fact.normal for fact in numbers(text))
    return Line(text, said, frozenset(content(text)), figures, denied(said))


class _Matched(NamedTuple):
    """A claim laid beside its source: k stems, each once, against n lines."""

    line: Line
    stems: tuple[str, ...]
    weights: Floats  # (k,) how rare
    inside: Bools  # (k, n) stem in the line
    wide: Bools  # (k, n) stem in the line or beside it
    covered: Floats  # (n,) weighted share of the stems that the line holds


def _match(claim: str, source: Source, rarity: Rarity) -> _Matched:
    stems = tuple(dict.fromkeys(content(claim)))
    weights = np.array([rarity(word) for word in stems], dtype=float)
    inside = _matrix(stems, [one.stems for one in source.lines])
    return _Matched(take_apart(claim), stems, weights, inside, _matrix(stems, source.wide), _share(weights, inside))


def evidence(claim: str, source: Source, rarity: Rarity) -> dict[str, float]:
    """Named numbers; those by vectors are missing without an embedder."""
    matched = _match(claim, source, rarity)
    covered = matched.covered
    best = int(np.argmax(covered)) if len(covered) else -1
    row = _by_words(matched)
    if source.embedder is not None:
        near = np.zeros(len(covered))
        close = np.argsort(-covered, kind="stable")[:MOST_NEAR]
        top = [0.0]
        if len(close):
            vectors = source.embedder.embed([claim, *(source.lines[n].text for n in close)])
            near[close] = vectors[1:] @ vectors[0]
            top, best = np.sort(near[close])[::-1].tolist(), int(np.argmax(near + covered))
        row |= {"near": top[0], "near next": float(np.mean(top[:3]))}
    row |= _of_facts(matched, source)
    row |= _of_denial(matched, source, best)
    row |= _of_copying(matched.line, source)
    return row


def _matrix(stems: Sequence[str], sets: Sequence[frozenset[str]]) -> Bools:
    """(stems, sets) whether the stem is in the set."""
    return np.array([[word in one for one in sets] for word in stems], dtype=bool).reshape(len(stems), len(sets))


def _share(weights: Floats, there: Bools) -> Floats:
    """(sets,) weighted share of the stems that each holds."""
    total = weights.sum()
    shares: Floats = weights @ there / total if total > 0 else np.zeros(there.shape[1])
    return shares


def _by_words(matched: _Matched) -> dict[str, float]:
    weights, wide = matched.weights, _share(matched.weights, matched.wide)
    anywhere = matched.inside.any(axis=1)
    missing = weights[~anywhere]
    beside = weights[~matched.wide[:, int(wide.argmax())]] if len(wide) else weights
    return {
        "covered": float(matched.covered.max(initial=0.0)),
        "covered wide": float(wide.max(initial=0.0)),
        "covered anywhere": float(weights[anywhere].sum() / (weights.sum() or 1.0)),
        "missing": float(missing.max(initial=0.0)),
        "missing count": float(min(len(missing), 10)),
        "missing beside": float(beside.max(initial=0.0)),
        "stems": float(min(len(weights), 40)),
    }


def _of_facts(matched: _Matched, source: Source) -> dict[str, float]:
    """How much worse the claim's other words are matched where each fact stands than where they are matched best."""
    claim, own = matched.line.text, {word: n for n, word in enumerate(matched.stems)}
    said, figures = names(claim), numbers(claim)
    named: list[tuple[bool, float]] = []  # (stands nowhere, gap)
    for name in said:
        parts = [own[part] for part in name.normal.split() if part in own]
        if parts:
            has: Bools = np.asarray(matched.inside[parts].all(axis=0))
            named.append((not has.any(), _gap(matched, parts, has)))
    counted: list[tuple[bool, float]] = []
    for fact in figures:
        parts = [own[part] for part in content(claim[fact.start : fact.end]) if part in own]
        stands = np.array([fact.normal in one.numbers for one in source.lines], dtype=bool)
        counted.append((not stands.any(), _gap(matched, parts, stands)))
    gaps = np.array([_gap(matched, [n], matched.inside[n]) for n in range(len(matched.stems))])
    return {
        "names": float(min(len(said), 8)),
        "names absent": float(min(sum(absent for absent, _ in named), 4)),
        "name gap": max((gap for _, gap in named), default=0.0),
        "name gap mean": float(np.mean([gap for _, gap in named])) if named else 0.0,
        "numbers": float(min(len(figures), 8)),
        "numbers absent": float(min(sum(absent for absent, _ in counted), 4)),
        "number gap": max((gap for _, gap in counted), default=0.0),
        "word gap": float(gaps.max(initial=0.0)),
        "word gap heavy": float((gaps * matched.weights).max(initial=0.0)),
        "word gap mean": float(gaps.mean()) if len(gaps) else 0.0,
        "word gap next": float(np.sort(gaps)[-2]) if len(gaps) > 1 else 0.0,
    }


def _gap(matched: _Matched, parts: Sequence[int], has: Bools) -> float:
    """In 0..1: (match of the other words at best) - (their match in the lines that hold this part)."""
    rest = matched.weights.copy()
    rest[list(parts)] = 0
    if not len(has) or rest.sum() == 0:
        return 0.0
    shares = rest @ matched.wide / rest.sum()
    return float(shares.max() - (shares[has].max() if has.any() else 0.0))


def _of_denial(matched: _Matched, source: Source, best: int) -> dict[str, float]:
    """Against the line at `best`, -1 for none."""
    line, covered = matched.line, matched.covered
    close = source.lines[best] if best >= 0 else take_apart("")
    near = [source.lines[n] for n in np.flatnonzero(covered >= 0.6 * covered[best])] if best >= 0 else []
    new = sum(1 for word in line.denied & source.stems if not any(word in one.denied for one in near))
    lost = len((close.denied & line.stems & close.stems) - line.denied)
    there = set(close.words)
    turned = [word for word in set(line.words) - COMMON if word not in there and opposites(word) & there]
    return {
        "denies": float(bool(line.denied)),
        "denial differs": float(best >= 0 and (negations(line.text) > 0) != (negations(close.text) > 0)),
        "denied new": float(min(new, 3)),
        "denied lost": float(min(lost, 3)),
        "turned": float(min(len(turned), 3)),
        "turned alone": float(sum(stem(word) not in source.stems for word in turned)),
    }


def _of_copying(line: Line, source: Source) -> dict[str, float]:
    """What share of the claim's word pairs and triples is copied, and how it breaks off."""
    pairs = list(pairwise(line.words))
    known = [pair in source.runs for pair in pairs]
    triples = [triple in source.runs for triple in zip(line.words, line.words[1:], line.words[2:], strict=False)]
    copied = [n for n, there in enumerate(triples) if there]
    islands = sum(1 < b - a <= 6 for a, b in pairwise(copied))  # something new between two copied stretches
    denial = any(not there and NEGATIONS & set(pair) for pair, there in zip(pairs, known, strict=True))
    return {
        "pairs copied": float(np.mean(known)) if known else 0.0,
        "triples copied": float(np.mean(triples)) if triples else 0.0,
        "breaks": float(min(sum(a and not b for a, b in pairwise(known)), 8)),
        "islands": float(min(islands, 4)),
        "new denial": float(denial),
    }
