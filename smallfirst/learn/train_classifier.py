"""Train the shipped classifier: python -m smallfirst.learn.train_classifier --data ../shared/data/outcomes

Knows the order of the steps: read, group, split, fit, calibrate out of fold, round, write, and measure the very bytes
that were written on groups nobody fitted on. Files that are for evaluation only are never opened. The same data,
kinds file and seed give the same bytes.

Prints a table; writes the weights (--out) and, where asked, the measures as JSON (--report).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.shipped import shipped_path
from smallfirst.classify.weights import FORMAT, KINDS, ZERO, Provenance, Weights, encode
from smallfirst.core import Kind
from smallfirst.errors import DataError, SmallfirstError
from smallfirst.learn.features import Vocabulary, features_of, make_vocabulary, matrix
from smallfirst.learn.fit import Calibration, Line, Recipe, calibrate, fit_kinds, fit_shares, rounded
from smallfirst.learn.outcomes import FIT_FILES, Prompt, file_digest, group_of, is_held_out, read_prompts
from smallfirst.learn.report import Report, measure, print_report

Array = NDArray[np.float64]


class KnownKind(msgspec.Struct, frozen=True):
    """A line of the --kinds file: a prompt whose kind is known, because it was made to be of that kind."""

    text: str
    kind: Kind


def read_kinds(path: Path) -> list[KnownKind]:
    """The --kinds file. Raises DataError that names the line."""
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            one = msgspec.json.decode(line, type=KnownKind)
        except msgspec.DecodeError as error:
            raise DataError(f"{path}:{number}: {error}") from error
        if one.kind not in KINDS:
            raise DataError(f"{path}:{number}: kind {one.kind} is not told from text")
        found.append(one)
    return found


def train(prompts: Sequence[Prompt], kinds: Sequence[KnownKind], recipe: Recipe, seed: int) -> Weights:
    """Weights from the fit part of `prompts` and of `kinds`; held-out groups are not looked at."""
    fit = [prompt for prompt in prompts if not is_held_out(prompt.group)]
    made = [(features_of(one.text), one.kind) for one in kinds if not is_held_out(group_of(one.text))]
    always = [shown for shown, _ in made]
    hard = [(prompt, prompt.hard) for prompt in fit if prompt.hard is not None]
    shown = [features_of(prompt.text) for prompt, _ in hard]
    shares = np.array([share for _, share in hard])
    vocabulary = make_vocabulary(shown, least_words=recipe.least_words, least_pairs=recipe.least_pairs, always=always)
    line = fit_shares(matrix(vocabulary, shown), shares, recipe.c_complexity, seed)
    calibration = calibrate(shown, shares, [prompt.group for prompt, _ in hard], always, recipe, seed)
    picked = _pick(fit, recipe.kind_rows)
    seen = matrix(vocabulary, [features_of(prompt.text) for prompt in picked] + always)
    kind_weights, kind_intercepts = fit_kinds(
        seen[:, vocabulary.alone], [prompt.kind for prompt in picked] + [kind for _, kind in made], recipe, seed
    )
    provenance = Provenance(
        program="smallfirst.learn.train_classifier",
        seed=seed,
        files={},
        kinds_file="",
        rows=len(hard) + len(made),
        groups=len({prompt.group for prompt, _ in hard}),
        metrics={},
        settings=msgspec.to_builtins(recipe),
    )
    return _pack(vocabulary, line, calibration, kind_weights, kind_intercepts, recipe, provenance)


def _pick(prompts: Sequence[Prompt], most: int) -> list[Prompt]:
    """At most `most` prompts a kind, one of each group, in the order of their groups' hashes."""
    taken: dict[str, int] = {}
    picked: list[Prompt] = []
    last = ""
    for prompt in sorted(prompts, key=lambda one: (one.group, one.source, one.text)):
        if prompt.group != last and taken.get(prompt.kind, 0) < most:
            taken[prompt.kind] = taken.get(prompt.kind, 0) + 1
            picked.append(prompt)
        last = prompt.group
    return picked


def _pack(
    vocabulary: Vocabulary,
    line: Line,
    calibration: Calibration,
    kind_weights: Array,
    kind_intercepts: Array,
    recipe: Recipe,
    provenance: Provenance,
) -> Weights:
    """Round to bytes and leave out pairs that say nothing after rounding (words stay: they are what is familiar)."""
    points, step = rounded(line.weights)
    kind_points, kind_step = rounded(kind_weights)
    words = len(vocabulary.words)
    known = (np.arange(len(kind_points)) < words).astype(np.uint8)
    rows = np.column_stack([points[vocabulary.alone], known, kind_points])
    pairs = {pair: int(points[column]) for pair, column in vocabulary.pairs.items() if points[column] != ZERO}
    return Weights(
        format=FORMAT,
        provenance=provenance,
        words=[word.decode() for word in vocabulary.words],
        pairs=[b" ".join(pair).decode() for pair in pairs],
        word_rows=rows[:words].tobytes(),
        pair_points=bytes(pairs.values()),
        other_rows=rows[words:].tobytes(),
        step=step,
        kind_step=kind_step,
        intercept=line.intercept,
        kind_intercepts=[float(value) for value in kind_intercepts],
        clip=calibration.clip,
        slope=calibration.slope,
        offset=calibration.offset,
        familiar=calibration.familiar,
        unfamiliar_logit=recipe.unfamiliar_logit,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when the weights were written."""
    parser = argparse.ArgumentParser(prog="python -m smallfirst.learn.train_classifier", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the outcome tables")
    parser.add_argument("--kinds", type=Path, help='JSONL of {"text", "kind"}: prompts made to be of a kind')
    parser.add_argument("--out", type=Path, default=shipped_path())
    parser.add_argument("--report", type=Path, help="write the measures as JSON")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=500, help="bootstrap draws")
    given = parser.parse_args(arguments)
    try:
        report = run(given.data, given.kinds, given.out, seed=given.seed, draws=given.draws)
    except SmallfirstError as error:
        print(f"train_classifier: {error}", file=sys.stderr)
        return 2
    print_report(report)
    if given.report:
        given.report.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    return 0


def run(data: Path, kinds_file: Path | None, out: Path, *, seed: int = 0, draws: int = 500) -> Report:
    """Train, measure what was trained on held-out groups, write it with the measures inside."""
    prompts = read_prompts(data)
    kinds = read_kinds(kinds_file) if kinds_file else []
    weights = train(prompts, kinds, Recipe(), seed)
    report = measure(Classifier(weights), prompts, [(one.text, one.kind) for one in kinds], seed=seed, draws=draws)
    provenance = msgspec.structs.replace(
        weights.provenance,
        files={name: file_digest(data / f"{name}.parquet") for name in FIT_FILES},
        kinds_file=file_digest(kinds_file) if kinds_file else "",
        metrics=report.headline(),
    )
    finished = encode(msgspec.structs.replace(weights, provenance=provenance))
    out.write_bytes(finished)
    return msgspec.structs.replace(report, bytes=len(finished))


if __name__ == "__main__":
    sys.exit(main())
