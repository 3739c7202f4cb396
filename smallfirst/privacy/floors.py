"""Once sensitive, a conversation stays so: the highest class that each session has had.

Knows sessions by a keyed digest, in memory, the most recent ones only. Does not know what made a session sensitive. A
restart forgets these: a gateway's are kept in its ledger (ledger/floors.py), where all processes that share it look.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from hashlib import blake2b
from typing import Protocol

from smallfirst.core import DataClass

MOST_SESSIONS = 200_000


class Floors(Protocol):
    """Where the classes of sessions are remembered."""

    async def raised(self, key_name: str | None, session: str, data_class: DataClass) -> DataClass:
        """The class of a query of this session, which from now on no query of it is below.

        Raises LedgerError where that can't be known or kept: then the query may not be sent.
        """
        ...

    def close(self) -> None: ...


class MemoryFloors:
    """One per gateway, for one thread."""

    def __init__(self, most: int = MOST_SESSIONS) -> None:
        self._most, self._key = most, secrets.token_bytes(32)
        self._floors: OrderedDict[bytes, DataClass] = OrderedDict()

    async def raised(self, key_name: str | None, session: str, data_class: DataClass) -> DataClass:
        """As Floors; never raises."""
        said = f"{key_name or ''}\0{session}".encode("utf-8", "surrogatepass")
        digest = blake2b(said, digest_size=16, key=self._key).digest()
        floor = max(self._floors.get(digest, data_class), data_class)
        self._floors[digest] = floor
        self._floors.move_to_end(digest)
        if len(self._floors) > self._most:
            self._floors.popitem(last=False)
        return floor

    def close(self) -> None:
        self._floors.clear()
