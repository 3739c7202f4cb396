"""Asks larger models for a label where triage is not sure: through a gateway, with the labels as a constrained output.

Knows OpenAI's chat completions with a JSON schema, and our headers. Does not route: the gateway named does.
"""

from __future__ import annotations

import http.client
from collections.abc import Sequence

import msgspec

from smallfirst.evals.chat import Chat
from smallfirst.tasks.triage.offer import MOST_OFFERED, Offer


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Answer(msgspec.Struct):
    choices: list[_Choice]


class Gateway:
    """One gateway (a base URL ending in /v1), asked as `model`. `several`: a text may carry several labels."""

    def __init__(
        self, url: str, *, model: str = "auto", key: str | None = None, several: bool = False, beyond: str | None = None
    ) -> None:
        self._chat, self._model, self._several, self._beyond = Chat(url, key), model, several, beyond

    def ask(self, text: str, labels: Sequence[str]) -> tuple[tuple[str, ...] | None, str, float]:
        """See run.Above. A label that was not offered is no answer."""
        offer = Offer(tuple(labels[:MOST_OFFERED]), self._several, self._beyond)
        try:
            reply = self._chat.ask(self._body(text, offer))
        except (OSError, http.client.HTTPException):
            self._chat.close()  # the next text gets a fresh connection
            return None, "", 0.0
        who = reply.headers.get("x-smallfirst-model", self._model)
        cost = float(reply.headers.get("x-smallfirst-cost-usd", "0") or 0)
        try:
            answer = msgspec.json.decode(reply.body, type=_Answer)
            return offer.read(answer.choices[0].message.content or ""), who, cost
        except (msgspec.DecodeError, UnicodeDecodeError, IndexError):
            return None, who, cost

    def _body(self, text: str, offer: Offer) -> dict[str, object]:
        schema = {"name": offer.schema.name, "schema": offer.schema.schema, "strict": True}
        return {
            "model": self._model,
            "temperature": 0,
            "messages": offer.messages(text),
            "response_format": {"type": "json_schema", "json_schema": schema},
        }
