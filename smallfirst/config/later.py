"""What the design has and this version has not: asking for it is told apart from a slip of the pen.

Knows key paths (`*` stands for any name). Does not know when they will be built.
"""

from __future__ import annotations

SECTIONS = frozenset(
    {
        ("policies", "*", "hedge"),
    }
)

VALUES = frozenset(
    {
        ("baseline", "output_tokens", "from_shadows"),
        ("ledger", "content", "encrypted"),
    }
)


def is_later(path: tuple[str, ...], known: frozenset[tuple[str, ...]]) -> bool:
    """Whether `path` (a key, or a key and its value) is planned and not built."""
    return any(
        len(path) == len(pattern) and all(part in ("*", given) for part, given in zip(pattern, path, strict=True))
        for pattern in known
    )
