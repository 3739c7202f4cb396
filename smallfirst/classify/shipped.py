"""The weights that come with the package. Knows their file name only."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from smallfirst.errors import SetupError

NAME = "weights.msgpack"


def shipped_weights() -> bytes:
    """The file's bytes, for Classifier.from_bytes. Raises SetupError when the package was installed without it."""
    file = resources.files("smallfirst.classify").joinpath(NAME)
    if not file.is_file():
        raise SetupError(f"smallfirst/classify/{NAME} is missing; make it with: smallfirst router train --data FOLDER")
    return file.read_bytes()


def shipped_path() -> Path:
    """Where the file lies in a checkout: what training writes."""
    return Path(__file__).with_name(NAME)
