import numpy as np
import pytest

from smallfirst.errors import DataError
from smallfirst.learn.ladder import Path, fit_ladder, pick
from smallfirst.learn.verifier import Forest, Recipe
from smallfirst.policy.ladder import decode, encode, rising

from .worlds import world

QUICK = Path(rungs=20, grid=40, words=False, recipe=Recipe(prior=0.05, gap=Forest(trees=10), price=Forest(trees=8)))


@pytest.fixture(scope="module")
def ladder():
    return fit_ladder(world(800), asks=[("a", "b"), ("mid",)], path=QUICK)


def test_the_path_begins_at_the_top_model_and_gets_cheaper(ladder):
    assert ladder.rungs[0] == 0
    assert (np.diff(ladder.rungs) > 0).all()
    costs = [one.cost for one in ladder.expected]
    assert costs[0] == pytest.approx(1.0)
    assert (np.diff(costs) < 0).all()
    assert costs[-1] < 0.3
    assert max(-np.diff(costs)[: len(costs) // 2]) < 0.2  # small steps near the top


def test_the_same_arguments_give_the_same_bytes(ladder):
    again = fit_ladder(world(800), asks=[("a", "b"), ("mid",)], path=QUICK)
    assert encode(again) == encode(ladder)
    assert again.digest == ladder.digest
    assert decode(encode(ladder)) == ladder
    assert fit_ladder(world(800, seed=1), asks=[("a", "b"), ("mid",)], path=QUICK).digest != ladder.digest


def test_heads_on_the_words_travel_in_the_file():
    path = Path(rungs=10, grid=20, head_rows=300, recipe=QUICK.recipe)
    with_words = fit_ladder(world(500), path=path)
    assert with_words.heads
    assert decode(encode(with_words)).heads == with_words.heads


def test_the_cheapest_rung_within_an_estimate(ladder):
    loose, strict = ladder.cheapest(0.10), ladder.cheapest(0.01)
    assert rising([one.loss for one in ladder.expected])[loose] <= 0.10
    assert strict <= loose
    assert ladder.cheapest(0.05, steady=True) > 0
    assert ladder.cheapest(0.05, errors=2.0) <= ladder.cheapest(0.05)


@pytest.mark.parametrize(
    ("asks", "says"),
    [
        ([("a", "a")], "asked twice"),
        ([("a", "top")], "no step asks it"),
        ([("c",)], "no outcomes of 'c'"),
        ([()], "every step a model"),
        ([], "at least one step"),
    ],
)
def test_plans_that_make_no_sense_are_refused(asks, says):
    with pytest.raises(DataError, match=says):
        fit_ladder(world(200), asks=asks, path=QUICK)


def test_too_few_rows_and_free_top_models_are_refused():
    with pytest.raises(DataError, match="60 rows are too few"):
        fit_ladder(world(60), path=QUICK)
    board = world(200)
    board.costs[:, -1] = 0
    with pytest.raises(DataError, match="set its price"):
        fit_ladder(board, path=QUICK)


def test_estimates_that_fall_are_pooled():
    assert rising([0.0, 3.0, 1.0, 4.0]) == [0.0, 2.0, 2.0, 4.0]
    assert rising([2.0, 1.0, 0.0]) == [1.0, 1.0, 1.0]


def test_bytes_of_something_else_are_refused(ladder):
    with pytest.raises(DataError, match="not a ladder"):
        decode(b"\x81\xa1a\x01")
    with pytest.raises(DataError, match="format 9"):
        decode(encode(ladder).replace(b"\xa6format\x01", b"\xa6format\x09"))


def test_rungs_are_picked_in_even_steps():
    kept = pick(np.array([1.0, 0.99, 0.98, 0.5, 0.49, 0.0]), 3)
    assert kept == [0, 3, 5]
    assert pick(np.array([1.0, 1.0, 1.0]), 3) == [0, 1, 2]
