"""One field of labelled documents -> its ranker, calibrated, and what left-out documents said of it.

Knows fifths: the ranker that speaks of a document never saw a document of its group. From these come the penalty, the
calibration, the cut below which a value is taken for none, and the path of thresholds that fit.py certifies along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.calibrate.probability import Beta, fit_beta
from smallfirst.errors import DataError
from smallfirst.tasks.certify import NOTHING
from smallfirst.tasks.extract import clauses, ranker
from smallfirst.tasks.extract.clauses import Clauses, find_clauses
from smallfirst.tasks.extract.labelled import Labelled
from smallfirst.tasks.extract.model import FieldModel, Stored
from smallfirst.tasks.extract.normal import same
from smallfirst.tasks.extract.ranker import Candidates, Ranker, find_candidates
from smallfirst.tasks.extract.schema import Field
from smallfirst.tasks.extract.softmax import Example, Problem
from smallfirst.tasks.extract.values import Value


class Kind(msgspec.Struct, frozen=True):
    """How a finder's candidates are found and judged."""

    find: Callable[[Field, str], Candidates]
    is_right: Callable[[Field, str, Candidates, Sequence[str]], tuple[bool, ...]]
    made: type[Ranker]


KINDS = {
    "ranker": Kind(find_candidates, ranker.is_right, Ranker),
    "clauses": Kind(find_clauses, clauses.is_right, Clauses),
}
FOLDS = 5
PENALTIES = (0.3, 1.0, 3.0)


class LeftOut(msgspec.Struct, frozen=True):
    """What the fifths that were left out said of one document: values with uncalibrated chances, and the truth."""

    values: list[Value]
    wanted: tuple[str, ...]


class Fitted(msgspec.Struct, frozen=True):
    """A field's model without a promise; of each document, left out: how sure (n,), whether right (n,)."""

    model: FieldModel
    sure: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]


def fit_field(
    field: Field, rows: Sequence[Labelled], seed: int, keep: float | None = None, kind: str = "ranker"
) -> Fitted:
    """Fit on `rows`. `keep`: set the threshold where left-out documents were this often right; without, keep nothing.

    `kind`: ranker (documents laid out in lines and columns) or clauses (running text).

    Raises DataError where a field can't be learned, SetupError without the extra `learn`.
    """
    examples = [example(field, row, kind) for row in rows]
    fold = folds([row.group for row in rows], seed)
    left_out = _leave_out(field, rows, examples, fold, kind)
    penalty = max(left_out, key=lambda one: (_right(field, left_out[one]), -one))
    try:
        weights = Problem(examples, several=field.several).fit(penalty)
    except DataError as error:
        raise DataError(f"field {field.name}: {error}") from None
    bare = FieldModel((Stored(kind, msgspec.msgpack.encode(weights)),))
    return calibrated(field, bare, left_out[penalty], keep)


def example(field: Field, row: Labelled, kind: str = "ranker") -> Example:
    """What softmax.py learns from."""
    candidates = KINDS[kind].find(field, row.text)
    values = row.values[field.name]
    return Example(candidates, KINDS[kind].is_right(field, row.text, candidates, values), not values, row.group)


