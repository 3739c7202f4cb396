"""What became of texts whose right labels are known: kept by triage, handed up, or served unsure; how often right.

Knows answered texts with their true labels, and what other models said of the same texts. Does not know how it is
shown. Everything is counted on the texts given: whoever fits or certifies on them as well flatters the figures.
Intervals are Wilson's (1927), 95%.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from smallfirst.errors import DataError
from smallfirst.tasks.triage.model import Triage
from smallfirst.tasks.triage.report import BEYOND, COVERAGES, Share, share_of
from smallfirst.tasks.triage.rows import Labelled
from smallfirst.tasks.triage.run import Input, Line, label

SCHEMA = "smallfirst.triage/1"

LOCAL = ("triage", "triage (not sure)")


class Answered(msgspec.Struct, frozen=True):
    """One text: its true labels, and the line of the run. Labels are compared as sets."""

    meant: frozenset[str]
    line: Line

    @property
    def right(self) -> bool:
        return frozenset(self.line.labels) == self.meant

    @property
    def kept(self) -> bool:
        return self.line.by == "triage"

    @property
    def handed(self) -> bool:
        return bool(self.line.by) and self.line.by not in LOCAL

    @property
    def local_right(self) -> bool:
        """Whether triage alone would have been right."""
        return frozenset(self.line.local if self.handed else self.line.labels) == self.meant


class Said(msgspec.Struct, frozen=True):
    """What another model said of a text, and how long that took."""

    labels: frozenset[str]
    seconds: float | None = None
    cost_usd: float | None = None


class Beside(msgspec.Struct, frozen=True):
    """A model asked about every text, and the same model asked only where triage is not sure."""

    model: str
    alone: Share
    together: Share
    calls: float  # share of the texts that it is asked about
    seconds: float | None  # mean, asked about every text
    seconds_together: float | None
    cost_usd: float | None  # of all texts
    cost_together_usd: float | None


class Overview(msgspec.Struct, frozen=True):
    """`confusion[meant][said]`: texts. `at_coverage`: accuracy of triage's surest share."""

    schema: str
    texts: int
    unread: int  # texts that could not be read; they are in no other figure
    total: Share  # all answers together
    kept: Share
    handed: Share
    unsure: Share  # nobody above was asked, or none gave a usable answer
    local: Share  # triage alone on everything
    at_coverage: dict[str, float]
    confusion: dict[str, dict[str, int]]
    by_label: dict[str, Share]
    by_model: dict[str, Share]
    cost_usd: float
    cost_all_up_usd: float | None  # estimated: the mean call above times all texts; None: no call above
    ms: float  # mean, a text
    local_ms: float  # median
    handed_ms: float | None  # mean of a call above; None: no call above
    beside: tuple[Beside, ...] = ()


def join(lines: Sequence[Line], gold: Mapping[str, frozenset[str]]) -> tuple[list[Answered], int]:
    """(answered texts, how many could not be read), by id. Raises DataError for a line that has no true label."""
    found = []
    for line in lines:
        meant = gold.get(line.id)
        if meant is None:
            raise DataError(f"the run has a text {line.id!r}, and the labelled data have none of that id; see --id")
        if line.by:
            found.append(Answered(meant, line))
    if not found:
        raise DataError("the run has no text with an answer")
    return found, len(lines) - len(found)


def answer_all(triage: Triage, rows: Mapping[str, Labelled], beyond: str | None) -> list[Answered]:
    """Triage's own answers to labelled texts, with nobody above."""
    inputs = [Input(id, row.text) for id, row in rows.items()]
    gold = {id: meant(row, beyond) for id, row in rows.items()}
    return [Answered(gold[line.id], line) for line in label(inputs, triage, None)]


def meant(row: Labelled, beyond: str | None) -> frozenset[str]:
    """A row's true labels; none where it is out of scope."""
    return frozenset(one for one in row.labels if one != beyond)


