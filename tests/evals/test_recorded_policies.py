"""Policies on recorded answers: the virtual clock, the arrays and the policies say the same, query by query."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from smallfirst.classify.shipped import shipped_weights
from smallfirst.core import Attempt, Decision, Outcome, Reason, Status, Tier, Usage, Verdict
from smallfirst.engine.virtual import simulate
from smallfirst.errors import DataError
from smallfirst.evals import example
from smallfirst.evals.agreement_rule import Rule, agreement_rule, make_rule
from smallfirst.evals.baselines import always
from smallfirst.evals.dataset import Request, load
from smallfirst.evals.latency import hedged, one_after_another, shipped_laws, side_by_side
from smallfirst.evals.players import Players
from smallfirst.evals.recorded_experiment import LINEUPS
from smallfirst.evals.recorded_policies import critical_calls, lay_out, run
from smallfirst.policy.build import build_policy
from smallfirst.policy.protocol import Facts, Plan, Start, Wake, Woke
from smallfirst.policy.settings import GiveUpSettings, HedgeSettings, PanelSettings, PolicySettings

SHARED = Path(__file__).parents[3] / "shared" / "data" / "outcomes"
SLM = ("made-slm-a", "made-slm-b", "made-slm-c")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    example.write(folder, n=240)
    return load(Request(folder / "outcomes.jsonl", laws=shipped_laws()))


@pytest.fixture(scope="module")
def bench(data):
    return lay_out(data, shipped_weights())


def policy(data, kind, **more):
    return build_policy(kind, PolicySettings(kind=kind, **more), data.players.tiers)


def test_the_agreement_rule_by_arrays_is_the_panel_policy_one_by_one(data, bench):
    panel = policy(data, "panel", panel=PanelSettings(models=SLM, with_mid=True), accept={"mid": 1.0})
    one_by_one = run(panel, bench).served
    at_once = agreement_rule(data, Rule("made-mid", SLM, "made-frontier"))
    assert at_once.scores.tolist() == one_by_one.scores.tolist()
    assert at_once.costs.tolist() == one_by_one.costs.tolist()
    assert at_once.latency.us.tolist() == one_by_one.latency.us.tolist()
    assert at_once.sequential == pytest.approx(one_by_one.sequential)
    assert at_once.calls == pytest.approx(one_by_one.calls)
    assert at_once.shares == pytest.approx(one_by_one.shares)


def test_giving_up_and_hedging_take_less_time_and_p95_is_read_off_the_fit_part(data, bench):
    panel = {"panel": PanelSettings(models=SLM), "accept": {"slm": 1.0}}
    plain = run(policy(data, "panel", **panel), bench).served
    given_up = run(policy(data, "panel", **panel, give_up=GiveUpSettings()), bench).served
    assert sorted(bench.usual_ms) == sorted(data.fit.models)
    assert bench.usual_ms[SLM[0]] == pytest.approx(np.percentile(data.fit.times.total[:, 0], 95) / 1000)
    usual_us = 1000 * np.array([bench.usual_ms[name] for name in data.report.models])
    below = np.array([name != "made-frontier" for name in data.report.models])
    late = (data.report.times.total > usual_us)[:, below].any(axis=1)
    changed = given_up.latency.us != plain.latency.us
    assert changed.any()
    assert not changed[~late].any()  # only where a model below the highest tier took longer than usual
    hedged_ = run(policy(data, "panel", **panel, hedge=HedgeSettings(after=1.0)), bench)
    assert set(hedged_.reasons) <= {"agreed", "hedged", "accepted", "top_tier"}
    assert hedged_.served.latency.us.mean() < plain.latency.us.mean()
    assert hedged_.served.costs.mean() > plain.costs.mean()


def test_drafts_that_nobody_recorded_are_not_evaluated(data, bench):
    with pytest.raises(DataError, match="hands drafts up"):
        run(policy(data, "cascade", hand_over="draft"), bench)


def test_a_panel_takes_as_long_as_its_slowest_member_and_what_it_hands_up_as_long_as_both(data, bench):
    panel = policy(data, "panel", panel=PanelSettings(models=SLM, with_mid=True), accept={"mid": 1.0})
    found = run(panel, bench).served
    total = data.report.times.total.astype(float)
    columns = {name: data.report.table.column(name) for name in data.report.models}
    whole = side_by_side(*(total[:, columns[name]] for name in ("made-mid", *SLM)))
    handed_up = one_after_another(whole, total[:, columns["made-frontier"]])
    top = data.report.table.column("made-frontier")
    up = found.costs > data.report.costs[:, [c for n, c in columns.items() if n != "made-frontier"]].sum(1) + 1
    assert 0 < up.mean() < 1
    assert (found.latency.us[up] == handed_up[up]).all()
    assert (found.latency.us[~up] <= whole[~up]).all()
    assert (found.latency.us[~up] >= total[~up, columns["made-mid"]]).all()
    assert (found.scores[up] == data.report.scores[up, top]).all()


def test_a_fixed_policy_is_always_its_model(data, bench):
    found, single = run(policy(data, "fixed", model="made-mid"), bench), always(data.report, "made-mid")
    assert found.served.scores.tolist() == single.scores.tolist()
    assert found.served.costs.tolist() == single.costs.tolist()
    assert found.served.latency.us.tolist() == single.latency.us.tolist()
    assert (found.served.calls, found.served.sequential) == (1, 1)
    assert found.tiers == {"slm": 0.0, "mid": 1.0, "frontier": 0.0}
    assert found.reasons == {"fixed": len(single.scores)}
    assert np.isnan(found.chance).all()  # nothing was judged


def test_a_cascade_pays_and_waits_for_every_step(data, bench):
    found = run(policy(data, "cascade", accept={"slm": 0.85, "mid": 0.7}), bench)
    assert found.served.sequential == pytest.approx(found.served.calls)  # nothing side by side
    assert found.served.calls > 1
    assert sum(found.reasons.values()) == len(found.served.scores)
    judged = np.isfinite(found.chance)
    assert 0.5 < judged.mean() < 1.01
    assert ((found.chance[judged] >= 0) & (found.chance[judged] <= 1)).all()


def test_nothing_that_routes_sees_a_reported_score(data, bench):
    """Scores of the report part turned round: the same decisions, other figures."""
    table = msgspec.structs.replace(data.report.table, scores=1 - data.report.scores)
    turned = msgspec.structs.replace(data, report=msgspec.structs.replace(data.report, table=table))
    for made in (
        policy(data, "cascade", accept={"slm": 0.85, "mid": 0.7}),
        policy(data, "threshold", accept={"slm": 0.7, "mid": 0.7}),
    ):
        one, other = run(made, bench).served, run(made, lay_out(turned, shipped_weights())).served
        assert one.costs.tolist() == other.costs.tolist()
        assert one.scores.tolist() == (1 - other.scores).tolist()


def test_without_answers_policies_and_the_rule_say_so(data):
    bare = msgspec.structs.replace(data, recordings=None)
    with pytest.raises(DataError, match=r"add an `answer`.*--answers"):
        lay_out(bare, shipped_weights())
    assert agreement_rule(bare, make_rule(bare)) is None


def test_the_rule_is_chosen_on_the_fit_part(data):
    rule = make_rule(data)
    assert (rule.lead, rule.above) == ("made-mid", "made-frontier")
    assert set(rule.witnesses) == set(SLM)
    means = dict(zip(data.fit.models, data.fit.scores.mean(0), strict=True))
    assert [means[name] for name in rule.witnesses] == sorted((means[n] for n in SLM), reverse=True)
    players = msgspec.structs.replace(data.players, tiers=(data.players.tiers[0], data.players.tiers[2]))
    two = make_rule(msgspec.structs.replace(data, players=players))
    assert (two.lead, len(two.witnesses)) == (rule.witnesses[0], 2)
    alone = msgspec.structs.replace(data.players, tiers=(Tier("slm", ("made-slm-a",)), data.players.tiers[2]))
    assert make_rule(msgspec.structs.replace(data, players=alone)) is None


@pytest.mark.shared
def test_the_untuned_rule_is_the_study_s():
    if not SHARED.is_dir():
        pytest.skip("../shared/data/outcomes is not there")
    lineup = LINEUPS["zeroeval"]
    tiers = tuple(Tier(tier, tuple(models)) for tier, models in lineup.tiers.items())
    players = Players(lineup.roles, tiers, lineup.prices(), "gpt-4o")
    recorded = load(Request(SHARED / "zeroeval.parquet", players, laws=shipped_laws()))
    rule = Rule("mini", tuple(lineup.slm), "gpt-4o")
    served, top = agreement_rule(recorded, rule), always(recorded.report, "gpt-4o")
    # feasibility.csv, f_never_any: cost .470, relative quality .998, over 20 splits of all prompts; 70% are here
    assert served.costs.sum() / top.costs.sum() == pytest.approx(0.470, abs=0.04)
    assert served.scores.sum() / top.scores.sum() == pytest.approx(0.998, abs=0.015)
    assert served.sequential == pytest.approx(1.24, abs=0.03)


# -- the clock ------------------------------------------------------------------------------------------------------

FACTS = Facts(
    (Tier("slm", ("a", "b")), Tier("frontier", ("c",))), {}, 0, "other", lambda o, _: Verdict(0.5), lambda _: 0
)


class Hedge:
    """Ask a; when it is not back after `after_ms`, ask b too; serve whichever comes first."""

    name = "hedge"

    def __init__(self, after_ms):
        self.after_ms = after_ms

    def plan(self, facts: Facts) -> Plan:
        event = yield (Start(1, "a"), Wake("late", self.after_ms))
        if isinstance(event, Woke):
            event = yield (Start(2, "b"),)
        return Decision(event.id, Reason.accepted)


@pytest.mark.parametrize(("a", "b"), [(900, 50), (900, 800), (2000, 300), (2000, 5000), (1000, 1)])
def test_a_hedge_on_the_virtual_clock_is_the_hedge_of_the_arrays(a, b):
    times = {"a": a * 1000, "b": b * 1000}

    def answer(start: Start) -> tuple[Outcome, int]:
        return Outcome(start.model, Status.ok, "x", usage=Usage(1, 1)), times[start.model]

    trace = simulate(Hedge(1000), FACTS, answer)
    assert trace.latency_us == hedged([a * 1000], [b * 1000], after=1_000_000)[0]


@pytest.mark.parametrize(
    ("calls", "length"),
    [
        ([(0, 10)], 1),
        ([(0, 10), (0, 30), (0, 20)], 1),  # a panel
        ([(0, 10), (0, 30), (30, 50)], 2),  # a panel, handed up
        ([(0, 10), (10, 20), (20, 30)], 3),
        ([(0, 10), (5, 30)], 1),  # a hedge
        ([(0, 10), (5, 30), (30, 40)], 2),
        ([], 0),
    ],
)
def test_calls_in_a_row(calls, length):
    attempts = [
        Attempt(n, "answer", Outcome("a", Status.ok, started_us=begun, latency_us=end - begun))
        for n, (begun, end) in enumerate(calls)
    ]
    assert critical_calls(attempts) == length
