"""A knowledge base as a task of the gateway: the smallest model whose answer the passages support is served.

Knows the order of the steps. Does not know the index or the judges (local.py), or HTTP.

1. The own model finds passages and says how likely they hold the answer. Too unlikely: the fixed sentence.
2. Tier by tier, lowest first, a model is asked with the passages; the own model judges what it wrote. The first answer
   that is grounded is served, with citations. One that says the passages hold no answer sends the question up as well:
   small models say so too often.
3. Where nobody's answer is grounded, or nobody may be asked, the sentence of the passages that most likely answers the
   question is quoted, if it is likely enough (`quote: first`: before any model is asked). A model that is there only
   for demonstration is not asked, unless quoting is switched off.
4. Else the fixed sentence, and a person gets the question (handoff.py) if there is one.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from smallfirst.core import Decision, Edit, Made, Needs, Outcome, Query, Reason, Status, Verdict
from smallfirst.policy.course import ClientGone
from smallfirst.policy.fixed import Fixed
from smallfirst.policy.protocol import Command, Event, Facts, Plan, Policy
from smallfirst.tasks.edits import constrained, needed
from smallfirst.tasks.handing import Handing, Heard
from smallfirst.tasks.kb.citing import Citation, marked
from smallfirst.tasks.kb.conversation import read_conversation
from smallfirst.tasks.kb.handoff import STEP as HANDOFF_STEP
from smallfirst.tasks.kb.handoff import TAKEN, Case, Handoff
from smallfirst.tasks.kb.local import STEP, Judge, Judged, KbLocal, Retrieved
from smallfirst.tasks.kb.passages import LONG
from smallfirst.tasks.kb.prompt import ADDED, declines, messages
from smallfirst.tasks.kb.search import Index
from smallfirst.tasks.kb.settings import HandoffSettings, WordsSettings
from smallfirst.tasks.kb.spec import read_spec
from smallfirst.tasks.task import Opening, Own, Promise, TaskKind

PASSAGES = 5
LONGEST_ANSWER = 500
"""Tokens that a model may write."""

ASK_FROM = 0.25
"""Least chance that the passages hold the answer, where the config says nothing: of questions that have one 2% (CLAP
NQ, SQuAD 2) to 14% (MTRAG-UN) are below. Those on a subject that is treated mostly pass: models must decline them."""

QUOTE_FROM = 0.5
"""Least chance that the passages hold the answer for one of their sentences to be the answer: on SQuAD 2, where nothing
was chosen, that sentence holds the gold answer of four in five such questions (bench/tasks/quoting.py)."""

GROUNDED_FROM = 0.5
"""An answer is served where it is more likely supported than not, whatever else the shipped weights were chosen for."""


class KbTask:
    """tasks/task.py's Task."""

    kind: TaskKind = "kb"

    def __init__(
        self,
        name: str,
        local: KbLocal,
        above: Policy,
        *,
        threshold: float | None = None,
        quote: Literal["first", "last", "never"] = "last",
        words: WordsSettings = WordsSettings(),  # noqa: B008 - frozen
        handoff: HandoffSettings | None = None,
        workers: int = 2,
    ) -> None:
        """`threshold`: least chance that the passages hold the answer; None: ASK_FROM."""
        self.name, self._local, self._words, self._quote = name, local, words, quote
        self._only = above.name if isinstance(above, Fixed) else None
        self._least = ASK_FROM if threshold is None else threshold
        self._grounded = max(GROUNDED_FROM, local.grounder.threshold)
        self._person = f"{name}:person"
        owns = [Own(name, local, workers=workers)]
        if handoff is not None:
            person = Handoff(name, handoff)
            owns.append(Own(self._person, person, handoff.location, workers, handoff.timeout_s + 5))
        self.models = tuple(owns)
        self.own = tuple(one.name for one in owns)

    @property
    def promise(self) -> Promise | None:
        return None

    def about(self) -> Mapping[str, object]:
        documents, passages, _ = self._local.index.store.counts()
        return {
            "documents": documents,
            "passages": passages,
            "answerable_from": round(self._least, 4),
            "grounded_from": round(self._grounded, 4),
            "handoff": self._person in self.own,
        }

    def repeats(self, query: Query) -> str | None:
        """What the question is known by for the cache: its words, the turns before, and the build."""
        talk = read_conversation(query.fields)
        stamp = self._local.index.store.stamp()
        said = (*talk.instructions, *(text for _, text in talk.earlier), " ".join(talk.question.lower().split()))
        return msgspec.json.encode((stamp, said)).decode()

    def needs(self, query: Query) -> Needs:
        return needed(query, added=ADDED + PASSAGES * (LONG + 100), schema=False, output_tokens=LONGEST_ANSWER)

    def plan(self, facts: Facts) -> Plan:
        handing = Handing(facts)
        try:
            return (yield from self._plan(handing))
        except ClientGone:
            return handing.gone()

    def _plan(self, handing: Handing) -> Plan:
        heard = yield from handing.ask(self.name, patient=True)
        if heard is None or heard.outcome.status is Status.refused:
            return handing.failed("the question can't be read")
        if not heard.outcome.ok:
            return handing.failed("the knowledge base could not be searched")
        found = msgspec.json.decode(heard.outcome.text, type=Retrieved)
        return (yield from self._decide(handing, heard, found))

    def _decide(self, handing: Handing, heard: Heard, found: Retrieved) -> Plan:
        if found.p < self._least or not found.hits:
            return (yield from self._absent(handing, heard, found, "not_found", Reason.accepted))
        quotable = self._quote != "never" and found.quote is not None and found.p >= QUOTE_FROM
        if quotable and self._quote == "first" and handing.facts.max_quality_loss is None:
            return self._quoted(handing, heard, found)
        answered, (why, reason) = yield from self._answered(handing, found)
        if answered is not None:
            return answered
        if quotable and why != "not_found":
            return self._quoted(handing, heard, found)
        return (yield from self._absent(handing, heard, found, why, reason))

    def _answered(
        self, handing: Handing, found: Retrieved
    ) -> Generator[tuple[Command, ...], Event, tuple[Decision | None, tuple[str, Reason]]]:
        """The first grounded answer of those above, lowest tier first; else why there is none."""
        edit = _asking(handing.facts.query, found)
        why, reason = "nobody_above", Reason.unsure
        for models in self._tiers(handing):
            for model in models:
                if self._quote != "never" and model in handing.facts.demonstration:
                    continue
                if not handing.fits(model):
                    return None, (why, Reason.cost_limit)
                said = yield from handing.ask(model, edit=edit)
                if said is None:
                    return None, ("late", Reason.latency_limit)
                if not said.outcome.ok:
                    why = "failed"
                    handing.deferrals.append(why)
                    continue
                judged = yield from self._judge(handing, said.outcome, found)
                if judged is not None and judged.p >= self._grounded:
                    return self._serve(handing, said, found, judged), ("", reason)
                why = "not_found" if judged is None else "ungrounded"
                handing.deferrals.append(why)
                break  # another model of this tier is no better placed
        return None, (why, Reason.accepted if why == "not_found" else reason)

    def _tiers(self, handing: Handing) -> Iterator[tuple[str, ...]]:
        """Whom to ask, lowest first. Nothing is certified here: who wants a certain loss gets the highest tier."""
        strict = handing.facts.max_quality_loss is not None
        for tier in handing.above[-1:] if strict else handing.above:
            models = tuple(name for name in tier.models if self._only in (None, name))
            if models:
                yield models

    def _judge(
        self, handing: Handing, outcome: Outcome, found: Retrieved
    ) -> Generator[tuple[Command, ...], Event, Judged | None]:
        """What the own model makes of an answer; None where the answer is that there is none."""
        if declines(outcome.text):
            return None
        if outcome.finish == "length":  # cut off in the middle of a sentence
            return _UNJUDGED
        step = Edit({STEP: _raw(Judge(outcome.text, found.passages))})
        heard = yield from handing.ask(self.name, edit=step, role="judge", patient=True)
        if heard is None or not heard.outcome.ok:
            return _UNJUDGED
        return msgspec.json.decode(heard.outcome.text, type=Judged)

    def _serve(self, handing: Handing, said: Heard, found: Retrieved, judged: Judged) -> Decision:
        why = "how likely every statement stands in the passages; not certified"
        result = {
            "answer": judged.text,
            "answered": True,
            "citations": judged.citations,
            "confidence": round(judged.p, 4),
            "answerable": round(found.p, 4),
        }
        made = Made(judged.text, msgspec.to_builtins(result))
        strict = handing.facts.max_quality_loss is not None
        reason = Reason.no_certificate if strict else Reason.accepted
        return handing.serve(said, reason, made, verdict=Verdict(judged.p, (why,)))

    def _quoted(self, handing: Handing, heard: Heard, found: Retrieved) -> Decision:
        """A sentence of the documents, word for word."""
        assert found.quote is not None  # noqa: S101 - the caller has looked
        one = found.passages[found.quote.place]
        text = marked(" ".join(found.quote.text.split()), [1])
        citation = Citation(1, one.document, one.title, one.start, one.end, one.text)
        result = {
            "answer": text,
            "answered": True,
            "quoted": True,
            "citations": [citation],
            "answerable": round(found.p, 4),
        }
        verdict = Verdict(found.p, ("a sentence of the documents; how likely they hold the answer, not certified",))
        reason = Reason.fallback if handing.deferrals else Reason.accepted
        return handing.serve(heard, reason, Made(text, msgspec.to_builtins(result)), verdict=verdict)

    def _absent(
        self, handing: Handing, heard: Heard, found: Retrieved, why: str, reason: Reason
    ) -> Generator[tuple[Command, ...], Event, Decision]:
        """The fixed sentence, and a person is told where there is one who may see it."""
        text = self._words.not_found if why == "not_found" else self._words.unsupported
        taken = None
        if handing.may_ask(self._person):
            taken = yield from self._tell(handing, found, why)
            text = f"{text} {self._words.handed_off}" if taken else text
        result: dict[str, object] = {
            "answer": text,
            "answered": False,
            "why": why,
            "citations": [],
            "answerable": round(found.p, 4),
            "nearest": [{"document": one.document, "title": one.title} for one in found.passages],
        }
        if taken is not None:
            result["handed_off"] = taken
        if handing.facts.refused and why == "nobody_above":
            result["not_handed_up"] = handing.facts.refused
        verdict = Verdict(1 - found.p if why == "not_found" else found.p, (f"not answered: {why.replace('_', ' ')}",))
        return handing.serve(heard, reason, Made(text, result), verdict=verdict, would_escalate=why == "nobody_above")

    def _tell(self, handing: Handing, found: Retrieved, why: str) -> Generator[tuple[Command, ...], Event, bool]:
        case = Case(why, tuple((one.document, one.title) for one in found.passages))
        heard = yield from handing.ask(self._person, edit=Edit({HANDOFF_STEP: _raw(case)}), role="witness")
        return heard is not None and heard.outcome.ok and heard.outcome.text == TAKEN


def open_kb(opening: Opening) -> KbTask:
    """A task from the folder that `kb build` wrote, or from the spec that it was built by.

    Raises DataError, ConfigError (the spec), SetupError without the encoder.
    """
    folder = opening.index
    if folder is None:
        folder = read_spec(Path(opening.spec or ""), os.environ).out
    index = Index(Path(folder))
    local = KbLocal(index, passages=PASSAGES)
    local.retrieve("warm up")
    return KbTask(
        opening.name, local, opening.above,
        threshold=None if opening.threshold == "certified" else opening.threshold,
        quote=opening.quote, words=opening.words, handoff=opening.handoff, workers=opening.workers,
    )  # fmt: skip


def _asking(query: Query | None, found: Retrieved) -> Edit:
    """The request as the models above get it. The caller's own limit would cut an answer off before its citations."""
    fields = {} if query is None else query.fields
    edit = constrained(messages(read_conversation(fields), found.passages), max_tokens=LONGEST_ANSWER)
    return Edit(edit.put, (*edit.drop, "max_completion_tokens", "response_format"))


_UNJUDGED = Judged(0.0, "", (), ())


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
