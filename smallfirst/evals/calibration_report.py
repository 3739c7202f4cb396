"""The third part of a calibration: what the certified policy costs and gives, beside what it has to beat.

Knows a board's report rows, which chose nothing. Baselines that have to be chosen are chosen on the fit part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.calibrate.certificate import ALL
from smallfirst.evals.baselines import Priced, Served, always, best_single, cheapest_single, oracle, random_mix
from smallfirst.evals.ladder import climb
from smallfirst.evals.outcome_board import Parts
from smallfirst.evals.outcomes import ScoreTable
from smallfirst.evals.statistics import Interval, bootstrap_ratio
from smallfirst.learn.board import Board, Floats
from smallfirst.policy.ladder import Ladder

Ints = npt.NDArray[np.int64]


class Line(msgspec.Struct, frozen=True):
    """One way to route, measured on the report part."""

    name: str
    cost: float  # relative to always-frontier
    quality: Interval  # relative to always-frontier
    latency: float | None = None  # relative, mean


def by_row(rungs: Mapping[str, int], slices: Sequence[str]) -> Ints:
    """(n,) the rung that each row is served with; 0 where its slice was never certified."""
    return np.array([rungs.get(ALL, rungs.get(name, 0)) for name in slices], dtype=np.int64)


def report_lines(
    board: Board, parts: Parts, ladder: Ladder, rungs: Mapping[str, int], weights: Floats | None, seed: int
) -> tuple[Line, ...]:
    """The certified policy and what it has to beat. Rows that stand for more are drawn more often."""
    fit, rows = np.array(parts.fit), np.array(parts.report)
    if weights is not None:
        rng = np.random.default_rng(seed)
        fit, rows = (rng.choice(part, len(part), p=weights[part] / weights[part].sum()) for part in (fit, rows))
    held, known = board.rows(rows), board.rows(fit)
    climbed = climb(held, ladder)
    at, row = by_row(rungs, held.slices), np.arange(len(held))
    top = _priced(held).scores[:, -1]
    base = climbed.costs[0].sum()
    quality = bootstrap_ratio(climbed.scores[at, row], top, held.groups, seed=seed)
    latency = None
    if climbed.latency is not None:
        latency = float(climbed.latency[at, row].sum() / climbed.latency[0].sum())
    cost = float(climbed.costs[at, row].mean())
    fitted, report = _priced(known), _priced(held)
    beside = [
        always(report, board.models[-1], f"always {board.models[-1]}"),
        best_single(fitted, report),
        cheapest_single(fitted, report),
        random_mix(fitted, report, cost),
        oracle(report),
    ]
    mine = Line("certified", float(climbed.costs[at, row].sum() / base), quality, latency)
    return (mine, *(_line(one, top, float(base), held.groups, seed) for one in beside))


def _line(served: Served, top: Floats, base: float, groups: Sequence[str], seed: int) -> Line:
    return Line(served.name, float(served.costs.sum() / base), bootstrap_ratio(served.scores, top, groups, seed=seed))


def _priced(board: Board) -> Priced:
    """The same rows for the baselines, which know nothing of answers."""
    table = ScoreTable(
        models=board.models,
        query_ids=tuple(str(n) for n in range(len(board))),
        prompts=board.prompts,
        groups=board.groups,
        benchmarks=board.slices,
        scores=board.scores,
        input_chars=board.input_tokens * 4,
        output_chars=board.output_tokens * 4,
    )
    return Priced(table, board.costs)
