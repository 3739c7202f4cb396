"""The recorded questions and passages, who finds which (BM25 and sentence vectors), and the three parts.

For the programs answerability.py, grounding.py and fit_kb.py beside it. Passages are always *retrieved*: the reference
contexts of a question are read for its gold answer only. Vectors are kept in bench/out/vectors.npz between runs.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.progress import track

from smallfirst.tasks.kb.sentences import content, split_sentences
from smallfirst.text.embedder import MiniLM

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "tasks" / "rag"
FILES = {"clapnq": "clapnq_dev", "mtragun": "mtragun", "squad2": "squad2_halfdev"}
FITTED = ("clapnq", "mtragun")
VECTORS = HERE / "out" / "vectors.npz"
TOP = 5
SHARES = (0.45, 0.60)
"""A group's hash below the first: fit; below the second: choose; else report."""


@dataclass(frozen=True)
class Asked:
    """A question as a user brings it. `turns` are the user's earlier ones, `query` what is searched for."""

    id: str
    group: str
    question: str
    turns: tuple[str, ...]
    before: str  # the last of them
    query: str
    kind: str  # answerable | partial | unanswerable | underspecified
    answers: tuple[str, ...]
    gold: tuple[str, ...]  # ids of passages; only for answers and recall

    @property
    def answerable(self) -> bool:
        return self.kind in ("answerable", "partial")


@dataclass(frozen=True)
class Found:
    at: int
    bm25: float
    cosine: float


@dataclass
class Base:
    name: str
    ids: list[str]
    texts: list[str]
    asked: list[Asked]
    hits: list[list[Found]] = field(default_factory=list)


def read(folder: Path, name: str) -> Base:
    if not folder.is_dir():
        sys.exit(f"{folder} is not there: this program needs the recorded task data")
    passages = pq.read_table(folder / f"{FILES[name]}_passages.parquet").to_pydict()
    texts = [
        text if not title or text.lstrip().startswith(title) else f"{title}\n{text}"
        for title, text in zip(passages["title"], passages["text"], strict=True)
    ]
    asked = [_asked(name, row) for row in pq.read_table(folder / f"{FILES[name]}_questions.parquet").to_pylist()]
    return Base(name, passages["passage_id"], texts, asked)


def _asked(name: str, row: dict) -> Asked:
    turns = tuple(text for who, text in json.loads(row["history"]) if who == "user")
    group = " ".join(content((turns or (row["question"],))[0]))
    kind = {"true": "answerable", "false": "unanswerable"}.get(str(row["answerable"]).lower())
    return Asked(
        id=row["qid"],
        group=f"{name}:{group}",
        question=row["question"],
        turns=turns,
        before=turns[-1] if turns else "",
        query=" ".join([*turns[-1:], row["question"]]),
        kind=kind or row["answerable"].lower(),
        answers=tuple(json.loads(row["answers"])),
        gold=tuple(json.loads(row["gold_ids"])),
    )


def part_of(group: str, seed: int) -> str:
    """fit | choose | report, by a hash of the group: all copies of a question, all turns of a conversation."""
    drawn = int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8], "big") / 2**64
    return "fit" if drawn < SHARES[0] else "choose" if drawn < SHARES[1] else "report"


class Remembered:
    """An embedder that keeps what it made, also between runs. Tells how far it is when there is much to do."""

    name = MiniLM.name

    def __init__(self, path: Path = VECTORS) -> None:
        self._path, self._model = path, None
        self._made = self._kept()

    def _kept(self) -> dict[bytes, np.ndarray]:
        if not self._path.exists():
            return {}
        with np.load(self._path) as kept:
            return dict(zip((bytes(key) for key in kept["keys"]), kept["vectors"], strict=True))

    def embed(self, texts, told=None):  # noqa: ARG002 - as Embedder has it
        missing = {_key(text): text for text in texts if _key(text) not in self._made}
        if missing and self._model is None:
            self._model = MiniLM()
        work = list(missing.items())
        steps = track(work, "vectors", transient=True) if len(work) > 500 else work
        for key, text in steps:
            self._made[key] = self._model.embed([text])[0].astype(np.float16)
        return np.array([self._made[_key(text)] for text in texts], dtype=np.float32).reshape(-1, 384)

    def keep(self) -> None:
        """Write them, beside what another run has kept meanwhile."""
        self._path.parent.mkdir(exist_ok=True)
        self._made = self._kept() | self._made
        keys = np.array([list(key) for key in self._made], dtype=np.uint8)
        beside = self._path.with_name(f"{os.getpid()}.npz")
        np.savez(beside, keys=keys, vectors=np.array(list(self._made.values()), dtype=np.float16))
        beside.replace(self._path)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:12]


class BM25:
    """Okapi BM25 over stems (Robertson & Zaragoza 2009, section 3.3), k1 = 1.2, b = 0.75."""

    def __init__(self, texts: list[str]) -> None:
        counted = [Counter(content(text)) for text in texts]
        lengths = np.array([sum(counts.values()) for counts in counted], dtype=float)
        self._norm = 1.2 * (0.25 + 0.75 * lengths / lengths.mean())
        self._postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for at, counts in enumerate(counted):
            for word, times in counts.items():
                self._postings[word].append((at, times))
        self.count = len(texts)

    def rarity(self, word: str) -> float:
        with_it = len(self._postings.get(word, ()))
        return math.log(1 + (self.count - with_it + 0.5) / (with_it + 0.5))

    def scores(self, query: str) -> np.ndarray:
        total = np.zeros(self.count)
        for word in content(query):
            rarity = self.rarity(word)
            for at, times in self._postings.get(word, ()):
                total[at] += rarity * times * 2.2 / (times + self._norm[at])
        return total


def retrieve(base: Base, embedder: Remembered, top: int = TOP) -> None:
    """Fill `hits`: the best by reciprocal rank fusion (Cormack et al. 2009) of BM25 and cosine."""
    words, vectors = BM25(base.texts), embedder.embed(base.texts)
    asked = embedder.embed([each.query for each in base.asked])
    for each, vector in zip(base.asked, asked, strict=True):
        bm25, cosine = words.scores(each.query), vectors @ vector
        fused = sum(1 / (60 + np.argsort(np.argsort(-scores))) for scores in (bm25, cosine))
        best = np.argsort(-fused, kind="stable")[:top]
        base.hits.append([Found(int(at), float(bm25[at]), float(cosine[at])) for at in best])


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """P(a positive scores above a negative), ties count half."""
    both = np.concatenate([positive, negative])
    _, places, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    n, m = len(positive), len(negative)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m)) if n and m else float("nan")


def interval(positive: np.ndarray, negative: np.ndarray, seed: int = 0, draws: int = 400) -> tuple[float, float]:
    """95% by redrawing both sides."""
    rng = np.random.default_rng(seed)
    made = [auroc(rng.choice(positive, len(positive)), rng.choice(negative, len(negative))) for _ in range(draws)]
    return tuple(np.quantile(made, (0.025, 0.975)).round(3).tolist())


def sentences_of(text: str) -> list[str]:
    return [sentence.text for sentence in split_sentences(text)]
