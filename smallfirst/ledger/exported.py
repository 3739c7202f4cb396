"""An audit trail in a file: every entry as one line of JSON, and a last line that says how many there were.

Knows the file's form, and checks it without the database: an auditor has the file alone. Does not know other formats
(cli/audit_formats.py). A file of a stretch of time begins in the middle of chains; what came before is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.core import DataClass
from smallfirst.errors import DataError
from smallfirst.ledger.anchors import Anchor
from smallfirst.ledger.audit import Damage, Line, Verified, Walk

_encode = msgspec.json.Encoder().encode
_line = msgspec.json.Decoder(Line).decode


class End(msgspec.Struct, tag_field="kind", tag="end"):
    """The last line."""

    entries: int
    digest: str  # SHA-256 of all lines before it


_end = msgspec.json.Decoder(End).decode


def write_export(entries: Iterable[Line]) -> Iterator[bytes]:
    """The lines of the file."""
    digest, count = sha256(), 0
    for entry in entries:
        line = _encode(entry) + b"\n"
        digest.update(line)
        count += 1
        yield line
    yield _encode(End(count, digest.hexdigest())) + b"\n"


def verify_export(path: Path, anchors: Iterable[Anchor] = (), most: int = 100) -> Verified:
    """As audit.verify, of a file. Raises DataError that names the line that is no entry, or where it was cut."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as fault:
        raise DataError(f"{path}: can't be read: {fault.strerror}") from fault
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError(f"{path}: the file is empty")
    end = _last(path, lines)
    rows = [_columns(path, number, line) for number, line in enumerate(lines[:-1], 1)]
    known = {(row[0], row[1]) for row in rows}
    walk = Walk([anchor for anchor in anchors if (anchor.writer, anchor.seq) in known], whole=False)
    walk.run(sorted(rows, key=lambda one: (one[0], one[1])))
    if end.entries != len(rows) or end.digest != sha256(b"".join(lines[:-1])).hexdigest():
        words = f"{path}: it holds {len(rows)} entries, and its last line speaks of {end.entries} with another digest"
        walk.damages.insert(0, Damage("", 0, words))
    return walk.end(most)


def _last(path: Path, lines: Sequence[bytes]) -> End:
    try:
        return _end(lines[-1])
    except msgspec.MsgspecError:
        words = "the file was cut off: its last line should say how many entries there are"
        raise DataError(f"{path}:{len(lines)}: {words}") from None


def _columns(path: Path, number: int, line: bytes) -> list[Any]:
    """A row of the table chain, from its line."""
    try:
        one = _line(line)
        value = DataClass[one.data_class].value
    except (msgspec.MsgspecError, KeyError) as fault:
        raise DataError(f"{path}:{number}: not an entry of an audit trail: {fault}") from None
    models, locations, detail = (_encode(part).decode() for part in (one.models, one.locations, one.detail))
    return [
        one.writer, one.seq, one.at_us, one.kind, one.request_id, value, one.rule, models, locations, detail,
        one.content, one.prev, one.hash,
    ]  # fmt: skip
