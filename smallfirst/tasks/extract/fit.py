"""Labelled documents -> a model of their type, with thresholds, and what it is worth on documents it never saw.

Knows the order of the steps: part, find candidates, choose the penalty, fit, calibrate, certify. Three parts by group:
fitted on, certified on, reported on. Does not know files.

Penalty, calibration, cut and the path of thresholds come from the fit part's own left-out fifths, groups kept whole.
A promise speaks of documents drawn like the certified ones; where groups have several documents, one of each is drawn,
since documents of a group err together and the binomial law wants independent draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.calibrate.probability import Beta, fit_beta
from smallfirst.errors import DataError
from smallfirst.evals.outcomes import split
from smallfirst.tasks.certify import NOTHING, Certified, certify, fewest, steps
from smallfirst.tasks.extract.labelled import Labelled, digest_of
from smallfirst.tasks.extract.model import FORMAT, Card, ExtractModel, Extractor, FieldModel, Stored
from smallfirst.tasks.extract.normal import same
from smallfirst.tasks.extract.ranker import Ranker, find_candidates, is_right
from smallfirst.tasks.extract.schema import Field, Schema
from smallfirst.tasks.extract.softmax import Example, Problem
from smallfirst.tasks.extract.values import Value

Told = Callable[[str, int, int], None]

FRACTIONS = (0.70, 0.15, 0.15)
"""Fit, certify, report; without a report part (the caller has one) its share goes to the fit part."""

FOLDS = 5
PENALTIES = (0.3, 1.0, 3.0)
FEWEST_DOCUMENTS = 10
STRICTEST, ROOM = 0.3, 1.5
"""The first threshold keeps this share of documents, and at least 1.5 times the fewest that can prove anything."""

_NOTHING_LIKELY = 0.02
"""Values less likely than this do not take part in the calibration of fields with several."""


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


class LeftOut(msgspec.Struct, frozen=True):
    """What the fifths that were left out said of one document: values with uncalibrated chances, and the truth."""

    values: list[Value]
    wanted: tuple[str, ...]


def part(rows: Sequence[Labelled], seed: int, report: Sequence[Labelled] | None = None) -> Parts:
    """Deal documents into parts by group. `report`: documents the caller keeps apart."""
    groups = [row.group for row in rows]
    if report is not None:
        both = next((row for row in report if row.group in set(groups)), None)
        if both is not None:
            raise DataError(f"group {both.group!r} stands in the training and the report part: {both.where}")
    shares = FRACTIONS if report is None else (FRACTIONS[0] + FRACTIONS[2], FRACTIONS[1])
    dealt = split(groups, seed=seed, fractions=shares)
    fit, proof, *rest = ([row for row in rows if row.group in part] for part in dealt)
    return Parts(fit, proof, list(report) if report is not None else rest[0])


def fit_extract(schema: Schema, parts: Parts, wanted: Wanted, told: Told = lambda *_: None) -> ExtractModel:
    """Fit on parts.fit, certify on parts.certify. parts.report is not looked at.

    Raises DataError where a field can't be learned, SetupError without the extra `learn`.
    """
    fields: dict[str, FieldModel] = {}
    paths: dict[str, npt.NDArray[np.float64]] = {}
    for n, field in enumerate(schema.fields):
        told("fit", n, len(schema.fields))
        rows = [row for row in parts.fit if field.name in row.values]
        if len(rows) < FEWEST_DOCUMENTS:
            raise DataError(
                f"field {field.name}: {len(rows)} documents of the fit part say what it is; at least "
                f"{FEWEST_DOCUMENTS} are needed: label more, or take the field out of the schema"
            )
        fields[field.name], paths[field.name] = fit_field(field, rows, wanted)
    told("fit", len(schema.fields), len(schema.fields))
    card = Card(len(parts.fit), len({row.group for row in parts.fit}), wanted.seed, digest_of(parts.fit))
    return _certified(ExtractModel(FORMAT, schema, fields, card), parts.certify, wanted, paths)


def fit_field(field: Field, rows: Sequence[Labelled], wanted: Wanted) -> tuple[FieldModel, npt.NDArray[np.float64]]:
    """(the field's model without a promise, how sure it was of each left-out document)."""
    examples = [example(field, row) for row in rows]
    fold = folds([row.group for row in rows], wanted.seed)
    left_out = _leave_out(field, rows, examples, fold)
    penalty = max(left_out, key=lambda one: (_right(field, left_out[one]), -one))
    try:
        weights = Problem(examples, several=field.several).fit(penalty)
    except DataError as error:
        raise DataError(f"field {field.name}: {error}") from None
    bare = FieldModel((Stored("ranker", msgspec.msgpack.encode(weights)),))
    return _calibrated(field, bare, left_out[penalty], wanted)


def example(field: Field, row: Labelled) -> Example:
    """What softmax.py learns from."""
    candidates = find_candidates(field, row.text)
    values = row.values[field.name]
    return Example(candidates, is_right(field, row.text, candidates, values), not values, row.group)


def folds(groups: Sequence[str], seed: int) -> npt.NDArray[np.intp]:
    """(n,) the fifth of each row: groups are kept whole, the largest dealt first to the emptiest fifth."""
    names, counts = np.unique(np.array(groups), return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    load = np.zeros(min(FOLDS, len(names)), dtype=int)
    place = {}
    for n in order:
        place[names[n]] = int(load.argmin())
        load[place[names[n]]] += counts[n]
    return np.array([place[group] for group in groups])


def _leave_out(
    field: Field, rows: Sequence[Labelled], examples: Sequence[Example], fold: npt.NDArray[np.intp]
) -> dict[float, list[LeftOut]]:
    """penalty -> what was said of each document by the ranker that did not see its fold."""
    said: dict[float, dict[int, list[Value]]] = {penalty: {} for penalty in PENALTIES}
    for one in range(int(fold.max()) + 1):
        seen = [example for example, at in zip(examples, fold, strict=True) if at != one]
        try:
            problem = Problem(seen, several=field.several)
        except DataError as error:
            raise DataError(f"field {field.name}: {error}") from None
        for penalty in PENALTIES:
            ranker = Ranker(field, msgspec.msgpack.encode(problem.fit(penalty)))
            for n in np.flatnonzero(fold == one).tolist():
                said[penalty][n] = ranker.judge(rows[n].text, examples[n].candidates)
    return {
        penalty: [LeftOut(of[n], row.values[field.name]) for n, row in enumerate(rows)] for penalty, of in said.items()
    }


def _right(field: Field, left_out: Sequence[LeftOut]) -> int:
    """Documents whose likeliest values are right."""
    return sum(agree(field, _kept(field, one.values, 0.5), one.wanted) for one in left_out)


def _kept(field: Field, values: Sequence[Value], cut: float) -> list[Value]:
    """Of several all above the cut; of one the likeliest."""
    if field.several:
        return [value for value in values if value.confidence >= cut]
    return list(values[:1])


def agree(field: Field, values: Sequence[Value], wanted: Sequence[str]) -> bool:
    """Whether these are the wanted values, no more and no less. Where one is enough, any of the wanted will do."""
    if not wanted or not values:
        return not wanted and not values
    if not field.several:
        return any(same(field, values[0].normal, one) for one in wanted)
    return all(any(same(field, value.normal, one) for one in wanted) for value in values) and all(
        any(same(field, value.normal, one) for value in values) for one in wanted
    )


def _calibrated(
    field: Field, bare: FieldModel, left_out: Sequence[LeftOut], wanted: Wanted
) -> tuple[FieldModel, npt.NDArray[np.float64]]:
    chances, truths = [], []
    for one in left_out:
        shown = [v for v in one.values if v.confidence >= _NOTHING_LIKELY] if field.several else one.values[:1]
        for value in shown:
            chances.append(value.confidence)
            truths.append(any(same(field, value.normal, each) for each in one.wanted))
    confidence = fit_beta(chances, truths) if chances else Beta(1.0, 1.0, 0.0)
    sure = [[float(confidence(value.confidence)) for value in one.values] for one in left_out]
    cut = _cut(field, left_out, sure)
    lowest, right = [], []
    for one, chance in zip(left_out, sure, strict=True):
        kept = [(value, c) for value, c in zip(one.values, chance, strict=True) if c >= cut]
        kept = kept if field.several else kept[:1]
        lowest.append(min((c for _, c in kept), default=-1.0))
        right.append(agree(field, [value for value, _ in kept], one.wanted))
    at, good = np.array(lowest), np.array(right)
    empty = at < 0
    absent = (float(good[empty].sum()) + 1) / (float(empty.sum()) + 2)
    whole = fit_beta(at[~empty], good[~empty]) if field.several and (~empty).any() else None
    shown_sure = np.where(empty, absent, at if whole is None else whole(np.clip(at, 0, 1)))
    threshold = _uncertified(shown_sure, good, wanted.accuracy) if wanted.uncertified else NOTHING
    made = msgspec.structs.replace(
        bare, confidence=confidence, cut=cut, absent=absent, whole=whole, threshold=threshold
    )
    return made, shown_sure


def _cut(field: Field, left_out: Sequence[LeftOut], sure: Sequence[Sequence[float]]) -> float:
    """The confidence below which a value is better taken for none: most documents right, the lowest where they tie."""
    if not field.several and all(one.wanted for one in left_out):
        return 0.0
    tried = [0.0, *(n / 20 for n in range(1, 20))]
    scores = []
    for cut in tried:
        kept = [
            [value for value, chance in zip(one.values, chances, strict=True) if chance >= cut]
            for one, chances in zip(left_out, sure, strict=True)
        ]
        scores.append(sum(
            agree(field, values if field.several else values[:1], one.wanted)
            for values, one in zip(kept, left_out, strict=True)
        ))  # fmt: skip
    return tried[int(np.argmax(scores))]


def _uncertified(sure: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], accuracy: float) -> float:
    """The lowest threshold above which left-out documents were right often enough; no promise."""
    order = np.argsort(-sure, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(share >= accuracy)
    return float(sure[order[good[-1]]]) if len(good) else NOTHING


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
    return certify(
        right, sure, steps(path, least_kept=strictest), accuracy=wanted.accuracy, confidence=wanted.confidence
    )
