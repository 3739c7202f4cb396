"""The coin falls beforehand, shadows keep to permits and money, and nobody waits for an audit."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from smallfirst.core import (
    NANO,
    Attempt,
    DataClass,
    Model,
    Needs,
    Outcome,
    Permit,
    Price,
    Query,
    Replica,
    Status,
    Tier,
    Usage,
)
from smallfirst.engine.auditing import Audited
from smallfirst.ledger.notes import Audit
from smallfirst.models.answers import read_answers
from smallfirst.models.scripted import Reply, ScriptedSender
from smallfirst.monitor import audit as audit_module
from smallfirst.monitor.audit import DAY_US, Audits
from smallfirst.monitor.settings import MonitorSettings
from tests.ledger.entries import entry

PRICE = Price(NANO, NANO, NANO, "test")  # a dollar a million tokens
MODELS = {
    name: Model(name, tier, (Replica("here", "http://127.0.0.1:9/v1", name),), price=PRICE)
    for name, tier in (("small", "slm"), ("mid", "mid"), ("best", "frontier"))
}
TIERS = (Tier("slm", ("small",)), Tier("mid", ("mid",)), Tier("frontier", ("best",)))
PERMIT = Permit(DataClass.internal, frozenset((name, "here") for name in MODELS), "test")
QUERY = Query(
    "sf-1", "promise", "2 + 2?", {"messages": msgspec.Raw(b'[{"role":"user","content":"2 + 2?"}]')},
    needs=Needs(input_tokens=1000, output_tokens=1000),
)  # fmt: skip


class Clock:
    now = 10 * DAY_US


def outcome(model="small", text="4", status=Status.ok):
    return Outcome(model, status, text, usage=Usage(10, 5))


class Desk:
    """Audits over a scripted sender, and what was noted."""

    def __init__(self, script=None, *, coin=lambda: 0.0, pairs=None, **settings):
        self.sender = ScriptedSender(script or {"best": "4", "mid": "4", "small": "4"})
        self.notes: list[Audit] = []
        self.clock = Clock()
        self.audits = Audits(
            MonitorSettings(**{"audit_rate": 0.5, **settings}), "promise", sender=self.sender, models=MODELS,
            baseline="best", note=self.notes.append, pairs_path=pairs, coin=coin, now_us=lambda: self.clock.now,
        )  # fmt: skip

    def run(self, served=None, *, tiers=TIERS, permit=PERMIT, attempts=(), query=QUERY, times=1, **fields):
        """Take `times` requests, let their audits finish."""

        async def go():
            answer = outcome() if served is None else served
            made = {"id": "sf-1", "policy": "promise", "served_model": answer.model, "certificate_id": "c1"}
            made |= {"in_certificate": True, **fields}
            for _ in range(times):
                self.audits.take(Audited(query, tiers, permit), entry(0, **made), answer, attempts)
            await self.audits.close()

        asyncio.run(go())
        return self.notes[-1]

    @property
    def asked(self):
        return [sent.model for sent in self.sender.seen]


def test_the_coin_is_tossed_for_the_audited_policy_alone():
    values = iter([0.49, 0.49, 0.51, 0.0])
    audits = Desk(coin=lambda: next(values)).audits
    assert audits.toss("promise")
    assert not audits.toss("auto")
    assert not audits.toss("promise")
    assert audits.toss("promise")


def test_the_baseline_is_asked_and_compared():
    desk = Desk()
    audit = desk.run()
    assert desk.asked == ["best"]
    assert (audit.status, audit.agreement, audit.calls, audit.rate) == ("ok", "same", 1, 0.5)
    assert audit.cost > 0
    assert (audit.certificate_id, audit.in_certificate) == ("c1", True)


def test_an_answer_of_the_baseline_needs_no_call():
    desk = Desk()
    audit = desk.run(outcome("best"))
    assert (desk.asked, audit.agreement, audit.calls, audit.cost) == ([], "same", 0, 0)


def test_what_the_request_has_asked_already_is_not_asked_again():
    desk = Desk()
    audit = desk.run(attempts=(Attempt(1, "witness", outcome("best", "5")),))
    assert (desk.asked, audit.agreement, audit.cost) == ([], "different", 0)


def test_a_shadow_needs_the_requests_own_permit():
    desk = Desk()
    audit = desk.run(tiers=TIERS[:2])
    assert (desk.asked, audit.status) == ([], "no_permit")


def test_a_shadow_that_fails_is_written_down():
    audit = Desk({"best": Reply(status=Status.timed_out)}).run()
    assert (audit.status, audit.agreement) == ("timed_out", None)


def test_what_was_not_served_or_relayed_unread_is_not_compared():
    desk = Desk()
    assert desk.run(outcome(status=Status.broken)).status == "unserved"
    assert desk.run(outcome(text="")).status == "no_text"
    assert desk.asked == []


def test_where_answers_differ_the_judge_grades_both_blind():
    def script(call):
        if call.query.asked == "judge":
            text = msgspec.json.decode(call.query.fields["messages"])[1]["content"]
            return json.dumps({name: 9 if f'name="{name}">\n4\n' in text else 1 for name in "AB"})
        return "5"

    desk = Desk(script, judge="best")
    audit = desk.run()
    assert (audit.agreement, audit.served_score, audit.baseline_score) == ("different", 0.9, 0.1)
    assert audit.grader.startswith("judge:best@")
    assert audit.judge_cost > 0
    assert desk.audits.spent_ever == audit.cost + audit.judge_cost


def test_a_judge_that_can_not_be_read_or_may_not_see_it_leaves_it_ungraded():
    assert Desk({"best": "5", "mid": "no idea"}, judge="mid").run().status == "ungraded"
    narrow = Permit(DataClass.health, frozenset({("small", "here"), ("best", "here")}), "test")
    desk = Desk({"best": "5"}, judge="mid")
    assert desk.run(permit=narrow, tiers=(TIERS[0], TIERS[2])).status == "ungraded"
    assert desk.asked == ["best"]


def test_a_judge_outside_the_tiers_sees_nothing_that_takes_an_intent():
    """The request's intent names the models of its tiers: what goes elsewhere could not be proved after a crash."""
    script = {"best": "5", "mid": "5", "small": '{"A": 5, "B": 5}'}
    tiers = (Tier("mid", ("mid",)), Tier("frontier", ("best",)))
    desk = Desk(script, judge="small")
    assert desk.run(outcome("mid"), tiers=tiers, data_class=DataClass.personal).status == "ungraded"
    assert desk.run(outcome("mid"), tiers=tiers, data_class=DataClass.internal, id="sf-2").status == "ok"
    assert desk.asked == ["best", "best", "small"]


