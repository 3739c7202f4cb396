"""A task's plan on a virtual clock: its own model first, then the policy above, edited, within the same limits."""

from __future__ import annotations

import msgspec
import pytest

from smallfirst.core import Edit, Made, Outcome, Query, Reason, Schema, Status, Tier, Verdict
from smallfirst.engine.virtual import simulate
from smallfirst.policy.course import ClientGone
from smallfirst.policy.protocol import Start
from smallfirst.tasks.edits import constrained, edited, judge_of, needed
from smallfirst.tasks.handing import Handing
from tests.policy.stage import COST, DOWN, POLICIES, TIERS, Play, facts, script

OWN = Tier("slm", ("task:t", "task:t/other"))
EDIT = Edit({"messages": msgspec.Raw(b"[1]")}, ("seed",))
COST.update({"task:t": 0, "task:t/other": 0})


class Task:
    """Hands up what its own model is not sure of; keeps what its steps were."""

    name = "task:t"

    def __init__(self, above, steps=()) -> None:
        self._above, self._steps, self.handed = above, steps, None

    def plan(self, facts):
        handing = Handing(facts)
        try:
            heard = yield from handing.ask("task:t", patient=True)
            for step in self._steps:
                yield from handing.ask(step, edit=EDIT, role="judge")
            if heard.outcome.text == "sure":
                return handing.serve(heard, Reason.accepted, Made("mine"))
            self.handed = yield from handing.hand_up(self._above, EDIT, word="low_confidence")
            if self.handed.outcome is None:
                return handing.serve(heard, Reason.unsure)
            return handing.serve_handed(self.handed, Made("theirs"))
        except ClientGone:
            return handing.gone()


def run(task, plays, tiers=(OWN, *TIERS), *, gone_after_us=None, **more):
    """(the trace, every Start)."""
    starts: list[Start] = []
    answer = script(plays)

    def heard(start):
        starts.append(start)
        return answer(start)

    return simulate(task, facts(plays, tiers, **more), heard, gone_after_us=gone_after_us), starts


UNSURE = {"task:t": Play(text="unsure", after_ms=10)}


def test_what_is_sure_asks_nobody_else() -> None:
    trace, starts = run(Task(POLICIES["cascade"]), {"task:t": Play(text="sure")})
    assert [start.model for start in starts] == ["task:t"]
    assert (trace.decision.reason, trace.decision.deferrals, trace.decision.made) == (Reason.accepted, (), Made("mine"))


@pytest.mark.parametrize("name", POLICIES)
def test_any_policy_plans_what_is_handed_up(name) -> None:
    """Its ids stay apart from the task's, the edit is on each of its calls, and nothing of it is streamed."""
    task = Task(POLICIES[name], steps=("task:t/other",))
    trace, starts = run(task, UNSURE, stream=True)
    own, others = starts[:2], starts[2:]
    assert [start.model for start in own] == ["task:t", "task:t/other"]
    assert [start.role for start in own] == ["answer", "judge"]
    assert others
    assert all(start.model not in OWN.models for start in others)
    assert all(start.edit.put["messages"] == EDIT.put["messages"] and start.watch == 0 for start in others)
    assert len({start.id for start in starts}) == len(starts)
    assert trace.decision.deferrals[0] == "low_confidence"
    assert trace.decision.made == Made("theirs")
    assert trace.decision.certificate_id is None
    by_id = {start.id: start.model for start in starts}
    assert by_id[trace.decision.served] == task.handed.outcome.model


def test_nobody_above() -> None:
    trace, starts = run(Task(POLICIES["cascade"]), UNSURE, tiers=(OWN,))
    assert len(starts) == 1
    assert (trace.decision.reason, trace.decision.deferrals) == (Reason.unsure, ())


def test_everybody_above_is_down() -> None:
    down = dict.fromkeys(("s1", "s2", "m1", "m2", "f1", "f2"), DOWN)
    task = Task(POLICIES["cascade"])
    trace, starts = run(task, {**UNSURE, **down})
    assert len(starts) > 2
    assert (trace.decision.reason, trace.decision.deferrals[0]) == (Reason.unsure, "low_confidence")
    assert task.handed.asked


