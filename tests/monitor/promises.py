"""Certificates, guards and audits for the tests of this room, made from a few words."""

from __future__ import annotations

import msgspec

from smallfirst.calibrate.certificate import Bound, Certificate, Differences, Expected, issue
from smallfirst.calibrate.promise import Design, Promise
from smallfirst.core import Reason
from smallfirst.ledger.notes import Audit
from smallfirst.monitor.guard import Guarded
from smallfirst.policy.course import ClientGone, Course
from smallfirst.policy.endings import last_resort, served
from smallfirst.policy.protocol import Facts, Plan

MODELS = ("s1", "m1", "f1")


def bound(name: str = "all", rung: int = 1, p: float | None = 0.01, loss: float = 0.02) -> Bound:
    return Bound(name, rung, 0.1 * rung, loss, 0.01, p, rung + 1, 500, 480)


def certificate(*bounds: Bound, loss: float = 0.02, **more) -> Certificate:
    held = bounds or (bound(loss=loss),)
    usual = {
        "id": "",
        "format": 1,
        "policy": "promise",
        "promise": Promise(loss, 0.95),
        "slicing": None if held[0].slice == "all" else "joint",
        "bounds": held,
        "design": Design(),
        "rows": 500,
        "groups": 480,
        "grader": "checker:canonical",
        "expected": Expected({"slm": 0.7, "frontier": 0.3}, 0.4, 1000.0),
        "ladder": "ladder",
        "models": dict.fromkeys(MODELS, "digest"),
        "prompts": "p",
        "verifier": "v",
        "canonicaliser": "c",
        "data": "d",
        "prices": "$",
        "issued_at": "2026-11-25T13:00:00Z",
    }
    return issue(Certificate(**{**usual, **more}))


class Cheap(msgspec.Struct, frozen=True):
    """A rung that asks one model and serves it, whatever it says: the guard can't tell it from a fitted one."""

    name: str
    model: str

    def plan(self, facts: Facts) -> Plan:
        course = Course(facts)
        try:
            decision = yield from served(course, self.model, Reason.accepted)
            if decision is None:
                decision = yield from last_resort(course)
            return decision
        except ClientGone:
            return course.gone()


def guarded(made: Certificate | None = None, found: Differences | None = None, name: str = "promise") -> Guarded:
    """Rung 0 asks f1, every other rung s1."""
    return Guarded(
        name, made or certificate(), MODELS, lambda rung: Cheap(name, "s1" if rung else "f1"), found or Differences()
    )


def audit(n: int = 0, agreement: str | None = "same", scores: tuple[float, float] | None = None, **more) -> Audit:
    usual = {
        "request_id": f"sf-{n:028x}",
        "at_us": n,
        "policy": "promise",
        "certificate_id": certificate().id,
        "in_certificate": True,
        "slice": "all",
        "rate": 0.1,
        "served_model": "s1",
        "baseline_model": "f1",
        "status": "ok",
        "agreement": agreement,
        "served_score": scores[0] if scores else None,
        "baseline_score": scores[1] if scores else None,
    }
    return Audit(**{**usual, **more})
