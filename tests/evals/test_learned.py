"""A ladder on the data of an evaluation: its arrays, the policy on the virtual clock and the report say the same."""

import msgspec
import pytest

from smallfirst.classify.shipped import shipped_weights
from smallfirst.errors import DataError
from smallfirst.evals import example
from smallfirst.evals.agreement_rule import make_rule
from smallfirst.evals.dataset import Request, load
from smallfirst.evals.evaluation import Wanted, evaluate
from smallfirst.evals.latency import shipped_laws
from smallfirst.evals.learned import climbed, curve_of, fit, served_of
from smallfirst.evals.recorded_policies import lay_out, run
from smallfirst.evals.ways import Shown
from smallfirst.policy.certified import Certified


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    example.write(folder, n=400)
    return load(Request(folder / "outcomes.jsonl", laws=shipped_laws()))


@pytest.fixture(scope="module")
def ladder(data):
    return fit(data, make_rule(data))


def test_a_rung_by_arrays_is_the_policy_one_by_one(data, ladder):
    found, bench = climbed(data, ladder), lay_out(data, shipped_weights())
    for rung in (0, len(ladder.rungs) // 2, len(ladder.rungs) - 1):
        at_once, one_by_one = served_of(found, ladder, rung), run(Certified("learned", ladder, rung), bench).served
        assert at_once.scores.tolist() == one_by_one.scores.tolist()
        assert at_once.costs.tolist() == one_by_one.costs.tolist()
        assert at_once.latency.us.tolist() == one_by_one.latency.us.tolist()
        assert at_once.calls == pytest.approx(one_by_one.calls)
        assert at_once.sequential == pytest.approx(one_by_one.sequential)
        assert at_once.shares == pytest.approx(one_by_one.shares)


def test_its_rungs_are_a_curve_of_the_report(data, ladder):
    found = climbed(data, ladder)
    ways = [Shown(served_of(found, ladder, ladder.cheapest(0.02)), "a note")]
    report = evaluate(data, Wanted(ways=ways, curves=[curve_of(found)], draws=50))
    assert (report.ways[0].name, report.ways[0].kind, report.ways[0].note) == ("learned", "policy", "a note")
    points = next(one for one in report.curves if one.name == "learned").points
    assert len(points) == len(ladder.rungs)
    assert points[0].cost == pytest.approx(1)  # rung 0 is always the baseline
    assert points[-1].cost < points[0].cost
    curve = next(one for one in report.deferrals if one.name == "learned")
    assert curve.shares[-1] == 1


def test_without_answers_there_is_nothing_to_learn_from(data):
    with pytest.raises(DataError, match="a ladder learns from answers"):
        fit(msgspec.structs.replace(data, recordings=None), make_rule(data))
