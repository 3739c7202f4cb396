"""What a triage model reached on texts that it was neither fitted nor certified on.

Knows judged texts and their true labels. Does not know terminals. Intervals are Wilson's (1927), 95%.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.evals.probe import wilson
from smallfirst.learn.metrics import auroc
from smallfirst.tasks.triage.fit import is_right
from smallfirst.tasks.triage.model import Judged, Triage
from smallfirst.tasks.triage.rows import Labelled

BEYOND = "(out of scope)"
COVERAGES = (1.0, 0.95, 0.9, 0.88, 0.85, 0.8, 0.7, 0.5)


class Share(msgspec.Struct, frozen=True):
    """right of n, and the ends of its interval."""

    right: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.right / self.n if self.n else 0.0


class TriageReport(msgspec.Struct, frozen=True):
    """`at_coverage`: accuracy of the surest share. `confusions`: (true, said, how often), most often first."""

    rows: int
    everything: Share  # as if all were kept
    in_scope: Share  # rows that have a label
    kept: Share  # at the threshold
    kept_share: float
    at_coverage: dict[str, float]
    scope_auroc: float | None
    confusions: list[tuple[str, str, int]]
    by_label: dict[str, tuple[int, int]]  # label -> (right, of)
    us_per_text: int


def measure(triage: Triage, rows: Sequence[Labelled]) -> TriageReport:
    """Judge `rows` and count."""
    began = time.perf_counter()
    judged = triage.judge([row.text for row in rows])
    spent = time.perf_counter() - began
    beyond = triage.model.out_of_scope
    right = np.array([is_right(one, row, beyond) for one, row in zip(judged, rows, strict=True)])
    sure = np.array([one.confidence for one in judged])
    kept = np.array([one.kept for one in judged])
    inside = np.array([any(label != beyond for label in row.labels) for row in rows])
    in_scope = np.array([np.nan if one.in_scope is None else one.in_scope for one in judged])
    learned = triage.model.scope is not None and 0 < inside.sum() < len(rows)
    order = np.argsort(-sure, kind="stable")
    return TriageReport(
        rows=len(rows),
        everything=share_of(right),
        in_scope=share_of(right[inside]),
        kept=share_of(right[kept]),
        kept_share=float(kept.mean()),
        at_coverage={f"{c:.0%}": float(right[order[: max(1, round(c * len(rows)))]].mean()) for c in COVERAGES},
        scope_auroc=auroc(inside.astype(np.float64), in_scope) if learned else None,
        confusions=_confusions(judged, rows, beyond),
        by_label=_by_label(right, rows),
        us_per_text=round(1e6 * spent / len(rows)),
    )


def share_of(right: npt.NDArray[np.bool_]) -> Share:
    """How many are right, with Wilson's interval; of nothing, 0 to 1."""
    count, of = int(right.sum()), len(right)
    low, high = wilson(count, of) if of else (0.0, 1.0)
    return Share(count, of, low, high)


def _confusions(judged: Sequence[Judged], rows: Sequence[Labelled], beyond: str | None) -> list[tuple[str, str, int]]:
    found: Counter[tuple[str, str]] = Counter()
    for one, row in zip(judged, rows, strict=True):
        if not is_right(one, row, beyond):
            meant = ", ".join(label for label in row.labels if label != beyond) or BEYOND
            found[meant, ", ".join(one.labels) or BEYOND] += 1
    return [(meant, said, count) for (meant, said), count in found.most_common()]


def _by_label(right: npt.NDArray[np.bool_], rows: Sequence[Labelled]) -> dict[str, tuple[int, int]]:
    every: Counter[str] = Counter()
    good: Counter[str] = Counter()
    for ok, row in zip(right, rows, strict=True):
        for label in row.labels or (BEYOND,):
            every[label] += 1
            good[label] += int(ok)
    return {label: (good[label], every[label]) for label in sorted(every)}
