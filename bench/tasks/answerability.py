"""Whether it is known when a knowledge base has no answer: three sets, three baselines, three numbers end to end.

    python bench/tasks/answerability.py [--data ../shared/data/tasks/rag] [--sets clapnq mtragun squad2] [--seed 0]

clapnq and mtragun: the `report` part, which neither weights nor threshold have seen. squad2: every question, as a test
of transfer; nothing was fitted or chosen on it. Passages are retrieved (BM25 and sentence vectors, fused), never given.
For mtragun the user's last two turns are the question; partly answerable counts as answerable, underspecified as not,
and `plain` leaves both out. `taken away`: answerable questions asked of a base that lacks the passages with their
answer.

End to end, where to answer means to have a p at or above the threshold: the share answered of the answerable; the share
answered of the unanswerable; and missed escalations: answered questions that have no answer, or for which no retrieved
passage is a gold one, out of all such. Wrong answers themselves can't be seen here: no answers were recorded to grade.
Writes bench/out/answerability.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from passages import BM25, DATA, FILES, FITTED, HERE, TOP, Base, Remembered, auroc, interval, part_of, read, retrieve
from rich.console import Console
from rich.progress import track
from rich.table import Table
from spoiled import hits_of

from smallfirst.tasks.kb.answerable import Answerable, Found
from smallfirst.tasks.kb.rarity import Rarity
from smallfirst.text.embedder import MiniLM

out = Console(width=120)
WANTED, MOST = 0.80, 0.05
LEAKS = (0.01, 0.02, 0.05, 0.10, 0.15, 0.20, 0.30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--sets", nargs="*", default=list(FILES), choices=list(FILES))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    written = HERE / "out" / "answerability.json"
    found = json.loads(written.read_text())["found"] if written.exists() else {}
    embedder = Remembered()
    for name in args.sets:
        found[name] = measure(read(args.data, name), embedder, args.seed)
        embedder.keep()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    said = {"command": " ".join(sys.argv), "commit": commit.stdout.strip(), "seed": args.seed, "found": found}
    written.write_text(json.dumps(said, indent=1))


def measure(base: Base, embedder: Remembered, seed: int) -> dict[str, object]:
    retrieve(base, embedder)
    rarity, words, vectors = Rarity.of(base.texts), BM25(base.texts), embedder.embed(base.texts)
    judges = {"p": Answerable.shipped(embedder, rarity), "p, words alone": Answerable.shipped(None, rarity)}
    rows, gone = [], []
    for each, hits in track(list(zip(base.asked, base.hits, strict=True)), base.name, transient=True):
        if base.name in FITTED and part_of(each.group, seed) != "report":
            continue
        found = [Found(base.texts[hit.at], hit.bm25, hit.cosine) for hit in hits]
        scores = {name: judge(each.question, found, each.before) for name, judge in judges.items()}
        scores |= {"BM25": max(hit.bm25 for hit in hits), "cosine": max(hit.cosine for hit in hits)}
        got = not each.gold or any(base.ids[hit.at] in each.gold for hit in hits)
        rows.append((each, scores, got))
        if each.answerable and base.name in FITTED:
            vector = embedder.embed([each.query])[0]
            found = hits_of(base, words, vectors, each.query, vector, each.gold, TOP)
            gone.append(judges["p"](each.question, found, each.before))
    out.print(f"{base.name}: " + speed(base, rarity))
    return report(base.name, rows, np.array(gone), judges["p"].threshold, seed)


def speed(base: Base, rarity: Rarity, count: int = 40) -> str:
    """CPU time of a question by words alone and, nothing remembered, with the encoder."""
    said = []
    for name, embedder in (("by words alone", None), ("with sentence vectors", MiniLM())):
        judge = Answerable.shipped(embedder, rarity)
        start = time.process_time()
        for each, hits in list(zip(base.asked, base.hits, strict=True))[-count:]:
            judge(each.question, [Found(base.texts[hit.at], hit.bm25, hit.cosine) for hit in hits], each.before)
        said.append(f"{1000 * (time.process_time() - start) / count:.0f} ms of CPU a question {name}")
    return ", ".join(said)


def report(name: str, rows: list, gone: np.ndarray, threshold: float, seed: int) -> dict[str, object]:
    kinds = np.array([each.kind for each, _, _ in rows])
    can = np.isin(kinds, ("answerable", "partial"))
    scores = {key: np.array([row[1][key] for row in rows]) for key in rows[0][1]}
    shown = Table(title=f"{name}: {can.sum()} answerable, {(~can).sum()} not")
    for heading in ("score", "AUROC", "plain", "answered at 5%", "unanswerable answered at 80%"):
        shown.add_column(heading)
    found: dict[str, object] = {"answerable": int(can.sum()), "unanswerable": int((~can).sum()), "auroc": {}}
    for key, values in scores.items():
        value, ends = auroc(values[can], values[~can]), interval(values[can], values[~can], seed)
        plain = auroc(values[kinds == "answerable"], values[kinds == "unanswerable"])
        at_most, at_wanted = curve(values[can], values[~can])
        found["auroc"][key] = {
            "auroc": value,
            "interval": ends,
            "plain": plain,
            "answered at 5%": at_most,
            "leaked at 80%": at_wanted,
        }
        shown.add_row(
            key, f"{value:.3f} ({ends[0]:.2f}-{ends[1]:.2f})", f"{plain:.3f}", f"{at_most:.1%}", f"{at_wanted:.1%}"
        )
    out.print(shown)
    if len(gone):
        found["taken away"] = auroc(scores["p"][can], gone)
        out.print(f"   answer taken away from the base: AUROC {found['taken away']:.3f}, "
                  f"answered at the threshold {(gone >= threshold).mean():.1%}")  # fmt: skip
    found["curve"] = leaks = {f"{most:.0%}": curve(scores["p"][can], scores["p"][~can], most)[0] for most in LEAKS}
    out.print("   answered where so many unanswerable are: " + ", ".join(f"{k}: {v:.0%}" for k, v in leaks.items()))
    got = np.array([row[2] for row in rows])
    found["at threshold"] = ended = end_to_end(scores["p"] >= threshold, can, got)
    out.print(f"   at the shipped threshold {threshold:.3f}: " + ", ".join(f"{k} {v:.1%}" for k, v in ended.items()))
    return found


def curve(can: np.ndarray, cannot: np.ndarray, most: float = MOST) -> tuple[float, float]:
    """(answerable answered where at most `most` of the unanswerable are, unanswerable answered where WANTED are)."""
    at_most = float((can > np.quantile(cannot, 1 - most, method="higher")).mean())
    return at_most, float((cannot >= np.quantile(can, 1 - WANTED)).mean())


def end_to_end(answered: np.ndarray, can: np.ndarray, got: np.ndarray) -> dict[str, float]:
    """`got`: retrieval brought a gold passage (true where there is none to bring)."""
    should_go_up = ~can | ~got
    return {
        "answered": float(answered.mean()),
        "answerable answered": float(answered[can].mean()),
        "unanswerable answered": float(answered[~can].mean()),
        "without ground among answered": float(should_go_up[answered].mean()) if answered.any() else 0.0,
        "missed escalations": float(answered[should_go_up].mean()) if should_go_up.any() else 0.0,
    }


if __name__ == "__main__":
    main()
