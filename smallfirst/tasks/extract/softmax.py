"""Documents whose values are known -> the weights of a ranker, by penalised maximum likelihood.

Knows candidates with feature names and which of them are right. Does not know files or parts. One document is one draw
from the softmax over its candidates (conditional logit: McFadden 1974, section I); where several candidates are right,
their chances add up. A feature counts only where at least two groups of documents show it: what one vendor alone has
says nothing of the next. Needs the extra `learn` (scipy comes with scikit-learn); the fitted ranker does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.errors import DataError, SetupError
from smallfirst.tasks.extract.ranker import EDGES, Candidates, Floats, Ints, Weights, with_rare
from smallfirst.tasks.extract.spans import RARE, RARES, ROLES

FEWEST_GROUPS = 2
WITHOUT = 0.2
"""Each document counts this much once more with its right values taken out, so that "none" is learned even where every
document has a value: else the likeliest run of any other text would be believed."""

_ROUNDS = 120


class Example(msgspec.Struct, frozen=True):
    """One document of one field. `right` by candidate; none of them and `absent`: the document holds no value."""

    candidates: Candidates
    right: tuple[bool, ...]
    absent: bool
    group: str

    @property
    def tells(self) -> bool:
        """Whether anything is learned from it: not where the value stands nowhere in the source."""
        return self.absent or any(self.right)


class Problem:
    """Examples as matrices, once; fitted for any penalty and any subset."""

    def __init__(self, examples: Sequence[Example], *, several: bool) -> None:
        """Raises SetupError without scipy, DataError where nothing can be learned."""
        usable = [one for one in examples if one.tells]
        if not any(any(one.right) for one in usable):
            raise DataError("no value of it stands in any of the documents that are fitted on")
        self._several, self._usable = several, usable
        self._names = _known((one.group, one.candidates.seen) for one in usable)
        self._piece_names = _known((one.group, [*EDGES, *one.candidates.pieces]) for one in usable)
        self._with_pieces = any(one.candidates.pieces for one in usable)
        drawn = [one.candidates for one in usable]
        self._pieces: Any = None
        if self._with_pieces:
            drawn = [with_rare(one, self._piece_names) for one in drawn]
            _added(self._piece_names, RARE)
            _added(self._names, RARES)
            rows = (row for one in drawn for row in (EDGES[0], *one.pieces, EDGES[1]))
            self._pieces = _matrix(rows, self._piece_names)
        self._seen = _matrix((seen for one in drawn for seen in one.seen), self._names)
        self._first, self._last = self._places()
        counts = [len(one.right) for one in usable]
        self._document = np.repeat(np.arange(len(usable)), counts)
        self._right = np.array([right for one in usable for right in one.right], dtype=bool)
        self._absent = np.array([one.absent for one in usable])
        self._apart = np.array([apart for one in usable for apart in _apart(one)], dtype=bool)
        self._found: Floats | None = None  # the last fit, where the next one starts

    def _places(self) -> tuple[Ints, Ints]:
        """(n,) first and last piece of each run, counted through all documents with their edges."""
        first, last, offset = [], [], 0
        for one in self._usable:
            first += [run.first + offset for run in one.candidates.runs]
            last += [run.last + offset for run in one.candidates.runs]
            offset += len(one.candidates.pieces) + 2
        return np.array(first, dtype=np.intp), np.array(last, dtype=np.intp)

    def fit(self, penalty: float) -> Weights:
        """Weights for an L2 `penalty` (on each weight; the chance of "none" has no penalty)."""
        from scipy.optimize import minimize  # type: ignore[import-untyped]  # noqa: PLC0415 - the extra `learn`

        size = len(self._names) + (len(ROLES) * len(self._piece_names) if self._with_pieces else 0)
        start = np.zeros(size + 1) if self._found is None else self._found
        self._found = found = minimize(
            self._loss, start, args=(penalty,), jac=True, method="L-BFGS-B",
            options={"maxiter": _ROUNDS, "maxcor": 20, "ftol": 1e-6},
        ).x  # fmt: skip
        values, pieces, none = self._parted(found)
        return Weights(
            tuple(self._names), values.astype(np.float32).tobytes(), float(none),
            tuple(self._piece_names) if self._with_pieces else (),
            b"" if pieces is None else pieces.astype(np.float32).tobytes(),
        )  # fmt: skip

    def _parted(self, theta: Floats) -> tuple[Floats, Floats | None, float]:
        cut = len(self._names)
        pieces = theta[cut:-1].reshape(len(ROLES), -1) if self._with_pieces else None
        return theta[:cut], pieces, float(theta[-1])

    def _loss(self, theta: Floats, penalty: float) -> tuple[float, Floats]:
        values, pieces, none = self._parted(theta)
        scores = self._seen @ values
        if pieces is not None:
            scores = scores + self._role_sums(np.asarray(self._pieces @ pieces.T))
        loss, slope, none_slope = self._several_loss(scores, none) if self._several else self._one_loss(scores, none)
        parts = [self._seen.T @ slope + penalty * values]
        if pieces is not None:
            parts.append((self._role_slopes(slope).T @ self._pieces + penalty * pieces).ravel())
        squares = float(theta[:-1] @ theta[:-1])
        return loss + penalty * squares / 2, np.concatenate([*parts, [none_slope]])

    def _one_loss(self, scores: Floats, none: float) -> tuple[float, Floats, float]:
        """(loss, its slope by score, its slope by `none`); the score of "none" is -none."""
        count = len(self._usable)
        top = np.full(count, -none)
        np.maximum.at(top, self._document, scores)
        odds = np.exp(scores - top[self._document])
        empty = np.exp(-none - top)
        total = np.bincount(self._document, odds, count) + empty
        good = np.where(self._right, odds, 0.0)
        right = np.bincount(self._document, good, count) + np.where(self._absent, empty, 0.0)
        right = np.maximum(right, 1e-300)
        slope = odds / total[self._document] - good / right[self._document]
        empty_slope = empty / total - np.where(self._absent, empty / right, 0.0)
        loss = float((np.log(total) - np.log(right)).sum())
        # once more without what is right: then "none" is right
        left = np.where(self._apart, odds, 0.0)
        rest = np.bincount(self._document, left, count) + empty
        share = np.where(self._absent, 0.0, WITHOUT)
        slope += share[self._document] * left / rest[self._document]
        empty_slope += share * (empty / rest - 1)
        loss += float(share @ (np.log(rest) + none + top))
        return loss, slope, -float(empty_slope.sum())

    def _several_loss(self, scores: Floats, none: float) -> tuple[float, Floats, float]:
        logits = scores + none
        loss = np.logaddexp(0.0, np.where(self._right, -logits, logits))
        slope = np.exp(-np.logaddexp(0.0, -logits)) - self._right
        return float(loss.sum()), slope, float(slope.sum())

    def _role_sums(self, roles: Floats) -> Floats:
        from smallfirst.tasks.extract.ranker import role_sums  # noqa: PLC0415

        return role_sums(roles, self._first, self._last)

    def _role_slopes(self, slope: Floats) -> Floats:
        """(rows, roles): the transpose of role_sums."""
        rows = self._pieces.shape[0] if self._pieces is not None else 0
        begin, end = self._first + 1, self._last + 1
        found = np.zeros((rows, len(ROLES)))
        for role, place in (("first", begin), ("last", end), ("before", begin - 1), ("after", end + 1)):
            found[:, ROLES.index(role)] = np.bincount(place, slope, rows)
        opened = np.bincount(begin, slope, rows + 2)
        found[:, ROLES.index("inside")] = np.cumsum(opened - np.bincount(end + 1, slope, rows + 2))[:rows]
        found[:, ROLES.index("joint")] = np.cumsum(opened - np.bincount(end, slope, rows + 2))[:rows]
        return found


def _apart(one: Example) -> Iterator[bool]:
    """For each candidate whether it neither is right nor overlaps one that is."""
    runs = one.candidates.runs
    right = [run for run, good in zip(runs, one.right, strict=True) if good]
    normals = {run.normal for run in right if run.normal}
    for run in runs:
        yield run.normal not in normals and all(run.end <= other.start or other.end <= run.start for other in right)


def _known(described: Any) -> dict[str, int]:
    """Feature names that at least two groups show, numbered."""
    groups: dict[str, set[str]] = defaultdict(set)
    for group, rows in described:
        for row in rows:
            for name in row:
                if len(groups[name]) < FEWEST_GROUPS:
                    groups[name].add(group)
    return {
        name: n for n, name in enumerate(sorted(name for name, seen in groups.items() if len(seen) >= FEWEST_GROUPS))
    }


def _added(names: dict[str, int], more: Sequence[str]) -> None:
    for name in more:
        names[name] = len(names)


def _matrix(rows: Any, names: dict[str, int]) -> Any:
    """(rows, names) of zeros and ones, sparse."""
    try:
        from scipy.sparse import csr_matrix  # type: ignore[import-untyped]  # noqa: PLC0415 - the extra `learn`
    except ImportError as error:
        raise SetupError("fitting needs scikit-learn: pip install 'smallfirst[learn]'") from error
    columns: list[int] = []
    ends = [0]
    for row in rows:
        columns += [names[name] for name in row if name in names]
        ends.append(len(columns))
    data: npt.NDArray[np.float64] = np.ones(len(columns))
    return csr_matrix((data, columns, ends), shape=(len(ends) - 1, len(names)))
