"""How a request is changed before it is handed up: instructions, a schema that the answer must obey, no sampling.

Knows the fields of a chat completion. Does not know any task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from smallfirst.core import Edit, Needs, Query, Schema, Score
from smallfirst.policy.protocol import Facts, Judge
from smallfirst.verify.judge import make_judge

CHARS_PER_TOKEN = 4

_DROPPED = ("tools", "tool_choice", "functions", "function_call", "n", "logprobs", "top_logprobs", "stop")
"""Fields of the caller's that would break the answer's form."""


def constrained(
    messages: Sequence[Mapping[str, object]], schema: Schema | None = None, max_tokens: int | None = None
) -> Edit:
    """These messages in place of the caller's; where there is a schema, the answer is JSON that obeys it."""
    put: dict[str, object] = {"messages": messages, "temperature": 0}
    drop = _DROPPED if schema is None else (*_DROPPED, "max_tokens", "max_completion_tokens")
    if schema is not None:
        put["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": schema.name, "schema": schema.schema, "strict": True},
        }
    if max_tokens is not None:
        put["max_tokens"] = max_tokens
    return Edit({name: msgspec.Raw(msgspec.json.encode(value)) for name, value in put.items()}, drop)


def edited(query: Query, edit: Edit, schema: Schema | None = None) -> Query:
    """The query as it is handed up: what its answers are judged against."""
    fields = {name: raw for name, raw in query.fields.items() if name not in edit.drop}
    needs = msgspec.structs.replace(query.needs, json_schema=schema is not None, json_object=False)
    return msgspec.structs.replace(
        query, fields={**fields, **edit.put}, needs=needs, response_schema=schema, tools=(), native=None, api="chat"
    )


def needed(query: Query, *, added: int, schema: bool, output_tokens: int | None = None) -> Needs:
    """What an edited call asks of a model: `added` characters more, and a schema."""
    needs = query.needs
    return msgspec.structs.replace(
        needs,
        json_schema=schema,
        json_object=needs.json_object and not schema,
        input_tokens=needs.input_tokens + added // CHARS_PER_TOKEN,
        output_tokens=needs.output_tokens if output_tokens is None else output_tokens,
    )


def judge_of(query: Query, facts: Facts) -> Judge:
    """The usual judge, for answers to `query` (as it is handed up)."""
    return make_judge(query, Score(facts.complexity, facts.kind, facts.p_correct))