def overview(
    answered: Sequence[Answered],
    *,
    unread: int = 0,
    others: Mapping[str, Mapping[str, Said]] | None = None,
) -> Overview:
    """Everything counted. `others`: model -> text id -> what it said. Raises DataError where a model lacks a text."""
    lines = [one.line for one in answered]
    calls = [(one.line.cost_usd, one.line.ms - one.line.local_ms) for one in answered if one.handed]
    sure = np.array([line.confidence or 0.0 for line in lines])
    local = np.array([one.local_right for one in answered])
    order = np.argsort(-sure, kind="stable")
    return Overview(
        schema=SCHEMA,
        texts=len(answered),
        unread=unread,
        total=_share(answered),
        kept=_share([one for one in answered if one.kept]),
        handed=_share([one for one in answered if one.handed]),
        unsure=_share([one for one in answered if not one.kept and not one.handed]),
        local=share_of(local),
        at_coverage={f"{c:.0%}": float(local[order[: max(1, round(c * len(order)))]].mean()) for c in COVERAGES},
        confusion=_confusion(answered),
        by_label=_grouped([(name, one) for one in answered for name in (one.meant or {BEYOND})]),
        by_model=_grouped([(one.line.by, one) for one in answered]),
        cost_usd=sum(line.cost_usd for line in lines),
        cost_all_up_usd=len(lines) * statistics.fmean(cost for cost, _ in calls) if calls else None,
        ms=statistics.fmean(line.ms for line in lines),
        local_ms=statistics.median(line.local_ms for line in lines),
        handed_ms=statistics.fmean(ms for _, ms in calls) if calls else None,
        beside=tuple(_beside(model, said, answered) for model, said in sorted((others or {}).items())),
    )


def _beside(model: str, said: Mapping[str, Said], answered: Sequence[Answered]) -> Beside:
    """What `model` says of everything, and of what triage did not keep."""
    missing = next((one.line.id for one in answered if one.line.id not in said), None)
    if missing is not None:
        raise DataError(f"the predictions of {model} lack the text {missing!r}; every model must have said every text")
    theirs = [said[one.line.id] for one in answered]
    alone = np.array([one.labels == text.meant for one, text in zip(theirs, answered, strict=True)])
    kept = np.array([one.kept for one in answered])
    ours = np.array([one.local_right for one in answered])
    own = statistics.fmean(one.line.local_ms for one in answered) / 1000
    seconds, cost = [one.seconds for one in theirs], [one.cost_usd for one in theirs]
    return Beside(
        model=model,
        alone=share_of(alone),
        together=share_of(np.where(kept, ours, alone)),
        calls=float(1 - kept.mean()),
        seconds=_sum(seconds, len(theirs)),
        seconds_together=_sum([s for s, k in zip(seconds, kept, strict=True) if not k], len(theirs), own),
        cost_usd=_sum(cost, 1),
        cost_together_usd=_sum([c for c, k in zip(cost, kept, strict=True) if not k], 1),
    )


def _sum(values: Sequence[float | None], over: int, more: float = 0.0) -> float | None:
    """The sum over so many, and `more`; None where a value is not known."""
    known = [value for value in values if value is not None]
    return sum(known) / over + more if len(known) == len(values) else None


def _share(answered: Sequence[Answered]) -> Share:
    return share_of(np.array([one.right for one in answered], dtype=np.bool_))


def _grouped(named: Sequence[tuple[str, Answered]]) -> dict[str, Share]:
    groups: dict[str, list[Answered]] = defaultdict(list)
    for name, one in named:
        groups[name].append(one)
    return {name: _share(groups[name]) for name in sorted(groups)}


def _confusion(answered: Sequence[Answered]) -> dict[str, dict[str, int]]:
    """Sets of labels are one name each, in alphabetical order."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in answered:
        counts[_named(one.meant)][_named(one.line.labels)] += 1
    return {name: dict(sorted(counts[name].items())) for name in sorted(counts)}


def _named(labels: Sequence[str] | frozenset[str]) -> str:
    return ", ".join(sorted(labels)) or BEYOND
