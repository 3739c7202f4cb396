"""The terminal: one console for results (stdout), one for everything else (stderr)."""

from __future__ import annotations

from rich.console import Console

out = Console(highlight=False, emoji=False)  # `task:taxi: ...` is no picture of a taxi
err = Console(stderr=True, highlight=False, emoji=False)
