"""A triage task's spec: which data, which fields, what to promise. One YAML file for fitting, running and serving.

Knows the file's fields, and the steps from them to a model. Files that it names are relative to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from smallfirst.config.loader import load
from smallfirst.errors import ConfigError
from smallfirst.tasks.triage.fit import Told, Wanted, fit_triage, part, without_copies
from smallfirst.tasks.triage.model import Triage, TriageModel
from smallfirst.tasks.triage.report import TriageReport, measure
from smallfirst.tasks.triage.rows import pair_of, read_labelled
from smallfirst.text.embedder import best_embedder


class TriageSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `smallfirst triage fit --spec FILE` reads; every field can be given on the command line instead."""

    data: str | None = None  # labelled texts: .csv, .jsonl or .parquet
    text: str = "text"  # the field that holds the text
    label: str = "label"  # and the one that holds the label
    several: bool = False  # a text may carry several labels
    separator: str = ";"  # between several labels in one field
    out_of_scope: str | None = None  # the label of texts that belong to none of the others
    where: str | None = None  # FIELD=VALUE: fit only on these records
    report_where: str | None = None  # FIELD=VALUE: report on these
    drop_copies: bool = False  # leave texts out of training that stand in the report part too
    accuracy: float = 0.97  # to certify, of what is kept
    confidence: float = 0.95  # how sure that is
    words_only: bool = False  # without sentence vectors
    seed: int = 0
    out: str | None = None  # the model to write, and to serve
    policy: str = "auto"  # who is asked above where triage is not sure: a policy or a model of the gateway

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.accuracy, self.confidence, self.several, self.out_of_scope, self.seed)


def read_spec(path: Path, environ: Mapping[str, str]) -> TriageSpec:
    """A spec with its files' paths made whole. Raises ConfigError with file and line."""
    try:
        spec = load(path, TriageSpec, environ).value
    except ConfigError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from None
    placed = {field: str(path.parent / name) for field in ("data", "out") if (name := getattr(spec, field)) is not None}
    return msgspec.structs.replace(spec, **placed)


def fit_spec(spec: TriageSpec, told: Told = lambda *_: None) -> tuple[TriageModel, TriageReport]:
    """A model as the spec wants it, and what it reached on texts that it never saw. Raises DataError.

    Where no sentence encoder is installed only words are compared: the model's `embedder` is None then.
    """
    data, separator = Path(spec.data or ""), spec.separator if spec.several else None
    rows = read_labelled(data, spec.text, spec.label, separator=separator, where=pair_of(spec.where))
    apart = None
    if spec.report_where is not None:
        apart = read_labelled(data, spec.text, spec.label, separator=separator, where=pair_of(spec.report_where))
        if spec.drop_copies:
            rows = without_copies(rows, apart)
    embedder = None if spec.words_only else best_embedder()
    parts = part(rows, spec.seed, apart)
    model = fit_triage(parts, spec.wanted, embedder, told)
    report = measure(Triage(model, embedder), parts.report)
    card = msgspec.structs.replace(
        model.card, accuracy=report.everything.value, kept=report.kept_share, kept_accuracy=report.kept.value
    )
    return msgspec.structs.replace(model, card=card), report


def merged(spec: TriageSpec, given: Mapping[str, object]) -> TriageSpec:
    """The spec with what was given on the command line over it (None: not given)."""
    return msgspec.structs.replace(spec, **{field: value for field, value in given.items() if value is not None})
