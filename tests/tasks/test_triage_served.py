"""Triage as a task, without a gateway: what it asks of those above, with few labels and with a thousand."""

from __future__ import annotations

import msgspec
import pytest

from smallfirst.core import Needs, Outcome, Query, Reason, Status, Tier
from smallfirst.engine.virtual import simulate
from smallfirst.errors import BadRequest, DataError
from smallfirst.models.local import Ask
from smallfirst.policy.cascade import Cascade
from smallfirst.tasks.triage.fit import Wanted, fit_triage, part
from smallfirst.tasks.triage.model import Judged, Triage
from smallfirst.tasks.triage.offer import LONGEST, MOST_OFFERED, Offer
from smallfirst.tasks.triage.rows import Labelled
from smallfirst.tasks.triage.served import TriageTask
from tests.policy.stage import COST, facts
from tests.tasks.tickets import SURE, UNSURE, fitted

LABELS = [f"label {n:04}" for n in range(1000)]
TIERS = (Tier("slm", ("task:t",)), Tier("frontier", ("f1",)))
COST.setdefault("task:t", 0)


class Many:
    """A triage of a thousand labels that is never sure."""

    model = msgspec.structs.replace(fitted(), labels=LABELS, out_of_scope=None)

    def judge(self, texts):
        ranked = tuple(reversed(LABELS))[:MOST_OFFERED]
        return [Judged((ranked[0],), 0.2, None, False, ranked[1], ranked) for _ in texts]


def task(triage=None, threshold: float | None = None) -> TriageTask:
    triage = triage or Triage(fitted())
    kept = triage.model.threshold if threshold is None else threshold
    return TriageTask("task:t", triage, Cascade("auto"), threshold=kept)


def plan(one: TriageTask, text: str, said: str):
    """(what happened, the Start of the call above)."""
    handed = []
    query = Query("q", "task:t", text, {"messages": msgspec.Raw(b"[]")})

    def answer(start):
        if start.model == "task:t":
            told = one.models[0].local.answer(Ask(query, {}))
            return Outcome("task:t", Status.ok, told.text, finish="stop"), 1000
        handed.append(start)
        return Outcome("f1", Status.ok, said, finish="stop", cost=5), 1000

    asked = msgspec.structs.replace(facts({}, TIERS), query=query)
    return simulate(one, asked, answer), handed[0] if handed else None


def test_of_a_thousand_labels_the_likeliest_are_offered() -> None:
    trace, start = plan(task(Many()), "anything", '{"label": "label 0800"}')
    form = msgspec.json.decode(start.edit.put["response_format"])
    offered = form["json_schema"]["schema"]["properties"]["label"]["enum"]
    assert offered == sorted(LABELS)[-MOST_OFFERED:]
    assert trace.decision.made.result["label"] == "label 0800"
    trace, _ = plan(task(Many()), "anything", '{"label": "label 0001"}')  # it was not offered
    assert trace.decision.reason is Reason.unsure
    assert trace.decision.made.result["label"] == "label 0999"


def test_what_is_handed_up_is_counted_into_the_context_it_takes() -> None:
    one, needs = task(Many()), Needs(input_tokens=10)
    short = one.needs(Query("q", "t", "x" * 40, {}, needs))
    assert short.json_schema
    assert short.input_tokens > MOST_OFFERED * len(LABELS[0]) // 4  # the labels stand in it twice
    long = one.needs(Query("q", "t", "x" * 1_000_000, {}, msgspec.structs.replace(needs, input_tokens=250_000)))
    assert long.input_tokens < 10_000  # of a long text only its ends are sent
    _, start = plan(one, "ab" * 500_000, "{}")
    sent = msgspec.json.decode(start.edit.put["messages"])[1]["content"]
    assert LONGEST <= len(sent) < LONGEST + 20


def test_a_small_set_is_offered_whole() -> None:
    _, start = plan(task(), UNSURE, "{}")
    system = msgspec.json.decode(start.edit.put["messages"])[0]["content"]
    assert "The labels are: account, billing, delivery, none." in system
    trace, start = plan(task(), SURE, "{}")
    assert (start, trace.decision.reason) == (None, Reason.accepted)
    assert trace.decision.verdict.p_correct == pytest.approx(trace.decision.made.result["confidence"], abs=1e-4)


def test_a_model_of_its_own_that_fails_hands_up() -> None:
    one = task()
    query = Query("q", "task:t", UNSURE, {"messages": msgspec.Raw(b"[]")})

    def answer(start):
        if start.model == "task:t":
            return Outcome("task:t", Status.broken, error="ValueError"), 1000
        return Outcome("f1", Status.ok, said, finish="stop"), 1000

    asked = msgspec.structs.replace(facts({}, TIERS), query=query)
    said = '{"label": "delivery"}'
    decision = simulate(one, asked, answer).decision
    assert (decision.deferrals, decision.made.result["label"]) == (("failed",), "delivery")
    assert "local" not in decision.made.result
    said = "no label"
    decision = simulate(one, asked, answer).decision
    assert (decision.served, decision.reason) == (None, Reason.failed)


def test_several_labels() -> None:
    offer = Offer(("a", "b", "c"), several=True)
    assert offer.schema.schema["properties"]["labels"]["items"]["enum"] == ["a", "b", "c"]
    assert offer.read('{"labels": ["b", "a", "b"]}') == ("b", "a")
    assert offer.read('{"labels": []}') == ()
    assert offer.read('{"labels": ["d"]}') is None
    assert Offer(("a", "b"), beyond="none").read('{"label": "none"}') == ()
    assert Offer(("a", "b")).read("a") == ("a",)
    assert Offer(("a", "b")).read('{"labels": ["a", "b"]}') is None


def test_a_turn_without_text() -> None:
    with pytest.raises(BadRequest, match="no text"):
        task().models[0].local.answer(Ask(Query("q", "t", " \n", {}), {}))


def test_among_many_labels_some_may_stand_on_a_single_text() -> None:
    words = ["alpha", "beta", "gamma", "delta"]
    rows = [
        Labelled(f"ticket {label} {words[k % 4]} {k}", (label,), "")
        for label in (f"queue{n}" for n in range(30))
        for k in range(8)
    ]
    rows += [Labelled("ticket rare alone", ("rare",), "")]
    parts = part(rows, seed=0)
    fit = [row for row in parts.fit if row.labels != ("rare",)]
    parts = msgspec.structs.replace(parts, fit=[*fit, rows[-1]])
    model = fit_triage(parts, Wanted(accuracy=0.8), None)
    assert model.card.rare == ("rare",)
    assert "rare" in model.labels
    with pytest.raises(DataError, match="single row"):
        fit_triage(msgspec.structs.replace(parts, fit=parts.fit[-3:]), Wanted(accuracy=0.8), None)
