"""`${ENV_NAME}` inside a string of the config, and the rule that a secret is written in no other way.

Knows the notation. Does not know which field it fills; never puts a variable's value into a message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(rf"\$\$\{{|\$\{{({_NAME})\}}|\$\{{[^}}]*\}}?")
_WHOLE = re.compile(rf"\s*\$\{{{_NAME}\}}\s*")


def is_secret(field: str) -> bool:
    """Whether a field of this name holds a secret: `key`, and whatever ends in `_key`."""
    return field == "key" or field.endswith("_key")


def is_reference(text: str) -> bool:
    """Whether `text` is one ${NAME} and nothing else."""
    return _WHOLE.fullmatch(text) is not None


def fill(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """`text` with every ${NAME} replaced, and what is wrong with it. `$${` stands for a plain `${`."""
    problems: list[str] = []

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        if found.group(0) == "$${":
            return "${"
        if name is None:
            problems.append("a `${` that is no ${NAME}: a name has letters, digits and _; write `$${` for a plain `${`")
        elif name not in environ:
            problems.append(f"the environment variable {name} is not set")
        return "" if name is None else environ.get(name, "")

    return _REFERENCE.sub(value, text), problems


def example_reference(path: tuple[str, ...]) -> str:
    """A name that would suit the secret at this key path: `providers.openai.key` -> `${OPENAI_API_KEY}`."""
    owner = next((part for part in reversed(path[:-1]) if not part.isdigit()), "")
    stem = re.sub(r"[^A-Z0-9]+", "_", owner.upper()).strip("_") or "MY"
    return f"${{{'SF_' if stem[0].isdigit() else ''}{stem}_API_KEY}}"
