"""Knowledge-base questions -> the two answers that need no wording, and how sure of each one may be.

Knows retrieval, the evidence of tasks/kb, and gold passages. No generated answers were recorded for these sets, so what
an SLM would have written can't be scored. What can be:

    absent    "That is not in the knowledge base.": right where the question is unanswerable
    one       the first passage found, shown as the answer with its citation: right where it is a gold passage
    three     the first three: right where a gold passage is among them

Each answer's chance is fitted on the fit part of both sets together, on the evidence that the product reads and the
scores of the five passages. An underspecified question wants a question back: all three are wrong there.
"""

from __future__ import annotations

import sys
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
from rows import HERE, Said, Source, deal

sys.path.insert(0, str(HERE / "tasks"))
from passages import FITTED, Asked, Base, Remembered, read, retrieve

from smallfirst.calibrate.probability import fit_beta
from smallfirst.tasks.kb.answerable_evidence import Found, evidence
from smallfirst.tasks.kb.conversation import Conversation
from smallfirst.tasks.kb.prompt import ABSENT, messages
from smallfirst.tasks.kb.rarity import Rarity
from smallfirst.tasks.kb.store import Passage

ANSWERS = ("absent", "one", "three")
FOLDS, HOLD, LEAF = 5, 0.03, 8
CHARACTERS = 4
TIMED = 40
"""Questions whose CPU time is measured with an encoder that remembers nothing."""


def kb_source(folder: Path, name: str, seed: int) -> Source:
    found, fitted_on = both(folder / "rag", seed)
    return Source(name, seed, fitted_on, found[name])


@lru_cache
def both(folder: Path, seed: int) -> tuple[dict[str, list[Said]], int]:
    """The rows of both sets, judged by one fit."""
    remembered = Remembered()
    table: list[np.ndarray] = []
    asked: list[tuple[str, Asked, Base, list]] = []
    for name in FITTED:
        base = read(folder, name)
        retrieve(base, remembered)
        rarity = Rarity.of(base.texts)
        for each, hits in zip(base.asked, base.hits, strict=True):
            table.append(features(base, each, hits, rarity, remembered))
            asked.append((name, each, base, hits))
        remembered.keep()
    parts = [part for name in FITTED for part in deal([each.group for of, each, _, _ in asked if of == name], seed)]
    score = np.array([scores(each, base, hits) for _, each, base, hits in asked])
    groups = [each.group for _, each, _, _ in asked]
    chance = chances(np.array(table), score, np.array(parts) == "fit", groups, seed)
    ms = {name: cpu_ms(next(base for of, _, base, _ in asked if of == name)) for name in FITTED}
    found: dict[str, list[Said]] = {name: [] for name in FITTED}
    for n, (name, each, base, hits) in enumerate(asked):
        if parts[n] != "fit":
            sent, got = tokens(each, base, hits)
            found[name].append(Said(
                each.group, parts[n], dict(zip(ANSWERS, score[n].tolist(), strict=True)),
                dict(zip(ANSWERS, chance[n].tolist(), strict=True)), ms[name], sent, got, sent,
            ))  # fmt: skip
    return found, parts.count("fit")


def features(base: Base, each: Asked, hits: list, rarity: Rarity, embedder: Remembered) -> np.ndarray:
    given = [Found(base.texts[hit.at], hit.bm25, hit.cosine) for hit in hits]
    known = evidence(each.question, given, rarity, embedder, each.before)
    cosine, bm25 = np.array([hit.cosine for hit in hits]), np.array([hit.bm25 for hit in hits])
    near = [cosine[0], cosine[0] - cosine[1], cosine[0] - cosine[2:].max(), cosine.std()]
    words = [(bm25[0] - bm25[1]) / max(bm25.max(), 1), bm25[0] / max(bm25.max(), 1)]
    return np.array([*(known[key] for key in sorted(known)), *near, *words, float(bool(each.turns))])


def scores(each: Asked, base: Base, hits: list) -> list[float]:
    """Of ANSWERS. clapnq names a passage for unanswerable questions too: the one that looks as if it answered."""
    gold = [each.answerable and base.ids[hit.at] in each.gold for hit in hits]
    return [float(each.kind == "unanswerable"), float(gold[0]), float(any(gold[:3]))]


def chances(table: np.ndarray, score: np.ndarray, fit: np.ndarray, groups: list[str], seed: int) -> np.ndarray:
    """(n, answers) calibrated chances; rows of the fit part are not to be used."""
    fold = np.array(folds_of([group for group, inside in zip(groups, fit, strict=True) if inside], seed))
    made = np.zeros(score.shape)
    for column in range(score.shape[1]):
        known, right = table[fit], score[fit, column]
        left_out = np.zeros(len(known))
        for one in range(FOLDS):
            left_out[fold == one] = judge(known[fold != one], right[fold != one], seed)(known[fold == one])
        made[:, column] = fit_beta(left_out, right > 0.5)(judge(known, right, seed)(table))
    return made


def judge(table: np.ndarray, right: np.ndarray, seed: int):
    """The mean of a logistic regression with a strong prior and extremely randomised trees, as in learn/."""
    from sklearn.ensemble import ExtraTreesClassifier  # noqa: PLC0415 - an extra
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    centre, spread = table.mean(0), table.std(0) + 1e-9
    linear = LogisticRegression(C=HOLD, max_iter=2000).fit((table - centre) / spread, right)
    trees = ExtraTreesClassifier(300, min_samples_leaf=LEAF, random_state=seed).fit(table, right)
    return lambda rows: (linear.predict_proba((rows - centre) / spread)[:, 1] + trees.predict_proba(rows)[:, 1]) / 2


def folds_of(groups: list[str], seed: int) -> list[int]:
    names = sorted(set(groups))
    place = dict(zip(np.random.default_rng(seed).permutation(names).tolist(), range(len(names)), strict=True))
    return [place[group] % FOLDS for group in groups]


def tokens(each: Asked, base: Base, hits: list) -> tuple[float, float]:
    """(input, output) tokens of the frontier model's call: question and five passages; the gold answer, or ABSENT."""
    shown = [Passage(n, base.ids[hit.at], "", base.texts[hit.at], 0, 0) for n, hit in enumerate(hits)]
    talk = Conversation(each.question, tuple(("user", turn) for turn in each.turns), ())
    sent = sum(len(message["content"]) for message in messages(talk, shown))
    got = len(each.answers[0]) if each.answers and each.answerable else len(ABSENT)
    return sent / CHARACTERS, got / CHARACTERS


def cpu_ms(base: Base) -> float:
    """Median CPU of a question: its vector, those of the sentences that are read, and the evidence."""
    from smallfirst.text.embedder import MiniLM  # noqa: PLC0415

    encoder, rarity, took = MiniLM(), Rarity.of(base.texts), []
    for each, hits in list(zip(base.asked, base.hits, strict=True))[:TIMED]:
        began = time.process_time()
        encoder.embed([each.query])
        given = [Found(base.texts[hit.at], hit.bm25, hit.cosine) for hit in hits]
        evidence(each.question, given, rarity, encoder, each.before)
        took.append(1000 * (time.process_time() - began))
    return float(np.median(took))
