"""Once sensitive, a conversation stays so: the highest class that each session has had.

Knows sessions by a keyed digest, in memory, the most recent ones only. Does not know what made a session sensitive. A
restart forgets; the messages that a client sends again are looked at again.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from hashlib import blake2b

from smallfirst.core import DataClass

MOST_SESSIONS = 200_000


class Floors:
    """One per gateway, for one thread."""

    def __init__(self, most: int = MOST_SESSIONS) -> None:
        self._most, self._key = most, secrets.token_bytes(32)
        self._floors: OrderedDict[bytes, DataClass] = OrderedDict()

    def raised(self, key_name: str | None, session: str, data_class: DataClass) -> DataClass:
        """The class of a query of this session, which from now on no query of it is below."""
        said = f"{key_name or ''}\0{session}".encode("utf-8", "surrogatepass")
        digest = blake2b(said, digest_size=16, key=self._key).digest()
        floor = max(self._floors.get(digest, data_class), data_class)
        self._floors[digest] = floor
        self._floors.move_to_end(digest)
        if len(self._floors) > self._most:
            self._floors.popitem(last=False)
        return floor
