"""An answer that takes much longer than usual is given up: most such answers go round in circles.

Knows how long to wait for each model below the highest tier. Does not know how the policy that it stands around
decides: to that policy, a call that was given up has failed.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from smallfirst.core import Outcome, Status
from smallfirst.policy.protocol import Cancel, Command, Done, Facts, Plan, Policy, Progress, Release, Start, Wake, Woke

_TAG = "give up "


class GivingUp(msgspec.Struct, frozen=True):
    """`policy`, that waits for a model below the highest tier no longer than `beyond` milliseconds, or its p95."""

    policy: Policy
    beyond: Literal["p95"] | float

    @property
    def name(self) -> str:
        return self.policy.name

    def plan(self, facts: Facts) -> Plan:
        if len(facts.tiers) < 2:
            return (yield from self.policy.plan(facts))
        plan = self.policy.plan(facts)
        running: dict[str, Start] = {}  # by the tag of its Wake
        try:
            commands = next(plan)
            while True:
                event = yield self._timed(commands, facts, running)
                while isinstance(event, Woke) and event.tag.startswith(_TAG):
                    late = running.pop(event.tag, None)
                    if late is None:
                        event = yield ()
                        continue
                    done = Done(late.id, _given_up(late, facts))
                    event = yield (Cancel(late.id), *self._timed(plan.send(done), facts, running))
                if isinstance(event, (Done, Progress)):
                    running.pop(f"{_TAG}{event.id}", None)  # it has come, or it writes: what follows is the policy's
                commands = plan.send(event)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        finally:
            plan.close()

    def _timed(self, commands: tuple[Command, ...], facts: Facts, running: dict[str, Start]) -> tuple[Command, ...]:
        """The commands, with an alarm clock for each call below the highest tier."""
        top, timed = facts.tiers[-1].models, list(commands)
        for one in commands:
            if isinstance(one, Start) and one.model not in top:
                beyond = facts.usual_ms(one.model, bool(one.watch)) if self.beyond == "p95" else self.beyond
                if beyond is not None:
                    tag = f"{_TAG}{one.id}"
                    running[tag] = one
                    timed.append(Wake(tag, float(beyond)))
            elif isinstance(one, Release):
                running.pop(f"{_TAG}{one.id}", None)
        return tuple(timed)


def _given_up(start: Start, facts: Facts) -> Outcome:
    """What the policy is told; its cost is an upper estimate, because what was written is billed."""
    return Outcome(start.model, Status.timed_out, error="given up", cost=facts.expected_cost(start.model))
