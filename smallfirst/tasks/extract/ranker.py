"""A small trained ranker: the candidates of one field in one document -> the chance of each that it is the value.

Knows one weight for each feature name. Does not know where they come from (softmax.py fits them). Chances are a softmax
over all candidates of the document and "there is none"; where a document may hold several values each candidate has a
chance of its own. Dictionaries and numpy are all it takes.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import lru_cache
from itertools import accumulate

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.errors import DataError
from smallfirst.tasks.extract.layout import read_layout
from smallfirst.tasks.extract.mentions import SHAPED, describe, find_mentions
from smallfirst.tasks.extract.names import loose
from smallfirst.tasks.extract.normal import normalise
from smallfirst.tasks.extract.patterns import Patterns
from smallfirst.tasks.extract.schema import Field
from smallfirst.tasks.extract.spans import RARE, RARES, ROLES, contour, describe_pieces, describe_run, longest, rare
from smallfirst.tasks.extract.values import Value, apart, best

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

LEAST = 0.001
"""Candidates less likely than this are not told."""

FAR = 12.0
"""Candidates that score this much less than the best one share only in the sum."""


class Weights(msgspec.Struct, frozen=True):
    """What a fit found (float32). `pieces` is (roles, piece_names) and empty for shaped fields."""

    names: tuple[str, ...]  # of candidates
    values: bytes
    none: float
    piece_names: tuple[str, ...] = ()
    pieces: bytes = b""


class Run(msgspec.Struct, frozen=True):
    """A candidate: document[start:end]. Shaped fields know its normal form, others its first and last piece."""

    start: int
    end: int
    normal: str = ""
    first: int = -1
    last: int = -1


class Candidates(msgspec.Struct, frozen=True):
    """Candidates of one field in one document, what is seen of each, and of each piece where runs are judged."""

    runs: tuple[Run, ...]
    seen: list[list[str]]
    pieces: list[list[str]]


def find_candidates(field: Field, document: str) -> Candidates:
    """Everything that the ranker chooses from. What the patterns think of a candidate is seen of it too."""
    if field.type not in SHAPED:
        return _runs(field, document)
    mentions = find_mentions(field, document)
    thought = {value.normal: value.confidence for value in Patterns(field).find(document)}
    seen = describe(document, mentions)
    for one, names in zip(mentions, seen, strict=True):
        names.append(f"patterns={thought.get(one.normal, 0.0):.1f}")
    return Candidates(tuple(Run(one.start, one.end, one.normal) for one in mentions), seen, [])


def _runs(field: Field, document: str) -> Candidates:
    layout = read_layout(document)
    thought = {(value.start, value.end): value.confidence for value in Patterns(field).find(document)}
    shape = contour(document, layout)
    runs, seen = [], []
    for first, opening in enumerate(layout.pieces):
        for last, closing in enumerate(layout.pieces[first : first + longest(field)], first):
            runs.append(Run(opening.start, closing.end, "", first, last))
            names = describe_run(layout, shape, first, last)
            if (chance := thought.get((opening.start, closing.end))) is not None:
                names.append(f"patterns={chance:.1f}")
            seen.append(names)
    return Candidates(tuple(runs), seen, described_pieces(document))


def with_rare(candidates: Candidates, known: Container[str]) -> Candidates:
    """What is seen once it is known which words are: of each piece, and of each run, how many are not."""
    counts = [rare(seen, known) for seen in candidates.pieces]
    pieces = [
        [*seen, RARE[0] if count is None else RARE[1 + min(count, 3)]]
        for seen, count in zip(candidates.pieces, counts, strict=True)
    ]
    before = [0, *accumulate(count or 0 for count in counts)]
    seen = [
        [*names, RARES[min(before[run.last + 1] - before[run.first], 3)]]
        for names, run in zip(candidates.seen, candidates.runs, strict=True)
    ]
    return Candidates(candidates.runs, seen, pieces)


def is_right(field: Field, document: str, candidates: Candidates, wanted: Sequence[str]) -> tuple[bool, ...]:
    """For each candidate whether it says one of the `wanted` normal forms."""
    if field.type in SHAPED:
        return tuple(run.normal in wanted for run in candidates.runs)
    bare = [loose(document[piece.start : piece.end]) for piece in read_layout(document).pieces]
    sought = {loose(one) for one in wanted}
    return tuple("".join(bare[run.first : run.last + 1]) in sought for run in candidates.runs)


@lru_cache(maxsize=2)
def described_pieces(document: str) -> list[list[str]]:
    """spans.describe_pieces, kept for the next field of the same document."""
    return describe_pieces(document, read_layout(document))


def role_sums(roles: Floats, first: Ints, last: Ints) -> Floats:
    """(n,) what the pieces of each run add up to. roles: (pieces + 2, 6), the edges of the document at both ends.

    `first`, `last` count pieces from 0; row 0 of `roles` stands before them.
    """
    begin, end = first + 1, last + 1
    inside = np.concatenate([[0.0], np.cumsum(roles[:, ROLES.index("inside")])])
    joint = np.concatenate([[0.0], np.cumsum(roles[:, ROLES.index("joint")])])
    sums: Floats = (
        roles[begin, ROLES.index("first")]
        + roles[end, ROLES.index("last")]
        + roles[begin - 1, ROLES.index("before")]
        + roles[end + 1, ROLES.index("after")]
        + (inside[end + 1] - inside[begin])
        + (joint[end] - joint[begin])
    )
    return sums


EDGES = (["<start>"], ["<end>"])
"""What is seen of the edges of a document."""


class Ranker:
    """A Finder. `weights`: an encoded Weights."""

    method = "ranker"

    def __init__(self, field: Field, weights: bytes) -> None:
        try:
            read = msgspec.msgpack.decode(weights, type=Weights)
        except msgspec.DecodeError as error:
            raise DataError(f"field {field.name}: the ranker can't be read ({error}); fit the model again") from error
        self._field, self._none = field, read.none
        self._values = dict(zip(read.names, np.frombuffer(read.values, dtype=np.float32).tolist(), strict=True))
        self._places = {name: n for n, name in enumerate(read.piece_names)}
        # a row of zeros at the end stands for names that were never seen
        table = np.frombuffer(read.pieces, dtype=np.float32).reshape(len(ROLES), -1).T if read.pieces else None
        self._table = None if table is None else np.vstack([table, np.zeros((1, len(ROLES)))])

    def find(self, document: str) -> list[Value]:
        """See model.Finder."""
        return self.judge(document, find_candidates(self._field, document))

    def judge(self, document: str, candidates: Candidates) -> list[Value]:
        """The likely ones of the document's candidates, surest first."""
        if not candidates.runs:
            return []
        scores = self._scores(candidates)
        runs = [(run, float(score)) for run, score in zip(candidates.runs, scores, strict=True)]
        floor = float(scores.max()) - FAR
        near = [(self._named(run, document), score) for run, score in runs if score >= floor]
        rest = np.array([score for _, score in runs if score < floor])
        chances = self._chances(near, rest)
        found = [
            Value(document[run.start : run.end], run.normal, run.start, run.end, chance, self.method)
            for (run, _), chance in zip(near, chances, strict=True)
            if run.normal and chance >= LEAST
        ]
        return apart(best(found)) if self._field.several else best(found)

    def _named(self, run: Run, document: str) -> Run:
        if run.normal:
            return run
        normal = normalise(self._field, document[run.start : run.end]) or ""
        return Run(run.start, run.end, normal, run.first, run.last)

    def _scores(self, candidates: Candidates) -> Floats:
        if self._table is not None:
            candidates = with_rare(candidates, self._places)
        value = self._values.get
        scores = np.array([sum(value(name, 0.0) for name in seen) for seen in candidates.seen])
        if self._table is None:
            return scores
        place, unknown = self._places.get, len(self._places)
        rows = [[place(name, unknown) for name in seen] for seen in (EDGES[0], *candidates.pieces, EDGES[1])]
        roles = np.array([self._table[row].sum(0) for row in rows])
        first = np.array([run.first for run in candidates.runs])
        last = np.array([run.last for run in candidates.runs])
        return scores + role_sums(roles, first, last)

    def _chances(self, near: list[tuple[Run, float]], rest: Floats) -> list[float]:
        """Of each near candidate. Equal normal forms share what they have together; the likeliest of them shows it."""
        scores = np.array([score for _, score in near])
        if self._field.several:
            return [float(chance) for chance in 1 / (1 + np.exp(-np.clip(scores + self._none, -500, 500)))]
        top = max(float(scores.max()), -self._none)
        odds = np.exp(scores - top)
        total = float(odds.sum() + np.exp(rest - top).sum() + np.exp(-self._none - top))
        together: dict[str, float] = {}
        leader: dict[str, int] = {}
        for n, (run, _) in enumerate(near):
            together[run.normal] = together.get(run.normal, 0.0) + float(odds[n]) / total
            if run.normal not in leader or odds[n] > odds[leader[run.normal]]:
                leader[run.normal] = n
        return [together[run.normal] if leader[run.normal] == n else 0.0 for n, (run, _) in enumerate(near)]
