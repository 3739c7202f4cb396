"""Fits a ladder: from a board of outcomes to the path of policies, in one scalar.

Knows the order of the fits: words, evidence step by step, what weighs it (out of fold, so that what comes later is
fitted on honest predictions), and backwards from the last step what going on is expected to cost. Does not know where
a board comes from, and proves nothing: rows that a ladder was fitted on can't certify it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.classify.heads import encode_heads
from smallfirst.errors import DataError
from smallfirst.learn.board import Board
from smallfirst.learn.courses import Weights, abouts, decide, goings, looks, pays, stops, trusted
from smallfirst.learn.fit import fold_of
from smallfirst.learn.heads import HeadRecipe, fit_heads_twice
from smallfirst.learn.verifier import (
    Array,
    Ints,
    Recipe,
    fan_values,
    fit_ahead,
    fit_gap,
    fit_leading,
    fit_price,
    fit_right,
    gap_values,
    linear_values,
    outside,
    price_values,
)
from smallfirst.policy.ladder import FORMAT, Expected, Ladder, Step
from smallfirst.verify.combiner import Fan

LEAST_ROWS = 100
"""Rows below which nothing is fitted: with fewer, every choice is noise."""


class Path(msgspec.Struct, frozen=True):
    """How a ladder is fitted; chosen by hand."""

    rungs: int = 60
    grid: int = 240  # settings tried, from which the rungs are picked
    least: float = 1e-5  # the smallest setting after 0
    most: float = 4.0
    softness: float = 0.02
    hold_ahead: float = 300.0  # ridge, in rows
    folds: int = 4
    words: bool = True  # heads on the query's words
    head_rows: int = 4000  # heads are fitted on at most so many rows, drawn by group
    recipe: Recipe = Recipe()


class Words(msgspec.Struct, frozen=True):
    """Heads on the query's words, encoded, and (n, m) log-odds from fits that did not see the row."""

    heads: bytes
    logits: Array


def fit_ladder(
    board: Board,
    rows: Sequence[int] | Ints | None = None,
    *,
    asks: Sequence[Sequence[str]] | None = None,
    seed: int = 0,
    path: Path | None = None,
    words: Words | None = None,
) -> Ladder:
    """Fit a ladder on these rows of a board (default: all); the board's last model is the top.

    `asks`: which models each step asks together; default one step that asks all below the top. `words`: from
    `fit_words` on the same rows, where several ladders share them. Copies of a prompt stay in one fold. The same
    arguments give the same bytes. Raises DataError where a model is unknown, asked twice or the top, where the top
    model's calls cost nothing, or where rows are too few to fit on.
    """
    path = path or Path()
    chosen = board if rows is None else board.rows(np.asarray(rows))
    plan = _plan(chosen, asks)
    if len(chosen) < LEAST_ROWS:
        raise DataError(f"{len(chosen)} rows are too few to fit a ladder on: at least {LEAST_ROWS} are needed")
    top = chosen.column(chosen.models[-1])
    if (chosen.costs[:, top] <= 0).any():
        raise DataError(
            f"{chosen.models[-1]} has calls that cost nothing: a ladder saves the top model's cost; set its price"
        )
    return _Fit(chosen, plan, path, seed).ladder(words or fit_words(chosen, path=path, seed=seed))


def fit_words(
    board: Board, rows: Sequence[int] | Ints | None = None, *, path: Path | None = None, seed: int = 0
) -> Words:
    """Heads for every model of the board on at most `path.head_rows` of these rows, drawn by group."""
    path, board = path or Path(), board if rows is None else board.rows(np.asarray(rows))
    if not path.words:
        return Words(b"", np.zeros((len(board), 0)))
    groups = _hashed(board.groups)
    order = np.random.default_rng(seed).permutation(sorted(set(groups)))
    some = set(order[: max(1, round(len(order) * min(1.0, path.head_rows / len(board))))].tolist())
    used = [i for i, group in enumerate(groups) if group in some]
    left = [i for i, group in enumerate(groups) if group not in some]
    heads, honest = fit_heads_twice(
        [board.prompts[i] for i in used],
        board.scores[used],
        board.models,
        [groups[i] for i in used],
        seed,
        HeadRecipe(folds=path.folds, holds=(100.0,)),
    )
    logits = np.zeros((len(board), len(board.models)))
    logits[used] = honest
    for i in left:
        logits[i] = heads.logits(board.prompts[i])
    return Words(encode_heads(heads.file), logits)


def _plan(board: Board, asks: Sequence[Sequence[str]] | None) -> tuple[tuple[str, ...], ...]:
    plan = (board.models[:-1],) if asks is None else tuple(tuple(step) for step in asks)
    named = [model for step in plan for model in step]
    for model in named:
        board.column(model)
    if len(set(named)) < len(named):
        raise DataError(f"a model is asked twice: {', '.join(named)}")
    if board.models[-1] in named:
        raise DataError(f"{board.models[-1]} is the top model: no step asks it, every step may hand up to it")
    if not plan or not all(plan):
        raise DataError("a ladder needs at least one step, and every step a model to ask")
    return plan


