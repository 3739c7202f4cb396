"""Audits: a coin chooses requests beforehand; the baseline answers them too, and the two answers are compared.

Knows the permit, the budget and the judge. Does not know detectors (watch.py) or files (pairs.py, whose path it is
given). All of it happens off the request path; a request that the coin leaves alone pays for the coin.

The coin falls before anyone knows the answer, with a probability that is written down. Whether a chosen request is
left out because the day's money is spent, or too many audits are under way, depends on earlier requests alone.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from smallfirst.core import NANO, Attempt, DataClass, Entry, Grade, Model, Outcome, Usage
from smallfirst.engine.auditing import Audited
from smallfirst.engine.gates import Balancer
from smallfirst.engine.replicas import Caller
from smallfirst.ledger.notes import Audit, Note
from smallfirst.models.answers import row_of
from smallfirst.models.sender import Sender
from smallfirst.monitor import pairs
from smallfirst.monitor.guard import Guarded, slice_name
from smallfirst.monitor.judge import REPLY_TOKENS, answer_text, judge_name, judge_query, read_scores
from smallfirst.monitor.settings import MonitorSettings
from smallfirst.monitor.watch import Watching
from smallfirst.policy.protocol import Start
from smallfirst.verify.agreement import agreement

log = logging.getLogger(__name__)

MOST_AT_ONCE = 8
"""Audits under way; a request that is chosen meanwhile is left out, status `busy`."""

DAY_US = 86_400_000_000
CLOSE_S = 5.0
"""How long audits under way may take when the gateway stops."""


class Audits:
    """The auditor of one policy. For the event loop's thread alone."""

    def __init__(
        self,
        settings: MonitorSettings,
        policy: str,
        *,
        sender: Sender,
        models: Mapping[str, Model],
        baseline: str,
        note: Callable[[Note], None],
        keep_up_to: DataClass = DataClass.internal,
        intent_from: DataClass = DataClass.personal,
        guarded: Guarded | None = None,
        watching: Watching | None = None,
        pairs_path: Path | None = None,
        spent_today: int = 0,
        coin: Callable[[], float] = random.random,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.policy, self.watching, self.guarded = policy, watching, guarded
        self.counts: Counter[str] = Counter()  # chosen requests by status
        self.spent_ever = 0  # nano-dollars, since the start
        self._settings, self._rate = settings, settings.audit_rate
        self._sender, self._models, self._baseline, self._balancer = sender, models, baseline, Balancer()
        self._note, self._keep_up_to, self._pairs = note, keep_up_to, pairs_path
        self._intent_from = intent_from
        self._coin, self._now_us = coin, now_us
        self._budget = None if settings.usd_per_day is None else round(settings.usd_per_day * NANO)
        self._day, self._spent, self._reserved = now_us() // DAY_US, spent_today, 0
        self._tasks: set[asyncio.Task[None]] = set()

    def toss(self, policy: str) -> bool:
        """The coin, for requests of the audited policy."""
        return self._coin() < self._rate and policy == self.policy

    def take(self, audited: Audited, entry: Entry, served: Outcome | None, attempts: tuple[Attempt, ...]) -> None:
        """Begin an audit of a request that has been served, or say why there is none."""
        before = self._refusal(audited, served)
        if before is not None:
            self._write(self._audit(entry, before))
            return
        reserve = self._expected(audited)
        self._reserved += reserve
        task = asyncio.get_running_loop().create_task(self._run(audited, entry, served, attempts, reserve))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        """Let audits under way finish, for a moment; what is not done then is dropped."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)
        for task in list(self._tasks):
            task.cancel()

    def take_grades(self, grades: list[Grade]) -> None:
        """What people have graded, read from the ledger."""
        if self.watching is not None:
            self.watching.take_grades(grades)

    # -- before -----------------------------------------------------------------------------------------------------

    def _refusal(self, audited: Audited, served: Outcome | None) -> str | None:
        """Why there is no audit, in a word; None: there is one."""
        today = self._now_us() // DAY_US
        if today != self._day:
            self._day, self._spent = today, 0
        if self._budget is not None and self._spent + self._reserved >= self._budget:
            return "budget"
        if len(self._tasks) >= MOST_AT_ONCE:
            return "busy"
        if served is None or not served.ok:
            return "unserved"
        if served.model != self._baseline:
            if not any(self._baseline in tier.models for tier in audited.tiers):
                return "no_permit"
            if not (served.text or served.tool_calls):
                return "no_text"  # it was relayed as it came
        return None

    def _expected(self, audited: Audited) -> int:
        """Nano-dollars that this audit may cost, so that those under way count against the day's money."""
        needs = audited.query.needs
        price = self._models[self._baseline].price
        shadow = 0 if price is None else price.cost(Usage(needs.input_tokens, needs.output_tokens or 512))
        judge = self._models[self._settings.judge].price if self._settings.judge else None
        return shadow + (0 if judge is None else judge.cost(Usage(needs.input_tokens + 1024, REPLY_TOKENS)))

    # -- the audit itself -------------------------------------------------------------------------------------------

    async def _run(
        self,
        audited: Audited,
        entry: Entry,
        served: Outcome | None,
        attempts: tuple[Attempt, ...],
        reserve: int,
    ) -> None:
        assert served is not None  # noqa: S101 - `take` has looked
        try:
            known, asked = await self._ask(audited, served, attempts)
            outcomes = {served.model: served, **known, **asked}
            baseline = outcomes[self._baseline]
            audit = self._audit(entry, "ok" if baseline.ok else baseline.status.value, served)
            cost = sum(outcome.cost for outcome in asked.values())
            audit = msgspec.structs.replace(audit, calls=len(asked), cost=cost)
            self._spend(cost)
            if baseline.ok:
                kept = await self._keep(audited, entry, outcomes)
                audit = msgspec.structs.replace(audit, kept=kept)
                audit = await self._compare(audit, audited, entry, served, baseline)
            self._write(audit)
        finally:
            self._reserved -= reserve

    async def _ask(
        self, audited: Audited, served: Outcome, attempts: tuple[Attempt, ...]
    ) -> tuple[dict[str, Outcome], dict[str, Outcome]]:
        """(what the request itself has brought, what was asked now) of the baseline, and with `shadow: all` of every
        model that may see it. No one is asked twice."""
        known = {a.outcome.model: a.outcome for a in attempts if a.outcome.ok and _has_content(a.outcome)}
        wanted = [name for tier in audited.tiers for name in tier.models]
        if self._settings.shadow == "baseline":
            wanted = [self._baseline]
        caller = Caller(self._sender, self._balancer, self._models, audited.query, audited.permit)
        if self._settings.shadow == "baseline" or _has_content(served):  # else it was relayed as it came, unread
            known[served.model] = served
        missing = [name for name in wanted if name not in known]
        asked = {name: await caller.ask(Start(n, name, signals=True)) for n, name in enumerate(missing)}
        return {name: known[name] for name in wanted if name in known}, asked

    async def _compare(self, audit: Audit, audited: Audited, entry: Entry, served: Outcome, baseline: Outcome) -> Audit:
        how = "same" if served.model == baseline.model else agreement(served, baseline)
        audit = msgspec.structs.replace(audit, agreement=how)
        judge = self._settings.judge
        if how == "same" or (judge is None and audit.kept):  # kept: people may grade it
            return audit
        if judge is None or not self._may_see(judge, audited, entry.data_class):
            return msgspec.structs.replace(audit, status="ungraded")
        query = judge_query(audited.query, [answer_text(served), answer_text(baseline)])
        caller = Caller(self._sender, self._balancer, self._models, query, audited.permit)
        outcome = await caller.ask(Start(1, judge))
        self._spend(outcome.cost)
        scores = read_scores(query.id, outcome, 2)
        audit = msgspec.structs.replace(audit, judge_cost=outcome.cost)
        if scores is None:
            return msgspec.structs.replace(audit, status="ungraded")
        return msgspec.structs.replace(
            audit, served_score=scores[0], baseline_score=scores[1], grader=judge_name(judge)
        )

    def _may_see(self, judge: str, audited: Audited, data_class: DataClass) -> bool:
        """Whether the permit covers the judge, and, where sending takes an intent, the request's intent names it."""
        if not any(model == judge for model, _ in audited.permit.replicas):
            return False
        return data_class < self._intent_from or any(judge in tier.models for tier in audited.tiers)

    async def _keep(self, audited: Audited, entry: Entry, outcomes: Mapping[str, Outcome]) -> bool:
        """Texts into the file, where that was asked for and the data class allows it."""
        if self._pairs is None or self._settings.keep == "none" or entry.data_class > self._keep_up_to:
            return False
        if any(outcome.ok and not _has_content(outcome) for outcome in outcomes.values()):
            return False  # the baseline's own stream, which nobody has read
        named = {"slice": slice_name(entry.tags, entry.kind), "category": entry.kind}
        rows = [
            row_of(audited.query, outcome, tier=self._models[m].tier, rate=self._rate, at_us=entry.at_us, **named)
            for m, outcome in outcomes.items()
        ]
        try:
            await asyncio.to_thread(pairs.keep, self._pairs, rows)
        except OSError as fault:
            log.error("audited answers can't be kept in %s: %s", self._pairs, fault.strerror)
            return False
        return True

    # -- writing down -----------------------------------------------------------------------------------------------

    def _audit(self, entry: Entry, status: str, served: Outcome | None = None) -> Audit:
        return Audit(
            request_id=entry.id,
            at_us=entry.at_us,
            policy=entry.policy,
            certificate_id=entry.certificate_id,
            in_certificate=entry.in_certificate,
            slice=self._slice(entry),
            rate=self._rate,
            served_model=served.model if served else entry.served_model,
            baseline_model=self._baseline,
            status=status,
        )

    def _slice(self, entry: Entry) -> str:
        bound = self.guarded.slice_of(entry.tags, entry.kind) if self.guarded is not None else None
        return bound.slice if bound is not None else entry.kind

    def _write(self, audit: Audit) -> None:
        self.counts[audit.status] += 1
        self._note(audit)
        if self.watching is not None:
            self.watching.add(audit)

    def _spend(self, cost: int) -> None:
        self._spent += cost
        self.spent_ever += cost

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self.counts["crashed"] += 1
            log.error("an audit broke off: %s", type(fault).__name__, exc_info=fault)


def _has_content(outcome: Outcome) -> bool:
    return bool(outcome.text or outcome.tool_calls)
