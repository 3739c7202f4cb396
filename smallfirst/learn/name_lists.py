"""Given and family names of some sixty languages, from Faker's lists (MIT): what the classifier of private matters may
take for a person.

Knows Faker's folders. Does not know which of the names are common words too: training takes those out.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator

from faker.providers import person

_NAME = re.compile(r"[^\W\d_]{3,24}")
_KINDS = {"given": "first_name", "family": "last_name"}


def read_names() -> tuple[frozenset[str], frozenset[str]]:
    """(given, family), in lower case, of scripts with capital letters; names of several words are left out."""
    found: dict[str, set[str]] = {kind: set() for kind in _KINDS}
    for module in pkgutil.iter_modules(person.__path__, f"{person.__name__}."):
        provider = importlib.import_module(module.name).Provider
        for kind, part in _KINDS.items():
            for attribute in sorted(dir(provider)):
                if part in attribute:
                    found[kind].update(_names(getattr(provider, attribute)))
    return frozenset(found["given"]), frozenset(found["family"])


def _names(listed: object) -> Iterator[str]:
    """A provider's attribute is a sequence of names, a mapping from names to weights, or a method."""
    if not isinstance(listed, Iterable) or isinstance(listed, str):
        return
    for name in listed:
        if isinstance(name, str) and _NAME.fullmatch(name) and name.lower() != name:
            yield name.lower()
