"""Asks a knowledge base through a gateway, for programs: a question and the turns before -> the answer, with citations.

Knows OpenAI's chat completions and the task's JSON beside them. Not for two threads at once.

    kb = KbClient("http://127.0.0.1:4000/v1", "kb:handbook")
    kb.ask("How many days of leave do I have?").text
"""

from __future__ import annotations

import http.client
from collections.abc import Sequence

import msgspec

from smallfirst.errors import SetupError
from smallfirst.evals.chat import Chat
from smallfirst.tasks.kb.citing import Citation
from smallfirst.tasks.kb.questions import Given


class Result(msgspec.Struct, frozen=True):
    """What a knowledge base answers with, beside the words."""

    answered: bool
    answer: str = ""
    why: str = ""
    citations: tuple[Citation, ...] = ()
    confidence: float | None = None
    answerable: float | None = None
    handed_off: bool | None = None


class Reply(msgspec.Struct, frozen=True):
    """One answer: the task's JSON, who said it, and what it cost."""

    result: Result
    by: str
    tier: str
    reason: str
    cost_usd: float

    @property
    def text(self) -> str:
        return self.result.answer

    @property
    def given(self) -> Given:
        """As questions.py counts it."""
        documents = tuple(one.document for one in self.result.citations)
        return Given(self.result.answered, self.text, documents, self.by, self.tier, self.cost_usd)


class _Beside(msgspec.Struct):
    task: Result


class _Answer(msgspec.Struct):
    smallfirst: _Beside


class _Said(msgspec.Struct):
    message: str


class _Error(msgspec.Struct):
    error: _Said


class KbClient:
    """One knowledge base behind one gateway (a base URL ending in /v1)."""

    def __init__(self, url: str, model: str, key: str | None = None) -> None:
        self._chat, self._model = Chat(url, key), model

    def ask(self, question: str, earlier: Sequence[tuple[str, str]] = ()) -> Reply:
        """`earlier`: (role, text), oldest first. Raises SetupError where no answer came, with the gateway's words."""
        messages = [{"role": role, "content": text} for role, text in (*earlier, ("user", question))]
        try:
            reply = self._chat.ask({"model": self._model, "messages": messages})
        except (OSError, http.client.HTTPException) as fault:
            self._chat.close()
            raise SetupError(f"the gateway broke off ({type(fault).__name__})") from fault
        if reply.status != 200:
            raise SetupError(f"the gateway answered {reply.status}: {_words(reply.body)}")
        try:
            result = msgspec.json.decode(reply.body, type=_Answer).smallfirst.task
        except msgspec.DecodeError:
            raise SetupError(f"{self._model} did not answer as a knowledge base does; is it `kb:NAME`?") from None
        headers = reply.headers
        cost = float(headers.get("x-smallfirst-cost-usd", "0") or 0)
        return Reply(
            result, headers.get("x-smallfirst-model", ""), headers.get("x-smallfirst-tier", ""),
            headers.get("x-smallfirst-reason", ""), cost,
        )  # fmt: skip

    def close(self) -> None:
        self._chat.close()


def _words(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Error).error.message
    except msgspec.DecodeError:
        return body[:200].decode(errors="replace")
