"""What the per-model chances are worth on prompts nobody fitted on, beside what knows less than the words.

Knows prompts with scores of many models, the classifier, and the measures. Fits nothing but the baselines. A measure is
taken for each model on its own held-out prompts and averaged over models; the calibration error is over all cells,
since a few hundred prompts of one model show an error by chance.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from smallfirst.classify.classifier import Classifier
from smallfirst.core import Query
from smallfirst.evals.query_routers import hash_words
from smallfirst.learn.metrics import auroc, auroc_within, brier, calibration_error
from smallfirst.learn.outcomes import Prompt, is_held_out
from smallfirst.learn.report import Measured, slice_of

Array = NDArray[np.float64]
Names = NDArray[np.str_]

LEAST_ROWS = 100
"""Held-out prompts below which a model's own figures are noise."""
NEIGHBOURS = 40
BLOCK = 500


class Worth(msgspec.Struct, frozen=True):
    """Means over models; `auroc_within` inside each task; calibration error over all cells."""

    auroc: float
    auroc_within: float
    brier: float
    calibration_error: float


class HeadsReport(msgspec.Struct, frozen=True):
    """`ways`: how the chances were made -> what they are worth. `intervals` (95%, over groups) are of the heads."""

    models: int
    prompts: int
    cells: int
    ways: dict[str, Worth]
    intervals: dict[str, Measured]
    by_model: dict[str, Worth]


class Cells(msgspec.Struct, frozen=True):
    """Held-out prompts and what each model scored on them: scores (n, models), nan for gaps."""

    prompts: list[Prompt]
    models: list[str]
    scores: Array

    @property
    def groups(self) -> Names:
        return np.array([prompt.group for prompt in self.prompts])

    @property
    def slices(self) -> Names:
        return np.array([slice_of(prompt) for prompt in self.prompts])


def table_of(prompts: Sequence[Prompt], models: Sequence[str]) -> Cells:
    """The scores of these models on these prompts."""
    scores = np.array([[prompt.scores.get(model, math.nan) for model in models] for prompt in prompts])
    return Cells(list(prompts), list(models), scores.reshape(len(prompts), len(models)))


def measure_heads(classifier: Classifier, prompts: Sequence[Prompt], *, seed: int, draws: int = 100) -> HeadsReport:
    """Every figure of the report, on the held-out fifth of `prompts`; baselines from the rest."""
    held = [prompt for prompt in prompts if is_held_out(prompt.group) and prompt.scores]
    fit = [prompt for prompt in prompts if not is_held_out(prompt.group) and prompt.scores]
    counts = {model: sum(model in prompt.scores for prompt in held) for model in classifier.heads}
    models = [model for model, count in counts.items() if count >= LEAST_ROWS]
    cells, known = table_of(held, models), table_of(fit, models)
    chances = head_chances(classifier, cells)
    ways = {
        "heads (words)": chances,
        "constant": np.broadcast_to(shares(known, lambda _: "")[0], cells.scores.shape),
        "length only": look_up(known, cells, length_bin),
        "nearest 40, same table": nearest(known, cells),
        "task given": look_up(known, cells, slice_of),
    }
    return HeadsReport(
        models=len(models),
        prompts=len(held),
        cells=int((~np.isnan(cells.scores)).sum()),
        ways={name: worth(cells, made) for name, made in ways.items()},
        intervals=_intervals(cells, chances, seed, draws),
        by_model={model: worth(cells, chances, [at]) for at, model in enumerate(models)},
    )


def head_chances(classifier: Classifier, cells: Cells) -> Array:
    """(n, models): p_correct as the gateway takes it."""
    probes = {model: classifier.heads[model] for model in cells.models}
    rows = []
    for prompt in cells.prompts:
        score = classifier.score(Query(id="", asked="auto", text=prompt.text, fields={}), probes)
        rows.append([score.p_correct[model] for model in cells.models])
    return np.array(rows, dtype=np.float64)


def length_bin(prompt: Prompt) -> str:
    """Four bins for each doubling of the number of characters."""
    return str(int(4 * math.log2(len(prompt.text) + 1)))


def shares(known: Cells, key: Callable[[Prompt], str]) -> tuple[Array, Mapping[str, Array]]:
    """(each model's mean score, its mean by key); one right and one wrong answer added, a gap is the model's mean."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, prompt in enumerate(known.prompts):
        rows[key(prompt)].append(row)
    seen = ~np.isnan(known.scores)
    filled = np.where(seen, known.scores, 0.0)
    overall: Array = (filled.sum(0) + 1.0) / (seen.sum(0) + 2.0)
    by_key = {name: (filled[at].sum(0) + 2.0 * overall) / (seen[at].sum(0) + 2.0) for name, at in rows.items()}
    return overall, by_key


def look_up(known: Cells, cells: Cells, key: Callable[[Prompt], str]) -> Array:
    """(n, models): each model's mean score among the known prompts of the same key."""
    overall, by_key = shares(known, key)
    return np.array([by_key.get(key(prompt), overall) for prompt in cells.prompts])


