"""Every way on every slice of the queries: what a pooled figure hides.

Knows the slices that the data names (benchmark, category, slice). Does not choose any: a slice that was picked after
looking at the figures proves nothing, and an interval of many will miss now and then (1 in 20 does).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from smallfirst.evals.baselines import Priced, Served
from smallfirst.evals.evaluation_report import SliceLine
from smallfirst.evals.resamples import Resamples

LEAST_PROMPTS = 30
"""Prompts below which a slice is not shown by itself."""

MOST = 40
"""Slices shown of one kind, the largest; there may be hundreds of categories."""


def slices_of(data: Priced) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    """(kind, name, rows) of every slice with LEAST_PROMPTS prompts; kinds that have but one value are left out."""
    table = data.table
    seen: set[bytes] = set()
    for by, values in (("benchmark", table.benchmarks), ("category", table.categories), ("slice", table.slices)):
        names, counts = np.unique(np.array(values), return_counts=True) if values else (np.array([]), np.array([]))
        if len(names) < 2:
            continue
        order = np.argsort(-counts, kind="stable")[:MOST]
        for at in sorted(order.tolist(), key=lambda i: str(names[i])):
            rows = np.array(values) == names[at]
            if counts[at] >= LEAST_PROMPTS and rows.tobytes() not in seen:  # categories often are the benchmarks again
                seen.add(rows.tobytes())
                yield by, str(names[at]), rows


def measure_slices(
    data: Priced, top: Served, ways: Sequence[Served], resamples: Resamples, target_loss: float
) -> list[SliceLine]:
    """`top` is always-baseline on the same rows."""
    found = []
    for by, name, rows in slices_of(data):
        columns = np.column_stack([top.scores, *(way.scores for way in ways)]) * rows[:, None]
        drawn = resamples.sums(columns)
        for at, way in enumerate(ways, 1):
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = float(np.float64(columns[:, at].sum()) / columns[:, 0].sum())
                relative = resamples.interval(ratio, drawn[:, at] / drawn[:, 0])
                cost = float(np.float64(way.costs[rows].sum()) / top.costs[rows].sum())
            found.append(
                SliceLine(
                    by=by,
                    name=name,
                    way=way.name,
                    prompts=int(rows.sum()),
                    groups=len(set(resamples.index[rows].tolist())),
                    cost=cost,
                    quality=float(way.scores[rows].mean()),
                    relative=relative,
                    beyond=relative.high < 1 - target_loss,
                )
            )
    return found
