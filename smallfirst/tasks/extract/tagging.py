"""Labelled short texts -> the weights of a tagger.

Knows CRFsuite's trainer (L-BFGS; Okazaki 2007) and how a value is found back in its text. Does not know schemas, or how
sure the result is: calibration is fit.py's.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from smallfirst.errors import SetupError
from smallfirst.tasks.extract.tagger import MISSING, READ, labels_of
from smallfirst.tasks.extract.tokens import asked, features, tokens, without_quoted


_WORD = re.compile(r"[^\W_]+")


class Strength(msgspec.Struct, frozen=True):
    """How strongly weights are held back: `sparse` (L1) and `small` (L2). Chosen by cross-validation on restaurant8k."""

    sparse: float = 0.2
    small: float = 0.05
    rounds: int = 100


def train_chain(
    rows: Sequence[tuple[str, Mapping[str, Sequence[str]]]],
    several: Collection[str] = (),
    strength: Strength = Strength(),  # noqa: B008 - frozen
) -> bytes:
    """Weights from (document, field -> values as they are written); `several`: fields with more than one value.

    Raises SetupError without the extra.
    """
    try:
        import pycrfsuite  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SetupError(MISSING) from error
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params(
        {"c1": strength.sparse, "c2": strength.small, "max_iterations": strength.rounds,
         "feature.possible_transitions": True}
    )  # fmt: skip
    for whole, values in rows:
        document = whole[:READ]
        found = tokens(document)
        if found:
            spans = [
                (name, *place)
                for name, texts in values.items()
                for text in texts
                for place in locate(document, text, everywhere=name in several)
            ]
            trainer.append(features(found, asked(document)), labels_of(found, spans))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain"
        trainer.train(str(path))
        return path.read_bytes()


def locate(document: str, text: str, *, everywhere: bool = False) -> list[tuple[int, int]]:
    """Where a value stands in its document: the first place that cuts no word, or else any; none where it is nowhere.

    Quoted lines are not looked at (tokens.py). `everywhere`: all such places, in any case and punctuation, as names are
    repeated in other writing (`Acme, Inc.`, `ACME INC`).
    """
    wanted = text.strip()
    document = without_quoted(document)
    if everywhere:
        return _loosely(document, wanted)
    first = at = document.find(wanted) if wanted else -1
    while at >= 0:
        end = at + len(wanted)
        if not (_inside_word(document, at) or _inside_word(document, end)):
            return [(at, end)]
        at = document.find(wanted, at + 1)
    return [] if first < 0 else [(first, first + len(wanted))]


def _loosely(document: str, wanted: str) -> list[tuple[int, int]]:
    words = [re.escape(word) for word in _WORD.findall(wanted)]
    if not words:
        return []
    shape = r"(?<!\w)" + r"[\W_]{0,6}?".join(words) + r"(?!\w)"
    return [match.span() for match in re.finditer(shape, document, re.IGNORECASE)]


def _inside_word(document: str, at: int) -> bool:
    return 0 < at < len(document) and document[at - 1].isalnum() and document[at].isalnum()
