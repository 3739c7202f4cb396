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
from smallfirst.classify.heads import Prior
from smallfirst.classify.probes import Probe, make_row
from smallfirst.classify.sample import units
from smallfirst.classify.shipped import shipped_path
from smallfirst.classify.tables import ZERO
from smallfirst.classify.weights import FORMAT, KINDS, Provenance, Weights, encode
from smallfirst.core import Kind
from smallfirst.errors import DataError, SmallfirstError
from smallfirst.learn.features import Vocabulary, features_of, make_vocabulary, matrix
from smallfirst.learn.fit import (
    Calibration,
    Line,
    Recipe,
    calibrate,
    clipped,
    contributions,
    fit_kinds,
    fit_shares,
    one_thread,
    rounded,
)
from smallfirst.learn.known_models import Known, KnownRecipe, fit_known
from smallfirst.learn.outcomes import FIT_FILES, Prompt, file_digest, group_of, is_held_out, read_prompts
from smallfirst.learn.report import Report, measure, print_report

Array = NDArray[np.float64]
RECORDED = "recorded"
"""The digest of a head that came with the weights."""


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


def train(
    prompts: Sequence[Prompt],
    kinds: Sequence[KnownKind],
    recipe: Recipe,
    seed: int,
    known_recipe: KnownRecipe = KnownRecipe(),  # noqa: B008 - frozen
) -> Weights:
    """Weights from the fit part of `prompts` and of `kinds`; held-out groups are not looked at."""
    fit = [prompt for prompt in prompts if not is_held_out(prompt.group)]
    made = [(features_of(one.text), one.kind) for one in kinds if not is_held_out(group_of(one.text))]
    always = [shown for shown, _ in made]
    hard = [(prompt, prompt.hard) for prompt in fit if prompt.hard is not None]
    shown = [features_of(prompt.text) for prompt, _ in hard]
    shares = np.array([share for _, share in hard])
    vocabulary = make_vocabulary(shown, least_words=recipe.least_words, least_pairs=recipe.least_pairs, always=always)
    line = fit_shares(matrix(vocabulary, shown), shares, recipe.c_complexity, seed)
    calibration, outside = calibrate(shown, shares, [prompt.group for prompt, _ in hard], always, recipe, seed)
    picked = _pick(fit, recipe.kind_rows)
    seen = matrix(vocabulary, [features_of(prompt.text) for prompt in picked] + always)
    kind_weights, kind_intercepts = fit_kinds(
        seen[:, vocabulary.alone], [prompt.kind for prompt in picked] + [kind for _, kind in made], recipe, seed
    )
    known = _fit_known(fit, vocabulary, line, calibration, outside, known_recipe, seed)
    provenance = Provenance(
        program="smallfirst.learn.train_classifier",
        seed=seed,
        files={},
        kinds_file="",
        rows=len(hard) + len(made),
        groups=len({prompt.group for prompt, _ in hard}),
        metrics={},
        settings={**msgspec.to_builtins(recipe), **msgspec.to_builtins(known_recipe)},
    )
    weights = _pack(vocabulary, line, calibration, kind_weights, kind_intercepts, known, recipe, provenance)
    return msgspec.structs.replace(weights, heads=_heads(weights, known, fit))


def _fit_known(
    fit: Sequence[Prompt],
    vocabulary: Vocabulary,
    line: Line,
    calibration: Calibration,
    outside: Array,
    recipe: KnownRecipe,
    seed: int,
) -> Known:
    """Factors and heads. The complexity of prompts that it was fitted on is taken out of fold."""
    shown = [features_of(prompt.text) for prompt in fit]
    segments, rest = contributions(line, vocabulary, shown)
    room = [np.array([units(segment) for segment in one.segments], dtype=np.float64) for one in shown]
    raw = clipped(segments, room, rest, calibration.clip) + line.intercept
    complexity = calibration.slope * raw + calibration.offset
    complexity[[row for row, prompt in enumerate(fit) if prompt.hard is not None]] = outside
    return fit_known(vocabulary, shown, fit, complexity, recipe, seed)


def _heads(weights: Weights, known: Known, fit: Sequence[Prompt]) -> list[Probe]:
    """Each known model as a probe: what it scored by kind, and its head for a step of each factor."""
    classifier = Classifier(weights)
    rated = [classifier.rate(prompt.text) for prompt in fit]
    scale = np.r_[1.0, 1.0, np.full(weights.factors, weights.factor_step)]
    heads = []
    for model, head in zip(known.models, known.heads * scale, strict=True):
        by_kind: dict[Kind, list[tuple[float, float]]] = {}
        for prompt, (complexity, kind) in zip(fit, rated, strict=True):
            if model in prompt.scores:
                by_kind.setdefault(kind, []).append((prompt.scores[model], complexity))
        rows = {kind: make_row(by_kind[kind]) for kind in sorted(by_kind)}
        heads.append(Probe(model, RECORDED, 0, rows, tuple(head.tolist())))
    return heads


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
    known: Known,
    recipe: Recipe,
    provenance: Provenance,
) -> Weights:
    """Round to bytes and leave out pairs that say nothing after rounding (words stay: they are what is familiar)."""
    points, step = rounded(line.weights)
    kind_points, kind_step = rounded(kind_weights)
    factor_points, factor_step = rounded(known.weights)
    words = len(vocabulary.words)
    familiar = (ZERO + (np.arange(len(kind_points)) < words)).astype(np.uint8)
    rows = np.column_stack([points[vocabulary.alone], familiar, kind_points, factor_points[vocabulary.alone]])
    telling = np.column_stack([points, factor_points])
    pairs = {pair: telling[column] for pair, column in vocabulary.pairs.items() if (telling[column] != ZERO).any()}
    return Weights(
        format=FORMAT,
        provenance=provenance,
        words=[word.decode() for word in vocabulary.words],
        pairs=[b" ".join(pair).decode() for pair in pairs],
        word_rows=rows[:words].tobytes(),
        pair_rows=b"".join(row.tobytes() for row in pairs.values()),
        other_rows=rows[words:].tobytes(),
        factors=known.weights.shape[1],
        step=step,
        kind_step=kind_step,
        factor_step=factor_step,
        intercept=line.intercept,
        kind_intercepts=[float(value) for value in kind_intercepts],
        clip=calibration.clip,
        factor_clip=known.clip,
        slope=calibration.slope,
        offset=calibration.offset,
        familiar=calibration.familiar,
        unfamiliar_logit=recipe.unfamiliar_logit,
        prior=_for_steps(known.prior, factor_step),
        heads=[],
    )


def _for_steps(prior: Prior, step: float) -> Prior:
    scale = np.r_[1.0, 1.0, np.full(len(prior.mean) - 2, step)]
    return Prior(
        (np.array(prior.mean) * scale).tolist(), (np.array(prior.covariance) * np.outer(scale, scale)).tolist()
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
    with one_thread():
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
