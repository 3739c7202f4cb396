"""Chooses whom a ladder asks, and in what order: fits one for each plan and takes the cheapest that is quick enough.

Knows plans (which models each step asks together), a loss to plan for, and a bound on calls in a row. Does not know the
rows that certify: the choice is made out of fold on the rows that are fitted, so it takes nothing from a certificate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smallfirst.errors import DataError
from smallfirst.learn.board import Board
from smallfirst.learn.ladder import Path, fit_ladder, fit_words
from smallfirst.learn.verifier import Ints
from smallfirst.policy.ladder import Ladder

Plan = tuple[tuple[str, ...], ...]


def usual_plans(board: Board) -> list[Plan]:
    """A few plans for the models below the top, from quick to thrifty; repeated ones once.

    All at once; the strongest with the two cheapest others, then the rest; all but the strongest, then it; the two
    cheapest others one by one, then the strongest, then the rest.
    """
    names = board.models[:-1]
    strongest = names[int(np.argmax(board.scores[:, :-1].mean(0)))]
    prices = dict(zip(names, board.costs[:, :-1].mean(0).tolist(), strict=True))
    others = tuple(sorted((name for name in names if name != strongest), key=lambda name: (prices[name], name)))
    cheap, rest = others[:2], others[2:]
    plans = [
        (names,),
        ((*cheap, strongest), rest),
        (others, (strongest,)),
        (*((name,) for name in cheap), (strongest,), rest),
    ]
    return list(dict.fromkeys(tuple(step for step in plan if step) for plan in plans))


def fit_best_ladder(
    board: Board,
    rows: Sequence[int] | Ints | None = None,
    *,
    plans: Sequence[Sequence[Sequence[str]]] | None = None,
    max_loss: float = 0.02,
    most_calls: float | None = None,
    seed: int = 0,
    path: Path | None = None,
) -> Ladder:
    """The ladder whose rung for `max_loss` is expected to cost least, of `plans` (default: `usual_plans`).

    `most_calls`: expected calls in a row at that rung, at most. Takes one fit a plan. Raises DataError as `fit_ladder`,
    and where no plan is quick enough.
    """
    chosen = board if rows is None else board.rows(np.asarray(rows))
    words = fit_words(chosen, path=path, seed=seed)
    candidates = usual_plans(chosen) if plans is None else list(plans)
    best: tuple[float, int, Ladder] | None = None
    quickest = np.inf
    for at, plan in enumerate(candidates):
        ladder = fit_ladder(chosen, asks=plan, seed=seed, path=path, words=words)
        expected = ladder.expected[ladder.cheapest(max_loss, steady=True)]
        quickest = min(quickest, expected.calls)
        quick = most_calls is None or expected.calls <= most_calls
        if quick and (best is None or (expected.cost, at) < best[:2]):
            best = (expected.cost, at, ladder)
    if best is None:
        raise DataError(
            f"no plan needs at most {most_calls:g} calls in a row; the quickest is expected to need {quickest:.2f}"
        )
    return best[2]
