"""A head for a model from somebody's own scored outcomes, with what it is worth on the part it was not fitted on.

Knows the outcome format, probes and measures. Asks no model and changes no other model's chances.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.probes import Probe
from smallfirst.core import Query
from smallfirst.errors import DataError
from smallfirst.evals.outcomes import Scored, read_outcomes
from smallfirst.evals.probe import Scored as Labelled
from smallfirst.evals.probe import fit_probe
from smallfirst.learn.fit import fold_of
from smallfirst.learn.metrics import auroc, brier, calibration_error

LEAST_LABELS = 50
"""Labels below which a head would say little more than that of the usual model."""
FOLDS = 5

Array = NDArray[np.float64]


class Added(msgspec.Struct, frozen=True):
    """The probe of a new model, and its measures out of fold; `brier_constant` is that of the mean alone."""

    probe: Probe
    labels: int
    auroc: float
    brier: float
    brier_constant: float
    calibration_error: float


def add_model(model: str, file: Path, recorded_as: str, weights: bytes, *, at: int) -> Added:
    """Fit a probe of `model` from its rows in `file`. Raises DataError where there are too few, or none at all."""
    rows = read_outcomes(file, models={recorded_as})
    if len(rows) < LEAST_LABELS:
        raise DataError(
            f"{file}: {len(rows)} rows of {recorded_as!r}, at least {LEAST_LABELS} are needed; try a few hundred"
        )
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    scores = np.array([row.score for row in rows])
    chances = _out_of_fold(rows, weights)
    return Added(
        probe=_fit(model, rows, weights, digest, at),
        labels=len(rows),
        auroc=auroc(scores, chances),
        brier=brier(scores, chances),
        brier_constant=brier(scores, np.full(len(rows), scores.mean())),
        calibration_error=calibration_error(scores, chances, bins=5),
    )


def _fit(model: str, rows: list[Scored], weights: bytes, digest: str, at: int) -> Probe:
    return fit_probe(model, [Labelled(row.prompt, row.score) for row in rows], weights, prompts=digest, at=at)


def _out_of_fold(rows: list[Scored], weights: bytes) -> Array:
    classifier = Classifier.from_bytes(weights)
    fold = fold_of([row.group for row in rows], FOLDS)
    chances = np.full(len(rows), np.nan)
    for part in range(FOLDS):
        kept = [row for row, of in zip(rows, fold, strict=True) if of != part]
        if not kept:
            continue
        probe = _fit("", kept, weights, "", 0)
        for at in np.flatnonzero(fold == part).tolist():
            query = Query(id="", asked="auto", text=rows[at].prompt, fields={})
            chances[at] = classifier.score(query, {"": probe}).p_correct[""]
    return np.where(np.isnan(chances), 0.5, chances)


def print_added(added: Added, console: Console) -> None:
    """What the labels taught, in three lines."""
    console.print(
        f"[bold]{added.probe.model}[/bold]: a head from {added.labels} labels; on labels left out of its fit:"
    )
    console.print(f"  AUROC {added.auroc:.3f}, calibration error {added.calibration_error:.3f}")
    better = 1.0 - added.brier / added.brier_constant if added.brier_constant else 0.0
    console.print(f"  Brier {added.brier:.3f}, {better:.0%} below the mean alone ({added.brier_constant:.3f})")
