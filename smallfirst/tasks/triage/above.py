"""Asks larger models for a label where triage is not sure: through a gateway, with the labels as a constrained output.

Knows OpenAI's chat completions with a JSON schema, and our headers. Does not route: the gateway named does.
"""

from __future__ import annotations

import http.client

import msgspec

from smallfirst.evals.chat import Chat

LONGEST = 12_000
"""Characters of a text that are sent; of a longer one its first and last halves of that."""


class _Labels(msgspec.Struct):
    labels: list[str]


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

    def ask(self, text: str, labels: list[str]) -> tuple[tuple[str, ...] | None, str, float]:
        """See run.Above. A label that was not offered is no answer."""
        offered = [*labels, self._beyond] if self._beyond else labels
        try:
            reply = self._chat.ask(self._body(text, offered))
        except (OSError, http.client.HTTPException):
            self._chat.close()  # the next text gets a fresh connection
            return None, "", 0.0
        who = reply.headers.get("x-smallfirst-model", self._model)
        cost = float(reply.headers.get("x-smallfirst-cost-usd", "0") or 0)
        try:
            answer = msgspec.json.decode(reply.body, type=_Answer)
            said = msgspec.json.decode(answer.choices[0].message.content or "", type=_Labels).labels
        except (msgspec.DecodeError, UnicodeDecodeError, IndexError):
            return None, who, cost
        if not said or any(one not in offered for one in said) or (len(said) > 1 and not self._several):
            return None, who, cost
        return tuple(one for one in dict.fromkeys(said) if one != self._beyond), who, cost

    def _body(self, text: str, labels: list[str]) -> dict[str, object]:
        if len(text) > LONGEST:
            text = text[: LONGEST // 2] + "\n[...]\n" + text[-LONGEST // 2 :]
        most = len(labels) if self._several else 1
        items = {"type": "array", "items": {"enum": labels}, "minItems": 1, "maxItems": most}
        schema = {
            "type": "object",
            "properties": {"labels": items},
            "required": ["labels"],
            "additionalProperties": False,
        }
        how = "every label that applies" if self._several else "the one label that fits best"
        return {
            "model": self._model,
            "temperature": 0,
            "messages": [
                {"role": "system", "content": f"Give {how}. The labels are: {', '.join(labels)}."},
                {"role": "user", "content": text},
            ],
            "response_format": {"type": "json_schema", "json_schema": {"name": "labels", "schema": schema}},
        }
