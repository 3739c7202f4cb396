"""Labelled short texts -> the weights of a tagger.

Knows CRFsuite's trainer (L-BFGS; Okazaki 2007) and how a value is found back in its text. Does not know how sure
the result is: calibration is fit_field.py's.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from smallfirst.errors import SetupError
from smallfirst.tasks.extract.labelled import Labelled
from smallfirst.tasks.extract.mentions import SHAPED, find_mentions
from smallfirst.tasks.extract.schema import Field
from smallfirst.tasks.extract.tagger import MISSING, READ, labels_of
from smallfirst.tasks.extract.tokens import asked, features, tokens, without_quoted

_WORD = re.compile(r"[^\W_]+")


class Strength(msgspec.Struct, frozen=True):
    """How strongly weights are held back: `sparse` (L1) and `small` (L2). See docs/slots.md."""

    sparse: float = 0.2
    small: float = 0.05
    rounds: int = 100


def train_chain(
    fields: Sequence[Field],
    rows: Sequence[Labelled],
    strength: Strength = Strength(),  # noqa: B008 - frozen
) -> bytes:
    """Weights from documents whose values are known. Raises SetupError without the extra."""
    try:
        import pycrfsuite  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SetupError(MISSING) from error
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params(
        {"c1": strength.sparse, "c2": strength.small, "max_iterations": strength.rounds,
         "feature.possible_transitions": True}
    )  # fmt: skip
    for row in rows:
        document = row.text[:READ]
        found = tokens(document)
        if found:
            trainer.append(features(found, asked(document)), labels_of(found, spans_of(fields, document, row.values)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain"
        trainer.train(str(path))
        return path.read_bytes()


def spans_of(fields: Sequence[Field], document: str, values: Mapping[str, Sequence[str]]) -> list[tuple[str, int, int]]:
    """(field, start, end) of every place where a known value stands."""
    return [
        (field.name, start, end)
        for field in fields
        for value in values[field.name]
        for start, end in (_shaped(field, document, value) if field.type in SHAPED else locate(field, document, value))
    ]


def _shaped(field: Field, document: str, value: str) -> list[tuple[int, int]]:
    """Mentions that read as `value`: of a field with one value the first."""
    found = [(one.start, one.end) for one in find_mentions(field, without_quoted(document)) if one.normal == value]
    return found if field.several else found[:1]


def locate(field: Field, document: str, value: str) -> list[tuple[int, int]]:
    """Where a value without a shape stands: the first place that cuts no word, or else any; none where it is nowhere.

    Blanks count as equal; quoted lines are not looked at (tokens.py). Of a field with several values all places, in any
    case and punctuation, as names are repeated in other writing (`Acme, Inc.`, `ACME INC`).
    """
    document = without_quoted(document)
    if field.several:
        return _loosely(document, value)
    words = value.split()
    if not words:
        return []
    found = [match.span() for match in re.finditer(r"\s+".join(map(re.escape, words)), document)]
    whole = [span for span in found if not any(_inside_word(document, at) for at in span)]
    return (whole or found)[:1]


def _loosely(document: str, wanted: str) -> list[tuple[int, int]]:
    words = [re.escape(word) for word in _WORD.findall(wanted)]
    if not words:
        return []
    shape = r"(?<!\w)" + r"[\W_]{0,6}?".join(words) + r"(?!\w)"
    return [match.span() for match in re.finditer(shape, document, re.IGNORECASE)]


def _inside_word(document: str, at: int) -> bool:
    return 0 < at < len(document) and document[at - 1].isalnum() and document[at].isalnum()
