import pytest

from smallfirst.errors import DataError
from smallfirst.learn.ladder import Path
from smallfirst.learn.plans import fit_best_ladder, usual_plans
from smallfirst.learn.verifier import Forest, Recipe

from .worlds import world

QUICK = Path(rungs=12, grid=80, words=False, recipe=Recipe(prior=0.05, gap=Forest(trees=8), price=Forest(trees=6)))


def test_usual_plans_ask_everyone_once_and_never_the_top():
    plans = usual_plans(world(300))
    assert plans[0] == (("a", "b", "mid"),)
    assert (("a", "b"), ("mid",)) in plans
    assert (("a",), ("b",), ("mid",)) in plans
    assert all(sorted(model for step in plan for model in step) == ["a", "b", "mid"] for plan in plans)


def test_the_cheapest_plan_wins_and_a_bound_on_calls_is_kept():
    board = world(700)
    plans = [(("a", "b", "mid"),), (("a",), ("b",), ("mid",))]
    thrifty = fit_best_ladder(board, plans=plans, max_loss=0.05, path=QUICK)
    quick = fit_best_ladder(board, plans=plans, max_loss=0.05, most_calls=1.6, path=QUICK)

    def at(ladder):
        return ladder.expected[ladder.cheapest(0.05, steady=True)]

    assert at(thrifty).cost <= at(quick).cost
    assert at(quick).calls <= 1.6
    assert [step.asks for step in quick.steps] == [(), ("a", "b", "mid")]
    with pytest.raises(DataError, match="the quickest is expected to need"):
        fit_best_ladder(board, plans=plans, most_calls=0.5, path=QUICK)
