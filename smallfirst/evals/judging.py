"""Piles of answers through a judge model, and what that costs at most.

Knows the judge's questions and the Caller. Does not know configuration or terminals (cli/grade_cmd.py does).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from smallfirst.core import Grade, Model, Permit, Query, Status, Usage
from smallfirst.engine.gates import Balancer
from smallfirst.engine.replicas import Caller
from smallfirst.errors import SetupError
from smallfirst.evals.grading import Pile
from smallfirst.models.answers import query_of
from smallfirst.models.sender import Sender
from smallfirst.monitor.judge import NAMES, REPLY_TOKENS, judge_name, judge_query, read_scores
from smallfirst.policy.protocol import Start


def questions(piles: Sequence[Pile], seed: int) -> list[Query]:
    """What the judge is asked about each pile. Raises SetupError where one has more answers than letters."""
    for pile in piles:
        if len(pile.texts) > len(NAMES):
            raise SetupError(f"query_id {pile.query_id!r} has {len(pile.texts)} answers; a judge takes {len(NAMES)}")
    return [judge_query(query_of(p.rows[0]), p.texts, reference=p.reference, seed=seed) for p in piles]


def most_cost(model: Model, asked: Sequence[Query]) -> int | None:
    """Nano-dollars at most: characters / 4 in, the longest reply out. None: the judge's price is not known."""
    price = model.price
    if price is None:
        return None
    return sum(price.cost(Usage(query.needs.input_tokens, REPLY_TOKENS)) for query in asked)


async def judge_all(
    sender: Sender,
    model: Model,
    permit: Permit,
    piles: Sequence[Pile],
    keep: Callable[[list[Grade], int], None],
    *,
    seed: int,
    parallel: int = 4,
) -> None:
    """Ask about each pile. `keep(grades, cost)`: as they come; no grades where the reply could not be read.

    Raises SetupError where the judge does not take our key.
    """
    todo = list(zip(reversed(piles), reversed(questions(piles, seed)), strict=True))
    balancer, name = Balancer(), judge_name(model.name)

    async def one_caller() -> None:
        while todo:
            pile, query = todo.pop()
            outcome = await Caller(sender, balancer, {model.name: model}, query, permit).ask(Start(1, model.name))
            if outcome.status is Status.unauthorized:
                raise SetupError(f"{model.name}: the provider {outcome.provider} does not accept the key")
            scores = read_scores(query.id, outcome, len(pile.texts), seed)
            grades = [] if scores is None else pile.grades(scores, name, time.time_ns() // 1000)
            keep(grades, outcome.cost)

    async with asyncio.TaskGroup() as group:
        for _ in range(parallel):
            group.create_task(one_caller())
