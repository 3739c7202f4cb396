"""A knowledge base's own model: finds the passages for a conversation, and judges an answer that was written from them.

Knows the index and the two judges (answerable.py, grounded.py). Does not know who writes answers, or what becomes of a
question without one (served.py). Runs in worker threads.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from smallfirst.models.local import Ask, Said
from smallfirst.tasks.kb.answerable import Answerable, Found
from smallfirst.tasks.kb.citing import Citation, cite, plain
from smallfirst.tasks.kb.conversation import read_conversation, variants
from smallfirst.tasks.kb.grounded import Grounder
from smallfirst.tasks.kb.quoting import Quote, quote
from smallfirst.tasks.kb.remembering import Remembering
from smallfirst.tasks.kb.search import Hit, Index
from smallfirst.tasks.kb.store import Passage

STEP = "kb_step"
"""The field of a call's edit that asks for the second step."""


class Retrieved(msgspec.Struct, frozen=True):
    """The first step's answer. `p`: that the passages hold the answer."""

    p: float
    hits: tuple[Hit, ...]
    quote: Quote | None = None  # the sentence that most likely answers it

    @property
    def passages(self) -> tuple[Passage, ...]:
        return tuple(hit.passage for hit in self.hits)


class Judge(msgspec.Struct, frozen=True):
    """The second step's question: an answer, and the passages that it was written from."""

    answer: str
    passages: tuple[Passage, ...]


class Unsupported(msgspec.Struct, frozen=True):
    """Words of an answer that no passage supports, and why in a word: number, name or claim."""

    text: str
    why: str


class Judged(msgspec.Struct, frozen=True):
    """The second step's answer. `p`: that everything the answer says stands in the passages."""

    p: float
    text: str
    citations: tuple[Citation, ...]
    unsupported: tuple[Unsupported, ...]


class KbLocal:
    """models/local.py's Local."""

    def __init__(self, index: Index, *, passages: int = 5) -> None:
        """Raises SetupError where the judges' weights were not shipped."""
        self.index, self._count = index, passages
        embedder = None if index.embedder is None else Remembering(index.embedder)
        self.answerable = Answerable.shipped(embedder)
        self.grounder = Grounder.shipped(embedder)

    def answer(self, ask: Ask) -> Said:
        judge = ask.read(STEP, Judge)
        if judge is not None:
            judged = self.judge(judge.answer, judge.passages)
            return Said(msgspec.json.encode(judged).decode(), judged.p)
        talk = read_conversation(ask.fields)
        found = self.retrieve(talk.question, talk.asked_before)
        return Said(msgspec.json.encode(found).decode(), found.p)

    def retrieve(self, question: str, earlier: Sequence[str] = ()) -> Retrieved:
        """The passages, and how likely they hold the answer. `earlier`: the user's turns before."""
        hits = self.index.search(variants(question, earlier), self._count)
        seen = [Found(_shown(hit.passage), hit.bm25, hit.whole) for hit in hits]
        before = " ".join(earlier[-1:])
        p = self.answerable(question, seen, before)
        passages, judge = [hit.passage for hit in hits], self.answerable
        return Retrieved(p, tuple(hits), quote(question, passages, judge.rarity, judge.embedder, before))

    def judge(self, answer: str, passages: Sequence[Passage]) -> Judged:
        """Whether an answer rests on its passages, and the answer with its citations."""
        said = plain(answer)
        grounding = self.grounder(said, [_shown(one) for one in passages])
        cited = cite(answer, passages)
        unsupported = (Unsupported(said[span.start : span.end], span.why) for span in grounding.unsupported)
        return Judged(grounding.p, cited.text, cited.citations, tuple(unsupported))


def _shown(passage: Passage) -> str:
    return passage.text if passage.text.startswith(passage.title) else f"{passage.title}\n{passage.text}"
