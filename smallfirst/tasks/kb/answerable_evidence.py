"""(question, what was found for it) -> a row of numbers that speak for or against an answer being there.

Knows words, their rarity, sentence vectors, kinds of questions and what an answer to each looks like. Does not know how
the numbers weigh (answerable.py), nor how the passages were found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smallfirst.tasks.kb.contraries import negations, opposites
from smallfirst.tasks.kb.facts import names, numbers
from smallfirst.tasks.kb.rarity import Rarity
from smallfirst.tasks.kb.sentences import COMMON, content, split_sentences, stem, words
from smallfirst.text.embedder import Embedder

Floats = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float32]

READ = 3
"""Passages whose sentences are read; of the others only the scores."""

MOST_SENTENCES = 6
"""Sentences of a passage that are read: those that share the most with the question."""


class Found(NamedTuple):
    """A passage that retrieval gave, best first. `bm25` in any scale, `cosine` in -1..1; 0 where there is none."""

    text: str
    bm25: float = 0.0
    cosine: float = 0.0


KINDS = {
    "who": r"\bwho(?:m|se)?\b",
    "when": r"\bwhen\b|\b(?:what|which|in what) (?:year|date|day|month|century|decade)\b",
    "where": r"\bwhere\b|\b(?:what|which) (?:country|city|state|place|county|town|region|location)\b",
    "count": r"\bhow (?:many|much|long|old|tall|far|often|big|large|high|fast|deep|wide)\b"
    r"|\bwhat (?:percent|number|amount)",
    "why": r"\bwhy\b|\bhow come\b|\bwhat (?:is|was|were|are) the (?:reason|cause|purpose)",
    "how": r"\bhow\b",
    "which": r"\bwhich\b",
    "what": r"\bwhat\b",
    "whether": r"^\W*(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|am)\b",
}
_KINDS = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in KINDS.items()}


def kind_of(question: str) -> str:
    """A key of KINDS, the first that fits, or `none` (a phrase, a request)."""
    return next((kind for kind, pattern in _KINDS.items() if pattern.search(question)), "none")


class _Sentence(NamedTuple):
    text: str
    words: frozenset[str]
    stems: frozenset[str]
    pairs: frozenset[tuple[str, str]]


_NOTHING = _Sentence("", frozenset(), frozenset(), frozenset())


@lru_cache(maxsize=2048)
def _read(passage: str) -> tuple[_Sentence, ...]:
    made = []
    for sentence in split_sentences(passage):
        stems = content(sentence.text)
        made.append(
            _Sentence(sentence.text, frozenset(words(sentence.text)), frozenset(stems), frozenset(pairwise(stems)))
        )
    return tuple(made)


class _Asked(NamedTuple):
    text: str
    kind: str
    words: tuple[str, ...]
    stems: tuple[str, ...]  # each once
    weights: Floats  # rarity of each stem
    pairs: frozenset[tuple[str, str]]


def _ask(question: str, rarity: Rarity) -> _Asked:
    stems = content(question)
    once = tuple(dict.fromkeys(stems))
    weights = np.array([rarity(word) for word in once]) if once else np.zeros(0)
    return _Asked(question, kind_of(question), tuple(words(question)), once, weights, frozenset(pairwise(stems)))


OWN = ("near", "together", "covered", "passage", "missing", "pairs", "fits", "turned", "denied alone")
"""Evidence that is also taken for the last question alone, where one went before it."""


def evidence(
    question: str, hits: Sequence[Found], rarity: Rarity, embedder: Embedder | None, before: str = ""
) -> dict[str, float]:
    """Named numbers; those by vectors are missing where there is no embedder. `before`: what the user asked before.

    What was found is held against both questions joined and against the last alone: a turn to something else keeps the
    old words, and the passages that fit them.
    """
    own = _ask(question, rarity)
    asked = _ask(f"{before} {question}", rarity) if before else own
    row = _of_question(own, before)
    given = hits[:READ] or [Found("")]
    best, seen = _nearest(asked, given, embedder)
    for name in best:
        row[f"best {name}"] = best[name]
        row[f"mean {name}"] = float(np.mean([one[name] for one in seen]))
    alone = _nearest(own, given, embedder)[0] if before else best
    row |= {f"own {name}": alone[name] for name in OWN if name in alone}
    row["first covered"] = seen[0]["covered"]
    row["agree"] = float(sum(one["covered"] > 0.6 for one in seen))
    row |= _of_scores(hits)
    return row


def _nearest(
    asked: _Asked, hits: Sequence[Found], embedder: Embedder | None
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """(evidence of the passage nearest to the question, of all)."""
    vector = embedder.embed([asked.text])[0] if embedder is not None else None
    seen = [_of_passage(asked, hit, vector, embedder) for hit in hits]
    return max(seen, key=lambda one: one.get("near", 0.0) + one["covered"]), seen


def _of_question(asked: _Asked, before: str) -> dict[str, float]:
    row = {f"is {kind}": float(asked.kind == kind) for kind in (*KINDS, "none")}
    row["stems"] = float(min(len(asked.stems), 15))
    row["rarity"] = float(asked.weights.mean()) if len(asked.stems) else 0.0
    row["rarest"] = float(asked.weights.max()) if len(asked.stems) else 0.0
    row["denies"] = float(negations(asked.text) > 0)
    row["points back"] = float(not POINTERS.isdisjoint(asked.words))
    known = frozenset(content(before))
    row["vague"] = float(len(_VAGUE.findall(asked.text)))
    row["this new"] = float(sum(stem(word.lower()) not in known for word in _THIS.findall(asked.text)))
    row["the new"] = float(sum(stem(word.lower()) not in known for word in _THE.findall(asked.text)))
    row["names"] = float(min(len(names(asked.text)), 4))
    row["words"] = float(min(len(asked.words), 30))
    return row


_VAGUE = re.compile(r"\b(?:this|these|that|those)\s+[a-z]|\b(?:he|she|it|they|him|them|his|its|their)\b", re.IGNORECASE)
_THIS = re.compile(r"\b(?:this|these|that|those)\s+([a-z]{3,})", re.IGNORECASE)
_THE = re.compile(r"\bthe\s+([a-z]{3,})")
POINTERS = frozenset("it its they them their this that these those he him his she her there one".split())  # noqa: SIM905


def _of_passage(asked: _Asked, hit: Found, vector: Vector | None, embedder: Embedder | None) -> dict[str, float]:
    sentences = _read(hit.text) or (_NOTHING,)
    total = float(asked.weights.sum()) or 1.0
    row = _of_coverage(asked, sentences, total)
    row["length"] = float(np.log1p(len(sentences) if hit.text else 0))
    share = np.array([_share(asked, sentence.stems) for sentence in sentences]) / total
    at = int(np.argmax(share))
    if vector is not None and embedder is not None:
        order = np.argsort(-share, kind="stable")[:MOST_SENTENCES]
        near = np.full(len(share), -1.0)
        near[order] = embedder.embed([sentences[n].text for n in order]) @ vector
        down = np.sort(near[order])[::-1]
        at = int(np.argmax(near + share))
        row |= {
            "cosine": hit.cosine,
            "near": float(down[0]),
            "near gap": float(down[0] - down[min(2, len(down) - 1)]),
            "together": float((near + share)[at]),
        }
    row["close covered"] = float(share[at])
    return row | _of_answer(asked, sentences[at], sentences)


def _of_coverage(asked: _Asked, sentences: Sequence[_Sentence], total: float) -> dict[str, float]:
    """How much of the question's words, by rarity, the passage, a sentence, and two in a row hold."""
    inside: frozenset[str] = frozenset().union(*(sentence.stems for sentence in sentences))
    paired: frozenset[tuple[str, str]] = frozenset().union(*(sentence.pairs for sentence in sentences))
    missing = [weight for word, weight in zip(asked.stems, asked.weights, strict=True) if word not in inside]
    two = [_share(asked, one.stems | other.stems) for one, other in pairwise(sentences)]
    best = max(_share(asked, sentence.stems) for sentence in sentences)
    return {
        "passage": _share(asked, inside) / total,
        "missing": float(max(missing, default=0.0)),
        "count missing": float(len(missing)),
        "covered": best / total,
        "two covered": max(two, default=best) / total,
        "pairs": len(asked.pairs & paired) / max(1, len(asked.pairs)),
    }


