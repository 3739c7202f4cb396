"""A board x a ladder -> what every rung would have served, paid and taken, all rows at once.

Knows the vectorised course of policy/certified.py, against which it is tested decision by decision. Does not choose or
certify a rung: calibrate does, on the arrays made here.
"""

from __future__ import annotations

import msgspec
import numpy as np

from smallfirst.learn.board import Board
from smallfirst.learn.courses import Courses, Weights, decide, looks, pays, served_columns
from smallfirst.learn.verifier import Array, Ints, fan_values, gap_values, price_values
from smallfirst.policy.ladder import Ladder, Reader


class Climbed(msgspec.Struct, frozen=True):
    """k rungs x n rows. Rung 0 is always-top: its scores and costs are the baseline's."""

    models: tuple[str, ...]  # columns of the board
    scores: Array  # (k, n) of what was served
    costs: Array  # (k, n) nano-dollars, every attempt
    calls: Array  # (k, n) one after the other; models asked together count as one
    served: Ints  # (k, n) column of the model that was served
    latency: Array | None = None  # (k, n) microseconds; None where the board has none

    @property
    def baseline(self) -> Array:
        """(n,) scores of always-top."""
        first: Array = self.scores[0]
        return first

    def losses(self) -> Array:
        """(k,) relative loss against always-top on these rows."""
        return np.asarray(1 - self.scores.mean(1) / self.scores[0].mean())

    def prices(self) -> Array:
        """(k,) cost relative to always-top on these rows."""
        return np.asarray(self.costs.mean(1) / self.costs[0].mean())


def climb(board: Board, ladder: Ladder) -> Climbed:
    """Every rung on every row of `board`, which must hold the ladder's models (and may hold more, the top last).

    Raises DataError where a model of the ladder is not on the board, or another model is its baseline.
    """
    board = _aligned(board, ladder)
    weights = weigh_rows(board, ladder)
    courses = decide(weights, np.array(ladder.rungs), ladder.softness)
    leads = [one.lead for one in weights]
    plan = [step.asks for step in ladder.steps[1:]]
    scores, costs, calls = pays(board, courses, leads, plan)
    return Climbed(
        models=board.models,
        scores=scores,
        costs=costs,
        calls=calls,
        served=served_columns(board, courses, leads),
        latency=None if board.latency is None else _latency(board, board.latency, courses, plan),
    )


def weigh_rows(board: Board, ladder: Ladder) -> list[Weights]:
    """What the ladder knows after each step, for every row."""
    reader = Reader(ladder)
    query = [reader.about(prompt, tools=tools) for prompt, tools in zip(board.prompts, board.tools, strict=True)]
    found = []
    for step in ladder.steps:
        lead, table = looks(board, step.asked, step.trust, query)
        dear = price_values(step.dear, table)
        gap = np.full(len(board), np.inf) if step.gap is None else gap_values(step.gap, table)
        found.append(Weights(lead, gap, dear, None if step.ahead is None else fan_values(step.ahead, table) * dear))
    return found


def _aligned(board: Board, ladder: Ladder) -> Board:
    """The board with the ladder's models only, the top last."""
    if board.models == ladder.models:
        return board
    columns = [board.column(model) for model in ladder.models]
    return Board(
        models=ladder.models,
        prompts=board.prompts,
        tools=board.tools,
        groups=board.groups,
        slices=board.slices,
        seen=tuple(tuple(row[c] for c in columns) for row in board.seen),
        scores=board.scores[:, columns],
        costs=board.costs[:, columns],
        input_tokens=board.input_tokens[:, columns],
        output_tokens=board.output_tokens[:, columns],
        latency=None if board.latency is None else board.latency[:, columns],
    )


def _latency(board: Board, latency: Array, courses: Courses, plan: list[tuple[str, ...]]) -> Array:
    """(k, n): a step takes as long as the slowest it asks."""
    rows, taken = np.arange(len(board)), [np.zeros(len(board))]
    for asks in plan:
        taken.append(taken[-1] + latency[:, [board.column(model) for model in asks]].max(1))
    return np.asarray(
        np.stack(taken)[courses.ends, rows[None, :]] + np.where(courses.top, latency[:, -1][None, :], 0.0)
    )
