"""Asks larger models for the fields that extraction is not sure of: through a gateway, with a JSON schema.

Knows OpenAI's chat completions with a JSON schema, and our headers. Does not route: the gateway named does; offline
that is `smallfirst serve` with the embedded model. Does not say what to believe of the answer (run.py does).
"""

from __future__ import annotations

import http.client
from collections.abc import Sequence

import msgspec

from smallfirst.evals.chat import Chat
from smallfirst.tasks.extract.schema import Field, Schema, answer_schema

LONGEST, AROUND = 12_000, 600
"""Characters of a document that are sent; of a longer one its head, its end, and what stands around the candidates."""


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

    def ask(self, document: str, schema: Schema, names: Sequence[str], near: Sequence[int] = ()) -> Answer:
        """See run.Above."""
        try:
            reply = self._chat.ask(request(document, schema, names, near, self._model))
        except (OSError, http.client.HTTPException):
            self._chat.close()  # the next document gets a fresh connection
            return Answer(None)
        who = reply.headers.get("x-smallfirst-model", self._model)
        cost = float(reply.headers.get("x-smallfirst-cost-usd", "0") or 0)
        try:
            content = msgspec.json.decode(reply.body, type=_Completion).choices[0].message.content or ""
        except (msgspec.DecodeError, UnicodeDecodeError, IndexError):
            return Answer(None, who, cost)
        return Answer(read_answer(content, schema, names), who, cost)


def request(
    document: str, schema: Schema, names: Sequence[str], near: Sequence[int] = (), model: str = "auto"
) -> dict[str, object]:
    """The body of a chat completion that asks for the fields `names`."""
    fields = "\n".join(_told(schema[name]) for name in names)
    about = f" The document: {schema.about}." if schema.about else ""
    words = (
        f"Find these fields in the document.{about} Copy each value exactly as it stands there; null (or an empty "
        f"list) where the document does not say it.\n{fields}"
    )
    shape = answer_schema(schema, tuple(names))
    return {
        "model": model,
        "temperature": 0,
        "messages": [{"role": "system", "content": words}, {"role": "user", "content": excerpt(document, near)}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "fields", "schema": shape}},
    }


def read_answer(content: str, schema: Schema, names: Sequence[str]) -> dict[str, tuple[str, ...]] | None:
    """What the model says of each field, or None where its answer does not keep to the form."""
    try:
        said = msgspec.json.decode(content, type=dict[str, str | list[str] | None])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if any(name not in said for name in names):
        return None
    return {name: _values(schema[name], said[name]) for name in names}


def _values(field: Field, said: str | list[str] | None) -> tuple[str, ...]:
    several = said if isinstance(said, list) else [said] if said else []
    found = tuple(dict.fromkeys(one for one in several if one.strip()))
    return found if field.several else found[:1]


def _told(field: Field) -> str:
    kind = f"one of {', '.join(field.choices)}" if field.type == "choice" else field.type
    words = f"- {field.name} ({kind}{', may be several' if field.several else ''})"
    return f"{words}: {field.about}" if field.about else words


def excerpt(document: str, near: Sequence[int] = ()) -> str:
    """`document`, or of a long one its head, the text around the places `near`, and its end."""
    if len(document) <= LONGEST:
        return document
    spans = [(0, LONGEST // 3), (len(document) - LONGEST // 6, len(document))]
    spent = LONGEST // 2
    for place in near:
        if spent + 2 * AROUND > LONGEST:
            break
        spans.append((max(0, place - AROUND), min(len(document), place + AROUND)))
        spent += 2 * AROUND
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return "\n[...]\n".join(document[start:end] for start, end in joined)
