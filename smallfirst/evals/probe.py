"""Probes as files: where they lie, how they are made from scored answers, which one speaks for a configured model.

Light, because the gateway imports it at its start: the prompts and whoever asks them are in probe_run.py. Knows probes
by model and the one that is shipped for the embedded demonstration model. Asks no model.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import logging
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.probes import Probe, decode_probe, encode_probe, make_row
from smallfirst.classify.shipped import shipped_weights
from smallfirst.classify.weights import KINDS, Weights, decode
from smallfirst.core import Kind, Model
from smallfirst.errors import DataError

SHIPPED = "smollm2-135m.probe.json"
"""In smallfirst/classify/data: the probe of the embedded demonstration model, from its recorded answers."""

WELL_ASKED = 200
"""Prompts of a kind from which on the recorded models' heads say how models differ on it."""
ASKED_SPREAD, UNASKED_SPREAD = 0.1, 4.0
"""Variances, in squared log-odds, of what a kind adds to a new model's head before its labels speak."""

Z95 = 1.959963984540054
log = logging.getLogger(__name__)


class Scored(NamedTuple):
    """One probe prompt, answered: what was asked, and the score 0..1 of the answer."""

    text: str
    score: float


def probe_path(directory: Path, model: str) -> Path:
    """The file of `model`'s probe. Any model name gives a safe file name."""
    return directory / f"{quote(model, safe='')}.json"


def load_probes(directory: Path, models: Iterable[Model]) -> dict[str, Probe | None]:
    """For every model its own probe's file, for the demonstration model else the shipped one, for others None.

    A probe that was made with another classifier speaks of other kinds and complexities: it counts as none, with a
    warning. Raises DataError, naming the file, where one can't be read.
    """
    current = classifier_digest(shipped_weights())
    return {model.name: _load(directory, model, current) for model in models}


def _load(directory: Path, model: Model, current: str) -> Probe | None:
    file = probe_path(directory, model.name)
    try:
        data, name = file.read_bytes(), str(file)
    except FileNotFoundError:
        if not model.demonstration:
            return None
        data, name = (importlib.resources.files("smallfirst.classify") / "data" / SHIPPED).read_bytes(), SHIPPED
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}") from error
    try:
        probe = decode_probe(data)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    if not probe.digest.endswith(current):
        log.warning("the probe of %s was made with another classifier and is not used", model.name)
        return None
    return probe


def save_probe(directory: Path, probe: Probe) -> Path:
    """Write the probe's file in one step, readable by its owner's group as the folder says. Returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    file = probe_path(directory, probe.model)
    partial = file.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(encode_probe(probe) + b"\n")
    partial.replace(file)
    return file


def fit_probe(model: str, scored: Iterable[Scored], weights: bytes, *, prompts: str, at: int) -> Probe:
    """A probe from scored answers. `weights` are the classifier's bytes, `prompts` the digest of what was asked.

    Rows are by the kind that the classifier sees, because that is what they will be looked up by. The head is the most
    likely one for these scores, given how the heads of recorded models differ.
    """
    from smallfirst.learn.heads import new_head  # noqa: PLC0415 - brings numpy, which a gateway's start does not need

    decoded = decode(weights)
    classifier = Classifier(decoded)
    by_kind: dict[Kind, list[tuple[float, float]]] = {}
    features: list[list[float]] = []
    kinds: list[Kind] = []
    scores: list[float] = []
    for text, score in scored:
        complexity, kind = classifier.rate(text)
        by_kind.setdefault(kind, []).append((score, complexity))
        features.append(classifier.features(text))
        kinds.append(kind)
        scores.append(score)
    rows = {kind: make_row(results) for kind, results in sorted(by_kind.items())}
    named = f"{prompts[:16]}/{classifier_digest(weights)}"
    if not decoded.heads or not scores:
        return Probe(model, named, at, rows)
    head, offsets = new_head(features, scores, decoded.prior, kinds, _spread(decoded))
    rows = {kind: msgspec.structs.replace(row, offset=offsets[kind]) for kind, row in rows.items()}
    return Probe(model, named, at, rows, head)


def _spread(weights: Weights) -> dict[str, float]:
    """How far a model may be off on a kind: little where recorded models were asked that kind, else a lot."""
    asked = {kind for head in weights.heads for kind, row in head.rows.items() if row.n >= WELL_ASKED}
    return {kind: ASKED_SPREAD if kind in asked else UNASKED_SPREAD for kind in KINDS}


def classifier_digest(weights: bytes) -> str:
    """Sixteen hex digits that name the classifier, for a probe's digest to end in."""
    return hashlib.sha256(weights).hexdigest()[:16]


def wilson(right: float, n: int) -> tuple[float, float]:
    """The 95% Wilson score interval for a share of `right` in `n`; (0, 1) for n = 0. Source: Wilson 1927."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = right / n, Z95 * Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