def test_without_a_judge_only_what_is_kept_waits_for_people(tmp_path):
    assert Desk({"best": "5"}).run().status == "ungraded"
    desk = Desk({"best": "5"}, keep="audited", pairs=tmp_path / "kept.jsonl")
    audit = desk.run(data_class=DataClass.internal, tags=("slice:sums",))
    assert (audit.status, audit.kept, audit.served_score) == ("ok", True, None)
    rows = read_answers(tmp_path / "kept.jsonl")
    assert {row.model: row.answer for row in rows} == {"small": "4", "best": "5"}
    assert {(row.slice, row.category) for row in rows} == {("sums", "faq")}
    assert desk.run(data_class=DataClass.personal, id="sf-2").status == "ungraded"
    assert len(read_answers(tmp_path / "kept.jsonl")) == 2


def test_a_file_that_can_not_be_written_costs_no_audit(tmp_path):
    audit = Desk(keep="audited", pairs=tmp_path / "no" / "folder.jsonl").run(data_class=DataClass.public)
    assert (audit.status, audit.kept) == ("ok", False)


def test_the_days_money_counts_what_is_under_way():
    """A call is expected to cost 0.002 dollars: with 0.003 a day, two begin and no third."""
    desk = Desk(usd_per_day=0.003)
    desk.run(times=5)
    assert [note.status for note in desk.notes].count("budget") == 3
    assert len(desk.asked) == 2


def test_a_new_day_brings_new_money():
    desk = Desk(usd_per_day=0.003)
    desk.audits._spent = NANO
    assert desk.run().status == "budget"
    desk.clock.now += DAY_US
    assert desk.run().status == "ok"


def test_an_answer_of_the_baseline_is_left_out_too_when_the_money_is_spent():
    """Or else what is audited would depend on who answered."""
    assert Desk(usd_per_day=0.0).run(outcome("best")).status == "budget"


def test_too_many_at_once_are_left_out(monkeypatch):
    monkeypatch.setattr(audit_module, "MOST_AT_ONCE", 2)
    desk = Desk()
    desk.run(times=3)
    assert sorted(note.status for note in desk.notes) == ["busy", "ok", "ok"]


def test_shadow_all_asks_everyone_who_may_see_it(tmp_path):
    desk = Desk(shadow="all", keep="audited", pairs=tmp_path / "kept.jsonl")
    audit = desk.run(attempts=(Attempt(1, "answer", outcome("mid")),))
    assert (desk.asked, audit.calls) == (["best"], 1)
    assert {row.model for row in read_answers(tmp_path / "kept.jsonl")} == {"small", "mid", "best"}
    assert {row.sample_prob for row in read_answers(tmp_path / "kept.jsonl")} == {0.5}


def test_a_stream_that_was_relayed_unread_is_asked_again_only_to_collect_outcomes(tmp_path):
    desk = Desk(keep="audited", pairs=tmp_path / "kept.jsonl")
    audit = desk.run(outcome("best", text=""))
    assert (desk.asked, audit.agreement, audit.kept) == ([], "same", False)
    collecting = Desk(keep="audited", shadow="all", pairs=tmp_path / "kept.jsonl")
    assert collecting.run(outcome("best", text="")).kept
    assert sorted(collecting.asked) == ["best", "mid", "small"]
    assert {row.answer for row in read_answers(tmp_path / "kept.jsonl")} == {"4"}


def test_an_audit_that_breaks_is_logged_and_counted(caplog):
    def script(call):
        raise RuntimeError("a bug")

    desk = Desk(script)
    with pytest.raises(IndexError):  # nothing was noted
        desk.run()
    assert desk.audits.counts["crashed"] == 1
    assert "an audit broke off: RuntimeError" in caplog.text
