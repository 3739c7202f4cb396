"""What answers under a name of its own: a policy with models that nobody else asks (tasks, knowledge bases).

Knows what the engine must know of such a name: which models are its own, and what it asks of those above. Does not
know any task. Its own models stand in the lowest tier of its facts; whom it hands up to is admitted like anybody else.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from smallfirst.core import Made, Needs, Outcome, Query, Usage
from smallfirst.models.local import completion
from smallfirst.models.wire import tokens_of
from smallfirst.policy.protocol import Facts, Plan


class Handler(Protocol):
    """A policy whose own models are asked first."""

    @property
    def name(self) -> str:
        """What callers put into `model`."""
        ...

    @property
    def own(self) -> tuple[str, ...]:
        """Names of its models in the catalogue's `own`; the first must be permitted, the others may be missing."""
        ...

    def needs(self, query: Query) -> Needs:
        """What a model above must be able to do, the edit of the request counted in."""
        ...

    def plan(self, facts: Facts) -> Plan: ...


def remade(outcome: Outcome, made: Made, *, own: bool) -> Outcome:
    """The outcome that is served: its words replaced, and the task's JSON beside them as `smallfirst.task`.

    `own`: of the task's own model. What such a one told the task was not for the caller: what is shown is counted.
    """
    more, usage = {"smallfirst": {"task": made.result}}, outcome.usage
    if own:
        usage = Usage(usage.input_tokens, tokens_of(len(made.text)), estimated=True)
    if own or not outcome.body:
        body = completion(outcome.model, made.text, usage, more)
    else:
        choice = {"index": 0, "message": {"role": "assistant", "content": made.text}, "finish_reason": "stop"}
        whole: dict[str, Any] = msgspec.json.decode(outcome.body)
        body = msgspec.json.encode({**whole, **more, "choices": [choice]})
    return msgspec.structs.replace(outcome, text=made.text, body=body, usage=usage, tool_calls=(), finish="stop")
