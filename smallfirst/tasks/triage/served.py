"""A fitted triage model as a task of the gateway.

Knows triage's answers and the question that is put to those above. Does not know HTTP. The model itself runs in a
worker thread; the plan here only compares its confidence with the threshold.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from smallfirst.core import Decision, Edit, Made, Needs, Outcome, Query, Reason, Status, Verdict
from smallfirst.errors import BadRequest, DataError
from smallfirst.models.local import Ask, Said
from smallfirst.policy.course import ClientGone
from smallfirst.policy.protocol import Facts, Plan, Policy
from smallfirst.tasks.certify import NOTHING
from smallfirst.tasks.edits import constrained, edited, needed
from smallfirst.tasks.handing import Handed, Handing, Heard
from smallfirst.tasks.task import Opening, Own, Promise, TaskKind
from smallfirst.tasks.triage.model import Triage
from smallfirst.tasks.triage.offer import LONGEST, MOST_OFFERED, Offer
from smallfirst.tasks.triage.spec import read_spec
from smallfirst.tasks.triage.store import load_model

PROMPT = 120
"""Characters of the instructions, without the labels."""


class Found(msgspec.Struct, frozen=True):
    """What triage says of a text, as its call's answer. `offered`: what to ask those above for, of a large set."""

    labels: tuple[str, ...]
    confidence: float
    in_scope: float | None = None
    offered: tuple[str, ...] = ()


class TriageLocal:
    """models/local.py's Local: judges the last user turn."""

    def __init__(self, triage: Triage) -> None:
        self._triage = triage

    def answer(self, ask: Ask) -> Said:
        text = ask.query.text
        if not text.strip():
            raise BadRequest("there is no text in the last user turn", code="empty_text", param="messages")
        (judged,) = self._triage.judge([text])
        found = Found(judged.labels, judged.confidence, judged.in_scope, judged.ranked)
        return Said(msgspec.json.encode(found).decode(), judged.confidence)


class TriageTask:
    """tasks/task.py's Task."""

    kind: TaskKind = "triage"

    def __init__(self, name: str, triage: Triage, above: Policy, *, threshold: float, workers: int = 2) -> None:
        model = triage.model
        self.name, self._model, self._above, self._threshold = name, model, above, threshold
        self.models = (Own(name, TriageLocal(triage), workers=workers),)
        self.own = (name,)
        self._whole = Offer(tuple(model.labels), model.several, model.out_of_scope)
        self._added = PROMPT + 2 * sum(len(label) + 4 for label in model.labels[:MOST_OFFERED])

    @property
    def promise(self) -> Promise | None:
        certified = self._model.certified
        if certified is None or self._threshold != self._model.threshold:
            return None
        coverage = certified.kept / certified.rows
        return Promise(certified.accuracy, certified.confidence, coverage, certified.rows, certified.explain())

    def about(self) -> Mapping[str, object]:
        model, card = self._model, self._model.card
        reported = {"accuracy": card.accuracy, "kept": card.kept, "kept_accuracy": card.kept_accuracy}
        return {
            "labels": model.labels,
            "several": model.several,
            "out_of_scope": model.out_of_scope,
            "threshold": None if self._threshold >= NOTHING else self._threshold,
            "reported": reported if card.accuracy is not None else None,
        }

    def needs(self, query: Query) -> Needs:
        return needed(query, added=self._added + min(0, LONGEST - len(query.text)), schema=True, output_tokens=0)

    def plan(self, facts: Facts) -> Plan:
        handing = Handing(facts)
        try:
            return (yield from self._plan(handing))
        except ClientGone:
            return handing.gone()

    def _plan(self, handing: Handing) -> Plan:
        heard = yield from handing.ask(self.name, patient=True)
        if heard is None or heard.outcome.status is Status.refused:
            return handing.failed("the text can't be read")
        found = _read(heard.outcome)
        strict = handing.facts.max_quality_loss is not None  # its promise is of accuracy, not of loss
        if found is not None and found.confidence >= self._threshold and not strict:
            return self._keep(handing, heard, found, Reason.accepted)
        edit, query, offer = self._question(handing.facts.query, found)
        word = "failed" if found is None else "no_certificate" if strict else "low_confidence"
        handed = yield from handing.hand_up(self._above, edit, word=word, query=query)
        labels = None if handed.outcome is None else offer.read(handed.outcome.text)
        if labels is not None:
            return handing.serve_handed(handed, self._made(labels, None, found))
        if found is None:
            return handing.failed("its own model failed, and nobody above gave one of the labels")
        return self._keep(handing, heard, found, _why_kept(handing, handed))

    def _question(self, query: Query | None, found: Found | None) -> tuple[Edit, Query | None, Offer]:
        """(the edit, the query as it is handed up, the labels that are offered)."""
        offer = self._whole
        if len(offer.labels) > MOST_OFFERED:
            likely = found.offered if found is not None and found.offered else offer.labels[:MOST_OFFERED]
            offer = msgspec.structs.replace(offer, labels=tuple(sorted(likely)))
        text = "" if query is None else query.text
        edit = constrained(offer.messages(text), offer.schema)
        return edit, None if query is None else edited(query, edit, offer.schema), offer

    def _keep(self, handing: Handing, heard: Heard, found: Found, reason: Reason) -> Decision:
        sure = reason is Reason.accepted
        said = f"its own confidence, calibrated; at least {self._threshold:.3f} is kept"
        verdict = Verdict(found.confidence, (said,))
        made = self._made(found.labels, found.confidence, None, sure=sure, refused=handing.facts.refused)
        return handing.serve(heard, reason, made, verdict=verdict, would_escalate=not sure and not handing.deferrals)

    def _made(
        self,
        labels: tuple[str, ...],
        confidence: float | None,
        local: Found | None,
        *,
        sure: bool = False,
        refused: str = "",
    ) -> Made:
        """The answer's words, and the task's JSON."""
        shown = None if confidence is None else round(confidence, 4)
        said: dict[str, object] = {"labels": labels}
        if not self._model.several:
            said = {"label": labels[0] if labels else self._model.out_of_scope}
        text = msgspec.json.encode({**said, "confidence": shown}).decode()
        result = {**said, "confidence": shown, "sure": sure}
        if local is not None:
            result["local"] = {"labels": local.labels, "confidence": round(local.confidence, 4)}
        if refused and not sure:
            result["not_handed_up"] = refused
        return Made(text, result)


def open_triage(opening: Opening) -> TriageTask:
    """A task from the file that `triage fit` wrote, or from the spec that it was fitted by.

    Raises DataError, ConfigError (the spec), SetupError without the model's embedder.
    """
    path = opening.model
    if path is None:
        path = read_spec(Path(opening.spec or ""), os.environ).out
        if path is None:
            raise DataError(f"{opening.spec}: it does not say `out`, so there is no model to serve")
    triage = Triage(load_model(Path(path)))
    triage.judge(["warm up"])  # what is unpacked at the first call
    threshold = triage.model.threshold if opening.threshold == "certified" else opening.threshold
    return TriageTask(opening.name, triage, opening.above, threshold=threshold, workers=opening.workers)


def _read(outcome: Outcome) -> Found | None:
    return msgspec.json.decode(outcome.text, type=Found) if outcome.ok else None


def _why_kept(handing: Handing, handed: Handed) -> Reason:
    """Why an answer is served that the task is not sure of."""
    if handed.late:
        return Reason.latency_limit
    if handing.above and not handed.asked and handing.facts.max_cost is not None:
        return Reason.cost_limit
    return Reason.unsure if handing.facts.max_quality_loss is None else Reason.no_certificate
