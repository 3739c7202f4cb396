"""Labelled texts -> a triage model with a certified threshold, and what it reached on texts that it never saw.

Knows the order of the steps: part, embed, choose the recipe, solve, calibrate, certify. Three parts by text, all copies
of a text on one side: fitted on, certified on, reported on. Does not know files.

The recipe is chosen by leaving one out on a sample of the fit part, in closed form (Rifkin and Lippert 2007, "Notes on
regularized least squares", section 4); confidence is calibrated on fit rows that a second solve leaves out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import product

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.calibrate.probability import Beta, fit_beta
from smallfirst.errors import DataError
from smallfirst.tasks.certify import NOTHING, certify, fewest, steps
from smallfirst.tasks.dealing import deal
from smallfirst.tasks.triage.kernel import Kernel, solve
from smallfirst.tasks.triage.model import FORMAT, Card, Judged, Recipe, Triage, TriageModel, certainty, pack
from smallfirst.tasks.triage.rows import Labelled, check_rows, digest_of, rare_labels
from smallfirst.text.embedder import Embedder

Floats = npt.NDArray[np.float32]
Told = Callable[[str, int, int], None]


SAMPLE = 3000
"""Rows on which recipes are compared: each costs a matrix inverse."""

GAMMAS, SHARES, RIDGES = (2.0, 4.0, 8.0), (0.5, 0.67, 0.8), (0.1, 0.2)
LEFT_OUT = 6
"""One in six fit rows calibrates confidence."""

STRICTEST, ROOM = 0.3, 1.5
"""The first threshold keeps this share of texts, and at least 1.5 times the fewest rows that can prove anything."""

FEWEST_BEYOND = 20
"""Out-of-scope rows below which their chance is not learned."""


class Wanted(msgspec.Struct, frozen=True):
    """What the user asks for."""

    accuracy: float = 0.97
    confidence: float = 0.95
    several: bool = False
    out_of_scope: str | None = None  # the label of rows that belong to none
    seed: int = 0


class Parts(msgspec.Struct, frozen=True):
    """Rows by what they are for."""

    fit: list[Labelled]
    certify: list[Labelled]
    report: list[Labelled]


def part(rows: Sequence[Labelled], seed: int, report: Sequence[Labelled] | None = None) -> Parts:
    """Deal rows into parts by text. `report`: rows the caller keeps apart; a text on both sides is refused."""
    if report is not None:
        own = {row.group for row in rows}
        both = next((row for row in report if row.group in own), None)
        if both is not None:
            raise DataError(
                f"a text stands in the training and the report rows: {both.where}; take it out of one, or say "
                "--drop-copies to have such texts left out of training"
            )
    return Parts(*deal(rows, seed, report))


def without_copies(rows: Sequence[Labelled], report: Sequence[Labelled]) -> list[Labelled]:
    """Rows whose text does not stand in `report`."""
    apart = {row.group for row in report}
    return [row for row in rows if row.group not in apart]


def fit_triage(parts: Parts, wanted: Wanted, embedder: Embedder | None, told: Told = lambda *_: None) -> TriageModel:
    """Fit on parts.fit, certify on parts.certify. parts.report is not looked at. Raises DataError for unfit rows."""
    labels = check_rows(parts.fit, wanted.out_of_scope, several=wanted.several)
    if len(parts.certify) < fewest(wanted.accuracy, wanted.confidence):
        raise DataError(
            f"{len(parts.certify)} of the rows are for certification; {wanted.accuracy:.1%} at {wanted.confidence:.0%} "
            f"confidence takes at least {fewest(wanted.accuracy, wanted.confidence)}: label more, or promise less"
        )
    texts = [row.text for row in parts.fit]
    vectors = None if embedder is None else embedder.embed(texts, lambda done: told("embed", done, len(texts)))
    kernel = Kernel(texts, vectors, lambda done: told("compare", done, len(texts)))
    truth = targets(parts.fit, labels)
    rng = np.random.default_rng(wanted.seed)
    recipe = choose_recipe(kernel, truth, rng, told)
    left_out = rng.permutation(len(texts)) % LEFT_OUT == 0
    told("solve", 0, 2)
    kept = np.flatnonzero(~left_out)
    scores = kernel.matrix(recipe, np.flatnonzero(left_out), kept) @ solve(kernel, recipe, truth, kept)
    confidence, scope, sure = _calibrate(scores, truth[left_out], several=wanted.several)
    told("solve", 1, 2)
    answers = solve(kernel, recipe, truth, np.arange(len(texts)))
    told("solve", 2, 2)
    bare = TriageModel(
        format=FORMAT, labels=labels, several=wanted.several, out_of_scope=wanted.out_of_scope,
        embedder=embedder.name if embedder else None, recipe=recipe, index=kernel.index,
        vectors=b"" if vectors is None else pack(vectors), answers=answers.astype(np.float16).tobytes(),
        confidence=confidence, scope=scope, threshold=NOTHING, certified=None,
        card=_card(parts.fit, wanted),
    )  # fmt: skip
    return _certified(bare, parts.certify, wanted, sure, embedder)


def _card(rows: Sequence[Labelled], wanted: Wanted) -> Card:
    groups = {row.group for row in rows}
    return Card(len(rows), len(groups), wanted.seed, digest_of(rows), rare=tuple(rare_labels(rows)))


def targets(rows: Sequence[Labelled], labels: Sequence[str]) -> Floats:
    """(n, k): +1 for a row's labels, -1 for the others; out of scope is -1 throughout."""
    place = {label: n for n, label in enumerate(labels)}
    truth = np.full((len(rows), len(labels)), -1, dtype=np.float32)
    for n, row in enumerate(rows):
        for label in row.labels:
            if label in place:
                truth[n, place[label]] = 1
    return truth


