"""Short texts -> values, by a tagger that reads every token in its company: a linear-chain conditional random field.

Knows a trained chain (Lafferty, McCallum, Pereira 2001, "Conditional random fields", section 3; CRFsuite), and how sure
it is of a span. Does not know how it was trained (tagging.py). One chain tags all fields of a schema at once, since a
token belongs to one of them; each field's finder asks it, and the last few documents are remembered so that a
document is tagged once.

A span's confidence is the least marginal chance of its tokens and of its end. Spans that the best path leaves out come
too, with the little chance that they have: that is how a field says how sure it is that it is empty.

Needs the extra `tasks` (python-crfsuite).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from smallfirst.errors import DataError, SetupError
from smallfirst.tasks.extract.normal import normalise
from smallfirst.tasks.extract.schema import Field
from smallfirst.tasks.extract.tokens import Token, asked, features, tokens
from smallfirst.tasks.extract.values import Value, best

if TYPE_CHECKING:
    import pycrfsuite

METHOD = "tagger"
MISSING = "tagging short texts needs python-crfsuite: pip install 'smallfirst[tasks]'"
OUTSIDE = "O"

READ = 3000
"""Characters that are read, from the start: all of a short text, and of a long one the part where parties are named."""

FAINT = 0.02
"""Marginal chance from which a token outside the best path may begin a span."""

REMEMBERED = 8
"""Documents whose tags are kept: each field asks for the same one."""

Spans = dict[str, list[Value]]


class Chain:
    """A trained chain at work. `read` is safe to call from several threads: one at a time is let in."""

    def __init__(self, weights: bytes) -> None:
        """Raises SetupError without the extra, DataError for weights that are none."""
        try:
            import pycrfsuite  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise SetupError(MISSING) from error
        self._tagger: pycrfsuite.Tagger = pycrfsuite.Tagger()
        try:
            self._tagger.open_inmemory(weights)
        except ValueError as error:
            raise DataError("the tagger's weights can't be read; fit the model again") from error
        self._weights = weights  # the library reads in them as long as it lives
        self._labels: list[str] = self._tagger.labels()
        self._fields = sorted({label[2:] for label in self._labels if label != OUTSIDE})
        self._lock = threading.Lock()
        self._last: OrderedDict[str, Spans] = OrderedDict()

    def read(self, document: str) -> Spans:
        """Field -> candidates, for every field that the chain knows; the same list for the same document."""
        with self._lock:
            if document not in self._last:
                self._last[document] = self._read(document)
                if len(self._last) > REMEMBERED:
                    self._last.popitem(last=False)
            return self._last[document]

    def _read(self, document: str) -> Spans:
        document = document[:READ]
        found = tokens(document)
        spans: Spans = {name: [] for name in self._fields}
        if not found:
            return spans
        path: list[str] = self._tagger.tag(features(found, asked(document)))
        for name in self._fields:
            for first, last in [*on_path(path, name), *self._off_path(path, name)]:
                start, end = found[first].start, found[last].end
                text = document[start:end]
                spans[name].append(Value(text, text, start, end, self._sure(name, first, last, len(found)), METHOD))
        return spans

    def _chance(self, label: str, at: int) -> float:
        return float(self._tagger.marginal(label, at)) if label in self._labels else 0.0

    def _sure(self, name: str, first: int, last: int, count: int) -> float:
        begins, goes_on = f"B-{name}", f"I-{name}"
        chances = [self._chance(begins, first), *(self._chance(goes_on, at) for at in range(first + 1, last + 1))]
        if last + 1 < count:
            chances.append(1 - self._chance(goes_on, last + 1))
        return min(chances)

    def _off_path(self, path: list[str], name: str) -> list[tuple[int, int]]:
        """The likeliest span that the best path does not have, where there is any to speak of."""
        free = [at for at, label in enumerate(path) if not label.endswith(f"-{name}")]
        chances = [(self._chance(f"B-{name}", at), at) for at in free]
        chance, first = max(chances, default=(0.0, 0))
        if chance < FAINT:
            return []
        last = first
        while last + 1 < len(path) and self._chance(f"I-{name}", last + 1) >= chance / 2:
            last += 1
        return [(first, last)]


def on_path(path: list[str], name: str) -> list[tuple[int, int]]:
    """(first, last token) of each span of a field on a path of labels B-name, I-name, O."""
    found: list[tuple[int, int]] = []
    inside = False
    for at, label in enumerate(path):
        if label == f"B-{name}" or (label == f"I-{name}" and not inside):
            found.append((at, at))
            inside = True
        elif label == f"I-{name}":
            found[-1] = (found[-1][0], at)
        else:
            inside = False
    return found


def labels_of(found: list[Token], spans: list[tuple[str, int, int]]) -> list[str]:
    """A label for each token from (field, start, end) in characters; the first span that covers a token has it."""
    labels = [OUTSIDE] * len(found)
    for name, start, end in spans:
        begun = False
        for at, token in enumerate(found):
            if token.start < end and token.end > start and labels[at] == OUTSIDE:
                labels[at] = f"{'I' if begun else 'B'}-{name}"
                begun = True
    return labels


@lru_cache(maxsize=16)
def open_chain(weights: bytes) -> Chain:
    """One chain for all fields that share its weights."""
    return Chain(weights)


class Tagger:
    """The finder of one field (model.Finder): what the shared chain says of it."""

    def __init__(self, field: Field, weights: bytes) -> None:
        self._field, self._chain = field, open_chain(weights)

    def find(self, document: str) -> list[Value]:
        """See model.Finder. A span that can't be read as the field's type is none."""
        found = []
        for value in self._chain.read(document).get(self._field.name, []):
            normal = normalise(self._field, value.text)
            if normal is not None:
                found.append(msgspec.structs.replace(value, normal=normal))
        return best(found)
