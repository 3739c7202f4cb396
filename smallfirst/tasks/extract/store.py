"""Extraction models as files, read and written. Knows one file; does not know who asks for it."""

from __future__ import annotations

from pathlib import Path

from smallfirst.errors import DataError
from smallfirst.tasks.extract.model import ExtractModel, decode, encode


def load_model(path: Path) -> ExtractModel:
    """Read a model file. Raises DataError where there is none."""
    try:
        return decode(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; make a model with `smallfirst extract fit`") from None


def save_model(model: ExtractModel, path: Path) -> int:
    """Write it whole or not at all; returns its bytes."""
    data = encode(model)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(data)
    beside.replace(path)
    return len(data)
