"""Retrieval on public questions: is a gold passage among the first five?

    python bench/tasks/retrieval.py [--data ../shared/data/tasks/rag] [--seed 0] [--scale]

Every answerable question of CLAP NQ, MTRAG-UN and half of SQuAD 2's development set, against all passages of its set.
Baselines: plain BM25 on title and text (the data's own), BM25 on stems alone, vectors alone, reciprocal ranks. The one
fitted number, how much meaning weighs against words, is chosen on half of CLAP NQ and MTRAG-UN and reported on the
other half, over 20 halves; nothing is chosen on SQuAD 2. Intervals: 95%, over questions (copies count as one).

Passages are embedded once (10 ms each 480 characters on an idle core) and kept in bench/out/retrieval/. --scale times
searches in 100,000 and 300,000 passages. Writes bench/out/retrieval.json.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from smallfirst.tasks.kb.building import embed_waiting
from smallfirst.tasks.kb.conversation import variants
from smallfirst.tasks.kb.passages import windows
from smallfirst.tasks.kb.search import MEANING, Index, Variant, fuse
from smallfirst.tasks.kb.store import Store
from smallfirst.text.embedder import MiniLM

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "tasks" / "rag"
SETS = {"clapnq": "clapnq_dev", "mtragun": "mtragun", "squad2": "squad2_halfdev"}
FITTED_ON = ("clapnq", "mtragun")
BASELINES = {"clapnq": 0.960, "mtragun": 0.928, "squad2": 0.933}  # of the data's own README; mtragun: two user turns
WEIGHTS = (0.5, 1.0, 2.0, 3.0, 4.0)
HALVES, DRAWS, K = 20, 2000, 5
out = Console(width=120)


class Question:
    """One answerable question, its turns before, and the places of its gold passages."""

    def __init__(self, row: dict, place: dict[str, int]) -> None:
        self.text = row["question"]
        history = json.loads(row["history"])
        self.earlier = [said for who, said in history if who == "user"]
        self.gold = {place[id] for id in json.loads(row["gold_ids"])}
        self.group = " ".join(f"{' '.join(self.earlier)} {self.text}".lower().split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", action="store_true", help="Only the time of a search in large stores.")
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data} is not there: this program needs the recorded task data")
    written = HERE / "out" / "retrieval.json"
    if args.scale:
        found = json.loads(written.read_text())["found"] if written.exists() else {}
        found["scale"] = [scale(count) for count in (100_000, 300_000)]
    else:
        found = on_public_sets(args)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    said = {"command": " ".join(sys.argv), "commit": commit.stdout.strip(), "seed": args.seed, "found": found}
    written.parent.mkdir(exist_ok=True)
    written.write_text(json.dumps(said, indent=1))
    out.print(f"written to {written.relative_to(HERE.parent)}")


def on_public_sets(args: argparse.Namespace) -> dict:
    embedder, found, scores = MiniLM(), {}, {}
    for name, file in SETS.items():
        passages, questions = read(args.data, file)
        index = Index(stored(name, passages, embedder), embedder)
        found[name], scores[name] = one_set(name, passages, questions, index, args.seed)
    found["weight chosen on halves"] = cross_fitted(scores, args.seed)
    found["embedding"] = embedding_time(args.data, embedder)
    return found


def read(folder: Path, file: str) -> tuple[list[dict], list[Question]]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    passages = pq.read_table(folder / f"{file}_passages.parquet").to_pylist()
    place = {row["passage_id"]: n for n, row in enumerate(passages)}
    rows = pq.read_table(folder / f"{file}_questions.parquet").to_pylist()
    asked = [Question(row, place) for row in rows if str(row["answerable"]) in {"True", "ANSWERABLE"}]
    return passages, [question for question in asked if question.gold]


def stored(name: str, passages: list[dict], embedder: MiniLM) -> Path:
    """The set's passages as a knowledge base, each a document of its own, in order."""
    folder = HERE / "out" / "retrieval" / SETS[name]
    store = Store(folder, create=True)
    if store.counts()[1] != len(passages):
        for row in track(passages, f"{name}: taking in", console=out, transient=True):
            store.put(row["passage_id"], "", [(row["title"], row["text"], 0, len(row["text"]))])
    if store.counts()[2]:
        out.print(f"{name}: embedding {store.counts()[2]} passages; this is kept")
        embed_waiting(store, embedder)
    store.close()
    return folder


