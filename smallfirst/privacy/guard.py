"""The data class of a query: the highest of what its caller declares, its key demands, its task demands, its session
had, and what is found in it.

Knows who may say something about the class. Does not know who may see it then (rules.py), or how anything is found
(detector.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from smallfirst.core import DataClass
from smallfirst.errors import Forbidden
from smallfirst.privacy.categories import IDENTIFYING, NOTHING, Found
from smallfirst.privacy.floors import Floors, MemoryFloors
from smallfirst.privacy.inspector import Inspector
from smallfirst.privacy.redaction import REDACTED_FROM, Redaction

_FAILED = "personal data could not be looked for in this request, so it was not sent (privacy.on_detector_error)"


class Assessed(msgspec.Struct, frozen=True):
    """A query's class, and why: who demanded it (declared, key, task, default, session), and the categories found.

    `found` is the class of what was found alone.
    """

    data_class: DataClass
    why: tuple[str, ...]
    found: DataClass = DataClass.public


class Guard:
    """One per gateway, for one thread (large texts are read in another)."""

    def __init__(
        self,
        default_class: DataClass,
        inspector: Inspector | None = None,
        *,
        on_error: Literal["deny", "ignore"] = "deny",
        unlocated: Literal["deny", "send"] = "deny",
        floors: Floors | None = None,
    ) -> None:
        """`inspector` None: go by what parties say. `unlocated`: see `redact`. `floors` None: in memory only."""
        self.default_class, self.inspector, self._on_error = default_class, inspector, on_error
        self._unlocated = unlocated
        self._floors: Floors = floors or MemoryFloors()
        self._usual = Assessed(default_class, ("default",))

    async def assess(
        self,
        fields: Mapping[str, msgspec.Raw],
        *,
        declared: DataClass | None = None,
        key: str | None = None,
        key_class: DataClass | None = None,
        task_class: DataClass | None = None,
        session: str | None = None,
    ) -> Assessed:
        """Raises Forbidden (`detector_failed`) where the config would rather refuse than not know, and LedgerError
        where nobody can say which class the session has had."""
        found = NOTHING
        if self.inspector is not None:
            looked = self.inspector.look(fields)
            found = looked if looked is not None else await self.inspector.look_aside(fields)
        if found is NOTHING and session is None and declared is key_class is task_class is None:
            return self._usual
        if found.failed and self._on_error == "deny":
            raise Forbidden(_FAILED, code="detector_failed")
        return await self._decide(found, declared, key, key_class, task_class, session)

    async def redact(self, fields: Mapping[str, msgspec.Raw], assessed: Assessed) -> Redaction | None:
        """Placeholders for what was found, or None where they would not be enough.

        They are enough when what was replaced is what made the query as sensitive as it is, and nothing is found
        afterwards. With `unlocated: send` it is enough that no identifier is found afterwards.
        """
        if self.inspector is None:
            return None
        redaction = await self.inspector.redact(fields)
        if redaction is None:
            return None
        left = redaction.leaves()
        if self._unlocated == "send":
            return None if left.failed or set(left.categories) & IDENTIFYING - {"private_matter"} else redaction
        explained = redaction.highest >= assessed.data_class
        return redaction if explained and left.data_class < REDACTED_FROM and not left.failed else None

    async def _decide(
        self,
        found: Found,
        declared: DataClass | None,
        key: str | None,
        key_class: DataClass | None,
        task_class: DataClass | None,
        session: str | None,
    ) -> Assessed:
        said = (("declared", declared), ("key", key_class), ("task", task_class), ("default", self.default_class))
        highest = max(found.data_class, *(of for _, of in said if of is not None))
        floor = highest if session is None else await self._floors.raised(key, session, highest)
        why = [name for name, of in said if of == floor]
        if floor > highest:
            why.append("session")
        return Assessed(floor, (*why, *found.categories), found.data_class)

    def warm(self) -> None:
        """Load, in a thread beside the event loop, what a first text would otherwise wait for."""
        if self.inspector is not None:
            self.inspector.warm()

    def close(self) -> None:
        self._floors.close()
        if self.inspector is not None:
            self.inspector.close()