def nearest(known: Cells, cells: Cells) -> Array:
    """(n, models): each model's mean score on the likest known prompts of the same table, drawn to its mean by two."""
    overall, _ = shares(known, lambda _: "")
    made = np.broadcast_to(overall, cells.scores.shape).copy()
    sources = np.array([prompt.source for prompt in known.prompts])
    asked = np.array([prompt.source for prompt in cells.prompts])
    for source in sorted(set(asked.tolist())):
        inside, rows = np.flatnonzero(sources == source), np.flatnonzero(asked == source)
        there = _unit(hash_words([known.prompts[row].text for row in inside.tolist()]))
        here = _unit(hash_words([cells.prompts[row].text for row in rows.tolist()]))
        scores = known.scores[inside]
        for start in range(0, len(rows), BLOCK):
            likest = np.argpartition(-(here[start : start + BLOCK] @ there.T), NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
            found = scores[likest]  # (block, neighbours, models)
            seen = ~np.isnan(found)
            made[rows[start : start + BLOCK]] = (np.where(seen, found, 0.0).sum(1) + 2.0 * overall) / (
                seen.sum(1) + 2.0
            )
    return made


def _unit(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)
    return unit


def worth(cells: Cells, chances: Array, models: Sequence[int] | None = None) -> Worth:
    """The measures of these models' columns (of all, where not said)."""
    columns = list(range(len(cells.models))) if models is None else list(models)
    slices = cells.slices
    rows, truth, chance = [], [], []
    for at in columns:
        seen = ~np.isnan(cells.scores[:, at])
        score, made = cells.scores[seen, at], chances[seen, at]
        rows.append((auroc(score, made), auroc_within(score, made, slices[seen]), brier(score, made)))
        truth.append(score)
        chance.append(made)
    ranked, within, squared = (_mean(column) for column in zip(*rows, strict=True))
    return Worth(ranked, within, squared, calibration_error(np.concatenate(truth), np.concatenate(chance)))


def _mean(values: Sequence[float]) -> float:
    """Without nan; nan where nothing else is there."""
    real = [value for value in values if not math.isnan(value)]
    return math.fsum(real) / len(real) if real else math.nan


def _intervals(cells: Cells, chances: Array, seed: int, draws: int) -> dict[str, Measured]:
    """95% percentile intervals of the heads' figures, whole prompt groups drawn."""
    names, at = np.unique(cells.groups, return_inverse=True)
    rows_of = np.split(np.argsort(at, kind="stable"), np.cumsum(np.bincount(at))[:-1])
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        rows = np.concatenate([rows_of[draw] for draw in rng.integers(0, len(names), len(names))])
        some = Cells([cells.prompts[row] for row in rows.tolist()], cells.models, cells.scores[rows])
        drawn.append(msgspec.structs.astuple(worth(some, chances[rows])))
    low, high = np.quantile(np.array(drawn), (0.025, 0.975), axis=0)
    value = msgspec.structs.astuple(worth(cells, chances))
    return {
        name: Measured(value[field], float(low[field]), float(high[field]))
        for field, name in enumerate(Worth.__struct_fields__)
    }


def print_heads_report(report: HeadsReport, console: Console) -> None:
    """The ways to make chances, one a line, then the heads' own figures by model."""
    title = f"per-model chances: {report.models} models, {report.prompts} held-out prompts, {report.cells} cells"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("chances from", no_wrap=True)
    for heading in ("AUROC", "within task", "Brier", "calibration error"):
        table.add_column(heading, justify="right")
    for name, found in report.ways.items():
        table.add_row(name, *(f"{value:.4f}" for value in msgspec.structs.astuple(found)))
    spans = [report.intervals[name] for name in Worth.__struct_fields__]
    table.add_row("  heads, 95%", *(f"{span.low:.3f}..{span.high:.3f}" for span in spans), style="dim")
    console.print(table)
    by_model = Table(title="heads by model", box=box.SIMPLE_HEAD, title_justify="left")
    by_model.add_column("model", no_wrap=True)
    for heading in ("AUROC", "within task", "Brier", "calibration error"):
        by_model.add_column(heading, justify="right")
    for name, found in report.by_model.items():
        by_model.add_row(name, *(f"{value:.3f}" for value in msgspec.structs.astuple(found)))
    console.print(by_model)