def one_set(name: str, passages: list[dict], questions: list[Question], index: Index, seed: int) -> tuple[dict, dict]:
    """(what the table says, weight -> (n,) hit or not)."""
    plain = Plain([f"{row['title']} {row['text']}" for row in passages])
    hits: dict[str, list[bool]] = defaultdict(list)
    weighed: dict[float, list[bool]] = defaultdict(list)
    took = []
    for question in track(questions, f"{name}: searching", console=out, transient=True):
        hits["BM25, plain"].append(hit(plain(question.text), question))
        if name == "mtragun":
            hits["BM25, plain, with two turns before"].append(
                hit(plain(" ".join([*question.earlier[-2:], question.text])), question)
            )
            alone = index.look(question.text)
            hits["fused, last turn alone"].append(hit(fuse(alone.words, alone.meaning), question))
        asked = variants(question.text, question.earlier)
        began = time.perf_counter()
        index.search(asked, K)
        took.append(time.perf_counter() - began)
        looked = [(variant, index.look(variant.text)) for variant in asked]
        hits["words alone, stems"].append(hit(summed(looked, lambda one: fuse(one.words, one.meaning, 0)), question))
        hits["vectors alone"].append(hit(summed(looked, lambda one: one.meaning), question))
        hits["reciprocal ranks"].append(
            hit(summed(looked, lambda one: ranks(one.words) + ranks(one.meaning)), question)
        )
        for weight in WEIGHTS:
            fused = summed(looked, lambda one, weight=weight: fuse(one.words, one.meaning, weight))
            weighed[weight].append(hit(fused, question))
    hits[f"fused, meaning weighs {MEANING:g}"] = weighed[MEANING]
    groups = [question.group for question in questions]
    return table(name, hits, groups, took, seed), {weight: (np.array(one), groups) for weight, one in weighed.items()}


def summed(looked: list[tuple[Variant, object]], score) -> np.ndarray:
    return sum(variant.weight * score(one) for variant, one in looked)


def table(name: str, hits: dict, groups: list[str], took: list[float], seed: int) -> dict:
    """Print and return recall@5 of each way, and its difference to the better plain BM25."""
    base = "BM25, plain, with two turns before" if name == "mtragun" else "BM25, plain"
    shown = Table(title=f"{name}: {len(groups)} questions, recall@{K}; to reach {BASELINES[name] + 0.03:.3f}")
    for heading in ("way", "recall@5", "95%", "against " + base, "95%"):
        shown.add_column(heading)
    found = {}
    for way, row in hits.items():
        rate, gain = np.array(row, float), np.array(row, float) - np.array(hits[base], float)
        low, high = bootstrap(rate, groups, seed)
        worse, better = bootstrap(gain, groups, seed)
        shown.add_row(way, f"{rate.mean():.3f}", f"{low:.3f} .. {high:.3f}", f"{gain.mean():+.3f}",
                      f"{worse:+.3f} .. {better:+.3f}")  # fmt: skip
        found[way] = {
            "recall": rate.mean(),
            "interval": (low, high),
            "gain": gain.mean(),
            "gain_interval": (worse, better),
        }
    out.print(shown)
    ms = {"median": 1000 * float(np.median(took)), "p95": 1000 * float(np.quantile(took, 0.95))}
    out.print(f"a search takes {ms['median']:.1f} ms (95% within {ms['p95']:.1f} ms), embedding the question included")
    return {"questions": len(groups), "ways": found, "ms": ms}


