"""One text -> what is personal in it: disguises undone, patterns, base64 looked into, whatever recognisers were added.

Knows the order of the steps. Does not know messages or requests (inspector.py), nor what happens when something is
found. Linear in the length of the text, as long as the added recognisers are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from smallfirst.privacy.categories import IDENTIFYING, NOTHING, Classes, Finding, Found
from smallfirst.privacy.identifiers import warm
from smallfirst.privacy.matters import Matters
from smallfirst.privacy.normalise import Plain, plain
from smallfirst.privacy.patterns import encoded, find_patterns, longest_word
from smallfirst.privacy.words import fold

IMAGE = "data:image/"
OPAQUE = 8192
"""Characters of a string without a space, from which it is a file and not a text."""
_LEAST_ENCODED = 24


class Recogniser(Protocol):
    """Something that finds personal data: custom patterns, a word list, an entry point, Presidio.

    Called with a text without disguises, from any thread. What it raises is the detector's failure.
    """

    def find(self, text: str) -> Iterable[Finding]: ...


class Detector:
    """Safe to share between threads: it keeps nothing of what it sees."""

    def __init__(
        self, classes: Classes | None = None, *, recognisers: Sequence[Recogniser] = (), matters: Matters | None = None
    ) -> None:
        """`matters`: the trained classifier, or None to go by patterns only."""
        self.classes = classes or Classes()
        self._recognisers, self.matters = tuple(recognisers), matters

    def found(self, texts: Sequence[str]) -> Found:
        """The class and categories of a message's texts. The classifier sees them as one."""
        findings: list[Finding] = []
        shown: list[str] = []
        folded: list[bytes] = []
        for text in texts:
            if is_opaque(text):
                findings += self.scan(text)
                continue
            clear = plain(text)
            words = fold(clear.text)
            findings += self._scan(clear, words)
            shown.append(clear.text)
            folded += words
        if self.matters is not None and folded:
            identified = any(finding.category in IDENTIFYING for finding in findings)
            if self.matters.is_private(
                shown[0] if len(shown) == 1 else "\n".join(shown), folded, identified=identified
            ):
                findings.append(Finding("private_matter"))
        return self.classes.highest(findings) if findings else NOTHING

    def scan(self, text: str) -> list[Finding]:
        """Everything in `text` but private matters, with places in `text` as it came, in no particular order."""
        if is_opaque(text):
            said = _said(text)
            if said is None:
                return [Finding("unreadable", 0, len(text))]
            return [Finding(finding.category, 0, len(text)) for finding in self.scan(said)]
        clear = plain(text)
        return self._scan(clear, fold(clear.text))

    def _scan(self, clear: Plain, words: list[bytes]) -> list[Finding]:
        text = clear.text
        longest = longest_word(text)
        found = find_patterns(text, words, longest)
        if longest >= _LEAST_ENCODED:
            for start, end, said in encoded(text):
                inner = find_patterns(said, fold(said), longest_word(said))
                found += [Finding(one.category, start, end) for one in inner]
        for recogniser in self._recognisers:
            found += recogniser.find(text)
        if clear.places is None:
            return found
        return [Finding(one.category, *clear.original(one.start, one.end)) if one.located else one for one in found]

    def warm(self) -> None:
        """Import and load what a first text would otherwise wait for."""
        warm()


def is_opaque(text: str) -> bool:
    """Whether a string is a file in disguise: a data URL, or very long without a space."""
    if text.startswith("data:"):
        return "," in text[:256]
    return len(text) > OPAQUE and text[:256].isascii() and " " not in text[:OPAQUE] and "\n" not in text[:OPAQUE]


def _said(text: str) -> str | None:
    """What a data URL of text says, or a long string that is no base64; None where it can't be read."""
    if not text.startswith("data:"):
        head = text[:256]
        return None if all(char.isalnum() or char in "+/=_-" for char in head) and not head.isalpha() else f" {text}"
    kind, _, body = text.partition(",")
    if not kind.startswith("data:text/") and "json" not in kind:
        return None
    if not kind.endswith(";base64"):
        return f" {body}"
    return next((said for _, _, said in encoded(body)), None)
