"""Spans of time as people write them: `90s`, `15m`, `12h`, `30d`, `4w`.

Knows the notation. Does not know what the span is for.
"""

from __future__ import annotations

import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"(\d{1,6})\s*([smhdw])")


def seconds(text: str) -> int:
    """The span in seconds. Raises ValueError with words for whoever wrote it."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:40]!r} is no span of time; write 90s, 15m, 12h, 30d or 4w")
    return int(found.group(1)) * _UNITS[found.group(2)]