def folds(groups: Sequence[str], seed: int, count: int = FOLDS) -> npt.NDArray[np.intp]:
    """(n,) the fold of each row: groups are kept whole, the largest dealt first to the emptiest fold."""
    names, counts = np.unique(np.array(groups), return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    load = np.zeros(min(count, len(names)), dtype=int)
    place = {}
    for n in order:
        place[names[n]] = int(load.argmin())
        load[place[names[n]]] += counts[n]
    return np.array([place[group] for group in groups])


def _leave_out(
    field: Field, rows: Sequence[Labelled], examples: Sequence[Example], fold: npt.NDArray[np.intp], kind: str
) -> dict[float, list[LeftOut]]:
    """penalty -> what was said of each document by the ranker that did not see its fold."""
    said: dict[float, dict[int, list[Value]]] = {penalty: {} for penalty in PENALTIES}
    for one in range(int(fold.max()) + 1):
        seen = [example for example, at in zip(examples, fold, strict=True) if at != one]
        try:
            problem = Problem(seen, several=field.several)
        except DataError as error:
            raise DataError(f"field {field.name}: {error}") from None
        for penalty in PENALTIES:
            judge = KINDS[kind].made(field, msgspec.msgpack.encode(problem.fit(penalty)))
            for n in np.flatnonzero(fold == one).tolist():
                said[penalty][n] = judge.judge(rows[n].text, examples[n].candidates)
    return {
        penalty: [LeftOut(of[n], row.values[field.name]) for n, row in enumerate(rows)] for penalty, of in said.items()
    }


def _right(field: Field, left_out: Sequence[LeftOut]) -> int:
    """Documents whose likeliest values are right."""
    return sum(agree(field, _kept(field, one.values, 0.5), one.wanted) for one in left_out)


def _kept(field: Field, values: Sequence[Value], cut: float) -> list[Value]:
    """Of several all above the cut; of one the likeliest."""
    if field.several:
        return [value for value in values if value.confidence >= cut]
    return list(values[:1])


def agree(field: Field, values: Sequence[Value], wanted: Sequence[str]) -> bool:
    """Whether these are the wanted values, no more and no less. Where one is enough, any of the wanted will do."""
    if not wanted or not values:
        return not wanted and not values
    if not field.several:
        return any(same(field, values[0].normal, one) for one in wanted)
    return all(any(same(field, value.normal, one) for one in wanted) for value in values) and all(
        any(same(field, value.normal, one) for value in values) for one in wanted
    )


def calibrated(field: Field, bare: FieldModel, left_out: Sequence[LeftOut], keep: float | None) -> Fitted:
    """`bare` with its calibration, cut and threshold from what left-out documents said."""
    chances, truths = [], []
    for one in left_out:
        for value in one.values:  # also the runners-up: where every winner is right, they show what is not
            chances.append(value.confidence)
            truths.append(any(same(field, value.normal, each) for each in one.wanted))
    confidence = fit_beta(chances, truths) if chances else Beta(1.0, 1.0, 0.0)
    sure = [[float(confidence(value.confidence)) for value in one.values] for one in left_out]
    cut = _cut(field, left_out, sure)
    lowest, right = [], []
    for one, chance in zip(left_out, sure, strict=True):
        kept = [(value, c) for value, c in zip(one.values, chance, strict=True) if c >= cut]
        kept = kept if field.several else kept[:1]
        lowest.append(min((c for _, c in kept), default=-1.0))
        right.append(agree(field, [value for value, _ in kept], one.wanted))
    at, good = np.array(lowest), np.array(right)
    empty = at < 0
    nothing = np.array([not one.values for one in left_out])
    absent = (float(good[nothing].sum()) + 1) / (float(nothing.sum()) + 2)
    unlikely = np.array([absent if not chance else 1 - chance[0] for chance in sure])
    whole = fit_beta(at[~empty], good[~empty]) if field.several and (~empty).any() else None
    shown_sure = np.where(empty, unlikely, at if whole is None else whole(np.clip(at, 0, 1)))
    threshold = NOTHING if keep is None else _uncertified(shown_sure, good, keep)
    made = msgspec.structs.replace(
        bare, confidence=confidence, cut=cut, absent=absent, whole=whole, threshold=threshold
    )
    return Fitted(made, shown_sure, good.astype(bool))


def _cut(field: Field, left_out: Sequence[LeftOut], sure: Sequence[Sequence[float]]) -> float:
    """The confidence below which a value is taken for none: most documents right, the middle of those that tie."""
    if not field.several and all(one.wanted for one in left_out):
        return 0.0
    tried = [0.0, *(n / 20 for n in range(1, 20))]
    scores = []
    for cut in tried:
        kept = [
            [value for value, chance in zip(one.values, chances, strict=True) if chance >= cut]
            for one, chances in zip(left_out, sure, strict=True)
        ]
        scores.append(sum(
            agree(field, values if field.several else values[:1], one.wanted)
            for values, one in zip(kept, left_out, strict=True)
        ))  # fmt: skip
    best = [cut for cut, score in zip(tried, scores, strict=True) if score == max(scores)]
    return best[len(best) // 2]


def _uncertified(sure: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], accuracy: float) -> float:
    """The lowest threshold above which left-out documents were right often enough; no promise."""
    order = np.argsort(-sure, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(share >= accuracy)
    return float(sure[order[good[-1]]]) if len(good) else NOTHING
