"""What an extraction model reached on documents that it was neither fitted nor certified on.

Knows documents and their true values; puts the patterns beside the model, so that what was learned can be seen. Does
not know terminals. Intervals are 95%, by resampling whole groups of documents (2,000 draws).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.evals.probe import wilson
from smallfirst.tasks.extract.fit_field import agree
from smallfirst.tasks.extract.labelled import Labelled
from smallfirst.tasks.extract.model import ExtractModel, Extractor, unfitted

DRAWS = 2000


class Share(msgspec.Struct, frozen=True):
    """right of n, and the ends of its interval."""

    right: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.right / self.n if self.n else 0.0


class FieldReport(msgspec.Struct, frozen=True):
    """One field over the documents that say what it is."""

    everything: Share  # as if all were kept
    kept: Share  # at the threshold
    kept_share: float
    patterns: Share  # what is found without having learned anything


class ExtractReport(msgspec.Struct, frozen=True):
    """`whole`: documents whose every field is right; `untouched`: share of which nothing would be handed up."""

    documents: int
    groups: int
    fields: dict[str, FieldReport]
    whole: Share
    untouched: float
    us_per_document: int


def measure(model: ExtractModel, rows: Sequence[Labelled], seed: int = 0) -> ExtractReport:
    """Extract from `rows` and count."""
    extractor, patterns = Extractor(model), Extractor(unfitted(model.schema))
    began = time.perf_counter()
    found = [extractor.extract(row.text) for row in rows]
    spent = time.perf_counter() - began
    plain = [patterns.extract(row.text) for row in rows]
    groups = np.unique([row.group for row in rows], return_inverse=True)[1]
    whole: npt.NDArray[np.bool_] = np.ones(len(rows), dtype=bool)
    fields = {}
    for field in model.schema.fields:
        told = np.array([field.name in row.values for row in rows])
        wanted = [row.values.get(field.name, ()) for row in rows]
        right, by_patterns = (
            np.array([agree(field, one.fields[field.name], w) for one, w in zip(said, wanted, strict=True)])
            for said in (found, plain)
        )
        kept = np.array([field.name not in one.doubtful for one in found])
        whole &= right | ~told
        fields[field.name] = FieldReport(
            share(right[told], groups[told], seed),
            share(right[told & kept], groups[told & kept], seed),
            float(kept[told].mean()) if told.any() else 0.0,
            share(by_patterns[told], groups[told], seed),
        )
    untouched = float(np.mean([not one.doubtful for one in found]))
    return ExtractReport(
        len(rows), len(set(groups.tolist())), fields, share(whole, groups, seed), untouched,
        round(1e6 * spent / max(1, len(rows))),
    )  # fmt: skip


def share(right: npt.NDArray[np.bool_], groups: npt.NDArray[np.intp], seed: int = 0) -> Share:
    """How many are right, with the interval over resamples of groups (Wilson's where all are alike)."""
    names, place = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return Share(int(right.sum()), len(right), 0.0, 1.0)
    if len(set(right.tolist())) < 2:  # resampling says nothing then
        low, high = wilson(len(names) * int(right[0]), len(names))
        return Share(int(right.sum()), len(right), round(low, 6), round(high, 6))
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)
    good, count = np.bincount(place, right), np.bincount(place)
    low, high = np.quantile((draws @ good) / (draws @ count), (0.025, 0.975))
    return Share(int(right.sum()), len(right), float(low), float(high))