def _share(asked: _Asked, stems: frozenset[str]) -> float:
    return float(sum(weight for word, weight in zip(asked.stems, asked.weights, strict=True) if word in stems))


_PLACE = re.compile(r"\b(?:in|at|near|from|to|on|of)\s+(?:the\s+)?[A-Z]")
_CAUSE = re.compile(r"\b(?:because|due to|since|so that|in order to|caused|reason|as a result|therefore|leads? to)\b")
_WAY = re.compile(r"\b(?:by|using|through|via|with|first|then|step|process|method|in order to|must|can)\b")
_DEFINED = re.compile(r"\b(?:is|are|was|were|means|refers|known as|called|defined|consists?|includes?)\b")


def _of_answer(asked: _Asked, close: _Sentence, sentences: Sequence[_Sentence]) -> dict[str, float]:
    """Whether what the question wants stands in the sentence nearest to it, and is not from the question itself."""
    own = set(asked.stems)
    new_names = [name for name in names(close.text) if not set(name.normal.split()) <= own]
    asked_numbers = {fact.normal for fact in numbers(asked.text)}
    new_numbers = [fact for fact in numbers(close.text) if fact.normal not in asked_numbers]
    everywhere = {fact.normal for sentence in sentences for fact in numbers(sentence.text)}
    fits = {
        "who": bool(new_names),
        "when": any(fact.normal.startswith("m") or len(fact.normal) == 4 for fact in new_numbers),
        "where": bool(_PLACE.search(close.text)) and bool(new_names),
        "count": any(not fact.normal.startswith("m") for fact in new_numbers),
        "why": bool(_CAUSE.search(close.text)),
        "how": bool(_WAY.search(close.text)),
    }
    turned = sum(1 for word in set(asked.words) - COMMON if word not in close.words and opposites(word) & close.words)
    return {
        "fits": float(fits.get(asked.kind, bool(_DEFINED.search(close.text)))),
        "more": float(min(len(close.stems - own), 30)),
        "numbers missing": float(len(asked_numbers - everywhere)),
        "turned": float(min(turned, 2)),
        "denial differs": float((negations(asked.text) > 0) != (negations(close.text) > 0)),
        "denied alone": float(negations(asked.text) > 0 and negations(close.text) == 0),
    }


def _of_scores(hits: Sequence[Found]) -> dict[str, float]:
    """How the scores fall off. Only ratios of BM25: its scale differs from one index to the next."""
    bm25 = np.array([hit.bm25 for hit in hits] or [0.0])
    cosine = np.array([hit.cosine for hit in hits] or [0.0])
    top = float(bm25.max())
    return {
        "bm25 gap": float((top - np.sort(bm25)[::-1][1]) / top) if len(bm25) > 1 and top > 0 else 0.0,
        "bm25 spread": float(1 - bm25.mean() / top) if top > 0 else 0.0,
        "cosine": float(cosine.max()),
        "cosine gap": float(cosine.max() - np.sort(cosine)[::-1][1]) if len(cosine) > 1 else 0.0,
        "cosine spread": float(cosine.max() - cosine.mean()),
        "same first": float(int(bm25.argmax()) == int(cosine.argmax())),
    }
