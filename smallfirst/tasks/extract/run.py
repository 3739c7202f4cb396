"""Documents -> their fields, a JSON line each, so that a run that was stopped goes on where it was.

Knows inputs, the output file and whom to ask where extraction is not sure. Does not know terminals. A document that
can't be read becomes a line with its error: nothing is lost, and the rest is not held up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from smallfirst.errors import DataError, SetupError
from smallfirst.tasks.extract.above import Answer
from smallfirst.tasks.extract.merge import Found, local_fields, merge
from smallfirst.tasks.extract.model import Extractor
from smallfirst.tasks.extract.question import LONGEST, Question
from smallfirst.tasks.resuming import ids_in
from smallfirst.tasks.triage.rows import read_records
from smallfirst.text.documents import READERS, read_document

RECORDS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")


class Input(msgspec.Struct, frozen=True):
    """One document, read when its turn comes. `error`: why there is none."""

    id: str
    text: str = ""
    file: Path | None = None
    error: str | None = None


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

    def ask(self, document: str, question: Question, near: Sequence[int] = ()) -> Answer:
        """What the document says; `near`: places that matter in a long one."""
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
    """Ids of the documents whose lines stand in `out`. Raises DataError."""
    return ids_in(out, Line, "extract")


def extract_line(one: Input, extractor: Extractor, above: Above | None, *, whole: bool = False) -> Line:
    """The line of one document. `whole`: where a field is doubtful, ask for all of them."""
    if one.error is not None:
        return Line(one.id, error=one.error)
    try:
        document = read_document(one.file) if one.file is not None else one.text
    except (DataError, SetupError) as error:  # a missing extra: the other files may do without
        return Line(one.id, error=str(error))
    found = extractor.extract(document)
    if not found.doubtful or above is None:
        return Line(one.id, local_fields(found), found.doubtful)
    schema = extractor.model.schema
    names = tuple(field.name for field in schema.fields) if whole else found.doubtful
    near = extractor.places(names, document) if len(document) > LONGEST else []
    answer = above.ask(document, Question(schema, names), near)
    who, cost = answer.who, answer.cost_usd
    if answer.said is None:
        words = "no usable answer from above; what extraction would have said is in `fields`"
        return Line(one.id, local_fields(found), found.doubtful, names, by=who, cost_usd=cost, error=words)
    both = merge(document, schema, found, answer.said, who)
    return Line(one.id, both.fields, both.doubtful, names, both.local, both.refused, who, cost)
