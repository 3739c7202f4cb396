"""The detectors of one certificate: fed with audits in the order in which they were written, stored after each.

Knows calibrate/detector.py, the guard whose alarm it sounds, and where notes go. Does not know how answers are graded.

Where people grade, an audit waits until they have: those behind it wait too, although they may be known already.
Disagreements that are fed before agreements would look like a drift that is not there.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from smallfirst.calibrate import detector
from smallfirst.calibrate.certificate import ALL, Certificate
from smallfirst.calibrate.detector import Evidence, Watch
from smallfirst.core import Grade
from smallfirst.ledger.notes import Audit, Detector
from smallfirst.monitor.guard import Guarded

log = logging.getLogger(__name__)

AGREED = (1.0, 1.0)
"""What an audit counts as whose two answers say the same: no loss, and a baseline that is right. The baseline may have
been wrong, and then the margin is counted too large: that makes an alarm a little later, and no false one likelier."""

Scores = tuple[float, float]
"""(served, baseline), 0..1."""


def make_watch(certificate: Certificate, slices: Sequence[str], alpha: float, horizon: int) -> Watch:
    """What is watched: the whole, and the certified slices (of these names, where any are given)."""
    wanted = [bound.slice for bound in certificate.bounds if not slices or bound.slice in slices]
    bounds = dict.fromkeys((ALL, *wanted), certificate.promise.max_quality_loss)
    return Watch(bounds, alpha=alpha, horizon=horizon)


class Watching:
    """The detectors, and the audits that wait for grades. For the event loop's thread alone."""

    def __init__(
        self, guarded: Guarded, watch: Watch, note: Callable[[Detector], None], now_us: Callable[[], int]
    ) -> None:
        self.guarded, self.watch = guarded, watch
        self.states: dict[str, Evidence] = detector.begin(watch)
        self._note, self._now_us = note, now_us
        self._queue: deque[tuple[Audit, Scores | None]] = deque()

    def restore(self, stored: Iterable[Detector], audits: Iterable[Audit], grades: Iterable[Grade] = ()) -> None:
        """Go on where an earlier process stopped: its detectors, then the audits that they had not been fed."""
        for one in stored:
            if one.slice in self.states:
                self.states[one.slice] = msgspec.json.decode(one.state, type=Evidence)
        fed = self.states[ALL].audits
        countable = [audit for audit in audits if audit.certificate_id == self.guarded.certificate.id and counts(audit)]
        for audit in countable[fed:]:
            self._queue.append((audit, scores_of(audit)))
        self.take_grades(grades)

    def add(self, audit: Audit) -> None:
        """One audit, as it is written down. Those that say nothing about the promise are passed over."""
        if counts(audit):
            self._queue.append((audit, scores_of(audit)))
            self._feed()

    @property
    def waiting(self) -> list[str]:
        """Requests whose grades are missing, oldest first."""
        return [audit.request_id for audit, scores in self._queue if scores is None]

    @property
    def queued(self) -> int:
        """Audits that were not fed yet: the waiting ones, and those behind them."""
        return len(self._queue)

    def take_grades(self, grades: Iterable[Grade]) -> None:
        """What people have graded meanwhile; of two grades of one answer the later counts."""
        given: dict[tuple[str, str], float] = {}
        for grade in sorted(grades, key=lambda one: one.at_us):
            given[grade.query_id, grade.model] = grade.score
        for n, (audit, scores) in enumerate(self._queue):
            if scores is None:
                self._queue[n] = (audit, _graded(audit, given))
        self._feed()

    def _feed(self) -> None:
        while self._queue and (scores := self._queue[0][1]) is not None:
            audit, _ = self._queue.popleft()
            before = self.states
            self.states, sounded = detector.audit(self.watch, before, audit.slice, *scores)
            now = self._now_us()
            for name in sounded:
                self._sound(name, now)
            for name, state in self.states.items():
                if state is not before[name]:
                    self._keep(name, state, now)

    def _sound(self, name: str, now: int) -> None:
        self.guarded.alarms.setdefault(name, now)
        log.error(
            "ALARM: the policy %s no longer keeps the promise of certificate %s (slice %s, %d audits); the highest "
            "permitted tier answers from now on, until the policy is certified again",
            self.guarded.name,
            self.guarded.certificate.id,
            name,
            self.states[name].audits,
        )

    def _keep(self, name: str, state: Evidence, now: int) -> None:
        text = msgspec.json.encode(state).decode()
        self._note(Detector(self.guarded.certificate.id, name, state.audits, text, self.guarded.alarms.get(name), now))


def counts(audit: Audit) -> bool:
    """Whether an audit is evidence about the promise: it stood inside, and both answers are there."""
    return audit.in_certificate and audit.status == "ok" and audit.agreement is not None


def scores_of(audit: Audit) -> Scores | None:
    """What is known of an audit without people; None: it waits for their grades."""
    if audit.agreement == "same":
        return AGREED
    if audit.served_score is None or audit.baseline_score is None:
        return None
    return audit.served_score, audit.baseline_score


def _graded(audit: Audit, given: Mapping[tuple[str, str], float]) -> Scores | None:
    served = given.get((audit.request_id, audit.served_model or ""))
    baseline = given.get((audit.request_id, audit.baseline_model))
    return None if served is None or baseline is None else (served, baseline)


def restore_alarms(guarded: Guarded, stored: Iterable[Detector]) -> None:
    """Alarms outlive the process, and the `monitor` section: only a new certificate ends them."""
    for one in stored:
        if one.alarmed_us is not None:
            guarded.alarms[one.slice] = one.alarmed_us
