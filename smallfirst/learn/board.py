"""What models answered to the same queries and how they were scored, side by side: what ladders are fitted on.

Knows queries, looked-at answers, scores and costs as arrays, and refuses data that can't be fitted on. Does not know
where they come from: evals/mix.py and the outcome format bring them. A fitted ladder holds nothing of a board.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smallfirst.errors import DataError
from smallfirst.verify.evidence import Seen

Floats = NDArray[np.float64]


class Board(msgspec.Struct, frozen=True):
    """n queries x m models, the baseline (top) last. Raises nothing by itself: `make_board` checks."""

    models: tuple[str, ...]  # names as in the config
    prompts: tuple[str, ...]
    tools: tuple[bool, ...]  # the query offered tools
    groups: tuple[str, ...]  # the same for all copies of a prompt
    slices: tuple[str, ...]  # what results are shown by: source, category
    seen: tuple[tuple[Seen, ...], ...]  # by query, then by model
    scores: Floats  # (n, m), 0..1
    costs: Floats  # (n, m), nano-dollars of one call
    input_tokens: Floats  # (n, m)
    output_tokens: Floats  # (n, m)
    latency: Floats | None = None  # (n, m), microseconds

    def __len__(self) -> int:
        return len(self.prompts)

    def column(self, model: str) -> int:
        """Where a model stands. Raises DataError for one that is not here."""
        if model not in self.models:
            raise DataError(f"no outcomes of {model!r} on the board; there are: {', '.join(self.models)}")
        return self.models.index(model)

    def rows(self, index: Sequence[int] | NDArray[np.int64]) -> Board:
        """Only these rows, in this order."""
        at = [int(i) for i in index]
        return Board(
            models=self.models,
            prompts=tuple(self.prompts[i] for i in at),
            tools=tuple(self.tools[i] for i in at),
            groups=tuple(self.groups[i] for i in at),
            slices=tuple(self.slices[i] for i in at),
            seen=tuple(self.seen[i] for i in at),
            scores=self.scores[at],
            costs=self.costs[at],
            input_tokens=self.input_tokens[at],
            output_tokens=self.output_tokens[at],
            latency=None if self.latency is None else self.latency[at],
        )
