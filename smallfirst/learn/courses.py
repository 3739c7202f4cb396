"""Where each query's course ends at each rate, for all rows and rates at once; and what that pays.

Knows what is known after each step of a ladder, and the rule of policy/certified.py as array arithmetic. Does not fit
anything, and does not know which rate will be used.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smallfirst.learn.board import Board
from smallfirst.learn.verifier import Array, Ints, dreads
from smallfirst.policy.ladder import look
from smallfirst.verify.evidence import about


class Weights(msgspec.Struct, frozen=True):
    """What is known after a step, for n rows: lead (n,) column or -1, gap (n,), dear (n,), ahead (r, n) or None."""

    lead: Ints
    gap: Array
    dear: Array
    ahead: Array | None


class Courses(msgspec.Struct, frozen=True):
    """Where each row ends at each rung: after which step (r, n), and whether the top model answers (r, n)."""

    ends: Ints
    top: NDArray[np.bool_]


def abouts(board: Board, logits: Array) -> list[list[float]]:
    """The query's part of the evidence of each row."""
    rows = zip(board.prompts, board.tools, logits.tolist(), strict=True)
    return [about(prompt, tools=tools, logits=words) for prompt, tools, words in rows]


def looks(
    board: Board, asked: Sequence[str], trust: Sequence[float], query: Sequence[Sequence[float]]
) -> tuple[Ints, Array]:
    """((n,) board column of the leading answer or -1, (n, f) evidence) once `asked` have answered.

    By the very function that the gateway calls for a request.
    """
    columns = [board.column(model) for model in asked]
    found = [look(trust, line, [row[c] for c in columns]) for line, row in zip(query, board.seen, strict=True)]
    lead = np.array([columns[at] if at >= 0 else -1 for at, _ in found], dtype=np.int64)
    return lead, np.array([numbers for _, numbers in found])


def trusted(board: Board, asked: Sequence[str]) -> tuple[float, ...]:
    """How much each model's word counts where answers differ: its squared odds of being right, on these rows.

    Squared, so that a clearly better model leads whatever the others say, and equals are counted.
    """
    means = [float(np.clip(board.scores[:, board.column(model)].mean(), 0.02, 0.98)) for model in asked]
    return tuple((mean / (1 - mean)) ** 2 for mean in means)


def stops(weights: Weights, rates: Array, softness: float) -> Array:
    """(r, n): what stopping costs at each rate; infinite at rate 0 and where nothing can be served."""
    known = (weights.lead >= 0) & np.isfinite(weights.gap)
    dread = np.where(known, dreads(np.where(known, weights.gap, 0.0), softness), np.inf)
    with np.errstate(divide="ignore"):
        return np.where(rates[:, None] > 0, dread / rates[:, None], np.inf)


def goings(weights: Weights) -> Array:
    """(r, n) or (1, n): the cheaper of asking the top model and going on."""
    return weights.dear[None, :] if weights.ahead is None else np.minimum(weights.dear[None, :], weights.ahead)


def decide(weights: Sequence[Weights], rates: Array, softness: float) -> Courses:
    """What policy/certified.py does at each rate with each row, for all rows at once."""
    size = (len(rates), len(weights[0].dear))
    ends, top, alive = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=bool), np.ones(size, dtype=bool)
    for k, here in enumerate(weights):
        stop, dear = stops(here, rates, softness), here.dear[None, :]
        on = np.full(size, np.inf) if here.ahead is None else np.where(rates[:, None] > 0, here.ahead, np.inf)
        serve = (stop <= dear) & (stop <= on)
        hand_up = ~serve & (dear <= on)
        ends[alive & (serve | hand_up)] = k
        top |= alive & hand_up
        alive &= ~(serve | hand_up)
    return Courses(ends, top)


def pays(
    board: Board, courses: Courses, leads: Sequence[Ints], plan: Sequence[Sequence[str]]
) -> tuple[Array, Array, Array]:
    """Scores, costs (nano-dollars, every attempt) and sequential calls, each (r, n), of the courses."""
    columns = served_columns(board, courses, leads)
    rows = np.arange(len(board))
    scores = board.scores[rows[None, :], columns]
    paid = [np.zeros(len(board))]
    for asks in plan:
        paid.append(paid[-1] + board.costs[:, [board.column(model) for model in asks]].sum(1))
    costs = np.stack(paid)[courses.ends, rows[None, :]] + np.where(courses.top, board.costs[:, -1][None, :], 0.0)
    return scores, costs, (courses.ends + courses.top).astype(np.float64)


def served_columns(board: Board, courses: Courses, leads: Sequence[Ints]) -> Ints:
    """(r, n): the board column of the model that is served."""
    rows = np.arange(len(board))
    return np.where(courses.top, len(board.models) - 1, np.stack(list(leads))[courses.ends, rows[None, :]])
