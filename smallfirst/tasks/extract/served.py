"""A fitted extraction model as a task of the gateway: the last user turn is the document.

Knows extraction's answers, the question that is put to those above, and whom to believe. Does not know HTTP. The model
runs in a worker thread, and so does the check that what came from above stands in the document; the plan here only
compares confidences with thresholds.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path

import msgspec

from smallfirst.core import Decision, Edit, Made, Needs, Outcome, Query, Reason, Status, Verdict
from smallfirst.errors import BadRequest
from smallfirst.models.local import Ask, Said
from smallfirst.policy.course import ClientGone
from smallfirst.policy.protocol import Command, Event, Facts, Plan, Policy
from smallfirst.tasks.edits import constrained, edited, needed
from smallfirst.tasks.extract.merge import Found, Merged, local_fields, merge
from smallfirst.tasks.extract.model import ExtractModel, Extractor, unfitted
from smallfirst.tasks.extract.question import LONGEST, Question
from smallfirst.tasks.extract.schema import Schema, read_schema
from smallfirst.tasks.extract.store import load_model
from smallfirst.tasks.extract.values import Extracted
from smallfirst.tasks.handing import Handed, Handing, Heard
from smallfirst.tasks.task import Opening, Own, Promise, TaskKind

PROMPT = 300
"""Characters of the instructions, without the fields."""

STEP = "extract_step"
"""The field of a call that is no extraction but the check of what came from above."""


class First(msgspec.Struct, frozen=True):
    """What extraction says, as its call's answer. `near`: places that matter in a long document."""

    found: Extracted
    near: tuple[int, ...] = ()


class Check(msgspec.Struct, frozen=True):
    """What came from above, to be checked."""

    found: Extracted
    said: dict[str, tuple[str, ...]]
    who: str


class ExtractLocal:
    """models/local.py's Local: extracts from the last user turn, or checks what was said of it."""

    def __init__(self, extractor: Extractor, threshold: float | None) -> None:
        self._extractor, self._threshold = extractor, threshold

    def answer(self, ask: Ask) -> Said:
        document = ask.query.text
        if not document.strip():
            raise BadRequest("there is no text in the last user turn", code="empty_text", param="messages")
        check = ask.read(STEP, Check)
        if check is not None:
            both = merge(document, self._extractor.model.schema, check.found, check.said, check.who)
            return Said(msgspec.json.encode(both).decode())
        found = doubted(self._extractor.extract(document), self._threshold)
        near = self._extractor.places(found.doubtful, document) if len(document) > LONGEST else []
        text = msgspec.json.encode(First(found, tuple(near))).decode()
        return Said(text, min(found.sure.values(), default=None))


def doubted(found: Extracted, threshold: float | None) -> Extracted:
    """With this threshold for every field in place of the model's own; None: the model's own."""
    if threshold is None:
        return found
    doubtful = tuple(name for name, chance in found.sure.items() if chance < threshold)
    return msgspec.structs.replace(found, doubtful=doubtful)


