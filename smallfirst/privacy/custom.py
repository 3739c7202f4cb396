"""Recognisers that a user adds: a regular expression, a list of words, or a Python entry point.

Knows how each is declared and run. Does not know what they find. A user's expression is the user's responsibility: one
that backtracks without end would hold up requests, so it is tried on a hostile text when the config is checked.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from smallfirst.errors import ConfigError
from smallfirst.privacy.categories import Finding
from smallfirst.privacy.detector import Recogniser
from smallfirst.privacy.settings import RecogniserSettings

GROUP = "smallfirst.recognisers"
"""The group of entry points: an object with `find(text) -> iterable of Finding`, or a function that makes one."""

SLOW_S = 0.05
"""What a search of one short text may take when the config is checked."""
_SIZES = (8, 10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048)
"""Ascending, so that an expression that backtracks without end shows itself while it still comes back."""
_HOSTILE = ("a", "1", "a@", " ", "a1-", "-", "aA1 ", ".")


class Pattern:
    """A regular expression; of one with a group, the group is what is personal."""

    def __init__(self, category: str, pattern: re.Pattern[str]) -> None:
        self._category, self._pattern = category, pattern
        self._group = 1 if pattern.groups else 0

    def find(self, text: str) -> Iterator[Finding]:
        for match in self._pattern.finditer(text):
            if match.end(self._group) > match.start(self._group):
                yield Finding(self._category, *match.span(self._group))


def word_list(category: str, words: Iterable[str]) -> Pattern:
    """Whole words or phrases, in any case."""
    listed = sorted({word.strip() for word in words if word.strip()}, key=len, reverse=True)
    return Pattern(category, re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, listed)) or '(?!)'})(?!\w)", re.I))


def build_recognisers(settings: Sequence[RecogniserSettings]) -> list[Recogniser]:
    """Raises ConfigError with every problem."""
    problems = recogniser_problems(settings)
    if problems:
        raise ConfigError([f"privacy.recognisers.{'.'.join(path)}: {words}" for path, words in problems])
    return [_build(one) for one in settings]


def recogniser_problems(settings: Sequence[RecogniserSettings]) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong: (key path below `privacy.recognisers`, words)."""
    found: list[tuple[tuple[str, ...], str]] = []
    for index, one in enumerate(settings):
        at = str(index)
        given = [name for name in ("pattern", "words", "file", "entry_point") if getattr(one, name)]
        if not one.category.isidentifier():
            found.append(((at, "category"), "a category is one word, such as `staff_number`"))
        if len(given) != 1:
            found.append(((at,), "give one of `pattern`, `words`, `file` and `entry_point`"))
        elif one.pattern is not None:
            found += [((at, "pattern"), words) for words in _pattern_problems(one.pattern)]
        elif one.file is not None and not Path(one.file).is_file():
            found.append(((at, "file"), f"there is no file {one.file}"))
        elif one.entry_point is not None and one.entry_point not in entry_points(group=GROUP).names:
            found.append(
                ((at, "entry_point"), f"no installed package has the entry point {one.entry_point} in {GROUP}")
            )
    return found


def _pattern_problems(written: str) -> list[str]:
    try:
        pattern = re.compile(written)
    except re.error as error:
        return [f"not a regular expression: {error}"]
    if pattern.match(""):
        return ["it matches nothing at all, and so everywhere"]
    for unit in _HOSTILE:
        for size in _SIZES:
            began = time.process_time()
            pattern.search((unit * size)[:size] + "\n!")
            if time.process_time() - began > SLOW_S:
                return [f"it takes too long on a text of {size} characters; simplify it (nested repeats?)"]
    return []


def _build(one: RecogniserSettings) -> Recogniser:
    if one.pattern is not None:
        return Pattern(one.category, re.compile(one.pattern))
    if one.words:
        return word_list(one.category, one.words)
    if one.file is not None:
        return word_list(one.category, Path(one.file).read_text("utf-8").splitlines())
    (point,) = entry_points(group=GROUP, name=str(one.entry_point))
    loaded = point.load()
    made: Recogniser = loaded if hasattr(loaded, "find") and not isinstance(loaded, type) else loaded()
    return made