class _Fit:
    """One fit, step by step; `ladder` reads like the order of the work."""

    def __init__(self, board: Board, plan: tuple[tuple[str, ...], ...], path: Path, seed: int) -> None:
        self.board, self.plan, self.path, self.seed = board, plan, path, seed
        self.fold = fold_of(_hashed(board.groups), path.folds)
        self.top = board.scores[:, -1]
        self.mean = float(board.costs[:, -1].mean())
        self.costs = board.costs / self.mean

    def ladder(self, words: Words) -> Ladder:
        query = abouts(self.board, words.logits)
        grid = np.r_[0.0, np.geomspace(self.path.least, self.path.most, self.path.grid)]
        steps, honest = self._steps(query)
        fans = self._backwards(steps, honest, query, grid)
        expected = self._expected(honest, grid)
        kept = pick(np.array([one.cost for one in expected]), self.path.rungs)
        return Ladder(
            format=FORMAT,
            models=(*(model for step in self.plan for model in step), self.board.models[-1]),
            steps=tuple(
                msgspec.structs.replace(step, ahead=None if fan is None else _thinned(fan, kept))
                for step, fan in zip(steps, fans, strict=True)
            ),
            rungs=tuple(float(grid[i]) for i in kept),
            expected=tuple(expected[i] for i in kept),
            softness=self.path.softness,
            heads=words.heads,
            provenance={
                "program": "learn/ladder.py",
                "seed": str(self.seed),
                "rows": str(len(self.board)),
                "groups": str(len(set(self.board.groups))),
                "slices": ", ".join(sorted(set(self.board.slices))),
            },
        )

    def _steps(self, query: Sequence[Sequence[float]]) -> tuple[list[Step], list[Weights]]:
        """Each step with its weights fitted on all rows, and beside it what fits say that did not see the row."""
        steps: list[Step] = []
        honest: list[Weights] = []
        asked: tuple[str, ...] = ()
        for asks in ((), *self.plan):
            asked += asks
            step, weights = self._step(asks, asked, query)
            steps.append(step)
            honest.append(weights)
        return steps, honest

    def _step(
        self, asks: tuple[str, ...], asked: tuple[str, ...], query: Sequence[Sequence[float]]
    ) -> tuple[Step, Weights]:
        recipe, seed, board = self.path.recipe, self.seed, self.board
        trust = trusted(board, asked)
        lead, table = looks(board, asked, trust, query)
        cost = self.costs[:, -1]
        dear = outside(
            self.fold,
            lambda inside, left: price_values(fit_price(table[inside], cost[inside], recipe, seed), table[left]),
        )
        price = fit_price(table, cost, recipe, seed)
        if not asked:
            step = Step(asks, asked, trust, price)
            return step, Weights(lead, np.full(len(board), np.inf), dear, None)
        served = _served(board.scores, lead)
        gap = outside(
            self.fold,
            lambda inside, left: gap_values(
                fit_gap(table[inside], self.top[inside], served[inside], recipe, seed), table[left]
            ),
        )
        chance = outside(
            self.fold,
            lambda inside, left: linear_values(fit_leading(table[inside], served[inside], recipe), table[left]),
        )
        step = Step(
            asks,
            asked,
            trust,
            price,
            gap=fit_gap(table, self.top, served, recipe, seed),
            right=fit_right(table, served, chance, recipe),
        )
        return step, Weights(lead, gap, dear, None)

    def _backwards(
        self, steps: list[Step], honest: list[Weights], query: Sequence[Sequence[float]], grid: Array
    ) -> list[Fan | None]:
        """From the last step to the first: what going on costs in the end, fitted on honest predictions of it."""
        fans: list[Fan | None] = [None] * len(steps)
        for k in range(len(steps) - 2, -1, -1):
            later = honest[k + 1]
            paid = self.costs[:, [self.board.column(model) for model in steps[k + 1].asks]].sum(1)
            worth = paid + np.minimum(stops(later, grid, self.path.softness), goings(later))
            _, table = looks(self.board, steps[k].asked, steps[k].trust, query)
            fan = fit_ahead(table, (worth / honest[k].dear).T, honest[k].dear, self.path.hold_ahead)
            fans[k] = fan
            honest[k] = msgspec.structs.replace(honest[k], ahead=fan_values(fan, table) * honest[k].dear)
        return fans

    def _expected(self, honest: list[Weights], grid: Array) -> list[Expected]:
        """What each setting is expected to do. Loss is the mean of two estimates out of fold: what the scores say, and
        what was predicted for the answers served, which varies less; both lean to the cautious side.
        """
        courses = decide(honest, grid, self.path.softness)
        scores, costs, calls = pays(self.board, courses, [w.lead for w in honest], self.plan)
        top = self.top.mean()
        told = 1 - scores.mean(1) / top
        gaps = np.stack([w.gap for w in honest])[courses.ends, np.arange(len(self.board))[None, :]]
        predicted = np.where(courses.top, 0.0, gaps).mean(1) / top
        spread = np.std(scores - (1 - told)[:, None] * self.top, axis=1, ddof=1) / top / np.sqrt(len(self.board))
        loss = (told + predicted) / 2
        rows = zip(loss, spread, costs.mean(1) / self.mean, calls.mean(1), predicted, strict=True)
        return [Expected(*(float(x) for x in row)) for row in rows]


def pick(costs: Array, rungs: int) -> list[int]:
    """About `rungs` of the grid's settings, ascending, in about equal steps of expected cost; 0 is the first."""
    kept, last = [0], float(costs[0])
    least = (costs[0] - costs.min()) / max(1, rungs - 1)
    for i in range(1, len(costs)):
        if last - costs[i] >= least * 0.999:
            kept.append(i)
            last = float(costs[i])
    return kept if len(kept) > 1 else [0, len(costs) - 1]


def _hashed(groups: Sequence[str]) -> list[str]:
    return [hashlib.sha256(group.encode()).hexdigest() for group in groups]


def _served(scores: Array, lead: Ints) -> Array:
    """(n,) score of the leading answer; 0 where there is none."""
    return np.where(lead >= 0, scores[np.arange(len(scores)), np.maximum(lead, 0)], 0.0)


def _thinned(fan: Fan, kept: Sequence[int]) -> Fan:
    return Fan(tuple(fan.intercepts[i] for i in kept), tuple(fan.weights[i] for i in kept), fan.low, fan.high)
