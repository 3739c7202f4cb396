"""A model of a document type: for each field the finders that look for it, and how sure is sure enough.

Knows the file and how several finders' candidates become one answer. Does not know how any finder works, how a model is
fitted (fit.py), files of documents, or who is asked where it is not sure.

A field's candidates come from finders that err for different reasons. Where two give the same normal form, the chance
that both are wrong is taken as the product (noisy or), and a calibration on left-out documents mends what is wrong with
that.
"""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import msgspec

from smallfirst.calibrate.probability import Beta
from smallfirst.errors import DataError
from smallfirst.tasks.certify import NOTHING, Certified
from smallfirst.tasks.extract.schema import Field, Schema
from smallfirst.tasks.extract.values import Extracted, Value, best

FORMAT = 1

LONGEST, OVERLAP = 200_000, 2_000
"""Characters of a document that are read at once, and how much of the end stands in the next part too."""


class Finder(Protocol):
    """Looks for one field. Made once, used from several threads."""

    def find(self, document: str) -> list[Value]:
        """Candidates in any order, each with its own confidence; `document[v.start:v.end] == v.text`."""
        ...


FINDERS: dict[str, str] = {
    "patterns": "smallfirst.tasks.extract.patterns:Patterns",
    "ranker": "smallfirst.tasks.extract.ranker:Ranker",
    "clauses": "smallfirst.tasks.extract.clauses:Clauses",
    "tagger": "smallfirst.tasks.extract.tagger:Tagger",
}
"""kind -> module:class, made with (field, weights); imported when a model first needs it."""


class Stored(msgspec.Struct, frozen=True):
    """A finder in the file. What `weights` holds is its own affair; `shared` names weights that several fields use."""

    kind: str
    weights: bytes = b""
    shared: str = ""


class FieldModel(msgspec.Struct, frozen=True):
    """How one field is answered."""

    finders: tuple[Stored, ...]
    confidence: Beta = Beta(1.0, 1.0, 0.0)  # of the finders together -> chance of being right
    cut: float = 0.0  # a value less sure than this is taken for none
    absent: float = 0.5  # chance that nothing is right where there was no candidate at all
    whole: Beta | None = None  # the least sure of several values -> chance that all are right and none lacks
    threshold: float = NOTHING  # least chance that is kept; above 1 nothing is
    certified: Certified | None = None

    def sure(self, lowest: float | None, rejected: float | None = None) -> float:
        """Chance that the field is right as a whole; `lowest`: the confidence of its least sure value, if any.

        `rejected`: where there is none, the confidence of the likeliest candidate, which was below the cut.
        """
        if lowest is None:
            return self.absent if rejected is None else 1 - rejected
        return lowest if self.whole is None else float(self.whole(lowest))


class Card(msgspec.Struct, frozen=True):
    """What the model was fitted on and what it reached on documents it never saw, for whoever finds the file."""

    documents: int
    groups: int
    seed: int
    data_digest: str
    accuracy: dict[str, float] = {}  # field -> share right, everything kept


class ExtractModel(msgspec.Struct, frozen=True):
    """The file (msgpack)."""

    format: int
    schema: Schema
    fields: dict[str, FieldModel]
    card: Card | None = None  # None: nothing was fitted, patterns only
    shared: dict[str, bytes] = {}  # weights by the name that Stored.shared says


class Extractor:
    """A model at work. Build once; `extract` is safe to call from several threads."""

    def __init__(self, model: ExtractModel) -> None:
        """Raises DataError for a kind of finder that this version does not know."""
        self.model = model
        self._finders = {
            field.name: [open_finder(field, stored, model.shared) for stored in model.fields[field.name].finders]
            for field in model.schema.fields
        }
        self._opening = {field.name for field in model.schema.fields if reads_opening(field, model.fields[field.name])}

    def extract(self, document: str) -> Extracted:
        """Every field of `document`."""
        fields, sure = {}, {}
        for field in self.model.schema.fields:
            part = self.model.fields[field.name]
            values = self.candidates(field.name, document)
            kept = [value for value in values if value.confidence >= part.cut]
            fields[field.name] = tuple(kept if field.several else kept[:1])
            lowest = min((value.confidence for value in fields[field.name]), default=None)
            sure[field.name] = part.sure(lowest, values[0].confidence if values else None)
        doubtful = tuple(name for name, chance in sure.items() if chance < self.model.fields[name].threshold)
        return Extracted(fields, doubtful, sure)

    def places(self, names: Sequence[str], document: str) -> list[int]:
        """Where the likeliest candidates of the fields `names` stand."""
        return [value.start for name in names for value in self.candidates(name, document)[:2]]

    def candidates(self, name: str, document: str) -> list[Value]:
        """All that the finders of field `name` found, one for each normal form, surest first."""
        found: list[Value] = []
        for start, part in windows(document):
            if start and name in self._opening:
                break
            for finder in self._finders[name]:
                found += [_moved(value, start) for value in finder.find(part)]
        return _together(found, self.model.fields[name].confidence)


