"""Audits reach the detectors in the order in which they were written, also over a restart, and an alarm stays."""

from __future__ import annotations

import logging

import msgspec
import pytest

from smallfirst.calibrate.detector import Watch
from smallfirst.core import Grade
from smallfirst.ledger.notes import Detector
from smallfirst.monitor.watch import Watching, counts, make_watch, restore_alarms
from tests.monitor.promises import audit, bound, certificate, guarded

WATCH = Watch({"all": 0.02}, alpha=0.05, horizon=100)
RIGHT, HARM = (1.0, 1.0), (0.0, 1.0)


class Desk:
    """A guard, its detectors, and what was written down."""

    def __init__(self, made=None, watch=WATCH):
        self.guarded = guarded(made)
        self.notes: list[Detector] = []
        self.watching = Watching(self.guarded, watch, self.notes.append, lambda: 77)

    def stored(self):
        """The last state of each slice, as the ledger would give it back."""
        return list({note.slice: note for note in self.notes}.values())

    @property
    def audits(self):
        return self.watching.states["all"].audits


def test_audits_that_agree_or_are_graded_are_fed_at_once():
    desk = Desk()
    desk.watching.add(audit(0))
    desk.watching.add(audit(1, "different", (0.4, 0.9)))
    assert desk.audits == 2
    assert [note.n for note in desk.notes] == [1, 2]


@pytest.mark.parametrize("more", [
    {"in_certificate": False}, {"status": "timed_out"}, {"status": "ungraded"}, {"agreement": None},
])  # fmt: skip
def test_what_says_nothing_about_the_promise_is_passed_over(more):
    desk = Desk()
    made = audit(0, **more)
    desk.watching.add(made)
    assert not counts(made)
    assert (desk.audits, desk.watching.queued) == (0, 0)


def graded(n, scores, at=1):
    made = audit(n)
    return [
        Grade(made.request_id, m, s, "person:ada", 1.0, True, at) for m, s in zip(("s1", "f1"), scores, strict=True)
    ]


def test_an_audit_that_waits_for_people_holds_up_those_behind_it():
    desk = Desk()
    desk.watching.add(audit(0, "different"))
    desk.watching.add(audit(1))
    assert (desk.audits, desk.watching.waiting, desk.watching.queued) == (0, [audit(0).request_id], 2)
    desk.watching.take_grades(graded(0, HARM)[:1])
    assert desk.audits == 0  # half a grade is none
    desk.watching.take_grades([*graded(0, HARM), *graded(9, RIGHT)])
    assert (desk.audits, desk.watching.waiting) == (2, [])


def test_of_two_grades_the_later_counts():
    one, other = Desk(), Desk()
    for desk, grades in ((one, graded(0, RIGHT)), (other, [*graded(0, HARM, at=1), *graded(0, RIGHT, at=2)])):
        desk.watching.add(audit(0, "different"))
        desk.watching.take_grades(grades)
    assert one.watching.states == other.watching.states


def broken(desk, count=60):
    for n in range(count):
        desk.watching.add(audit(n, "different", HARM))


def test_an_alarm_takes_the_policy_out_of_force_and_is_loud(caplog):
    desk = Desk()
    with caplog.at_level(logging.ERROR):
        broken(desk)
    assert desk.guarded.alarms == {"all": 77}
    assert not desk.guarded.in_force
    assert "ALARM: the policy promise no longer keeps the promise" in caplog.text
    assert desk.stored()[0].alarmed_us == 77


def test_a_promise_that_is_kept_is_quiet():
    desk = Desk()
    for n in range(2000):
        desk.watching.add(audit(n) if n % 60 else audit(n, "different", HARM))
    assert desk.guarded.alarms == {}


def test_a_restart_forgets_nothing():
    whole, first = Desk(), Desk()
    audits = [audit(n, "different", HARM if n % 5 == 0 else RIGHT) if n % 2 else audit(n) for n in range(40)]
    for made in audits:
        whole.watching.add(made)
    for made in audits[:25]:
        first.watching.add(made)
    second = Desk()
    second.watching.restore(first.stored(), audits[:30])
    for made in audits[30:]:
        second.watching.add(made)
    assert second.watching.states == whole.watching.states


def test_a_restart_knows_what_still_waits():
    first = Desk()
    audits = [audit(0), audit(1, "different"), audit(2)]
    for made in audits:
        first.watching.add(made)
    second = Desk()
    second.watching.restore(first.stored(), [*audits, audit(3, certificate_id="another")], graded(1, HARM))
    assert second.audits == 3
    third = Desk()
    third.watching.restore(first.stored(), audits)
    assert (third.audits, third.watching.waiting) == (1, [audit(1).request_id])


def test_an_alarm_outlives_the_process():
    first = Desk()
    broken(first)
    again = guarded()
    restore_alarms(again, first.stored())
    assert again.alarms == {"all": 77}
    second = Desk()
    second.watching.restore(first.stored(), [])
    second.watching.add(audit(99))
    assert second.watching.states["all"].alarmed_at is not None


def test_slices_are_watched_beside_the_whole():
    made = certificate(bound("faq"), bound("code"))
    assert set(make_watch(made, (), 0.05, 100).bounds) == {"all", "faq", "code"}
    assert set(make_watch(made, ("code",), 0.05, 100).bounds) == {"all", "code"}
    desk = Desk(made, make_watch(made, (), 0.05, 100))
    for n in range(120):
        desk.watching.add(audit(n, slice="faq"))
        desk.watching.add(audit(n, "different", HARM if n % 2 else RIGHT, slice="code"))
    assert "faq" not in desk.guarded.alarms
    assert "code" in desk.guarded.alarms
    assert msgspec.json.decode(desk.stored()[0].state)["audits"] > 0
