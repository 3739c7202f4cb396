"""How rare a word is among passages: what a question's words weigh.

Knows counts of stems. Does not know questions. Made from a knowledge base's own passages, or, without one, from the
passages the shipped weights were fitted on.
"""

from __future__ import annotations

import gzip
import math
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib import resources

import msgspec

from smallfirst.errors import SetupError
from smallfirst.tasks.kb.sentences import content


class Rarity(msgspec.Struct, frozen=True):
    """Inverse document frequency of a stem as BM25 has it (Robertson & Zaragoza 2009, section 3.1), scaled to 0..1."""

    passages: int
    within: dict[str, int]  # stem -> passages that hold it

    @classmethod
    def of(cls, passages: Iterable[str]) -> Rarity:
        """Count the stems of all passages."""
        within: Counter[str] = Counter()
        count = 0
        for passage in passages:
            within.update(set(content(passage)))
            count += 1
        return cls(count, dict(within))

    def __call__(self, word: str) -> float:
        """0 for a stem of every passage, 1 for one that no passage has."""
        held = self.within.get(word, 0)
        most = math.log(1 + (self.passages + 0.5) / 0.5)
        return math.log(1 + (self.passages - held + 0.5) / (held + 0.5)) / most


@cache
def general_rarity() -> Rarity:
    """The shipped table. Raises SetupError when the package was installed without it."""
    file = resources.files("smallfirst.tasks.kb").joinpath("data", "rarity.msgpack.gz")
    if not file.is_file():
        raise SetupError("smallfirst/tasks/kb/data/rarity.msgpack.gz is missing; make it with bench/tasks/fit_kb.py")
    return msgspec.msgpack.decode(gzip.decompress(file.read_bytes()), type=Rarity)
