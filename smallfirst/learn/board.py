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


def make_board(
    *,
    models: Sequence[str],
    prompts: Sequence[str],
    groups: Sequence[str],
    seen: Sequence[Sequence[Seen]],
    scores: object,
    costs: object,
    tools: Sequence[bool] | None = None,
    slices: Sequence[str] | None = None,
    input_tokens: object = None,
    output_tokens: object = None,
    latency: object = None,
) -> Board:
    """A board that can be fitted on. Arrays are (n, m) as in Board; the baseline is the last of `models`.

    Raises DataError that says which query and model: fewer than two models, a name twice, no queries, a score that is
    missing or outside 0..1, a cost that is missing or negative, or columns of different length.
    """
    names, n = tuple(models), len(prompts)
    if len(names) < 2:
        raise DataError(
            "one model only: routing needs outcomes of at least two; add a model's answers to the same queries"
        )
    if len(set(names)) < len(names):
        raise DataError(f"a model stands twice on the board: {', '.join(names)}")
    if not n:
        raise DataError("no queries: no prompt was answered by every model")
    for what, column in (("groups", groups), ("seen", seen), ("tools", tools), ("slices", slices)):
        if column is not None and len(column) != n:
            raise DataError(f"{what}: {len(column)} entries for {n} prompts")
    if short := [i for i, row in enumerate(seen) if len(row) != len(names)]:
        raise DataError(f"query {short[0]}: {len(seen[short[0]])} answers for {len(names)} models")
    shape = (n, len(names))
    board = Board(
        models=names,
        prompts=tuple(prompts),
        tools=tuple(tools) if tools is not None else (False,) * n,
        groups=tuple(groups),
        slices=tuple(slices) if slices is not None else ("all",) * n,
        seen=tuple(tuple(row) for row in seen),
        scores=_numbers("score", scores, shape),
        costs=_numbers("cost", costs, shape),
        input_tokens=_numbers("input_tokens", input_tokens, shape),
        output_tokens=_numbers("output_tokens", output_tokens, shape),
        latency=None if latency is None else _numbers("latency", latency, shape),
    )
    _within("score", board.scores, names, 1.0)
    _within("cost", board.costs, names, np.inf)
    return board


def join_boards(boards: Sequence[Board]) -> Board:
    """One board below the other. Raises DataError where they are not of the same models, or there is none."""
    if not boards or any(board.models != boards[0].models for board in boards):
        raise DataError("boards can be joined only where they hold the same models in the same order")
    with_latency = all(board.latency is not None for board in boards)
    return Board(
        models=boards[0].models,
        prompts=sum((board.prompts for board in boards), ()),
        tools=sum((board.tools for board in boards), ()),
        groups=sum((board.groups for board in boards), ()),
        slices=sum((board.slices for board in boards), ()),
        seen=sum((board.seen for board in boards), ()),
        scores=np.concatenate([board.scores for board in boards]),
        costs=np.concatenate([board.costs for board in boards]),
        input_tokens=np.concatenate([board.input_tokens for board in boards]),
        output_tokens=np.concatenate([board.output_tokens for board in boards]),
        latency=np.concatenate([b.latency for b in boards if b.latency is not None]) if with_latency else None,
    )


def _numbers(what: str, values: object, shape: tuple[int, int]) -> Floats:
    array = np.zeros(shape) if values is None else np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise DataError(f"{what}: an array of {array.shape} where {shape} (queries, models) is needed")
    return array


def _within(what: str, values: Floats, models: tuple[str, ...], most: float) -> None:
    bad = np.argwhere(~((values >= 0) & (values <= most)))
    if len(bad):
        row, column = bad[0]
        value = values[row, column]
        where = f"query {row}, model {models[column]!r}"
        if np.isnan(value):
            raise DataError(f"{where}: {what} is missing; grade or price it, or leave the query out ({len(bad)} such)")
        raise DataError(f"{where}: {what} must be {'in 0..1' if most == 1 else '0 or more'}, not {value}")


def ensure_apart(**parts: Board) -> None:
    """Raises DataError where a prompt group stands in two parts of a split: what is fitted on can't be reported on."""
    first: dict[str, str] = {}
    for name, board in parts.items():
        for group, prompt in zip(board.groups, board.prompts, strict=True):
            other = first.setdefault(group, name)
            if other != name:
                raise DataError(
                    f"one prompt group stands in two parts, {other} and {name}: {prompt[:60]!r}; split by group, so "
                    "that all copies of a prompt are on one side"
                )