def open_finder(field: Field, stored: Stored, shared: Mapping[str, bytes] = MappingProxyType({})) -> Finder:
    """The finder that was stored. Raises DataError, SetupError where it needs an extra that is not here."""
    if stored.kind not in FINDERS:
        raise DataError(f"field {field.name}: this version has no finder {stored.kind!r}; fit the model again")
    module, name = FINDERS[stored.kind].split(":")
    made: Callable[[Field, bytes], Finder] = getattr(importlib.import_module(module), name)
    if stored.shared and stored.shared not in shared:
        raise DataError(f"field {field.name}: the weights {stored.shared!r} are missing; fit the model again")
    return made(field, shared[stored.shared] if stored.shared else stored.weights)


def reads_opening(field: Field, part: FieldModel) -> bool:
    """Whether only the opening of a document is looked at, so that later parts of a long one tell nothing."""
    return all(one.kind == "tagger" or (one.kind == "clauses" and field.type == "name") for one in part.finders)


def unfitted(schema: Schema) -> ExtractModel:
    """Patterns only: nothing is calibrated, nothing is certified, so every field is doubtful."""
    fields = {field.name: FieldModel((Stored("patterns"),)) for field in schema.fields}
    return ExtractModel(FORMAT, schema, fields)


def windows(document: str) -> Iterator[tuple[int, str]]:
    """(where it starts, part) of a document: itself, or overlapping parts that end with a line where there is one."""
    start = 0
    while len(document) - start > LONGEST:
        end = document.rfind("\n", start + LONGEST // 2, start + LONGEST) + 1 or start + LONGEST
        yield start, document[start:end]
        start = end - OVERLAP
    yield start, document[start:]


def _moved(value: Value, by: int) -> Value:
    if not by:
        return value
    return msgspec.structs.replace(value, start=value.start + by, end=value.end + by)


def _together(found: list[Value], confidence: Beta) -> list[Value]:
    """One value for each normal form. Methods that agree add up; one method's repetitions do not."""
    by_form: dict[str, dict[str, float]] = defaultdict(dict)
    for value in found:
        methods = by_form[value.normal]
        methods[value.method] = max(methods.get(value.method, 0.0), value.confidence)
    merged = []
    for value in best(found):
        wrong = 1.0
        for chance in by_form[value.normal].values():
            wrong *= 1 - chance
        sure = float(confidence(1 - wrong))
        merged.append(msgspec.structs.replace(value, confidence=sure, method="+".join(by_form[value.normal])))
    return sorted(merged, key=lambda value: (-value.confidence, value.start))


def encode(model: ExtractModel) -> bytes:
    """The file's bytes."""
    return msgspec.msgpack.encode(model)


def decode(data: bytes, name: str = "model") -> ExtractModel:
    """Read what `encode` wrote. Raises DataError."""
    try:
        model = msgspec.msgpack.decode(data, type=ExtractModel)
    except msgspec.DecodeError as error:
        raise DataError(f"{name}: not an extraction model ({error}); make one with `smallfirst extract fit`") from error
    if model.format != FORMAT:
        raise DataError(f"{name}: format {model.format}; this version reads {FORMAT}: fit it again")
    missing = [field.name for field in model.schema.fields if field.name not in model.fields]
    if missing:
        raise DataError(f"{name}: nothing is known of field {missing[0]!r}; fit it again")
    return model
