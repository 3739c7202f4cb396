"""The vectorised climb against the generator policy, decision by decision, on made-up and on recorded answers."""

from pathlib import Path as Folder

import msgspec
import numpy as np
import pytest

from smallfirst.core import Needs, Outcome, Query, Status, Tier, Usage, Verdict
from smallfirst.engine.virtual import simulate
from smallfirst.errors import DataError
from smallfirst.evals.ladder import climb
from smallfirst.evals.mix import PARTS, ROLES, load_board, outcome_of, query_of, study_split
from smallfirst.evals.statistics import normal_ratio
from smallfirst.learn.board import Board
from smallfirst.learn.ladder import Path, fit_ladder
from smallfirst.learn.verifier import Forest, Recipe
from smallfirst.models.recorded import prompt_key
from smallfirst.models.recorded_files import recordings_by_query
from smallfirst.policy.certified import Certified
from smallfirst.policy.ladder import Reader
from smallfirst.policy.protocol import Facts
from smallfirst.verify.evidence import seen
from tests.learn.worlds import world

SHARED = Folder(__file__).resolve().parents[3] / "shared" / "data" / "outcomes"
QUICK = Path(rungs=16, grid=160, head_rows=300, recipe=Recipe(gap=Forest(trees=12), price=Forest(trees=8)))
ROWS = 1200


def said(board, row, model):
    """The outcome that a gateway would get for this cell."""
    column = board.column(model)
    one = board.seen[row][column]
    usage = Usage(int(board.input_tokens[row, column]), one.tokens)
    text = f"The answer is ({one.form})."
    outcome = Outcome(model, Status.ok, text, finish="stop", usage=usage, cost=int(board.costs[row, column]))
    return outcome, int(board.latency[row, column])


def run(policy, query, board, answer):
    tiers = tuple(Tier(model, (model,)) for model in board.models)
    facts = Facts(tiers, {}, 0.5, "other", lambda *_: Verdict(0.5), lambda _: 0, query=query)
    return simulate(policy, facts, answer)


@pytest.fixture(scope="module")
def fitted():
    ladder = fit_ladder(world(900), asks=[("a", "b"), ("mid",)], path=QUICK)
    board = world(ROWS, seed=1)
    return ladder, board, climb(board, ladder)


def test_the_climb_decides_as_the_generator_does(fitted):
    ladder, board, climbed = fitted
    routes = set()
    for rung in (0, 1, 5, len(ladder.rungs) - 1):
        policy = Certified("x", ladder, rung)
        for row in range(ROWS):
            query = Query(id="q", asked="x", text=board.prompts[row], fields={})
            trace = run(policy, query, board, lambda start, row=row: said(board, row, start.model))
            served = next(a.outcome.model for a in trace.attempts if a.n == trace.decision.served)
            assert served == climbed.models[climbed.served[rung, row]]
            assert trace.cost == climbed.costs[rung, row]
            assert trace.latency_us == climbed.latency[rung, row]
            routes.add((served, len(trace.attempts)))
    assert {("top", 1), ("top", 3), ("top", 4), ("mid", 3)} <= routes  # jumped, handed up after each step, stopped


def test_rung_0_is_the_top_model_alone(fitted):
    _, board, climbed = fitted
    assert np.array_equal(climbed.scores[0], board.scores[:, -1])
    assert np.array_equal(climbed.costs[0], board.costs[:, -1])
    assert (climbed.losses()[0], climbed.prices()[0]) == (0.0, 1.0)
    assert (np.diff(climbed.prices()) < 0.02).all()


def test_learning_pays_on_queries_that_were_not_fitted_on(fitted):
    ladder, board, climbed = fitted
    rung = ladder.cheapest(0.02)
    mid = board.scores[:, 2].mean() / board.scores[:, 3].mean()
    coin = 1 - climbed.losses()[rung] / (1 - mid) * (1 - board.costs[:, 2].mean() / board.costs[:, 3].mean())
    assert climbed.losses()[rung] < 0.04
    assert climbed.prices()[rung] < coin - 0.1  # far cheaper than a coin that mixes mid and top to the same quality


def test_boards_may_hold_more_models_in_another_order(fitted):
    ladder, board, climbed = fitted
    columns = [3, 1, 0, 2]
    shuffled = Board(
        models=tuple(board.models[c] for c in columns),
        prompts=board.prompts,
        tools=board.tools,
        groups=board.groups,
        slices=board.slices,
        seen=tuple(tuple(row[c] for c in columns) for row in board.seen),
        scores=board.scores[:, columns],
        costs=board.costs[:, columns],
        input_tokens=board.input_tokens[:, columns],
        output_tokens=board.output_tokens[:, columns],
    )
    again = climb(shuffled, ladder)
    assert np.array_equal(again.costs, climbed.costs)
    assert again.latency is None
    with pytest.raises(DataError, match="no outcomes of"):
        climb(msgspec.structs.replace(shuffled, models=("x", "y", "z", "mid")), ladder)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the recorded data in ../shared/data")
