"""Labelled documents -> a model of their type, with thresholds, and what it is worth on documents it never saw.

Knows the order of the steps: part, fit each field (fit_field.py), certify. Three parts by group: fitted on, certified
on, reported on. Does not know files.

A promise speaks of documents drawn like the certified ones; where groups have several documents, one of each is drawn,
since documents of a group err together and the binomial law wants independent draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.errors import DataError
from smallfirst.tasks.certify import Certified, certify, fewest, steps
from smallfirst.tasks.dealing import deal
from smallfirst.tasks.extract.fit_field import Fitted, agree, fit_field
from smallfirst.tasks.extract.fit_tagged import CHAIN, fit_tagged
from smallfirst.tasks.extract.forms import finder_for, form_of
from smallfirst.tasks.extract.labelled import Labelled, digest_of
from smallfirst.tasks.extract.model import FORMAT, Card, ExtractModel, Extractor
from smallfirst.tasks.extract.schema import Schema

Told = Callable[[str, int, int], None]


FEWEST_DOCUMENTS = 10
STRICTEST, ROOM = 0.3, 1.5
"""The first threshold keeps this share of documents, and at least 1.5 times the fewest that can prove anything."""

FLOOR = 0.5
"""No threshold is lower: documents of another type come too, and a promise does not speak of them."""


class Wanted(msgspec.Struct, frozen=True):
    """What the user asks for. `uncertified`: keep by the left-out documents' word where nothing can be certified."""

    accuracy: float = 0.97
    confidence: float = 0.95
    uncertified: bool = False
    seed: int = 0


class Parts(msgspec.Struct, frozen=True):
    """Documents by what they are for."""

    fit: list[Labelled]
    certify: list[Labelled]
    report: list[Labelled]


def part(rows: Sequence[Labelled], seed: int, report: Sequence[Labelled] | None = None) -> Parts:
    """Deal documents into parts by group. `report`: documents the caller keeps apart."""
    if report is not None:
        own = {row.group for row in rows}
        both = next((row for row in report if row.group in own), None)
        if both is not None:
            raise DataError(f"group {both.group!r} stands in the training and the report part: {both.where}")
    return Parts(*deal(rows, seed, report))


def fit_extract(schema: Schema, parts: Parts, wanted: Wanted, told: Told = lambda *_: None) -> ExtractModel:
    """Fit on parts.fit, certify on parts.certify. parts.report is not looked at.

    Which finder suits is told by the kind of text (forms.py). Raises DataError where a field can't be learned,
    SetupError without the extra `learn` (and `tasks` for short and long texts).
    """
    check_enough(schema, parts.fit)
    form = form_of([row.text for row in parts.fit])
    keep = wanted.accuracy if wanted.uncertified else None
    fitted: dict[str, Fitted] = {}
    shared: dict[str, bytes] = {}
    tagged = [field for field in schema.fields if finder_for(field, form) == "tagger"]
    if tagged:
        chain = fit_tagged(tagged, parts.fit, wanted.seed, keep, lambda done, of: told("tag", done, of))
        fitted, shared = dict(chain.fields), {CHAIN: chain.weights}
    others = [field for field in schema.fields if field.name not in fitted]
    for n, field in enumerate(others):
        told("fit", n, len(others))
        rows = [row for row in parts.fit if field.name in row.values]
        fitted[field.name] = fit_field(field, rows, wanted.seed, keep, finder_for(field, form))
    told("fit", len(others), len(others))
    card = Card(len(parts.fit), len({row.group for row in parts.fit}), wanted.seed, digest_of(parts.fit))
    fields = {field.name: fitted[field.name].model for field in schema.fields}
    paths = {name: one.sure for name, one in fitted.items()}
    return _certified(ExtractModel(FORMAT, schema, fields, card, shared), parts.certify, wanted, paths)


def check_enough(schema: Schema, rows: Sequence[Labelled]) -> None:
    """Raises DataError where too few rows say what a field is."""
    for field in schema.fields:
        count = sum(field.name in row.values for row in rows)
        if count < FEWEST_DOCUMENTS:
            raise DataError(
                f"field {field.name}: {count} documents of the fit part say what it is; at least "
                f"{FEWEST_DOCUMENTS} are needed: label more, or take the field out of the schema"
            )


def _certified(
    model: ExtractModel, rows: Sequence[Labelled], wanted: Wanted, paths: dict[str, npt.NDArray[np.float64]]
) -> ExtractModel:
    drawn = one_of_each_group(rows, wanted.seed)
    extractor = Extractor(model)
    found = [extractor.extract(row.text) for row in drawn]
    fields = dict(model.fields)
    for field in model.schema.fields:
        told = [n for n, row in enumerate(drawn) if field.name in row.values]
        right = np.array([agree(field, found[n].fields[field.name], drawn[n].values[field.name]) for n in told])
        sure = np.array([found[n].sure[field.name] for n in told])
        certified = _promise(right.astype(bool), sure, paths[field.name], wanted)
        if certified is not None:
            fields[field.name] = msgspec.structs.replace(
                fields[field.name], threshold=certified.threshold, certified=certified
            )
    return msgspec.structs.replace(model, fields=fields)


def one_of_each_group(rows: Sequence[Labelled], seed: int) -> list[Labelled]:
    """One document of each group, in random order."""
    order = np.random.default_rng(seed).permutation(len(rows))
    return list({rows[n].group: rows[n] for n in order}.values())


def _promise(
    right: npt.NDArray[np.bool_], sure: npt.NDArray[np.float64], path: npt.NDArray[np.float64], wanted: Wanted
) -> Certified | None:
    needed = fewest(wanted.accuracy, wanted.confidence)
    if len(right) < needed:
        return None
    strictest = min(1.0, max(STRICTEST, ROOM * needed / len(right)))
    tried = [max(FLOOR, step) for step in steps(path, least_kept=strictest)]
    return certify(right, sure, tried, accuracy=wanted.accuracy, confidence=wanted.confidence)