def bootstrap(values: np.ndarray, groups: list[str], seed: int) -> tuple[float, float]:
    """95% interval of the mean, drawing groups of copies."""
    names, which = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(which, values), np.bincount(which)
    drawn = np.random.default_rng(seed).integers(0, len(names), (DRAWS, len(names)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    return tuple(np.quantile(means, (0.025, 0.975)).tolist())


def cross_fitted(scores: dict, seed: int) -> dict:
    """Choose the weight on half of the groups of both sets; what it reaches on the other half, and on SQuAD 2."""
    rng = np.random.default_rng(seed)
    reached: dict[str, list[float]] = defaultdict(list)
    chosen: Counter[float] = Counter()
    for _ in range(HALVES):
        fit_means, apart = defaultdict(list), {}
        for name in FITTED_ON:
            groups = np.array(scores[name][WEIGHTS[0]][1])
            names = np.unique(groups)
            fit = np.isin(groups, rng.permutation(names)[: len(names) // 2])
            apart[name] = ~fit
            for weight in WEIGHTS:
                fit_means[weight].append(scores[name][weight][0][fit].mean())
        best = max(WEIGHTS, key=lambda weight: (np.mean(fit_means[weight]), -abs(weight - MEANING)))
        chosen[best] += 1
        for name in FITTED_ON:
            reached[name].append(scores[name][best][0][apart[name]].mean())
        reached["squad2"].append(scores["squad2"][best][0].mean())
    means = {name: float(np.mean(values)) for name, values in reached.items()}
    out.print(f"weight chosen on halves {dict(chosen)}; recall on the other half (squad2: all) {means}")
    return {"chosen": {str(weight): times for weight, times in chosen.items()}, "recall": means}


def embedding_time(folder: Path, embedder: MiniLM) -> dict:
    passages, _ = read(folder, SETS["clapnq"])
    texts = [windows(row["title"], row["text"]) for row in passages[:60]]
    began = time.perf_counter()
    embedder.embed([window for several in texts for window in several])
    each = 1000 * (time.perf_counter() - began) / len(texts)
    out.print(f"embedding takes {each:.0f} ms a passage ({np.mean([len(several) for several in texts]):.1f} windows)")
    return {"ms_per_passage": each, "windows_per_passage": float(np.mean([len(several) for several in texts]))}


def scale(count: int) -> dict:
    """The time of a search without embedding the question, in `count` made-up passages of two windows each."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{n}" for n in range(30_000)])
    frequency = 1 / np.arange(1, 30_001)
    frequency /= frequency.sum()

    class Drawn:
        name = "drawn"

        def embed(self, texts, told=None):  # noqa: ARG002 - the encoder's interface
            drawn = rng.standard_normal((len(texts), 384)).astype(np.float32)
            return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    with tempfile.TemporaryDirectory() as folder:
        store, encoder = Store(Path(folder), create=True), Drawn()
        pieces = []
        for at in track(range(0, count, 1000), f"{count} passages", console=out, transient=True):
            drawn = rng.choice(words, (1000, 100), p=frequency)
            pieces += [(f"title {at + n}", " ".join(row), 0, 1) for n, row in enumerate(drawn)]
        store.put("all", "", pieces)
        while batch := store.waiting(10_000):
            vectors = encoder.embed(["x"] * (2 * len(batch)))
            store.give_vectors([id for id, _, _ in batch], list(vectors.reshape(len(batch), 2, -1)))
        store.note("embedder", encoder.name)
        store.close()
        began = time.perf_counter()
        index = Index(Path(folder), encoder)
        opened, took = time.perf_counter() - began, []
        for _ in range(30):
            asked = " ".join(rng.choice(words[20:], 8, p=frequency[20:] / frequency[20:].sum()))
            began = time.perf_counter()
            index.search(asked, K)
            took.append(1000 * (time.perf_counter() - began))
        mb = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
    out.print(f"{count} passages: {np.median(took):.0f} ms a search, opened in {opened:.1f} s, {mb:.0f} MB on disk")
    return {"passages": count, "ms": float(np.median(took)), "open_s": opened, "mb": mb}


def hit(scores: np.ndarray, question: Question) -> bool:
    return bool(question.gold & set(np.argsort(-scores, kind="stable")[:K].tolist()))


def ranks(scores: np.ndarray) -> np.ndarray:
    """(n,) 1 / (60 + rank): reciprocal rank fusion (Cormack, Clarke, Buettcher 2009)."""
    placed = np.empty(len(scores))
    placed[np.argsort(-scores, kind="stable")] = 1 / (61 + np.arange(len(scores)))
    return placed


class Plain:
    """BM25 (k1 1.5, b .75) on lower-case words: the baseline of the data's README."""

    def __init__(self, texts: list[str]) -> None:
        counted = [Counter(words_of(text)) for text in texts]
        lengths = np.array([sum(counts.values()) for counts in counted])
        postings = defaultdict(list)
        for n, counts in enumerate(counted):
            for word, times in counts.items():
                postings[word].append((n, times))
        self._count, self._rows = len(texts), {}
        for word, row in postings.items():
            places, times = np.array(row).T
            rarity = np.log(1 + (len(texts) - len(row) + 0.5) / (len(row) + 0.5))
            norm = 1.5 * (0.25 + 0.75 * lengths[places] / lengths.mean())
            self._rows[word] = places, rarity * times * 2.5 / (times + norm)

    def __call__(self, text: str) -> np.ndarray:
        scores = np.zeros(self._count)
        for word in words_of(text):
            if word in self._rows:
                places, shares = self._rows[word]
                scores[places] += shares
        return scores


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


if __name__ == "__main__":
    main()
