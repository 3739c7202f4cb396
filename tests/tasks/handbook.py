"""The example's handbook as a knowledge base, built once for all tests, by its words alone: that takes no time."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

from smallfirst.tasks.kb.building import build
from smallfirst.tasks.kb.store import Store

EXAMPLE = Path(__file__).parents[2] / "examples" / "kb"
QUESTIONS = [json.loads(line) for line in (EXAMPLE / "questions.jsonl").read_text().splitlines()]


@functools.cache
def built() -> Path:
    """Its folder. Don't write to it."""
    folder = Path(tempfile.mkdtemp(prefix="smallfirst-handbook-"))
    store = Store(folder, create=True)
    build(EXAMPLE / "handbook", store, None)
    store.close()
    return folder
