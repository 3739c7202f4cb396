"""What a smaller model wrote goes up with the query, as a draft or to be criticised.

Knows which answers came, which model is a tier above them, and how a request is edited. Does not know how the policy
that it stands around decides. A model that may see the query only redacted gets no draft (facts.further says so), nor
does one whose context it would not fit. Whether drafts help is for an evaluation to show: off unless asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from smallfirst.core import Attempt, Decision, Edit, Outcome, OutReason, Query
from smallfirst.policy.protocol import Command, Done, Event, Facts, Plan, Policy, Start

How = Literal["draft", "critique"]

LONGEST = 8000
"""Characters; what is longer is not handed up: cut off, it would mislead."""

WORDS: dict[How, str] = {
    "draft": (
        "The answer above is a draft by a smaller model and may be wrong. Answer my request above again yourself, "
        "keeping of the draft only what is right. Reply with the final answer alone, in the form that I asked for, "
        "and do not mention the draft."
    ),
    "critique": (
        "The answer above is a draft by a smaller model and may be wrong. Check it step by step against my request, "
        "for mistakes of fact, of reasoning and of form. Then reply with the corrected answer alone, in the form that "
        "I asked for."
    ),
}

_messages = msgspec.json.Decoder(list[msgspec.Raw])


class _Turn(msgspec.Struct):
    role: str = ""


_turn = msgspec.json.Decoder(_Turn)


class HandingOver(msgspec.Struct, frozen=True):
    """`policy`, whose models get the best answer of the tiers below them."""

    policy: Policy
    how: How

    @property
    def name(self) -> str:
        return self.policy.name

    def plan(self, facts: Facts) -> Plan:
        messages = continued(facts.query)
        if messages is None:
            return (yield from self.policy.plan(facts))
        drafts = _Drafts(facts, self.how, messages)
        plan = self.policy.plan(msgspec.structs.replace(facts, expected_cost=drafts.expected_cost))
        try:
            commands = next(plan)
            while True:
                event = yield drafts.edited(commands)
                drafts.hear(event)
                commands = plan.send(event)
        except StopIteration as stop:
            decision: Decision = stop.value
            return drafts.marked(decision)
        finally:
            plan.close()


def continued(query: Query | None) -> list[msgspec.Raw] | None:
    """The messages that a draft may follow; None where it may not: no plain question at the end, or another API's."""
    if query is None or query.native is not None or query.needs.tools or query.needs.n > 1:
        return None
    raw = query.fields.get("messages")
    if raw is None:
        return None
    messages = _messages.decode(raw)
    return messages if messages and _turn.decode(messages[-1]).role == "user" else None


class _Drafts:
    """The answers so far, and what goes up of them."""

    def __init__(self, facts: Facts, how: How, messages: list[msgspec.Raw]) -> None:
        self._facts, self._how, self._messages = facts, how, messages
        self._tier = {model: at for at, tier in enumerate(facts.tiers) for model in tier.models}
        self._answers: list[tuple[int, Outcome]] = []
        self._with_draft: set[int] = set()

    def hear(self, event: Event) -> None:
        if isinstance(event, Done) and event.outcome.ok and not event.outcome.tool_calls:
            text = event.outcome.text
            if text.strip() and len(text) <= LONGEST:
                self._answers.append((event.id, event.outcome))

    def edited(self, commands: Iterable[Command]) -> tuple[Command, ...]:
        return tuple(self._with(one) if isinstance(one, Start) else one for one in commands)

    def expected_cost(self, model: str) -> int:
        """As the policy is told it: with the draft that this model would read."""
        found = self._draft(model)
        more = None if found is None else self._facts.further(model, _tokens(found[1], self._how))
        return self._facts.expected_cost(model) + (more or 0)

    def marked(self, decision: Decision) -> Decision:
        """An answer that was written with a draft stands outside every certificate."""
        if decision.served not in self._with_draft or decision.out_reason is not None:
            return decision
        return msgspec.structs.replace(decision, out_reason=OutReason.draft)

    def _draft(self, model: str) -> tuple[int, Outcome] | None:
        """Of the answers from below, one of the highest tier; of several there the one the judge thinks most of."""
        at = self._tier.get(model, 0)
        below = [one for one in self._answers if self._tier.get(one[1].model, at) < at]
        if not below:
            return None
        highest = max(self._tier[outcome.model] for _, outcome in below)
        best = [one for one in below if self._tier[one[1].model] == highest]
        if len(best) == 1:
            return best[0]
        others = tuple(outcome for _, outcome in best)
        return max(best, key=lambda one: self._facts.judge(one[1], others).p_correct)

    def _with(self, start: Start) -> Start:
        found = self._draft(start.model) if start.edit is None else None
        if found is None:
            return start
        id, outcome = found
        tokens = _tokens(outcome, self._how)
        if self._facts.further(start.model, tokens) is None:
            return start
        said = [{"role": "assistant", "content": outcome.text}, {"role": "user", "content": WORDS[self._how]}]
        messages = msgspec.Raw(msgspec.json.encode([*self._messages, *said]))
        self._with_draft.add(start.id)
        return msgspec.structs.replace(start, edit=Edit({"messages": messages}, (), tokens, draft=id))


def _tokens(outcome: Outcome, how: How) -> int:
    return -(-(len(outcome.text) + len(WORDS[how])) // 4)


def drafted(attempts: list[Attempt], n: int) -> None:
    """For drivers: note in the record of attempt `n` that its answer was handed up."""
    for at, attempt in enumerate(attempts):
        if attempt.n == n:
            attempts[at] = msgspec.structs.replace(attempt, role="draft")
