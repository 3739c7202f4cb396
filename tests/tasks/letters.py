"""A sentence encoder for tests: texts with the same letters are alike."""

from __future__ import annotations

import numpy as np


class Letters:
    """Counts letters. `seen`: all that it was asked to embed."""

    def __init__(self, name="letters") -> None:
        self.name = name
        self.seen = []

    def embed(self, texts, told=None):
        self.seen += texts
        counts = np.array([[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts], dtype=np.float32)
        norms = np.linalg.norm(counts, axis=1, keepdims=True)
        return np.divide(counts, norms, out=np.zeros_like(counts), where=norms > 0)
