"""Asks larger models for the fields that extraction is not sure of: through a gateway, with a JSON schema.

Knows OpenAI's chat completions and our headers. Does not route: the gateway named does; offline that is `smallfirst
serve` with the embedded model.
"""

from __future__ import annotations

import http.client
from collections.abc import Sequence

import msgspec

from smallfirst.evals.chat import Chat
from smallfirst.tasks.extract.question import Question


class Answer(msgspec.Struct, frozen=True):
    """`said`: what the model says of each field it was asked for; None where no usable answer came."""

    said: dict[str, tuple[str, ...]] | None
    who: str = ""
    cost_usd: float = 0.0


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


class Gateway:
    """One gateway (a base URL ending in /v1), asked as `model`."""

    def __init__(self, url: str, *, model: str = "auto", key: str | None = None) -> None:
        self._chat, self._model = Chat(url, key), model

    def ask(self, document: str, question: Question, near: Sequence[int] = ()) -> Answer:
        """See run.Above."""
        form = question.json_schema
        body = {
            "model": self._model,
            "temperature": 0,
            "messages": question.messages(document, near),
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": form.name, "schema": form.schema, "strict": True},
            },
        }
        try:
            reply = self._chat.ask(body)
        except (OSError, http.client.HTTPException):
            self._chat.close()  # the next document gets a fresh connection
            return Answer(None)
        who = reply.headers.get("x-smallfirst-model", self._model)
        cost = float(reply.headers.get("x-smallfirst-cost-usd", "0") or 0)
        try:
            content = msgspec.json.decode(reply.body, type=_Completion).choices[0].message.content or ""
        except (msgspec.DecodeError, UnicodeDecodeError, IndexError):
            return Answer(None, who, cost)
        return Answer(question.read(content), who, cost)
