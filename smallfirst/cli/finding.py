"""One thing to say about a config. Knows nothing else."""

from __future__ import annotations

from typing import Literal

import msgspec

from smallfirst.config.reader import located

Path = tuple[str, ...]
Level = Literal["error", "warning", "note"]


class Finding(msgspec.Struct, frozen=True):
    """One thing to say about the config. An `error` must be mended; a `warning` should be looked at."""

    level: Level
    path: Path
    words: str
    line: int | None = None

    def __str__(self) -> str:
        return located(self.line, self.path, self.words)


def fault(path: Path, words: str) -> Finding:
    return Finding("error", path, words)
