"""Several fields of labelled documents -> one tagger for all of them, each field calibrated by itself.

Knows thirds: the chain that speaks of a document never saw a document of its group. Does not know what a chain looks at
(tokens.py) nor how a field's confidence is calibrated (fit_field.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from smallfirst.errors import DataError
from smallfirst.tasks.extract.fit_field import Fitted, LeftOut, calibrated, folds
from smallfirst.tasks.extract.labelled import Labelled
from smallfirst.tasks.extract.model import FieldModel, Stored
from smallfirst.tasks.extract.schema import Field
from smallfirst.tasks.extract.tagger import Tagger
from smallfirst.tasks.extract.tagging import train_chain

CHAIN = "chain"
"""The name of the weights that all fields share."""

FOLDS = 3


class Tagged(msgspec.Struct, frozen=True):
    """The shared weights, and each field's model."""

    weights: bytes
    fields: dict[str, Fitted]


def fit_tagged(
    fields: Sequence[Field], rows: Sequence[Labelled], seed: int, keep: float | None = None,
    told: Callable[[int, int], None] = lambda *_: None,
) -> Tagged:  # fmt: skip
    """Fit on rows that say what all of `fields` are. `keep`: as in fit_field. `told` hears how many chains are done.

    Raises DataError where a field has no value in any row, SetupError without the extra `tasks`.
    """
    rows = [row for row in rows if all(field.name in row.values for field in fields)]
    for field in fields:
        if not any(row.values[field.name] for row in rows):
            raise DataError(f"field {field.name}: no document that says what every tagged field is holds a value of it")
    fold = folds([row.group for row in rows], seed, FOLDS)
    count = int(fold.max()) + 1
    said: dict[str, dict[int, LeftOut]] = {field.name: {} for field in fields}
    for one in range(count):
        weights = train_chain(fields, [row for row, at in zip(rows, fold, strict=True) if at != one])
        for field in fields:
            tagger = Tagger(field, weights)
            for n in (fold == one).nonzero()[0].tolist():
                said[field.name][n] = LeftOut(tagger.find(rows[n].text), rows[n].values[field.name])
        told(one + 1, count + 1)
    weights = train_chain(fields, rows)
    told(count + 1, count + 1)
    bare = FieldModel((Stored("tagger", shared=CHAIN),))
    return Tagged(
        weights,
        {
            field.name: calibrated(field, bare, [said[field.name][n] for n in range(len(rows))], keep)
            for field in fields
        },
    )
