"""Triage models as files: read, and written with what they reached. Knows one file; does not know who asks for it."""

from __future__ import annotations

from pathlib import Path

from smallfirst.errors import DataError
from smallfirst.tasks.triage.model import TriageModel, decode, encode


def load_model(path: Path) -> TriageModel:
    """Read a model file. Raises DataError where there is none."""
    try:
        return decode(path.read_bytes(), str(path))
    except OSError as error:
        words = f"{path}: {error.strerror or error}; make a model with `smallfirst triage fit`"
        raise DataError(words) from None


def save_model(model: TriageModel, path: Path) -> int:
    """Write it whole or not at all; returns its bytes."""
    data = encode(model)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(data)
    beside.replace(path)
    return len(data)
