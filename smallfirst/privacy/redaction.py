"""Placeholders for one request: `<EMAIL_1>` for an address on the way out, the address again on the way back.

Knows text and JSON values. Does not know rules or streams (restoring.py). The mapping lives as long as the request does
and is never written anywhere. What can't be located (a private matter, a name without Presidio) can't be replaced:
`leaves` says what is still found afterwards, and the guard decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

from smallfirst.core import DataClass, Edit, Outcome, Query, ToolCall
from smallfirst.privacy.categories import Finding, Found
from smallfirst.privacy.detector import Detector
from smallfirst.privacy.fields import UNHEARD, texts_in

REDACTED_FROM = DataClass.personal
"""Findings of this class and above are replaced."""

_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*_\d+>")
_encode, _decode = msgspec.json.encode, msgspec.json.decode


class Redaction:
    """One request's placeholders, both ways."""

    def __init__(self, detector: Detector, fields: Mapping[str, msgspec.Raw]) -> None:
        """Replaces at once; raises what a recogniser raises."""
        self._detector = detector
        self._placeholders: dict[str, str] = {}  # what was found -> what stands for it
        self._values: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._highest = DataClass.public
        self._taken = {match for raw in fields.values() for match in _PLACEHOLDER.findall(bytes(raw).decode())}
        self.fields = {name: raw if name in UNHEARD else self.raw(raw) for name, raw in fields.items()}

    @property
    def highest(self) -> DataClass:
        """The highest class of what was replaced."""
        return self._highest

    @property
    def placeholders(self) -> tuple[str, ...]:
        return tuple(self._values)

    def leaves(self) -> Found:
        """What is still found in the fields after everything was replaced."""
        texts = [text for name, raw in self.fields.items() if name not in UNHEARD for text in texts_in(_decode(raw))]
        return self._detector.found(texts)

    def query(self, query: Query) -> Query:
        """The query as a model that may only see it redacted sees it: as chat, without the body as it came."""
        return msgspec.structs.replace(query, fields=self.fields, api="chat", native=None, beta="", redacted=True)

    def edit(self, edit: Edit | None) -> Edit | None:
        """What a policy adds to a call goes through the same placeholders."""
        if edit is None or not edit.put:
            return edit
        return Edit({name: self.raw(raw) for name, raw in edit.put.items()}, edit.drop, edit.input_tokens)

    def raw(self, raw: msgspec.Raw) -> msgspec.Raw:
        """A JSON value with placeholders in its strings."""
        return msgspec.Raw(_encode(_mapped(_decode(raw), self.text)))

    def text(self, text: str) -> str:
        """`text` with every located finding replaced, the same finding by the same placeholder."""
        spans = merged([one for one in self._detector.scan(text) if one.located and self._counts_for(one)])
        if not spans:
            return text
        parts, at = [], 0
        for category, start, end in spans:
            parts += [text[at:start], self._placeholder(category, text[start:end])]
            at = end
        return "".join((*parts, text[at:]))

    def restore(self, text: str) -> str:
        """`text` with every placeholder of ours replaced by what it stands for."""
        return _PLACEHOLDER.sub(lambda match: self._values.get(match[0], match[0]), text) if "<" in text else text

    def restore_json(self, text: str) -> str:
        """The same inside the text of a JSON document (a tool call's arguments), where values must be escaped."""
        if "<" not in text:
            return text
        return _PLACEHOLDER.sub(lambda match: _escaped(self._values.get(match[0], match[0])), text)

    def outcome(self, outcome: Outcome) -> Outcome:
        """An answer as the caller, and the verifier, shall see it."""
        return msgspec.structs.replace(
            outcome,
            text=self.restore(outcome.text),
            tool_calls=tuple(ToolCall(one.name, self.restore_json(one.arguments)) for one in outcome.tool_calls),
            body=self._body(outcome.body) if outcome.body else b"",
        )

    def _body(self, body: bytes) -> bytes:
        try:
            answer = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return body
        for choice in answer.get("choices", ()) if isinstance(answer, dict) else ():
            message = choice.get("message")
            if isinstance(message, dict):
                choice["message"] = restored(message, self.restore, self.restore_json)
        return _encode(answer)

    def _counts_for(self, finding: Finding) -> bool:
        of = self._detector.classes.of(finding.category)
        return of is not None and of >= REDACTED_FROM

    def _placeholder(self, category: str, value: str) -> str:
        self._highest = max(self._highest, self._detector.classes.of(category) or DataClass.public)
        known = self._placeholders.get(value)
        if known is not None:
            return known
        while True:
            self._counts[category] = number = self._counts.get(category, 0) + 1
            placeholder = f"<{category.upper()}_{number}>"
            if placeholder not in self._taken:
                break
        self._placeholders[value], self._values[placeholder] = placeholder, value
        return placeholder


def merged(findings: list[Finding]) -> list[tuple[str, int, int]]:
    """(category, start, end) in order, without overlaps; of what overlaps, the longest gives the name."""
    spans: list[tuple[str, int, int]] = []
    for one in sorted(findings, key=lambda one: (one.start, -one.end)):
        if spans and one.start < spans[-1][2]:
            category, start, end = spans[-1]
            longer = one.category if one.end - one.start > end - start else category
            spans[-1] = (longer, start, max(end, one.end))
        else:
            spans.append((one.category, one.start, one.end))
    return spans


def restored(value: object, plain: Callable[[str], str], inside_json: Callable[[str], str]) -> object:
    """A message, or a stream's delta, with its texts restored; `arguments` are JSON inside a string."""
    if isinstance(value, dict):
        return {
            name: inside_json(inner)
            if name == "arguments" and isinstance(inner, str)
            else restored(inner, plain, inside_json)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [restored(inner, plain, inside_json) for inner in value]
    return plain(value) if isinstance(value, str) else value


def _mapped(value: object, put: Callable[[str], str]) -> object:
    """A JSON value with `put` applied to each string, also to names and to numbers that are long enough to be some."""
    if isinstance(value, str):
        return put(value)
    if isinstance(value, dict):
        return {put(name) if len(name) > 6 else name: _mapped(inner, put) for name, inner in value.items()}
    if isinstance(value, list):
        return [_mapped(inner, put) for inner in value]
    if type(value) is int and value > 999_999:
        written = str(value)
        return value if (shown := put(written)) == written else shown
    return value


def _escaped(value: str) -> str:
    return _encode(value).decode()[1:-1]
