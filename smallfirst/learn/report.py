"""What a trained classifier is worth on groups it was not fitted on, beside what knows less than it.

Knows the classifier's two answers (complexity, kind) and the measures. Does not fit anything but the baselines.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from smallfirst.classify.classifier import Classifier
from smallfirst.learn.metrics import Measure, auroc, auroc_within, brier, calibration_error, interval
from smallfirst.learn.outcomes import Prompt, group_of, is_held_out

Array = NDArray[np.float64]
Names = NDArray[np.str_]

LEAST_ROWS = 30
"""Prompts below which a slice's AUROC is noise."""


class Measured(msgspec.Struct, frozen=True):
    """One figure and its 95% bootstrap interval over groups."""

    value: float
    low: float
    high: float


class Report(msgspec.Struct, frozen=True):
    """Figures on held-out groups. `slices` are AUROC by benchmark (rows, value)."""

    rows: int
    groups: int
    auroc: Measured
    auroc_within: Measured
    brier: Measured
    calibration_error: Measured
    auroc_length_only: float
    auroc_task_only: float
    brier_constant: float
    kinds_right: dict[str, tuple[int, int]]  # kind -> (right, of)
    slices: dict[str, tuple[int, float]]
    bytes: int = 0

    def headline(self) -> dict[str, float]:
        """What goes into the weights' provenance, rounded."""
        return {
            name: round(value, 4)
            for name, value in {
                "rows": self.rows,
                "auroc": self.auroc.value,
                "auroc_within_category": self.auroc_within.value,
                "brier": self.brier.value,
                "calibration_error": self.calibration_error.value,
                "auroc_length_only": self.auroc_length_only,
            }.items()
        }


def slice_of(prompt: Prompt) -> str:
    """The finest task a prompt is known to belong to."""
    return f"{prompt.benchmark}/{prompt.category}"


def measure(
    classifier: Classifier, prompts: Sequence[Prompt], made: Sequence[tuple[str, str]], *, seed: int, draws: int
) -> Report:
    """Every figure of the report. `made`: (text, kind) of prompts made to be of a kind."""
    held = [prompt for prompt in prompts if is_held_out(prompt.group) and prompt.hard is not None]
    truth = np.array([prompt.hard for prompt in held], dtype=np.float64)
    chance = np.array([classifier.rate(prompt.text)[0] for prompt in held])
    groups = np.array([prompt.group for prompt in held])
    slices = np.array([slice_of(prompt) for prompt in held])
    length, task, constant = _baselines(prompts, held)
    return Report(
        rows=len(held),
        groups=len(set(groups.tolist())),
        auroc=_with_interval(auroc, truth, chance, groups, seed, draws),
        auroc_within=Measured(
            auroc_within(truth, chance, slices), *_within_interval(truth, chance, slices, seed, draws)
        ),
        brier=_with_interval(brier, truth, chance, groups, seed, draws),
        calibration_error=_with_interval(calibration_error, truth, chance, groups, seed, draws),
        auroc_length_only=auroc(truth, length),
        auroc_task_only=auroc(truth, task),
        brier_constant=brier(truth, np.full(len(held), constant)),
        kinds_right=_kinds_right(classifier, prompts, made),
        slices={
            name: (int((slices == name).sum()), round(auroc(truth[slices == name], chance[slices == name]), 3))
            for name in sorted(set(slices.tolist()))
            if (slices == name).sum() >= LEAST_ROWS
        },
    )


def _with_interval(of: Measure, truth: Array, chance: Array, groups: Names, seed: int, draws: int) -> Measured:
    return Measured(of(truth, chance), *interval(of, truth, chance, groups, seed=seed, draws=draws))


def _within_interval(truth: Array, chance: Array, slices: Names, seed: int, draws: int) -> tuple[float, float]:
    """Rows are drawn inside their slice (copies of a prompt hardly ever share one)."""
    rng = np.random.default_rng(seed)
    parts = [np.flatnonzero(slices == name) for name in np.unique(slices)]
    values = []
    for _ in range(min(draws, 200)):
        rows = np.concatenate([rng.choice(part, len(part)) for part in parts])
        values.append(auroc_within(truth[rows], chance[rows], slices[rows]))
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _baselines(prompts: Sequence[Prompt], held: Sequence[Prompt]) -> tuple[Array, Array, float]:
    """Chances by length alone and by task identity alone (shares of the fit part), and the constant."""
    by_length: defaultdict[int, list[float]] = defaultdict(list)
    by_task: defaultdict[str, list[float]] = defaultdict(list)
    for prompt in prompts:
        if prompt.hard is not None and not is_held_out(prompt.group):
            by_length[_length_bin(prompt)].append(prompt.hard)
            by_task[slice_of(prompt)].append(prompt.hard)
    constant = float(np.mean([share for shares in by_task.values() for share in shares]))

    def mean(shares: list[float] | None) -> float:
        return float(np.mean(shares)) if shares else constant

    length = np.array([mean(by_length.get(_length_bin(prompt))) for prompt in held])
    task = np.array([mean(by_task.get(slice_of(prompt))) for prompt in held])
    return length, task, constant


def _length_bin(prompt: Prompt) -> int:
    """Four bins for each doubling of the number of characters."""
    return int(4 * math.log2(len(prompt.text) + 1))


def _kinds_right(
    classifier: Classifier, prompts: Sequence[Prompt], made: Sequence[tuple[str, str]]
) -> dict[str, tuple[int, int]]:
    told: list[tuple[str, str]] = [(prompt.text, prompt.kind) for prompt in prompts if is_held_out(prompt.group)]
    told += [(text, kind) for text, kind in made if is_held_out(group_of(text))]
    right: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for text, kind in told:
        every[kind] += 1
        right[kind] += classifier.rate(text)[1] == kind
    return {kind: (right[kind], every[kind]) for kind in sorted(every)}


def print_report(report: Report, console: Console | None = None) -> None:
    """Two tables: the figures, and AUROC by task."""
    console = console or Console()
    table = Table(title=f"held out: {report.rows} prompts in {report.groups} groups; weights {report.bytes:,} bytes")
    for heading in ("measure", "value", "95% interval"):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    for name in ("auroc", "auroc_within", "brier", "calibration_error"):
        figure: Measured = getattr(report, name)
        table.add_row(name, f"{figure.value:.4f}", f"{figure.low:.4f} .. {figure.high:.4f}")
    for name in ("auroc_length_only", "auroc_task_only", "brier_constant"):
        table.add_row(name, f"{getattr(report, name):.4f}", "")
    for kind, (right, of) in report.kinds_right.items():
        table.add_row(f"kind {kind} told right", f"{right}/{of}", f"{right / of:.1%}")
    console.print(table)
    by_task = Table(title="AUROC by task")
    for heading in ("task", "prompts", "AUROC"):
        by_task.add_column(heading, justify="left" if heading == "task" else "right")
    for name, (rows, value) in report.slices.items():
        by_task.add_row(name, str(rows), f"{value:.3f}")
    console.print(by_task)
