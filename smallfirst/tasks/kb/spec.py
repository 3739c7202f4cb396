"""A knowledge base's spec: which documents, and where it is built. One YAML file for building and serving.

Knows the file's fields. Files that it names are relative to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from smallfirst.config.loader import load
from smallfirst.errors import ConfigError


class KbSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `smallfirst kb build --spec FILE` reads."""

    documents: str  # a folder of .md, .html, .txt, .eml, .pdf and .docx files
    out: str  # the folder of the knowledge base
    words_only: bool = False  # without sentence vectors


def read_spec(path: Path, environ: Mapping[str, str]) -> KbSpec:
    """A spec with its paths made whole. Raises ConfigError with file and line."""
    try:
        spec = load(path, KbSpec, environ).value
    except ConfigError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from None
    folder = path.parent
    return msgspec.structs.replace(spec, documents=str(folder / spec.documents), out=str(folder / spec.out))
