"""Locations: `device`, `premises`, `cloud`, `cloud/<region>` (and finer: `cloud/eu/fra`).

Knows their shape and when one lies within another. Does not know who is where.
"""

from __future__ import annotations

import re

from smallfirst.config.nearest import hint

_SHAPE = re.compile(r"device|premises|cloud(/[a-z0-9][a-z0-9-]*)*")


def location_problem(text: str) -> str | None:
    """What is wrong with `text` as a location, or None."""
    if _SHAPE.fullmatch(text):
        return None
    near = hint(text, ("device", "premises", "cloud")) if "/" not in text else ""
    return (
        f"unknown location `{text[:60]}`{near or '; a location is device, premises or cloud/<region>, in lower case'}"
    )


def surely_lies_within(place: str, area: str) -> bool:
    """Whether what is at `place` is certainly in `area`: `cloud/eu` in `cloud`, but not the other way round."""
    return place == area or place.startswith(f"{area}/")


def may_lie_within(place: str, area: str) -> bool:
    """Whether it could be: a provider that says no more than `cloud`, or `cloud/unknown`, may be in `cloud/eu`."""
    place = place.removesuffix("/unknown")
    return surely_lies_within(place, area) or surely_lies_within(area, place)