def choose_recipe(kernel: Kernel, truth: Floats, rng: np.random.Generator, told: Told) -> Recipe:
    """The recipe with the smallest squared error on a sample, each row left out in turn."""
    rows = np.sort(rng.permutation(kernel.count)[:SAMPLE])
    meaning = kernel.vectors is not None
    tried = [
        Recipe(g, s, r) for g, s, r in product(GAMMAS if meaning else (1.0,), SHARES if meaning else (0.0,), RIDGES)
    ]
    best, error = tried[0], np.inf
    for n, recipe in enumerate(tried):
        inverse = np.linalg.inv(
            kernel.matrix(recipe, rows, rows) + np.float32(recipe.ridge) * np.eye(len(rows), dtype=np.float32)
        )
        missed = (inverse @ truth[rows]) / np.diag(inverse)[:, None]
        if (mean := float((missed**2).mean())) < error:
            best, error = recipe, mean
        told("choose", n + 1, len(tried))
    return best


def _calibrate(scores: Floats, truth: Floats, *, several: bool) -> tuple[Beta, Beta | None, npt.NDArray[np.float64]]:
    """(share -> chance of being right, share -> chance of being in scope, how sure each left-out row was)."""
    share = certainty(scores, several=several)
    right = (
        np.all((scores > 0) == (truth > 0), axis=1) if several else truth[np.arange(len(truth)), scores.argmax(1)] > 0
    )
    beyond = np.all(truth < 0, axis=1)
    scope = fit_beta(share, ~beyond) if beyond.sum() >= FEWEST_BEYOND / LEFT_OUT and not several else None
    confidence = fit_beta(share, right)
    return confidence, scope, confidence(share)


def _certified(
    bare: TriageModel,
    rows: Sequence[Labelled],
    wanted: Wanted,
    sure: npt.NDArray[np.float64],
    embedder: Embedder | None,
) -> TriageModel:
    judged = Triage(bare, embedder).judge([row.text for row in rows])
    order = np.random.default_rng(wanted.seed).permutation(len(rows))
    right = np.array([is_right(judged[n], rows[n], wanted.out_of_scope) for n in order])
    chance = np.array([judged[n].confidence for n in order])
    needed = fewest(wanted.accuracy, wanted.confidence)
    strictest = min(1.0, max(STRICTEST, ROOM * needed / len(rows)))  # a step that keeps fewer could only fail
    path = steps(sure, least_kept=strictest)
    found = certify(right, chance, path, accuracy=wanted.accuracy, confidence=wanted.confidence)
    return msgspec.structs.replace(bare, certified=found, threshold=found.threshold if found else NOTHING)


def is_right(judged: Judged, row: Labelled, out_of_scope: str | None) -> bool:
    """Whether triage said exactly what the row's labels are."""
    return set(judged.labels) == {label for label in row.labels if label != out_of_scope}


def digest_model(model: bytes) -> str:
    """sha256 of the file, in hex."""
    return hashlib.sha256(model).hexdigest()
