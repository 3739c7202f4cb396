"""The outcome format -> a board: graded queries of the models of a config, priced, grouped and looked at.

Knows rows, prices, and who is the baseline. Does not know files (models/answers.py, grades.py read them) or what is
fitted on the board. Answers are looked at by the very function that the gateway calls for a request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from smallfirst.core import NANO, Price, Usage
from smallfirst.errors import DataError
from smallfirst.evals.grades import GradedQuery
from smallfirst.learn.board import Board, Floats, make_board
from smallfirst.learn.outcomes import group_of
from smallfirst.models.answers import AnswerRow, input_tokens, outcome_of, output_tokens, query_of
from smallfirst.verify.evidence import seen


class Parts(msgspec.Struct, frozen=True):
    """Row numbers of a board, dealt out by prompt group: no prompt stands in two of them."""

    fit: tuple[int, ...]
    certify: tuple[int, ...]
    report: tuple[int, ...]


def board_of(queries: Sequence[GradedQuery], models: Sequence[str], prices: Mapping[str, Price | None]) -> Board:
    """A board of these models, the baseline last; each query must have been joined for them, in this order.

    A call costs what its row says, else its tokens at the model's price. Raises DataError where neither is known.
    """
    rows = [query.answers for query in queries]
    cells = [[(row, prices[row.model]) for row in line] for line in rows]
    timed = all(row.latency_ms is not None for line in rows for row in line)
    asked = [query_of(line[0]) for line in rows]
    return make_board(
        models=models,
        prompts=[query.prompt for query in queries],
        tools=[query.needs.tools for query in asked],
        groups=[group_of(query.prompt) for query in queries],
        slices=[line[0].slice or line[0].category or "all" for line in rows],
        seen=[[seen(q, outcome_of(row)) for row in line] for q, line in zip(asked, rows, strict=True)],
        scores=[query.scores for query in queries],
        costs=[[_cost(row, price) for row, price in line] for line in cells],
        input_tokens=[[input_tokens(row) for row in line] for line in rows],
        output_tokens=[[output_tokens(row) for row in line] for line in rows],
        latency=[[1000 * (row.latency_ms or 0.0) for row in line] for line in rows] if timed else None,
    )


def _cost(row: AnswerRow, price: Price | None) -> float:
    if row.cost_usd is not None:
        return row.cost_usd * NANO
    if price is None:
        raise DataError(
            f"query_id {row.query_id!r}: what {row.model!r} costs is not known; give the model a `cost` in the config, "
            "or the row a `cost_usd`"
        )
    return float(price.cost(Usage(input_tokens(row), output_tokens(row))))


def weights_of(queries: Sequence[GradedQuery]) -> Floats | None:
    """1 over the probability with which each row is here, up to a constant; None where all are alike."""
    chances = np.array([query.sample_prob for query in queries])
    weights = chances.max() / chances
    return None if np.allclose(weights, 1.0) else weights


def deal(queries: Sequence[GradedQuery], groups: Sequence[str], *, seed: int, fractions: Sequence[float]) -> Parts:
    """Fit, certify and report parts, by prompt group at random; or by the rows' own `part`, where they name one.

    Raises DataError where only some rows name a part, or one prompt stands in two of them.
    """
    if sum(fractions) > 1 + 1e-9 or len(fractions) != 3 or min(fractions) <= 0:
        raise DataError(
            f"the parts must be three numbers above 0 that add up to 1, such as 0.4,0.4,0.2; not {fractions}"
        )
    own = [query.answers[0].part for query in queries]
    if any(own):
        return _own_parts(queries, groups, own)
    names = sorted(set(groups))
    if len(names) < 3:
        raise DataError(f"{len(names)} different prompts can't be dealt into three parts; bring more outcomes")
    order = np.random.default_rng(seed).permutation(len(names))
    cuts = np.round(np.cumsum(fractions) * len(names)).astype(int)
    place = {names[i]: int(np.searchsorted(cuts, n, side="right")) for n, i in enumerate(order)}
    rows: tuple[list[int], list[int], list[int]] = ([], [], [])
    for at, group in enumerate(groups):
        rows[min(2, place[group])].append(at)
    return Parts(*(tuple(part) for part in rows))


def _own_parts(queries: Sequence[GradedQuery], groups: Sequence[str], own: Sequence[str]) -> Parts:
    names = ("fit", "certify", "report")
    rows: dict[str, list[int]] = {name: [] for name in names}
    seen_in: dict[str, tuple[str, str]] = {}
    for at, (query, group, part) in enumerate(zip(queries, groups, own, strict=True)):
        if part not in rows:
            raise DataError(
                f"query_id {query.query_id!r}: part {part!r} is none of {', '.join(names)}; name one for each row"
            )
        other, first = seen_in.setdefault(group, (part, query.query_id))
        if other != part:
            raise DataError(
                f"one prompt stands on both sides of the split: {first!r} in {other}, {query.query_id!r} in {part}; "
                "put all copies of a prompt into one part, or leave `part` out and let it be drawn"
            )
        rows[part].append(at)
    if empty := [name for name in names if not rows[name]]:
        raise DataError(f"no row is in the part {empty[0]!r}; all three of {', '.join(names)} are needed")
    return Parts(*(tuple(rows[name]) for name in names))


def data_digest(queries: Sequence[GradedQuery]) -> str:
    """sha256 (hex) of what rows say: prompts, answers, scores and probabilities, whatever their order."""
    lines = sorted(
        msgspec.json.encode(
            (
                q.query_id,
                q.prompt,
                [(row.model, row.answer, row.tool_calls) for row in q.answers],
                q.scores,
                q.sample_prob,
            )
        )
        for q in queries
    )
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
