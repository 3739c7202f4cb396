"""How alike the fitted texts are to each other: rows of a kernel, and the linear system that gives the answers.

Knows terms and vectors. Does not know labels' names. Exact up to MOST texts (a square matrix of 4-byte numbers); beyond
it the answers rest on MOST texts drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from smallfirst.errors import DataError
from smallfirst.tasks.triage.model import Recipe, pack_and_unpack
from smallfirst.tasks.triage.terms import Likeness, build_index

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

MOST = 16_000
"""Texts: 1 GB for the matrix, two minutes on a core to solve it."""

EVERY = 200


class Kernel:
    """All pairwise likenesses by words, once; those by meaning are made as they are asked for."""

    def __init__(
        self, texts: Sequence[str], vectors: Floats | None, told: Callable[[int], None] = lambda _: None
    ) -> None:
        """Raises DataError for more than MOST texts."""
        self.count = len(texts)
        if self.count > MOST:
            raise DataError(
                f"{self.count} texts to fit on; at most {MOST} fit into memory: give a random sample of them"
            )
        self.index = build_index(texts)
        self.vectors = None if vectors is None else pack_and_unpack(vectors)
        likeness = Likeness(self.index)
        self._words = np.empty((self.count, self.count), dtype=np.float32)
        for n, text in enumerate(texts):
            self._words[n] = likeness(text)
            if n % EVERY == 0:
                told(n)
        told(self.count)

    def matrix(self, recipe: Recipe, rows: Rows, columns: Rows) -> Floats:
        """(rows, columns) of the kernel."""
        made = np.float32(1 - recipe.share) * self._words[np.ix_(rows, columns)]
        if self.vectors is not None and recipe.share > 0:
            near = self.vectors[rows] @ self.vectors[columns].T
            near -= 1
            near *= np.float32(recipe.gamma)
            np.exp(near, out=near)
            near *= np.float32(recipe.share)
            made += near
        return made


def solve(kernel: Kernel, recipe: Recipe, truth: Floats, rows: Rows) -> Floats:
    """(rows, k): what each row adds to each label's score."""
    matrix = kernel.matrix(recipe, rows, rows)
    matrix[np.diag_indices(len(rows))] += np.float32(recipe.ridge)
    answers: Floats = np.linalg.solve(matrix, truth[rows])
    return answers
