"""Train the shipped classifier of private matters: python -m smallfirst.learn.train_matters --data ../shared/data/tasks

Knows the order of the steps: texts, features, fit, an operating point from held-out folds, and measures by source, each
source held out in turn. Files that are for evaluation only are never opened. The same data and seed give the same
bytes.

The style of a source is a shortcut: a model learns that Presidio's templates look like Presidio's templates. So every
figure is for templates, or a whole source, that the fit has not seen; expect less on prompts of another kind.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from smallfirst.errors import SmallfirstError
from smallfirst.learn.matters_examples import PRESIDIO, Example, read_examples, read_vocabulary
from smallfirst.learn.matters_fit import LEAST_WEIGHT, Array, Fitted, Seen, Vocabulary, seen_of
from smallfirst.learn.outcomes import file_digest
from smallfirst.privacy.matters import FORMAT, MatterWeights, encode, shipped_path

FOLDS = 5
FALSE_ALARMS = 0.10
"""The operating point: the share of benign texts, each source counting the same, that may be called private."""


class Measure(msgspec.Struct, frozen=True):
    """One source under one kind of holding out. `share`: recall of a private source, false alarms of a benign one."""

    source: str
    private: bool
    held_out: str
    n: int
    share: float


def held_out_scores(examples: Sequence[Example], seen: Sequence[Seen], vocabulary: Vocabulary, seed: int) -> Array:
    """Log-odds of each text from a fit that has seen neither its template nor a copy."""
    groups = sorted({one.group for one in examples})
    random.Random(seed).shuffle(groups)
    fold_of = {group: at % FOLDS for at, group in enumerate(groups)}
    scores = np.zeros(len(examples))
    for fold_at in range(FOLDS):
        inside = [at for at, one in enumerate(examples) if fold_of[one.group] != fold_at]
        outside = [at for at, one in enumerate(examples) if fold_of[one.group] == fold_at]
        fitted = Fitted([examples[at] for at in inside], [seen[at] for at in inside], vocabulary, seed)
        scores[outside] = fitted.scores([seen[at] for at in outside])
    return scores


def operating_point(examples: Sequence[Example], scores: Array) -> float:
    """The log-odds that FALSE_ALARMS of the benign texts reach, each source counting the same."""
    benign = np.array([not one.private for one in examples])
    counts: dict[str, int] = {}
    for one in examples:
        if not one.private:
            counts[one.source] = counts.get(one.source, 0) + 1
    weight = np.array([1.0 / counts[one.source] for one in examples if not one.private])
    order = np.argsort(-scores[benign])
    share = np.cumsum(weight[order]) / weight.sum()
    cut = int(np.searchsorted(share, FALSE_ALARMS))
    return float(scores[benign][order][cut])


def measures(examples: Sequence[Example], scores: Array, threshold: float, held_out: str) -> list[Measure]:
    found = []
    for source, private in sorted({(one.source, one.private) for one in examples}):
        at = [n for n, one in enumerate(examples) if one.source == source and one.private == private]
        found.append(Measure(source, private, held_out, len(at), float((scores[at] >= threshold).mean())))
    return found


def family_of(source: str) -> str:
    """Sources that share templates are held out together."""
    return "presidio" if source in PRESIDIO else source


def source_held_out(
    examples: Sequence[Example], seen: Sequence[Seen], vocabulary: Vocabulary, seed: int
) -> list[Measure]:
    """Each private source in turn left out of the fit and of the choice of the operating point."""
    found = []
    for family in sorted({family_of(one.source) for one in examples if one.private}):
        inside = [at for at, one in enumerate(examples) if family_of(one.source) != family]
        outside = [at for at, one in enumerate(examples) if family_of(one.source) == family]
        kept_examples, kept_seen = [examples[at] for at in inside], [seen[at] for at in inside]
        threshold = operating_point(kept_examples, held_out_scores(kept_examples, kept_seen, vocabulary, seed))
        scores = Fitted(kept_examples, kept_seen, vocabulary, seed).scores([seen[at] for at in outside])
        found += measures([examples[at] for at in outside], scores, threshold, "source")
    return found


def train(data: Path, seed: int) -> tuple[MatterWeights, list[Measure]]:
    """The weights to ship, and how they did on what was held out."""
    examples = read_examples(data, seed)
    seen = [seen_of(one.text) for one in examples]
    vocabulary = Vocabulary(read_vocabulary(data, {one.text for one in examples}))
    scores = held_out_scores(examples, seen, vocabulary, seed)
    threshold = operating_point(examples, scores)
    found = [*measures(examples, scores, threshold, "template"), *source_held_out(examples, seen, vocabulary, seed)]
    fitted = Fitted(examples, seen, vocabulary, seed)
    tables = {
        kind: {name: round(weight, 3) for name, weight in of.items() if abs(weight) >= LEAST_WEIGHT}
        for kind, of in fitted.tables().items()
    }
    provenance: dict[str, object] = {
        "program": "smallfirst.learn.train_matters",
        "seed": seed,
        "files": {name: file_digest(data / "pii" / f"{name}.parquet") for name in PRESIDIO},
        "texts": len(examples),
        "templates": len({one.group for one in examples}),
        "held_out": [msgspec.to_builtins(one) for one in found],
    }
    known = sorted(word.decode() for word in fitted.known)
    weights = MatterWeights(
        format=FORMAT,
        words=tables["w"],
        pairs=tables["p"],
        together=tables["k"],
        known=known,
        given=sorted(name.decode() for name in fitted.names.given),
        family=sorted(name.decode() for name in fitted.names.family),
        intercept=float(fitted.line.intercept_[0]),
        threshold=threshold,
        provenance=provenance,
    )
    return weights, found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when the weights were written."""
    parser = argparse.ArgumentParser(prog="python -m smallfirst.learn.train_matters", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder that holds pii, triage, rag and extraction"
    )
    parser.add_argument("--out", type=Path, default=shipped_path())
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    try:
        weights, found = train(given.data, given.seed)
    except SmallfirstError as error:
        print(f"train_matters: {error}", file=sys.stderr)
        return 2
    given.out.write_bytes(encode(weights))
    print(f"{len(weights.words)} words, {len(weights.pairs)} pairs, {given.out.stat().st_size:,} bytes")
    print(f"{'held out':<10}{'source':<34}{'texts':>7}{'recall':>9}{'alarms':>9}")
    for one in found:
        recall, alarms = (f"{one.share:.1%}", "") if one.private else ("", f"{one.share:.1%}")
        print(f"{one.held_out:<10}{one.source:<34}{one.n:>7}{recall:>9}{alarms:>9}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
