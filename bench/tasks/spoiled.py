"""Answerable questions made unanswerable: what the judge of answerability learns from beside the recorded ones.

In the way SQuAD 2.0's writers were told to work (Rajpurkar et al. 2018, section 4: entity and number swaps, negation,
antonyms, impossible conditions), by rules, from clapnq's and mtragun's own questions. Nothing of SQuAD is read.
"""

from __future__ import annotations

import random
import re

import numpy as np
from passages import BM25, Asked, Base

from smallfirst.tasks.kb.answerable_evidence import Found
from smallfirst.tasks.kb.contraries import OPPOSITES
from smallfirst.tasks.kb.sentences import COMMON, stem

RARE = 3.5
"""BM25's rarity from which a word can be exchanged for another."""

AUXILIARY = re.compile(
    r"\b(is|are|was|were|has|have|had|can|could|will|would|should|must|does|did|do)\b", re.IGNORECASE
)
WORD = re.compile(r"[^\W_]+")


def spoil(base: Base, each: Asked, words: BM25, rng: random.Random) -> dict[str, tuple[str, bool]]:
    """kind -> (question, whether the gold passages are taken away). `each` must be answerable."""
    gold = [base.texts[at] for at, id in enumerate(base.ids) if id in each.gold]
    made = {"taken away": (each.question, True)}
    there = [(found.group(), found.start(), found.end()) for found in WORD.finditer(each.question)]
    held = {stem(word.lower()) for text in gold for word in WORD.findall(text)}
    rare = [one for one in there if words.rarity(stem(one[0].lower())) > RARE and stem(one[0].lower()) in held]
    if rare:
        word, start, end = rng.choice(rare)
        own = {stem(other.lower()) for other, _, _ in there}
        near = [
            other for text in gold for other in WORD.findall(text)
            if words.rarity(stem(other.lower())) > RARE and stem(other.lower()) not in own
            and (other[0].isupper() or other[0].isdigit())
        ]  # fmt: skip
        far = [w for w in WORD.findall(rng.choice(base.asked).question) if words.rarity(stem(w.lower())) > RARE]
        for kind, pool in (("exchanged near", near), ("exchanged", [w for w in far if stem(w.lower()) not in held])):
            if pool:
                made[kind] = (f"{each.question[:start]}{rng.choice(pool)}{each.question[end:]}", False)
    auxiliary = AUXILIARY.search(each.question)
    if auxiliary:
        at = auxiliary.end()
        denied = rng.choice(("n't", " not", " never")) if auxiliary.group().lower() != "can" else "'t"
        made["denied"] = (f"{each.question[:at]}{denied}{each.question[at:]}", False)
    turned = [one for one in there if one[0].lower() not in COMMON and _contrary(one[0], held)]
    if turned:
        word, start, end = rng.choice(turned)
        made["turned"] = (f"{each.question[:start]}{_contrary(word, held)}{each.question[end:]}", False)
    figures = list(re.finditer(r"\d+", each.question))
    if figures:
        figure = rng.choice(figures)
        other = str(int(figure.group()) + rng.choice((-7, -3, -2, -1, 1, 2, 3, 10)))
        made["number"] = (f"{each.question[: figure.start()]}{other}{each.question[figure.end() :]}", False)
    return made


def _contrary(word: str, held: set[str]) -> str | None:
    """A listed opposite of a word that the passages hold."""
    known = sorted(OPPOSITES.get(word.lower(), ()))
    return known[0] if known and stem(word.lower()) in held else None


def hits_of(base: Base, words: BM25, vectors, query: str, vector, without: tuple[str, ...], top: int) -> list[Found]:
    """As passages.retrieve finds them, of a base without some passages."""
    gone = np.array([id in without for id in base.ids])
    bm25, cosine = words.scores(query), vectors @ vector
    fused = sum(1 / (60 + np.argsort(np.argsort(-np.where(gone, -9, scores)))) for scores in (bm25, cosine))
    best = [int(at) for at in np.argsort(-fused, kind="stable") if not gone[at]][:top]
    return [Found(base.texts[at], float(bm25[at]), float(cosine[at])) for at in best]
