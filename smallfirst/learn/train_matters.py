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
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from smallfirst.errors import DataError, SmallfirstError
from smallfirst.learn.matters_text import make_texts
from smallfirst.learn.name_lists import read_names
from smallfirst.learn.outcomes import file_digest
from smallfirst.privacy.categories import IDENTIFYING
from smallfirst.privacy.detector import Detector
from smallfirst.privacy.matters import (
    FORMAT,
    PER_DOUBLING,
    MatterWeights,
    Names,
    blocks_of,
    capitals,
    encode,
    kinds_together,
    shape_of,
    shipped_path,
)
from smallfirst.privacy.words import fold

Array = NDArray[np.float64]

PRESIDIO = ("presidio_generated_large", "presidio_synth_v2")
TELLING = frozenset(
    (
        "PERSON", "ADDRESS", "STREET_ADDRESS", "PHONE_NUMBER", "EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "US_SSN",
        "US_DRIVER_LICENSE", "IP_ADDRESS",
    )
)  # fmt: skip
"""Entities that are about somebody. Texts that name only a place, a firm or a day are left out: they are neither."""

OUTCOMES = (("zeroeval", 500), ("mmlu_pro", 300), ("llmrouter", 500), ("livecodebench", 400), ("routellm", 300))
"""Public questions and exercises, and how many of each: many name people (who have apples), none is about somebody."""

FOLDS = 5
FALSE_ALARMS = 0.10
"""The operating point: the share of benign texts, each source counting the same, that may be called private."""
EACH = 40
"""Texts of each of our own templates."""
STRENGTH = 0.3
LEAST_WEIGHT = 0.01
KIND = 2.0
"""What the feature of a kind is worth where a word's is 1: kinds carry over to a style that was not seen, words less."""
LEAST_WORD, LEAST_PAIR = 4, 8
"""Templates (not texts) in which a word or a pair must stand to be a feature: what one template says is no rule."""


class Example(msgspec.Struct, frozen=True):
    """A text, whether it is private, where it came from, and the template that it shares with others."""

    text: str
    private: bool
    source: str
    group: str


class Measure(msgspec.Struct, frozen=True):
    """One source under one kind of holding out. `share`: recall of a private source, false alarms of a benign one."""

    source: str
    private: bool
    held_out: str
    n: int
    share: float


def read_examples(folder: Path, seed: int) -> list[Example]:
    """All that is fitted on. Raises DataError where a file is missing."""
    found = [Example(m.text, m.private, f"made: {m.style}", m.template) for m in make_texts(EACH, seed)]
    for name in PRESIDIO:
        for row in _rows(folder / "pii" / f"{name}.parquet"):
            told = {span["type"] for span in msgspec.json.decode(row["spans"])}
            if row["has_pii"] and not told & TELLING:
                continue
            found.append(Example(row["text"], bool(row["has_pii"]), name, _template(row)))
    draw = random.Random(seed)
    for name, most in OUTCOMES:
        texts = sorted(
            {
                str(text)
                for text in pq.read_table(folder.parent / "outcomes" / f"{name}.parquet", columns=["prompt"])[
                    "prompt"
                ].to_pylist()
            }
        )
        found += [Example(t, False, name, f"{name}/{t[:80]}") for t in draw.sample(texts, min(most, len(texts)))]
    for name, column, most in (
        ("triage/clinc150_oos", "text", 1200),
        ("triage/banking77", "text", 400),
        ("rag/clapnq_dev_questions", "question", 600),
        ("rag/mtragun_questions", "question", 244),
        ("rag/clapnq_dev_passages", "text", 400),
        ("extraction/restaurant8k_slots", "document_text", 300),
        ("extraction/cuad_contracts", "document_text", 398),
    ):
        texts = sorted({_stretch(row[column], draw) for row in _rows(folder / f"{name}.parquet")})
        found += [Example(t, False, name, f"{name}/{t[:40]}") for t in draw.sample(texts, min(most, len(texts)))]
    return found


