"""What the engine needs of whoever watches over promises: two questions, asked without knowing who answers.

Knows shapes only. monitor/ fills them, above this room; without a monitor a request pays one comparison.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from smallfirst.core import Attempt, Entry, Outcome, Permit, Query, Tier
from smallfirst.policy.protocol import Policy


class Promised(Policy, Protocol):
    """A policy with a certificate."""

    @property
    def max_quality_loss(self) -> float:
        """What is promised: at most this relative loss."""
        ...

    @property
    def in_force(self) -> bool:
        """Nothing has voided the certificate, and no alarm stands."""
        ...


class Audited(msgspec.Struct, frozen=True):
    """A request that the coin has chosen, and who may see it."""

    query: Query
    tiers: tuple[Tier, ...]
    permit: Permit


class Auditor(Protocol):
    """Chooses requests by a coin, and looks at them once they are served, off the request path."""

    def toss(self, policy: str) -> bool:
        """Whether a request of this policy is audited. Must not depend on anything about the request itself."""
        ...

    def take(self, audited: Audited, entry: Entry, served: Outcome | None, attempts: tuple[Attempt, ...]) -> None:
        """A chosen request has been served. Never blocks and never raises."""
        ...
