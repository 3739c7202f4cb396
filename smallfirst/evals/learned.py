"""A ladder fitted on the fit part of a dataset, and every rung of it on the report part, in the shapes of a report.

Knows how a dataset becomes a board, and a climbed ladder a curve. Does not fit (learn/ladder.py), decide
(policy/certified.py) or certify: a rung that is shown here is measured, no more.
"""

from __future__ import annotations

import numpy as np

from smallfirst.core import Outcome, Query, Status, Usage
from smallfirst.errors import DataError
from smallfirst.evals.agreement_rule import Rule
from smallfirst.evals.baselines import Priced, Served, tokens_of
from smallfirst.evals.curves import Curve
from smallfirst.evals.dataset import Dataset
from smallfirst.evals.ladder import Climbed, climb
from smallfirst.evals.latency import waits
from smallfirst.learn.board import Board, make_board
from smallfirst.learn.ladder import fit_ladder
from smallfirst.policy.ladder import Ladder
from smallfirst.verify.evidence import Seen, seen

NAME = "learned"


def fit(data: Dataset, rule: Rule, *, seed: int = 0) -> Ladder:
    """One step that asks the rule's panel at once, then the baseline. Raises DataError without answers."""
    return fit_ladder(board_of(data, data.fit, (*rule.witnesses, rule.lead, rule.above)), seed=seed)


def climbed(data: Dataset, ladder: Ladder) -> Climbed:
    """Every rung on the report part."""
    return climb(board_of(data, data.report, ladder.models), ladder)


def board_of(data: Dataset, part: Priced, models: tuple[str, ...]) -> Board:
    """One part of the dataset with these models, the last being the top."""
    columns = [part.table.column(name) for name in models]
    sent, got = tokens_of(part.table)
    looked: list[list[Seen]] = []
    for row, prompt in enumerate(part.table.prompts):
        query = Query(id=str(row), asked="", text=prompt, fields={})
        tokens = [Usage(int(sent[row, at]), int(got[row, at])) for at in columns]
        looked.append([_look(data, query, name, used) for name, used in zip(models, tokens, strict=True)])
    return make_board(
        models=models,
        prompts=part.table.prompts,
        groups=part.table.groups,
        seen=looked,
        scores=part.scores[:, columns],
        costs=part.costs[:, columns],
        input_tokens=sent[:, columns],
        output_tokens=got[:, columns],
        latency=None if part.times is None else part.times.total[:, columns].astype(np.float64),
    )


def curve_of(found: Climbed, name: str = NAME) -> Curve:
    """All rungs as a quality-cost curve; the baseline is the board's last model."""
    top = len(found.models) - 1
    return Curve(name, found.scores, found.costs, (found.served == top).astype(np.float64), found.calls, found.latency)


def served_of(found: Climbed, ladder: Ladder, rung: int, name: str = NAME) -> Served:
    """One rung as a way to route."""
    shares = np.bincount(found.served[rung], minlength=len(found.models)) / found.served.shape[1]
    handed_up = found.served[rung] == len(found.models) - 1
    asked = np.cumsum([0, *(len(step.asks) for step in ladder.steps if step.asks)])
    calls = asked[found.calls[rung].astype(np.int64) - handed_up] + handed_up
    return Served(
        name,
        found.scores[rung],
        found.costs[rung],
        {model: float(share) for model, share in zip(found.models, shares, strict=True) if share > 0},
        calls=float(calls.mean()),
        sequential=float(found.calls[rung].mean()),
        latency=None if found.latency is None else waits(found.latency[rung]),
    )


def _look(data: Dataset, query: Query, name: str, used: Usage) -> Seen:
    said = data.recordings.find(query.text, f"{name}|{data.players.roles[name]}") if data.recordings else None
    if said is None:
        raise DataError(
            f"no recorded answer of {name!r} to a prompt: a ladder learns from answers; add an `answer` to every row, "
            "or name a recordings file with --answers"
        )
    return seen(query, Outcome(name, Status.ok, said.text, finish=said.finish, usage=used))