def read_vocabulary(folder: Path, without: set[str]) -> Iterator[str]:
    """Texts that are only counted for their common words: public questions, none of those that are fitted on."""
    for name, _ in OUTCOMES:
        table = pq.read_table(folder.parent / "outcomes" / f"{name}.parquet", columns=["prompt"])
        yield from sorted(set(table["prompt"].to_pylist()) - without)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file; --data is the folder that holds pii, triage, rag and extraction"
        )
    rows: list[dict[str, str]] = pq.read_table(path).to_pylist()
    return rows


def _template(row: Mapping[str, str]) -> str:
    """What two texts of one template share: the two files number their templates apart, and use many of them both."""
    text, at, parts = row["text"], 0, []
    for span in sorted(msgspec.json.decode(row["spans"]), key=lambda one: one["start"]):
        parts.append(text[at : max(at, span["start"])])
        at = max(at, span["end"])
    parts.append(text[at:])
    return "presidio/" + " ".join(re.findall(r"[a-z]+", " ".join(parts).lower()))[:60]


def _stretch(text: str, draw: random.Random) -> str:
    """At most 400 words of a long text: a page, such as is pasted into a prompt."""
    parts = text.split(" ")
    at = draw.randrange(max(1, len(parts) - 400))
    return " ".join(parts[at : at + 400])


Features = dict[str, float]
_patterns = Detector()
WINDOWS = 4
"""Windows of a benign text that are fitted on, at most; of a private one the first, which its template filled."""


class Seen(msgspec.Struct, frozen=True):
    """What is looked up of a text whatever the fit: its blocks, its capitals, its words, and if the patterns fired."""

    text: str
    folded: list[bytes]
    capitals: frozenset[bytes]
    identified: bool


def seen_of(text: str) -> Seen:
    identified = any(finding.category in IDENTIFYING for finding in _patterns.scan(text))
    return Seen(text, fold(text), frozenset(capitals(text)), identified)


def windows_of(seen: Seen, known: frozenset[bytes], names: Names) -> list[Features]:
    """The features of each window of two blocks: `w:word`, `p:one two`, `k:kind+kind`. What is private is in one."""
    shape = shape_of(seen.text, identified=seen.identified, strange=len(seen.capitals - known))
    blocks = blocks_of(seen.folded, shape, names)
    found = []
    for at in range(max(1, len(blocks) - 1)):
        one: Features = {}
        kinds = 0
        for block in blocks[at : at + 2]:
            for word in block.words:
                one[f"w:{word.decode('utf-8', 'replace')}"] = 1.0
            for first, second in block.pairs:
                one[f"p:{first.decode('utf-8', 'replace')} {second.decode('utf-8', 'replace')}"] = 1.0
            kinds |= block.kinds
        one.update({f"k:{name}": KIND for name in kinds_together(kinds)})
        found.append(one)
    return found


