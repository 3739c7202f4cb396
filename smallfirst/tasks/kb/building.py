"""A folder of documents -> a knowledge base, again and again: only what changed is read, cut and embedded anew.

Knows file names, digests and the order of the work. Does not know terminals. Documents are taken in first, each whole
or not at all; then the passages that wait get their vectors, batch by batch. A build that was stopped or killed at any
moment goes on from there when it is asked again. A file that can't be read is named, with the reason, and left out; if
it could be read before, what was known of it stays.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from smallfirst.errors import DataError, SmallfirstError
from smallfirst.tasks.kb.passages import split, windows
from smallfirst.tasks.kb.store import Document, Store
from smallfirst.text.documents import LARGEST, READERS, read_document
from smallfirst.text.embedder import Embedder

BATCH = 32
"""Passages embedded between two commits: what a killed build does again."""

CUT = b"1"
"""Part of every digest. Changes when passages.py cuts otherwise: what was cut before is cut again."""

Told = Callable[[str, int, int], None]
"""(step, done, of how many)."""


class Built(msgspec.Struct):
    """What a build did. `failed`: (file, why) of each file that was left out."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    embedded: int = 0
    failed: list[tuple[str, str]] = msgspec.field(default_factory=list)


def build(folder: Path, store: Store, embedder: Embedder | None, told: Told = lambda *_: None) -> Built:
    """Bring `store` to what is in `folder` now. Without an embedder passages are found by their words alone.

    Raises DataError where there is no file to read.
    """
    files = dict(readable(folder))
    if not files:
        raise DataError(f"{folder}: no file in it that can be read ({', '.join(READERS)})")
    built, known = Built(), store.documents()
    for number, (name, path) in enumerate(files.items(), 1):
        _take(name, path, store, known.get(name), built)
        told("read", number, len(files))
    for name in known.keys() - files.keys():
        store.remove(name)
        built.removed += 1
    built.embedded = embed_waiting(store, embedder, told)
    store.note("built", uuid.uuid4().hex)  # whoever has the index open reads it again
    return built


def readable(folder: Path) -> Iterator[tuple[str, Path]]:
    """(name, path) of the files in a folder (or of the one file) that may be read; hidden ones are left out."""
    if folder.is_file():
        yield folder.name, folder
        return
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.suffix.lower() in READERS and path.is_file() and not any(part.startswith(".") for part in name.parts):
            yield name.as_posix(), path


def _take(name: str, path: Path, store: Store, known: Document | None, built: Built) -> None:
    try:
        found = _digest(path)
        if known is not None and known.digest == found:
            built.unchanged += 1
            return
        pieces = split(read_document(path, marked=True), _title(path))
        if not pieces:
            raise DataError(f"{path}: nothing but headings in it")
    except Exception as error:  # noqa: BLE001 - whatever a parser of foreign formats raises: the other files go on
        why = str(error) if isinstance(error, SmallfirstError) else f"{path}: can't be read ({error!r})"
        built.failed.append((name, why))
        return
    store.put(name, found, [(piece.title, piece.text, piece.start, piece.end) for piece in pieces])
    if known:
        built.changed += 1
    else:
        built.added += 1


def _digest(path: Path) -> str:
    if path.stat().st_size > LARGEST:
        return ""  # read_document says why it is refused
    return hashlib.blake2b(path.read_bytes(), digest_size=16, salt=CUT).hexdigest()


def _title(path: Path) -> str:
    return path.stem.replace("_", " ").replace("-", " ")


def embed_waiting(store: Store, embedder: Embedder | None, told: Told = lambda *_: None) -> int:
    """Vectors for whoever waits; all of them again where another encoder made what is there. How many it were."""
    if embedder is None:
        return 0
    if store.said("embedder") not in (None, embedder.name):
        store.forget_vectors()
    store.note("embedder", embedder.name)
    done, total = 0, store.counts()[2]
    while batch := store.waiting(BATCH):
        cut = [windows(title, text) for _, title, text in batch]
        vectors = embedder.embed([window for several in cut for window in several])
        ends = np.cumsum([len(several) for several in cut])[:-1]
        store.give_vectors([id for id, _, _ in batch], np.split(vectors, ends))
        done += len(batch)
        told("embed", done, total)
    return done
