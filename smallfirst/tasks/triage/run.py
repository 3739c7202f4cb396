"""Texts from a file or a folder -> labels, line by line, so that a run that was stopped goes on where it was.

Knows inputs, the output file (JSONL) and whom to ask where triage is not sure. Does not know terminals. A text that
can't be read becomes a line with its error: nothing is lost, and the rest is not held up.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from smallfirst.errors import DataError, SetupError
from smallfirst.tasks.resuming import ids_in
from smallfirst.tasks.triage.model import Judged, Triage
from smallfirst.tasks.triage.rows import read_records
from smallfirst.text.documents import READERS, read_document

BATCH, MOST_CHARACTERS = 64, 5_000_000
"""Texts judged together, and of long ones fewer; what a killed run may have to do again."""


class Input(msgspec.Struct, frozen=True):
    """One text to label. `error`: why there is none; `path`: it is still to be read (`opened`)."""

    id: str
    text: str = ""
    error: str | None = None
    path: Path | None = None


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the output."""

    id: str
    labels: tuple[str, ...] = ()
    confidence: float | None = None
    by: str = ""  # triage, or the model that was asked above; empty where nobody could
    local: tuple[str, ...] = ()  # what triage would have said, where it was handed up
    cost_usd: float = 0.0
    ms: float = 0.0  # how long it took: triage's share of its batch, and the call above
    local_ms: float = 0.0  # of these, triage's
    error: str | None = None


class Above(Protocol):
    """Whoever is asked where triage is not sure."""

    def ask(self, text: str, labels: Sequence[str]) -> tuple[tuple[str, ...] | None, str, float]:
        """(labels or None where no usable answer came, who answered, dollars)."""
        ...


def read_inputs(path: Path, text: str, id_field: str | None) -> Iterator[Input]:
    """Every text of a file of records, or each readable file of a folder in order of its name, not yet read.

    Raises DataError where there is nothing to read, or the field is missing.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in READERS)
        if not files:
            raise DataError(f"{path}: no file in it that can be read ({', '.join(READERS)})")
        yield from (Input(str(file.relative_to(path)), path=file) for file in files)
        return
    if path.suffix.lower() in READERS:
        yield Input(path.name, path=path)
        return
    for number, (at, record) in enumerate(read_records(path), 1):
        if text not in record:
            raise DataError(f"{at}: there is no field {text!r}; there are: {', '.join(map(str, record))}")
        name = str(record.get(id_field, number)) if id_field else str(number)
        said = record[text]
        usable = isinstance(said, str) and said.strip()
        yield Input(name, said) if usable else Input(name, error=f"{at}: {text} is empty")


def opened(one: Input) -> Input:
    """With its text, where that is still to be read."""
    if one.path is None:
        return one
    try:
        return Input(one.id, read_document(one.path))
    except (DataError, SetupError) as error:
        return Input(one.id, error=str(error))


def batches(inputs: Iterable[Input]) -> Iterator[list[Input]]:
    """Read and in heaps that fit into memory, however long the documents are."""
    heap: list[Input] = []
    size = 0
    for one in map(opened, inputs):
        heap.append(one)
        size += len(one.text)
        if len(heap) >= BATCH or size >= MOST_CHARACTERS:
            yield heap
            heap, size = [], 0
    if heap:
        yield heap


def done_before(out: Path) -> set[str]:
    """Ids of the documents whose lines stand in `out`. Raises DataError."""
    return ids_in(out, Line, "triage")


def read_lines(path: Path) -> list[Line]:
    """What a run wrote. Raises DataError with the line at fault."""
    lines = []
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; `smallfirst triage run` writes such a file") from None
    for number, line in enumerate(data.splitlines(), 1):
        try:
            lines.append(msgspec.json.decode(line, type=Line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path}, line {number}: not a line of triage ({error})") from None
    return lines


def label(inputs: list[Input], triage: Triage, above: Above | None) -> Iterator[Line]:
    """A line for each input, in order; those that triage is not sure of are asked above where there is somebody."""
    readable = [one for one in inputs if one.error is None]
    began = time.perf_counter()
    judged = dict(zip((one.id for one in readable), triage.judge([one.text for one in readable]), strict=True))
    each_ms = 1000 * (time.perf_counter() - began) / max(1, len(readable))
    for one in inputs:
        yield (
            Line(one.id, error=one.error)
            if one.error is not None
            else _line(one, judged[one.id], triage, above, each_ms)
        )


def _line(one: Input, found: Judged, triage: Triage, above: Above | None, each_ms: float) -> Line:
    sure = round(found.confidence, 4)
    if found.kept or above is None:
        by = "triage" if found.kept else "triage (not sure)"
        return Line(one.id, found.labels, sure, by, ms=round(each_ms, 3), local_ms=round(each_ms, 3))
    began = time.perf_counter()
    labels, who, cost = above.ask(one.text, found.ranked or triage.model.labels)
    took, own = round(each_ms + 1000 * (time.perf_counter() - began), 3), round(each_ms, 3)
    if labels is None:
        words = "no usable answer from above; what triage would have said is in `labels`"
        return Line(one.id, found.labels, sure, "triage (not sure)", (), cost, took, own, words)
    return Line(one.id, labels, sure, who, found.labels, cost, took, own)
