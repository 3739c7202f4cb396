"""The `privacy` section -> a Guard: which recognisers there are, and what their findings mean.

Knows the settings. Does not know rules (rules.py builds its own), and finds nothing itself.
"""

from __future__ import annotations

from smallfirst.privacy.categories import Classes, category_problems
from smallfirst.privacy.classes import parse_class
from smallfirst.privacy.custom import build_recognisers, recogniser_problems
from smallfirst.privacy.detector import Detector, Recogniser
from smallfirst.privacy.floors import Floors
from smallfirst.privacy.guard import Guard
from smallfirst.privacy.inspector import Inspector
from smallfirst.privacy.matters import shipped
from smallfirst.privacy.presidio import Presidio
from smallfirst.privacy.settings import PrivacySettings


def detection_problems(settings: PrivacySettings) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with how data are looked for: (key path, words)."""
    custom = tuple(one.category for one in settings.recognisers)
    found = [
        (("privacy", "categories", *path), words) for path, words in category_problems(settings.categories, custom)
    ]
    found += [(("privacy", "recognisers", *path), words) for path, words in recogniser_problems(settings.recognisers)]
    return found


def build_guard(settings: PrivacySettings, floors: Floors | None = None) -> Guard:
    """`floors`: where sessions' classes are remembered; None: in memory.

    Raises ConfigError for a recogniser that can't be built, SetupError for an extra that is not installed."""
    detector = build_detector(settings) if settings.detect else None
    inspector = None if detector is None else Inspector(detector)
    return Guard(
        parse_class(settings.default_class),
        inspector,
        on_error=settings.on_detector_error,
        unlocated=settings.unlocated,
        floors=floors,
    )


def build_detector(settings: PrivacySettings) -> Detector:
    recognisers: list[Recogniser] = build_recognisers(settings.recognisers)
    if settings.presidio:
        recognisers.append(Presidio())
    matters = shipped() if reads_matters(settings) else None
    return Detector(Classes(settings.categories), recognisers=recognisers, matters=matters)


def reads_matters(settings: PrivacySettings) -> bool:
    """Whether the trained classifier is used: as the config says, else as soon as somebody has written rules."""
    return bool(settings.rules is not None or settings.preset) if settings.matters is None else settings.matters
