"""From graded outcomes to a certificate: fit a ladder on one part, certify it on another, report on a third.

Knows the order of the steps and what may be looked at in each. Does not know files, configs or terminals (cli). The
path is fixed before the certification rows are looked at; within the one walk the choice among certified rungs is free,
so that latency and budget may choose; nothing of the report part chooses anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.calibrate.certificate import ALL, FORMAT, Bound, Certificate, Expected, issue
from smallfirst.calibrate.promise import Design, Promise, Slicing
from smallfirst.calibrate.walk import Walk, walk, walk_slices
from smallfirst.errors import DataError
from smallfirst.evals.calibration_report import Line, by_row, report_lines
from smallfirst.evals.grades import GradedQuery
from smallfirst.evals.ladder import Climbed, climb
from smallfirst.evals.outcome_board import Parts, data_digest, deal, weights_of
from smallfirst.learn.board import Board, Floats
from smallfirst.learn.ladder import fit_ladder
from smallfirst.monitor.guard import ONE_TURN
from smallfirst.policy.ladder import Ladder

Ints = npt.NDArray[np.int64]


class Wish(msgspec.Struct, frozen=True):
    """What is asked for, all of it before anyone looks at the certification rows."""

    promise: Promise = Promise()
    slicing: Slicing | None = None  # None: one statement about all traffic
    fractions: tuple[float, float, float] = (0.4, 0.4, 0.2)  # of prompt groups: fit, certify, report
    asks: tuple[tuple[str, ...], ...] | None = None  # models by step; None: all below the baseline, at once
    seed: int = 0
    max_latency_ratio: float | None = None  # mean latency over always-frontier's, on the certification rows
    budget_ratio: float | None = None  # cost over always-frontier's: the safest rung within it, not the cheapest of all


class Identity(msgspec.Struct, frozen=True):
    """What the certificate is about, as digests of what runs (monitor/digests.py)."""

    policy: str
    tiers: Mapping[str, str]  # model -> tier
    models: Mapping[str, str]
    prompts: str
    verifier: str
    canonicaliser: str
    prices: str
    grader: str
    issued_at: str


class Calibrated(msgspec.Struct, frozen=True):
    """Everything that came out. `certificate` None: nothing is certified, and `walks` say why."""

    ladder: Ladder
    walks: Mapping[str, Walk]
    rungs: Mapping[str, int]  # slice -> what runs
    certificate: Certificate | None
    lines: tuple[Line, ...]
    parts: Parts
    groups: tuple[int, int, int]
    cost: float  # relative, on the certification rows
    floor_cost: float


def calibrate(queries: Sequence[GradedQuery], board: Board, wish: Wish, who: Identity) -> Calibrated:
    """Fit, certify, report. `queries` are the board's rows. Raises DataError for data that can't support it."""
    wish.promise.check()
    weights = weights_of(queries)
    parts = deal(queries, board.groups, seed=wish.seed, fractions=wish.fractions)
    ladder = fit_ladder(board, parts.fit, asks=wish.asks, seed=wish.seed)
    certify = np.array(parts.certify, dtype=np.int64)
    known = board.rows(certify)
    climbed = climb(known, ladder)
    share = None if weights is None else weights[certify]
    evidence = [queries[int(i)] for i in certify]
    order = int(data_digest(evidence)[:8], 16)  # of the rows, drawn by the rows: nobody can choose a lucky one
    design = Design(seed=order, least_probability=_least(queries, certify, share))
    walks = _walks(climbed, ladder, known, wish, share, design)
    rungs = _rungs(climbed, walks, known.slices, wish, share)
    expected = _expected(climbed, rungs, walks, known, share, who)
    found = None
    if any(rungs.values()):
        found = _certificate(ladder, walks, rungs, expected, evidence, known, wish, who, design)
    return Calibrated(
        ladder=ladder,
        walks=walks,
        rungs=rungs,
        certificate=found,
        lines=report_lines(board, parts, ladder, rungs, weights, wish.seed),
        parts=parts,
        groups=_count(board, parts),
        cost=expected.cost_ratio,
        floor_cost=expected.floor_cost_ratio or 1.0,
    )


def _count(board: Board, parts: Parts) -> tuple[int, int, int]:
    fit, certify, report = (len({board.groups[i] for i in part}) for part in (parts.fit, parts.certify, parts.report))
    return fit, certify, report


def _least(queries: Sequence[GradedQuery], rows: Ints, weights: Floats | None) -> float:
    """The smallest chance, up to the same constant, of a row whose answers were scored differently."""
    if weights is None:
        return 1.0
    differ = np.array([len(set(queries[int(i)].scores)) > 1 for i in rows])
    return float(1 / weights[differ].max()) if differ.any() else 1.0


def _walks(
    climbed: Climbed, ladder: Ladder, board: Board, wish: Wish, weights: Floats | None, design: Design
) -> dict[str, Walk]:
    served, baseline, settings = climbed.scores, climbed.baseline, ladder.rungs
    if wish.slicing is None:
        found = walk(served, baseline, settings, wish.promise, groups=board.groups, weights=weights, design=design)
        return {ALL: found}
    return walk_slices(
        served, baseline, settings, wish.promise, board.slices,
        slicing=wish.slicing, groups=board.groups, weights=weights, design=design,
    )  # fmt: skip


def _rungs(
    climbed: Climbed, walks: Mapping[str, Walk], slices: Sequence[str], wish: Wish, weights: Floats | None
) -> dict[str, int]:
    """Of each slice's certified rungs the cheapest; or, with a budget, the first within it; all within the latency."""
    found = {}
    for name, taken in walks.items():
        rows = np.array([name in (ALL, one) for one in slices])
        w = np.ones(int(rows.sum())) if weights is None else weights[rows]
        costs = np.average(climbed.costs[:, rows], axis=1, weights=w)
        ratios = costs / costs[0]
        fitting = np.arange(taken.certified + 1)
        if wish.max_latency_ratio is not None:
            fitting = fitting[_latency_ratios(climbed, rows, w)[fitting] <= wish.max_latency_ratio]
            if not len(fitting):
                raise DataError(
                    f"no certified rung is expected within {wish.max_latency_ratio:g} of always-frontier's latency; "
                    "allow more, or ask fewer models one after the other (--asks)"
                )
        if wish.budget_ratio is not None:
            fitting = fitting[ratios[fitting] <= wish.budget_ratio]
            if not len(fitting):
                raise DataError(
                    f"no certified rung costs at most {wish.budget_ratio:g} of always-frontier; the cheapest certified "
                    f"one costs {ratios[: taken.certified + 1].min():.3f}"
                )
            found[name] = int(fitting[0])
        else:
            found[name] = int(fitting[np.argmin(ratios[fitting])])
    return found


