"""An encoder that remembers what it has embedded lately: the sentences of a knowledge base come up again and again.

Knows texts and vectors, in memory, the least lately used forgotten first. The judges of a question and of its answer
read the same passages; without this each would pay some milliseconds a sentence.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from smallfirst.text.embedder import Embedder, Vectors

MOST = 20_000
"""Texts; 30 MB at 384 dimensions."""


class Remembering:
    """text/embedder.py's Embedder around another. Any thread may use it."""

    def __init__(self, embedder: Embedder, most: int = MOST) -> None:
        self._embedder, self._most = embedder, most
        self._kept: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._embedder.name

    def embed(self, texts: Sequence[str], told: Callable[[int], None] | None = None) -> Vectors:
        with self._lock:
            found = {text: self._kept[text] for text in texts if text in self._kept}
            for text in found:
                self._kept.move_to_end(text)
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            made = dict(zip(missing, self._embedder.embed(missing, told), strict=True))
            found |= made
            with self._lock:
                self._kept.update(made)
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
        return np.stack([found[text] for text in texts]) if texts else self._embedder.embed([])