class Vocabulary:
    """In how many texts each word stands in lower case, and in how many with a capital letter."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.lower: Counter[bytes] = Counter()
        self.capital: Counter[bytes] = Counter()
        for text in texts:
            self.lower.update({word.encode() for word in _LOWER.findall(text)})
            self.capital.update({word.lower().encode() for word in _CAPITAL.findall(text)})

    def __add__(self, other: Vocabulary) -> Vocabulary:
        both = Vocabulary()
        both.lower, both.capital = self.lower + other.lower, self.capital + other.capital
        return both

    def known(self) -> frozenset[bytes]:
        """Words that are also written in lower case, and the names of days and months, which never are."""
        return frozenset(word for word, count in self.lower.items() if count >= LEAST_COMMON) | ALWAYS

    def names(self) -> Names:
        """Given and family names but for those that are rather common words: Mark may be one, Will may not."""
        common = {word for word in self.known() if self.lower[word] >= COMMON_SHARE * self.capital[word]}
        return Names(*(frozenset(name.encode() for name in of) - common for of in NAMES))


_LOWER = re.compile(r"(?<![^\W\d_])[a-z][^\W\d_A-Z]{2,20}(?![^\W\d_])")
_CAPITAL = re.compile(r"(?<![^\W\d_])[A-Z][^\W\d_A-Z]{2,20}(?![^\W\d_])")
LEAST_COMMON = 2
COMMON_SHARE = 0.25
"""A name is a common word where it stands in lower case in this share of the texts that capitalise it."""
NAMES = read_names()
"""Given and family names, common words among them."""


ALWAYS = frozenset(
    b"monday tuesday wednesday thursday friday saturday sunday january february march april may june july august "
    b"september october november december english french german spanish italian chinese japanese american british "
    b"european".split()
)


def kept(features: Sequence[Features], groups: Sequence[str]) -> list[Features]:
    """Only what stands in enough templates."""
    seen: dict[str, set[str]] = {}
    for one, group in zip(features, groups, strict=True):
        for name in one:
            seen.setdefault(name, set()).add(group)
    least = {"w": LEAST_WORD, "p": LEAST_PAIR, "k": 1}
    enough = {name for name, of in seen.items() if len(of) >= least[name[0]]}
    return [{name: value for name, value in one.items() if name in enough} for one in features]


class Fitted:
    """A vectoriser, a line, and the words that are no names."""

    def __init__(
        self, examples: Sequence[Example], seen: Sequence[Seen], vocabulary: Vocabulary, seed: int
    ) -> None:
        met = vocabulary + Vocabulary(one.text for one in examples if not one.private)
        self.known, self.names = met.known(), met.names()
        rows = [
            (one, window)
            for one, of in zip(examples, seen, strict=True)
            for window in windows_of(of, self.known, self.names)[: 1 if one.private else WINDOWS]
        ]
        chosen = kept([features for _, features in rows], [one.group for one, _ in rows])
        self.vectoriser = DictVectorizer()
        matrix = self.vectoriser.fit_transform(chosen)
        self.line = LogisticRegression(C=STRENGTH, max_iter=600, random_state=seed)
        self.line.fit(matrix, [one.private for one, _ in rows], sample_weight=_weights([one for one, _ in rows]))

    def tables(self) -> dict[str, dict[str, float]]:
        """`w`, `p` and `k`: what a word, a pair of words or kinds that stand together add to the log-odds."""
        found: dict[str, dict[str, float]] = {"w": {}, "p": {}, "k": {}}
        for name, weight in zip(self.vectoriser.get_feature_names_out(), self.line.coef_[0], strict=True):
            found[name[0]][name[2:]] = float(weight) * (KIND if name[0] == "k" else 1.0)
        return found

    def log_odds(self, seen: Sequence[Seen]) -> Array:
        """Of each text: that of its most private window, as privacy/matters.py has it."""
        windows = [windows_of(one, self.known, self.names) for one in seen]
        flat = self.line.decision_function(self.vectoriser.transform([one for of in windows for one in of]))
        starts = np.cumsum([0, *(len(of) for of in windows[:-1])])
        sizes = np.array([len(of) for of in windows])
        scores: Array = np.maximum.reduceat(flat, starts) - PER_DOUBLING * np.log2(sizes)
        return scores

    def scores(self, seen: Sequence[Seen]) -> Array:
        """The log-odds; above all where the patterns found an identifier, which alone makes a text private."""
        return np.where([one.identified for one in seen], np.inf, self.log_odds(seen))


def _weights(examples: Sequence[Example]) -> list[float]:
    """Each template of a source counts the same, and each source by the square root of its templates."""
    templates: dict[tuple[str, str], int] = {}
    for one in examples:
        templates[one.source, one.group] = templates.get((one.source, one.group), 0) + 1
    of_source: dict[str, int] = {}
    for source, _ in templates:
        of_source[source] = of_source.get(source, 0) + 1
    return [25.0 / templates[one.source, one.group] / of_source[one.source] ** 0.5 for one in examples]


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