def _latency_ratios(climbed: Climbed, rows: npt.NDArray[np.bool_], weights: Floats) -> Floats:
    if climbed.latency is None:
        raise DataError("a latency bound needs `latency_ms` in every row of the outcomes")
    mean = np.average(climbed.latency[:, rows], axis=1, weights=weights)
    return np.asarray(mean / mean[0])


def _expected(
    climbed: Climbed,
    rungs: Mapping[str, int],
    walks: Mapping[str, Walk],
    board: Board,
    weights: Floats | None,
    who: Identity,
) -> Expected:
    at, rows = by_row(rungs, board.slices), np.arange(len(board))
    w = np.ones(len(board)) if weights is None else weights
    tiers: dict[str, float] = {}
    served = climbed.served[at, rows]
    for column, model in enumerate(climbed.models):
        tier = who.tiers.get(model, model)
        tiers[tier] = tiers.get(tier, 0.0) + float(w[served == column].sum() / w.sum())
    floor = by_row({name: taken.floor for name, taken in walks.items()}, board.slices)
    cost = np.average(climbed.costs[at, rows], weights=w)
    always_top = np.average(climbed.costs[0], weights=w)
    latency = None
    if climbed.latency is not None:
        latency = float(np.average(climbed.latency[at, rows], weights=w) / np.average(climbed.latency[0], weights=w))
    return Expected(
        mix={tier: round(share, 6) for tier, share in tiers.items()},
        cost_ratio=float(cost / always_top),
        cost=float(cost),
        calls=float(np.average(climbed.calls[at, rows], weights=w)),
        latency_ratio=latency,
        floor_cost_ratio=float(np.average(climbed.costs[floor, rows], weights=w) / always_top),
    )


def _certificate(
    ladder: Ladder,
    walks: Mapping[str, Walk],
    rungs: Mapping[str, int],
    expected: Expected,
    queries: Sequence[GradedQuery],
    board: Board,
    wish: Wish,
    who: Identity,
    design: Design,
) -> Certificate:
    bounds = tuple(_bound(name, taken, rungs[name], ladder) for name, taken in walks.items())
    notes = [
        "valid for traffic like the certified queries; a change of traffic is what audits look for",
        "bound on the mean over all covered requests, not on any single answer",
    ]
    if not any(turn.get("role") == "assistant" for q in queries for turn in q.answers[0].messages or ()):
        notes.append(ONE_TURN)
    if who.grader.startswith("judge:"):
        notes.append(f"scores are the opinion of {who.grader}")
    certificate = Certificate(
        id="", format=FORMAT, policy=who.policy, promise=wish.promise, slicing=wish.slicing, bounds=bounds,
        design=design, rows=len(board), groups=len(set(board.groups)), grader=who.grader, expected=expected,
        ladder=ladder.digest, models={name: who.models[name] for name in ladder.models}, prompts=who.prompts,
        verifier=who.verifier, canonicaliser=who.canonicaliser, data=data_digest(queries), prices=who.prices,
        issued_at=who.issued_at, seeds={"split": wish.seed, "fit": wish.seed, "order": design.seed}, notes=tuple(notes),
    )  # fmt: skip
    return issue(certificate)


def _bound(name: str, taken: Walk, rung: int, ladder: Ladder) -> Bound:
    step = taken.steps[rung - 1] if rung else None
    return Bound(
        slice=name,
        rung=rung,
        setting=float(ladder.rungs[rung]),
        bound=taken.promise.max_quality_loss if step else 0.0,
        estimate=step.loss if step else 0.0,
        p_value=step.p_value if step else None,
        floor_rung=taken.floor,
        rows=taken.rows,
        groups=taken.units,
    )
