"""Documents -> their fields, a JSON line each, so that a run that was stopped goes on where it was.

Knows inputs, the output file and whom to ask where extraction is not sure. Does not know terminals. A document that
can't be read becomes a line with its error: nothing is lost, and the rest is not held up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from smallfirst.errors import DataError
from smallfirst.tasks.extract.above import Answer
from smallfirst.tasks.extract.evidence import locate
from smallfirst.tasks.extract.model import Extractor
from smallfirst.tasks.extract.normal import same
from smallfirst.tasks.extract.schema import Field, Schema
from smallfirst.tasks.extract.values import Extracted, Value
from smallfirst.tasks.triage.rows import read_records
from smallfirst.text.documents import READERS, read_document

RECORDS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
UNSURE = "extract (not sure)"


class Input(msgspec.Struct, frozen=True):
    """One document, read when its turn comes. `error`: why there is none."""

    id: str
    text: str = ""
    file: Path | None = None
    error: str | None = None


class Found(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value in the output; `document[start:end]` is its evidence. A model above gives no confidence."""

    value: str
    normal: str
    start: int
    end: int
    by: str  # extract, or the model above that gave it
    confidence: float | None = None


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the output. `doubtful`: fields that nobody is sure of; their values are the best guess."""

    id: str
    fields: dict[str, tuple[Found, ...]] = {}
    doubtful: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()  # fields that were handed up
    local: dict[str, tuple[str, ...]] = {}  # what extraction would have said of those, where it differs
    refused: dict[str, tuple[str, ...]] = {}  # what the model above said and the document does not
    by: str = ""  # the model that was asked
    cost_usd: float = 0.0
    error: str | None = None


class Above(Protocol):
    """Whoever is asked where extraction is not sure."""

    def ask(self, document: str, schema: Schema, names: Sequence[str], near: Sequence[int] = ()) -> Answer:
        """What the document says of the fields `names`; `near`: places that matter in a long one."""
        ...


def read_inputs(paths: Sequence[Path], text: str, id_field: str | None) -> Iterator[Input]:
    """Documents, every document of a folder (by name), every record of a file of records.

    Raises DataError where there is nothing to read, or a record lacks the field.
    """
    for path in paths:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in READERS)
            if not files:
                raise DataError(f"{path}: no file in it that can be read ({', '.join(READERS)})")
            yield from (Input(str(file), file=file) for file in files)
        elif path.suffix.lower() in RECORDS:
            yield from _records(path, text, id_field)
        else:
            yield Input(str(path), file=path)


def _records(path: Path, text: str, id_field: str | None) -> Iterator[Input]:
    for number, (at, record) in enumerate(read_records(path), 1):
        if text not in record:
            raise DataError(f"{at}: there is no field {text!r}; there are: {', '.join(map(str, record))}")
        name = str(record.get(id_field, number)) if id_field else f"{path.name}:{number}"
        said = record[text]
        usable = isinstance(said, str) and said.strip()
        yield Input(name, said) if usable else Input(name, error=f"{at}: {text} is empty")


def done_before(out: Path) -> set[str]:
    """Ids that stand in the output already; a last line that was cut off is taken out of it. Raises DataError."""
    if not out.exists():
        return set()
    data = out.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    found = set()
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            found.add(msgspec.json.decode(line, type=Line).id)
        except msgspec.DecodeError as error:
            raise DataError(f"{out}, line {number}: not a line of extract ({error}); name another --out") from None
    if len(whole) < len(data):
        out.write_bytes(whole)
    return found


def extract_line(one: Input, extractor: Extractor, above: Above | None, *, whole: bool = False) -> Line:
    """The line of one document. `whole`: where a field is doubtful, ask for all of them."""
    if one.error is not None:
        return Line(one.id, error=one.error)
    try:
        document = read_document(one.file) if one.file is not None else one.text
    except DataError as error:
        return Line(one.id, error=str(error))
    found = extractor.extract(document)
    if not found.doubtful or above is None:
        return Line(one.id, _local(found), found.doubtful)
    schema = extractor.model.schema
    names = tuple(field.name for field in schema.fields) if whole else found.doubtful
    near = [value.start for name in names for value in extractor.candidates(name, document)[:2]]
    answer = above.ask(document, schema, names, near)
    if answer.said is None:
        words = "no usable answer from above; what extraction would have said is in `fields`"
        return Line(one.id, _local(found), found.doubtful, names, by=answer.who, cost_usd=answer.cost_usd, error=words)
    return _joined(one.id, document, schema, found, answer, names)


def _joined(id: str, document: str, schema: Schema, found: Extracted, answer: Answer, names: tuple[str, ...]) -> Line:
    """Local values of the fields that were kept, the model's of the others, where the document bears them out."""
    fields, doubtful = _local(found), set(found.doubtful)
    local: dict[str, tuple[str, ...]] = {}
    refused: dict[str, tuple[str, ...]] = {}
    for name in names:
        field, said = schema[name], (answer.said or {})[name]
        places = [(one, locate(field, document, one)) for one in said]
        missing = tuple(one for one, place in places if place is None)
        if missing:
            refused[name] = missing
            doubtful.add(name)
            continue
        if field.required and not said:
            continue  # that there is none is no answer; the best guess stays, doubtful
        mine = found.fields[name]
        theirs = [place for _, place in places if place]
        if _agrees(field, mine, [normal for _, _, normal in theirs]):
            both = f"extract+{answer.who}"
            fields[name] = tuple(msgspec.structs.replace(one, by=both) for one in fields[name])
        else:
            local[name] = tuple(value.normal for value in mine)
            fields[name] = tuple(Found(document[a:b], normal, a, b, answer.who) for a, b, normal in theirs)
        doubtful.discard(name)
    left = tuple(field.name for field in schema.fields if field.name in doubtful)
    return Line(id, fields, left, names, local, refused, answer.who, answer.cost_usd)


def _agrees(field: Field, mine: tuple[Value, ...], theirs: Sequence[str]) -> bool:
    """Whether both say the same: then the local values stay, with their places and confidence."""
    if len(mine) != len(theirs):
        return False
    return all(any(same(field, value.normal, one) for one in theirs) for value in mine)


def _local(found: Extracted) -> dict[str, tuple[Found, ...]]:
    return {
        name: tuple(
            Found(
                value.text, value.normal, value.start, value.end, UNSURE if name in found.doubtful else "extract",
                round(found.sure[name] if len(values) == 1 else value.confidence, 4),
            )
            for value in values
        )
        for name, values in found.fields.items()
    }  # fmt: skip