def test_recorded_prompts_are_decided_alike_offline_and_by_the_generator():
    board = load_board(SHARED, "crux")
    fit, report = study_split(board.groups, 0.5, np.random.default_rng(0))
    ladder = fit_ladder(board, fit, asks=[("slm-b", "slm-c"), ("mid", "slm-a")], path=QUICK)
    climbed = climb(board.rows(report), ladder)
    part = PARTS["crux"]
    role = dict(zip(part.roles, ROLES, strict=True))
    recorded = {}
    for _, recording in recordings_by_query(SHARED, part.source, part.roles):
        outcome = msgspec.structs.replace(outcome_of(recording), model=role[recording.model])
        recorded.setdefault((prompt_key(recording.prompt), outcome.model), outcome)
    for rung in (2, ladder.cheapest(0.02), len(ladder.rungs) - 1):
        policy = Certified("x", ladder, rung)
        for at, row in enumerate(report):
            prompt = board.prompts[row]
            trace = run(policy, query_of(prompt), board, lambda s, p=prompt: (recorded[prompt_key(p), s.model], 1000))
            served = next(a.outcome.model for a in trace.attempts if a.n == trace.decision.served)
            assert served == climbed.models[climbed.served[rung, at]]


@pytest.fixture(scope="module")
def mix():
    if not SHARED.is_dir():
        pytest.skip("needs the recorded data in ../shared/data")
    return load_board(SHARED, "mix")


@pytest.mark.shared
def test_the_untuned_rule_on_the_mix_costs_what_the_study_found(mix):
    assert len(mix) == 5201
    assert mix.scores.mean(0) == pytest.approx([0.531, 0.525, 0.543, 0.733, 0.806], abs=5e-4)
    agreed = np.array([row[3].form is not None and row[3].form in [one.form for one in row[:3]] for row in mix.seen])
    report = study_split(mix.groups, 0.4, np.random.default_rng(1000))[1]
    costs = mix.costs[:, :4].sum(1) + np.where(agreed, 0, mix.costs[:, 4])
    scores = np.where(agreed, mix.scores[:, 3], mix.scores[:, 4])
    assert costs[report].mean() / mix.costs[report, 4].mean() == pytest.approx(0.405, abs=0.02)
    assert scores[report].mean() / mix.scores[report, 4].mean() == pytest.approx(0.980, abs=0.01)


@pytest.mark.shared
def test_on_the_mix_what_is_learned_beats_the_words_alone_and_those_beat_a_coin(mix):
    fit, report = study_split(mix.groups, 0.4, np.random.default_rng(1000))
    known, asked = mix.rows(fit), mix.rows(report)
    ladder = fit_ladder(
        known,
        path=Path(rungs=30, grid=120, head_rows=1200, recipe=Recipe(gap=Forest(trees=20), price=Forest(trees=10))),
    )
    climbed = climb(asked, ladder)
    learned = at_loss(climbed.losses(), climbed.prices(), 0.02)
    chances = np.array([Reader(ladder).heads.logits(prompt) for prompt in asked.prompts])[:, 3:]
    gain = 1 / (1 + np.exp(-chances[:, 1])) - 1 / (1 + np.exp(-chances[:, 0]))
    order = np.argsort(gain)  # the mid model first where the frontier's advantage is least
    top, mid = asked.scores[:, 4], asked.scores[:, 3]
    loss = np.cumsum((top - mid)[order]) / top.sum()
    spent = 1 - np.cumsum((asked.costs[:, 4] - asked.costs[:, 3])[order]) / asked.costs[:, 4].sum()
    words = at_loss(loss, spent, 0.02)
    coin = 1 - 0.02 / (1 - mid.mean() / top.mean()) * (1 - asked.costs[:, 3].mean() / asked.costs[:, 4].mean())
    chosen = ladder.cheapest(0.02)
    interval = normal_ratio(climbed.costs[chosen], asked.costs[:, 4], asked.groups)
    quality = normal_ratio(climbed.scores[chosen], top, asked.groups)
    assert learned < words < coin
    assert interval.high < words  # also where the setting was chosen on the fit part, with its interval
    assert quality.low - 0.005 < 0.98 < quality.high + 0.015


def at_loss(losses, costs, loss):
    """The cost at which a path first loses so much, between its points."""
    at = int(np.argmax(losses > loss))
    share = (loss - losses[at - 1]) / (losses[at] - losses[at - 1])
    return costs[at - 1] + share * (costs[at] - costs[at - 1])


def test_a_query_offers_tools_or_not():
    assert query_of("p", tools=True).needs == Needs(tools=True)
    assert seen(query_of("p"), Outcome("m", Status.ok, "42")).form == "42"
