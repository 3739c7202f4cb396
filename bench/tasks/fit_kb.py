"""Fits what tasks/kb ships: the judges of answerability and of groundedness, and the table of rare words.

    python bench/tasks/swaps.py && python bench/tasks/fit_kb.py [--only answerable grounded] [--seed 0] [--write]

Fitted on the `fit` part of clapnq and mtragun (groups of questions, see passages.py), calibrated and given a threshold
on the `choose` part; answerability.py and grounding.py report on the third. squad2 is not opened here. Beside the
recorded unanswerable questions the judge of answerability learns from answerable ones that were spoiled: a rare word
exchanged, a number changed, denied, a word turned to its contrary, or the passages with the answer taken away.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import msgspec
import numpy as np
from claims import Judged, judged
from fitting import Table, calibrated, fit, mixed
from passages import BM25, DATA, FITTED, HERE, TOP, Base, Remembered, part_of, read, retrieve
from rich.progress import track
from spoiled import hits_of, spoil

from smallfirst.tasks.kb.answerable_evidence import Found as Hit
from smallfirst.tasks.kb.answerable_evidence import evidence
from smallfirst.tasks.kb.grounded import together
from smallfirst.tasks.kb.rarity import Rarity
from smallfirst.tasks.kb.weigh import Weights, pack

OUT = HERE.parent / "smallfirst" / "tasks" / "kb" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", nargs="*", default=["answerable", "grounded"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="put the weights into smallfirst/tasks/kb/data")
    args = parser.parse_args()
    embedder = Remembered()
    bases = [read(args.data, name) for name in FITTED]
    OUT.mkdir(exist_ok=True)
    rarity = Rarity.of(text for base in bases for text in base.texts)
    common = Rarity(rarity.passages, {word: n for word, n in sorted(rarity.within.items()) if n > 1})
    (OUT / "rarity.msgpack.gz").write_bytes(pack(common))
    made = {}
    if "answerable" in args.only:
        made |= fit_answerable(bases, embedder, args.seed)
    if "grounded" in args.only:
        made |= fit_grounded(args.data, embedder, args.seed)
    embedder.keep()
    for name, weights in made.items():
        if args.write:
            (OUT / f"{name}.msgpack.gz").write_bytes(pack(weights))
            print(f"{name}: {len(pack(weights)) / 1e3:.0f} kB, {weights.chosen_for}: {weights.threshold:.3f}")


SPOILED = 0.1
"""What a spoiled question counts beside a recorded one."""

LEAKED = 0.05
"""The share of unanswerable questions that may be answered at the threshold."""

NEAR = ("near", "cosine", "together", "same first")
"""Evidence whose name has one of these needs vectors."""


def fit_answerable(bases: list[Base], embedder: Remembered, seed: int) -> dict[str, Weights]:
    """Both sets: with vectors and by words alone."""
    rng = random.Random(seed)
    rows: dict[str, list[dict]] = {"answerable": [], "answerable_words": []}
    truth, weight, groups, strata, real, parts = [], [], [], [], [], []
    for base in bases:
        retrieve(base, embedder)
        embedder.keep()
        words, rarity, vectors = BM25(base.texts), Rarity.of(base.texts), embedder.embed(base.texts)
        balance = 300 / len(base.asked)
        for each, hits in track(list(zip(base.asked, base.hits, strict=True)), base.name, transient=True):
            part = part_of(each.group, seed)
            if part == "report":
                continue
            found = [Hit(base.texts[hit.at], hit.bm25, hit.cosine) for hit in hits]
            made = [(each.question, found, each.answerable, balance, True)]
            if each.answerable and part == "fit":
                for question, without in spoil(base, each, words, rng).values():
                    query = f"{each.before} {question}".strip()
                    vector = embedder.embed([query])[0]
                    gone = each.gold if without else ()
                    spoiled = hits_of(base, words, vectors, query, vector, gone, TOP)
                    made.append((question, spoiled, False, balance * SPOILED, False))
            for question, given, answerable, counts, recorded in made:
                rows["answerable"].append(evidence(question, given, rarity, embedder, each.before))
                rows["answerable_words"].append(evidence(question, given, rarity, None, each.before))
                truth.append(answerable), weight.append(counts), groups.append(each.group)
                strata.append(base.name if recorded else "spoiled"), real.append(recorded), parts.append(part)
        embedder.keep()
    arrays = [np.array(column) for column in (truth, weight, real, parts)]
    return {
        name: _answerable(rows[name], arrays, groups, strata, seed, with_vectors)
        for name, with_vectors in (("answerable", True), ("answerable_words", False))
    }


def _answerable(
    rows: list[dict], arrays: list, groups: list[str], strata: list[str], seed: int, vectors: bool
) -> Weights:
    truth, weight, real, parts = arrays
    names = tuple(n for n in sorted(rows[0]) if vectors or not any(near in n for near in NEAR))
    matrix = np.array([[row[name] for name in names] for row in rows])
    here, there = parts == "fit", parts == "choose"
    table = Table(
        names,
        matrix[here],
        truth[here],
        weight[here],
        [g for g, i in zip(groups, here, strict=True) if i],
        [s for s, i in zip(strata, here, strict=True) if i],
    )
    told = f"clapnq and mtragun, {int((here & real).sum())} questions and {int((here & ~real).sum())} spoiled"
    weights, _ = fit(table, seed, told)
    values = mixed(weights, matrix[there])
    slope, offset = calibrated(values, truth[there])
    chances = 1 / (1 + np.exp(-(slope * values + offset)))
    threshold = float(np.quantile(chances[~truth[there]], 1 - LEAKED))
    chosen = f"at most {LEAKED:.0%} of {int((~truth[there]).sum())} unanswerable questions of the choose part answered"
    return msgspec.structs.replace(weights, slope=slope, offset=offset, threshold=threshold, chosen_for=chosen)


ALARM = 0.10
"""The share of true answers that may be called ungrounded at the threshold."""


def fit_grounded(folder: Path, embedder: Remembered, seed: int) -> dict[str, Weights]:
    """Both sets. A claim of a wrong answer that was not changed is true; all of other passages are wrong."""
    rarity = Rarity.of(text for name in FITTED for text in read(folder, name).texts)
    made = {}
    for name, with_vectors in (("grounded", True), ("grounded_words", False)):
        print(name)
        reads = embedder if with_vectors else None
        answers = judged(folder, seed, rarity, reads, lambda part: part != "report")
        embedder.keep()
        made[name] = _grounded(answers, seed)
    return made


def _grounded(answers: list[Judged], seed: int) -> Weights:
    names = tuple(sorted(answers[0].rows[0]))
    rows, truth, groups, strata, seen = [], [], [], [], set()
    for answer in answers:
        if answer.part != "fit":
            continue
        for row, wrong in zip(answer.rows, answer.wrong, strict=True):
            if not wrong and id(row) in seen:
                continue  # the untouched claims of a wrong copy stand in the true answer already
            seen.add(id(row))
            rows.append([row[name] for name in names])
            truth.append(not wrong), groups.append(answer.group), strata.append(answer.base)
    right = np.array(truth)
    weight = np.where(right, (~right).sum() / right.sum(), 1.0)
    table = Table(names, np.array(rows), right, weight, groups, strata)
    weights, _ = fit(table, seed, f"claims of clapnq and mtragun: {right.sum()} true, {(~right).sum()} wrong")
    held = [answer for answer in answers if answer.part == "choose"]
    matrix = np.array([[row[name] for name in names] for answer in held for row in answer.rows])
    values, wrong = mixed(weights, matrix), np.array([wrong for answer in held for wrong in answer.wrong])
    slope, offset = calibrated(values, ~wrong)
    made = msgspec.structs.replace(weights, slope=slope, offset=offset)
    true = [together([made.p(row) for row in answer.rows]) for answer in held if answer.kind == "gold"]
    chosen = f"at most {ALARM:.0%} of {len(true)} true answers of the choose part called ungrounded"
    return msgspec.structs.replace(made, threshold=float(np.quantile(true, ALARM)), chosen_for=chosen)


if __name__ == "__main__":
    main()