class ExtractTask:
    """tasks/task.py's Task."""

    kind: TaskKind = "extract"

    def __init__(
        self, name: str, extractor: Extractor, above: Policy, *, threshold: float | None, workers: int = 2
    ) -> None:
        """`threshold`: for every field; None: the model's own, certified by field."""
        model = extractor.model
        self.name, self._model, self._above, self._threshold = name, model, above, threshold
        self.models = (Own(name, ExtractLocal(extractor, threshold), workers=workers),)
        self.own = (name,)
        self._added = PROMPT + sum(2 * len(f.name) + len(f.about) + 60 for f in model.schema.fields)

    @property
    def promise(self) -> Promise | None:
        """Of the field with the least of it; None where a field has none. Each promise is by itself."""
        fields = [self._model.fields[field.name].certified for field in self._model.schema.fields]
        certified = [one for one in fields if one is not None]
        if self._threshold is not None or len(certified) < len(fields):
            return None
        least = min(certified, key=lambda one: (one.accuracy, one.kept / one.rows))
        words = f"of each field by itself: {least.explain()}"
        return Promise(least.accuracy, least.confidence, least.kept / least.rows, least.rows, words)

    def about(self) -> Mapping[str, object]:
        card = self._model.card
        return {
            "fields": [
                {"name": one.name, "type": one.type, "required": one.required, "several": one.several}
                for one in self._model.schema.fields
            ],
            "reported": card.accuracy if card is not None and card.accuracy else None,
        }

    def needs(self, query: Query) -> Needs:
        return needed(query, added=self._added + min(0, LONGEST - len(query.text)), schema=True, output_tokens=0)

    def repeats(self, query: Query) -> str | None:  # noqa: ARG002 - the protocol's
        return None

    def plan(self, facts: Facts) -> Plan:
        handing = Handing(facts)
        try:
            return (yield from self._plan(handing))
        except ClientGone:
            return handing.gone()

    def _plan(self, handing: Handing) -> Plan:
        heard = yield from handing.ask(self.name, patient=True)
        if heard is None or heard.outcome.status is Status.refused:
            return handing.failed("the document can't be read")
        first = _read(heard.outcome)
        strict = handing.facts.max_quality_loss is not None  # its promise is of accuracy, not of loss
        if first is not None and not first.found.doubtful and not strict:
            return self._keep(handing, heard, first, Reason.accepted)
        question = Question(self._model.schema, self._asked(first, strict=strict))
        query = handing.facts.query
        text, near = "" if query is None else query.text, () if first is None else first.near
        edit = constrained(question.messages(text, near), question.json_schema)
        word = "failed" if first is None else "no_certificate" if strict else "low_confidence"
        inside = None if query is None else edited(query, edit, question.json_schema)
        handed = yield from handing.hand_up(self._above, edit, word=word, query=inside)
        said = None if handed.outcome is None else question.read(handed.outcome.text)
        if handed.outcome is not None and said is not None:
            found = _nothing(self._model.schema) if first is None else first.found
            both = yield from self._check(handing, found, said, handed.outcome.model)
            if both is not None:
                return handing.serve_handed(handed, made(both, handing.facts.refused))
        if first is None:
            return handing.failed("its own model failed, and nobody above gave a usable answer")
        return self._keep(handing, heard, first, _why_kept(handing, handed))

    def _asked(self, first: First | None, *, strict: bool) -> tuple[str, ...]:
        """Only the doubtful fields; all of them where there is no answer of its own that may be kept."""
        if first is None or strict:
            return tuple(field.name for field in self._model.schema.fields)
        return first.found.doubtful

    def _check(
        self, handing: Handing, found: Extracted, said: dict[str, tuple[str, ...]], who: str
    ) -> Generator[tuple[Command, ...], Event, Merged | None]:
        edit = Edit({STEP: msgspec.Raw(msgspec.json.encode(Check(found, said, who)))})
        heard = yield from handing.ask(self.name, edit=edit, role="judge", patient=True)
        if heard is None or not heard.outcome.ok:
            return None
        return msgspec.json.decode(heard.outcome.text, type=Merged)

    def _keep(self, handing: Handing, heard: Heard, first: First, reason: Reason) -> Decision:
        sure = reason is Reason.accepted
        least = min(first.found.sure.values(), default=0.0)
        verdict = Verdict(least, ("its own confidence in the least sure field, calibrated",))
        both = Merged(local_fields(first.found), first.found.doubtful)
        said = made(both, "" if sure else handing.facts.refused)
        return handing.serve(heard, reason, said, verdict=verdict, would_escalate=not sure and not handing.deferrals)


def made(both: Merged, refused: str = "") -> Made:
    """The answer's words (normal forms by field), and the task's JSON (with places and confidences)."""
    result: dict[str, object] = {"fields": both.fields, "doubtful": both.doubtful}
    result |= {name: said for name in ("local", "refused") if (said := getattr(both, name))}
    if refused and both.doubtful:
        result["not_handed_up"] = refused
    return Made(msgspec.json.encode({name: _shown(values) for name, values in both.fields.items()}).decode(), result)


def _shown(values: tuple[Found, ...]) -> object:
    """A value, a list of several, or null."""
    if len(values) > 1:
        return [one.normal for one in values]
    return values[0].normal if values else None


def open_extract(opening: Opening) -> ExtractTask:
    """A task from the file that `extract fit` wrote, or from a schema alone (YAML): patterns only, nothing certified.

    Raises DataError, ConfigError for a schema.
    """
    path = Path(opening.model or "")
    extractor = Extractor(_model(path))
    extractor.extract("warm up 1.00 2024-01-01")  # what is imported and unpacked at the first call
    threshold = None if opening.threshold == "certified" else opening.threshold
    return ExtractTask(opening.name, extractor, opening.above, threshold=threshold, workers=opening.workers)


def _model(path: Path) -> ExtractModel:
    return unfitted(read_schema(path)) if path.suffix in (".yaml", ".yml") else load_model(path)


def _read(outcome: Outcome) -> First | None:
    return msgspec.json.decode(outcome.text, type=First) if outcome.ok else None


def _nothing(schema: Schema) -> Extracted:
    """Where extraction itself failed."""
    names = tuple(field.name for field in schema.fields)
    return Extracted({name: () for name in names}, names, dict.fromkeys(names, 0.0))


def _why_kept(handing: Handing, handed: Handed) -> Reason:
    """Why an answer is served that the task is not sure of."""
    if handed.late:
        return Reason.latency_limit
    if handing.above and not handed.asked and handing.facts.max_cost is not None:
        return Reason.cost_limit
    return Reason.unsure if handing.facts.max_quality_loss is None else Reason.no_certificate
