"""Is an answer fit to be served: does it have the format that was asked for, is it whole, is it an answer at all?

Knows response_format, tool schemas, and the phrases by which models refuse and doubt. Does not know whether what an
answer says is true. `faults` are hard (such an answer must not be served); the rest is evidence that judge.py weighs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NoReturn

import jsonschema_rs
import msgspec

from smallfirst.core import Outcome, Query, Schema, ToolCall
from smallfirst.verify.canonical import UNREADABLE

REFUSALS = (
    "i can't help with",
    "i can't assist",
    "i cannot help with",
    "i cannot assist",
    "i can't provide",
    "i cannot provide",
    "i can't answer",
    "i cannot answer",
    "i'm unable to",
    "i am unable to",
    "i'm not able to",
    "i am not able to",
    "i'm sorry, but",
    "i am sorry, but",
    "i don't have access",
    "i do not have access",
    "as an ai language model",
    "as a language model",
)
"""Looked for near an answer's start. The usual openings by which instruction-tuned models decline."""

HEDGES = (
    "it seems",
    "there seems to be",
    "appears to be",
    "might be",
    "could be",
    "error in",
    "contradict",
    "cannot be determined",
    "not possible",
    "misunderstanding",
    "upon re",
    "re-evaluate",
    "i'm not sure",
    "i am not sure",
    "i don't know",
)
"""Doubt in the text. Measured on 12,930 real outputs of seven small and mid models to checkable questions (ZeroEval):
of 31 candidates, the first eleven stand in wrong answers at least five times as often as in right ones, `re-evaluate`
three times; some rest on few cases. The last three did not occur there, and are what the smallest models say."""

REFUSAL_WITHIN = 240
"""Characters from the start in which a refusal is looked for: later it is a remark."""

READ = 4000
"""Characters of a text, from its end, in which hedges are looked for: a hedge counts most near the conclusion."""

SHORTEST_PHRASE = 7
"""Characters; a shorter answer can hold none of these phrases."""

LOOP_UNIT = 32
LOOP_WINDOW = 1600
LOOP_TIMES = 6
"""A text loops when its last 32 characters come 6 times among its last 1,600."""


def faults(query: Query, outcome: Outcome) -> tuple[str, ...]:
    """Why `outcome` must not be served, in words; empty: nothing found."""
    if outcome.tool_calls:
        if not query.tools:
            return ()  # tools in a form we don't know: nothing to check them against
        found = (_call_fault(call, query.tools) for call in outcome.tool_calls)
        return tuple(fault for fault in found if fault)
    if not outcome.text.strip():
        return ("the answer is empty",)
    if query.response_schema is not None:
        fault = _json_fault(outcome.text, query.response_schema)
        return (fault,) if fault else ()
    if query.needs.json_object or query.needs.json_schema:
        fault = _json_fault(outcome.text, None)
        return (fault,) if fault else ()
    return ()


def cut_off_by_caller(query: Query, outcome: Outcome) -> bool:
    """The caller's own max_tokens ended it: what is missing then is no model's fault."""
    return outcome.finish == "length" and query.needs.output_tokens > 0


def refuses(text: str) -> bool:
    """Whether `text` begins the way models decline."""
    if len(text) < SHORTEST_PHRASE:
        return False
    head = _lowered(text[:REFUSAL_WITHIN])
    for phrase in REFUSALS:  # noqa: SIM110 - any() over a generator takes three times as long
        if phrase in head:
            return True
    return False


def hedges(text: str) -> bool:
    """Whether a phrase of doubt stands in the last 4,000 characters of `text`."""
    if len(text) < SHORTEST_PHRASE:
        return False
    tail = _lowered(text[-READ:])
    for phrase in HEDGES:  # noqa: SIM110 - as above
        if phrase in tail:
            return True
    return False


def loops(text: str) -> bool:
    """Whether the text ends in the same words over and over. Rulers and blank lines do not count."""
    tail = text[-LOOP_WINDOW:].rstrip()
    unit = tail[-LOOP_UNIT:]
    if len(tail) < LOOP_UNIT * LOOP_TIMES or not any(map(str.isalnum, unit)):
        return False
    found = at = 0
    while found < LOOP_TIMES and (at := tail.find(unit, at)) >= 0:
        found, at = found + 1, at + 1
    return found >= LOOP_TIMES


def _json_fault(text: str, schema: Schema | None) -> str | None:
    try:
        value = msgspec.json.decode(text)
    except UNREADABLE:
        return "JSON was asked for and this is not JSON"
    if schema is None:
        return None if isinstance(value, dict) else "a JSON object was asked for and this is another value"
    return _breaks(value, schema, "the answer")


def _call_fault(call: ToolCall, tools: tuple[Schema, ...]) -> str | None:
    tool = next((tool for tool in tools if tool.name == call.name), None)
    if tool is None:
        return f"it calls a tool that was not offered: {call.name[:60]!r}"
    try:
        arguments = msgspec.json.decode(call.arguments or "{}")
    except UNREADABLE:
        return f"the arguments of {call.name} are not JSON"
    if not isinstance(arguments, dict):
        return f"the arguments of {call.name} are not an object"
    return _breaks(arguments, tool, f"the call of {call.name}")


def _breaks(value: Any, schema: Schema, what: str) -> str | None:
    """Where `value` breaks the schema: the path only, because values may hold the user's data."""
    validator = _compiled(msgspec.json.encode(schema.schema))
    if validator is None:
        return None
    if validator.is_valid(value):
        return None
    error = next(iter(validator.iter_errors(value)), None)
    where = "/".join(str(step) for step in error.instance_path) if error is not None else ""
    return f"{what} breaks the schema" + (f" at {where[:80]}" if where else "")


@lru_cache(maxsize=256)
def _compiled(schema: bytes) -> jsonschema_rs.Validator | None:
    """A validator for the schema's JSON text; None where it can't be compiled: then nothing is checked.

    Patterns are matched in linear time and references are never fetched: the schema comes from whoever asks.
    """
    try:
        return jsonschema_rs.validator_for(
            msgspec.json.decode(schema), retriever=_never, pattern_options=jsonschema_rs.RegexOptions()
        )
    except (ValueError, jsonschema_rs.ReferencingError):
        return None


def _never(_uri: str) -> NoReturn:
    raise ValueError("references outside the schema are not followed")


def _lowered(text: str) -> str:
    return text.lower().replace("\u2019", "'")