def test_money_that_is_short_asks_nobody() -> None:
    task = Task(POLICIES["cascade"])
    trace, starts = run(task, UNSURE, max_cost=0)
    assert len(starts) == 1
    assert (trace.decision.reason, trace.decision.deferrals, task.handed.asked) == (Reason.unsure, (), False)


def test_time_that_is_up_ends_the_wait_for_those_above() -> None:
    task = Task(POLICIES["cascade"])
    trace, _ = run(task, {**UNSURE, "s1": Play(after_ms=5000), "f1": Play(after_ms=5000)}, max_latency_ms=300)
    assert task.handed.late
    assert trace.decision.reason is Reason.unsure
    assert trace.latency_us <= 300_000


def test_an_answer_at_hand_is_served_when_time_is_up() -> None:
    """The policy above has a poor answer when the clock rings: it serves that, as it would alone."""
    task = Task(POLICIES["cascade"])
    slow = {"s1": Play(p=0.5, after_ms=100), "s2": Play(p=0.5, after_ms=100), "m1": Play(after_ms=5000)}
    trace, _ = run(task, {**UNSURE, **slow}, max_latency_ms=400)
    assert (trace.decision.reason, trace.decision.made) == (Reason.latency_limit, Made("theirs"))


@pytest.mark.parametrize("after_us", [5_000, 60_000])
def test_a_client_that_leaves_ends_it(after_us) -> None:
    trace, _ = run(Task(POLICIES["cascade"]), UNSURE, gone_after_us=after_us)
    assert trace.decision.reason is Reason.client_gone
    assert trace.decision.served is None


def test_a_lone_tier_above_is_the_top() -> None:
    trace, _ = run(Task(POLICIES["cascade"]), UNSURE, tiers=(OWN, TIERS[-1]))
    assert (trace.decision.reason, trace.decision.would_escalate) == (Reason.top_tier, False)


def test_own_models_that_may_not_see_it() -> None:
    handing = Handing(facts({}, (Tier("slm", ("task:t",)), *TIERS)))
    assert handing.may_ask("task:t")
    assert not handing.may_ask("task:t/other")
    assert not Handing(facts({}, ())).may_ask("task:t")


FIELDS = {name: msgspec.Raw(value) for name, value in (("seed", b"1"), ("tools", b"[]"), ("max_tokens", b"9"))}
QUERY = Query("q", "task:t", "hi", FIELDS)
SHAPE = Schema("label", {"type": "object", "properties": {"label": {"enum": ["a", "b"]}}, "required": ["label"]})


def test_a_constrained_request_and_how_its_answers_are_judged() -> None:
    edit = constrained([{"role": "user", "content": "x"}], SHAPE)
    query = edited(QUERY, edit, SHAPE)
    assert set(query.fields) == {"seed", "messages", "temperature", "response_format"}
    assert query.needs.json_schema
    judge = judge_of(query, facts({}))
    assert not judge(Outcome("f1", Status.ok, '{"label": "c"}', finish="stop"), ()).valid
    assert judge(Outcome("f1", Status.ok, '{"label": "a"}', finish="stop"), ()).valid


def test_what_an_edit_needs() -> None:
    found = needed(QUERY, added=400, schema=True, output_tokens=7)
    assert (found.input_tokens, found.json_schema, found.output_tokens) == (100, True, 7)


def test_a_judge_of_its_own() -> None:
    asked = []

    def judge(outcome, others):
        asked.append(outcome.model)
        return Verdict(0.99)

    class Judged(Task):
        def plan(self, facts):
            handing = Handing(facts)
            yield from handing.ask("task:t", patient=True)
            self.handed = yield from handing.hand_up(self._above, EDIT, word="x", judge=judge)
            return handing.serve_handed(self.handed)

    trace, _ = run(Judged(POLICIES["cascade"]), UNSURE)
    assert asked == ["s1"]
    assert trace.decision.reason is Reason.accepted
