"""A question and passages -> the sentence in them that most likely answers it, word for word.

Knows words, their rarity, sentence vectors, and what an answer to each kind of question looks like. Writes nothing of
its own: where no model may be asked, or only one that is there for show, a quotation is the honest answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.tasks.kb.answerable_evidence import kind_of
from smallfirst.tasks.kb.facts import names, numbers
from smallfirst.tasks.kb.rarity import Rarity
from smallfirst.tasks.kb.sentences import content, split_sentences
from smallfirst.tasks.kb.store import Passage
from smallfirst.text.embedder import Embedder

Floats = npt.NDArray[np.float64]

READ = 3
"""Passages whose sentences may be quoted."""

ORDER = 0.1
"""What a sentence loses for each passage that was found before its own."""

FITS = 0.15
"""What a sentence gains that holds a number or a name where the question asks for one."""

BEFORE = 0.5
"""What likeness with the question and the one before it counts, beside that with the question alone."""

SHORT = 50
"""Characters: a shorter sentence is quoted with the one after it."""


class Quote(msgspec.Struct, frozen=True):
    """A sentence of the passage at `place`."""

    place: int
    text: str


def quote(
    question: str, passages: Sequence[Passage], rarity: Rarity, embedder: Embedder | None = None, before: str = ""
) -> Quote | None:
    """None where there is no sentence. `before`: what was asked before, which says what the question is about."""
    found = [
        (place, at, [one.text for one in sentences])
        for place, passage in enumerate(passages[:READ])
        for sentences in [split_sentences(passage.text)]
        for at in range(len(sentences))
    ]
    if not found:
        return None
    scores = _covered(question, found, passages, rarity)
    scores += [_fits(question, texts[at]) - ORDER * place for place, at, texts in found]
    if embedder is not None:
        vectors = embedder.embed([question, f"{before} {question}", *(texts[at] for _, at, texts in found)])
        scores += vectors[2:] @ (vectors[0] + BEFORE * vectors[1] if before else vectors[0])
    place, at, texts = found[int(np.argmax(scores))]
    text = texts[at]
    if len(text) < SHORT and at + 1 < len(texts):
        text = f"{text} {texts[at + 1]}"
    return Quote(place, text)


_Found = tuple[int, int, list[str]]


def _covered(question: str, found: Sequence[_Found], passages: Sequence[Passage], rarity: Rarity) -> Floats:
    """(n,) the share of the question's words, by rarity, that a sentence holds; its title's count half."""
    wanted = set(content(question))
    weights = {word: rarity(word) for word in wanted}
    total = sum(weights.values()) or 1.0
    shares = []
    for place, at, texts in found:
        own = wanted & set(content(texts[at]))
        above = (wanted & set(content(passages[place].title))) - own
        shares.append((sum(weights[word] for word in own) + sum(weights[word] for word in above) / 2) / total)
    return np.array(shares)


def _fits(question: str, sentence: str) -> float:
    kind, asked = kind_of(question), {fact.normal for fact in (*names(question), *numbers(question))}
    if kind in {"when", "count"}:
        return FITS * any(fact.normal not in asked for fact in numbers(sentence))
    if kind in {"who", "where"}:
        return FITS * any(fact.normal not in asked for fact in names(sentence))
    return 0.0
