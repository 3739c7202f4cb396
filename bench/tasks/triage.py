"""Triage on public data: a local model's accuracy, what it may keep, and a cascade over recorded LLMs.

    python bench/tasks/triage.py [--data ../shared/data/tasks/triage] [--only banking77 clinc150 cfpb] [--seed 0]

banking77 and clinc150: fitted and certified on the training part (texts that also stand in the test part are left out),
reported on the test part. cfpb: who is asked first is chosen on one half of the complaints, and reported on the other,
over 20 halves; the best single model is chosen in the same way. "Calls" are calls of that best model. The recorded LLMs
took a median of 0.7 to 20 s a document: the speed of the local part stands beside it.

Writes bench/out/triage.json, where what an earlier run found of other sets is kept. About 15 minutes, most of it
clinc150.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from smallfirst.tasks.triage.fit import Wanted, fit_triage, part, without_copies
from smallfirst.tasks.triage.model import Triage, encode
from smallfirst.tasks.triage.report import measure
from smallfirst.tasks.triage.rows import read_labelled
from smallfirst.text.embedder import MiniLM

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "tasks" / "triage"
FILES = {"banking77": ("banking77", None), "clinc150": ("clinc150_oos", "oos")}
HALVES = 20
MOST_CALLS = 0.25
out = Console(width=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", nargs="*", default=[*FILES, "cfpb"])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"{args.data} is not there: this program needs the recorded task data")
    written = HERE / "out" / "triage.json"
    found: dict[str, object] = json.loads(written.read_text())["found"] if written.exists() else {}
    for name in args.only:
        found[name] = cfpb(args.data, args.seed) if name == "cfpb" else local(args.data, name, args.seed)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    written.parent.mkdir(exist_ok=True)
    said = {"command": " ".join(sys.argv), "commit": commit.stdout.strip(), "seed": args.seed, "found": found}
    written.write_text(json.dumps(said, indent=1))
    out.print(f"written to {written.relative_to(HERE.parent)}")


def local(folder: Path, name: str, seed: int) -> dict[str, object]:
    """Fit on the training part, report on the test part."""
    file, beyond = FILES[name]
    path = folder / f"{file}.parquet"
    test = read_labelled(path, "text", "label", where=("split", "test"))
    rows = read_labelled(path, "text", "label", where=("split", "train"))
    parts = part(without_copies(rows, test), seed, test)
    embedder = MiniLM()
    model = fit_triage(parts, Wanted(out_of_scope=beyond, seed=seed), embedder)
    report = measure(Triage(model, embedder), test)
    table = Table(
        title=f"{name}: fitted on {len(parts.fit)}, certified on {len(parts.certify)}, reported on {len(test)}"
    )
    for heading in ("what", "figure"):
        table.add_column(heading)
    table.add_row("accuracy, everything kept", f"{report.everything.value:.1%}")
    table.add_row("accuracy of texts with a label", f"{report.in_scope.value:.1%}")
    table.add_row("accuracy of the surest 88%", f"{report.at_coverage['88%']:.1%}")
    table.add_row("certified", model.certified.explain() if model.certified else "nothing")
    table.add_row("kept at that threshold", f"{report.kept_share:.1%}, of those {report.kept.value:.1%} right")
    table.add_row("out of scope, AUROC", f"{report.scope_auroc:.3f}" if report.scope_auroc is not None else "-")
    table.add_row("ms a text, model file", f"{report.us_per_text / 1000:.1f}, {len(encode(model)) / 1e6:.1f} MB")
    out.print(table)
    shown = msgspec.to_builtins(report)
    del shown["confusions"], shown["by_label"]
    return {
        "report": shown,
        "certified": msgspec.to_builtins(model.certified),
        "recipe": msgspec.to_builtins(model.recipe),
    }


def cfpb(folder: Path, seed: int) -> dict[str, object]:
    """Two or three models are asked first; where they agree their label is served, else the best model's."""
    answers, gold, seconds = read_predictions(folder / "cfpb1000_llm_predictions.parquet")
    right = {
        model: np.array([said == meant for said, meant in zip(row, gold, strict=True)])
        for model, row in answers.items()
    }
    rng = np.random.default_rng(seed)
    rows = []
    for _ in track(range(HALVES), "halves", console=out, transient=True):
        order = rng.permutation(len(gold))
        rows.append(one_half(answers, right, order[: len(gold) // 2], order[len(gold) // 2 :]))
    single, cascade, calls = (np.array(column) for column in zip(*rows, strict=True))
    error = (cascade - single).std(ddof=1) / np.sqrt(HALVES)
    slowest, fastest = max(seconds.values()), min(seconds.values())
    out.print(
        f"cfpb, {HALVES} halves: best single model {single.mean():.1%}; cascade {cascade.mean():.1%} "
        f"(difference {cascade.mean() - single.mean():+.1%}, standard error {error:.1%}) at {calls.mean():.1%} of its "
        f"calls; recorded medians {fastest:.2f} to {slowest:.1f} s a document"
    )
    return {
        "best_single": single.mean(), "cascade": cascade.mean(), "calls": calls.mean(), "standard_error": error,
        "median_seconds": seconds,
    }  # fmt: skip


def one_half(answers: dict, right: dict, fit: np.ndarray, report: np.ndarray) -> tuple[float, float, float]:
    """(accuracy of the best single model, of the cascade, share of the best model's calls) on `report`."""
    best = max(right, key=lambda model: right[model][fit].mean())
    cheap = [model for model in answers if model != best]
    chosen, most = None, -1.0
    for size in (2, 3):
        for panel in itertools.combinations(cheap, size):
            scores, calls = run(answers, right, panel, best)
            if calls[fit].mean() <= MOST_CALLS and scores[fit].mean() > most:
                chosen, most = (scores, calls), scores[fit].mean()
    scores, calls = chosen
    return right[best][report].mean(), scores[report].mean(), calls[report].mean()


def run(answers: dict, right: dict, panel: tuple[str, ...], best: str) -> tuple[np.ndarray, np.ndarray]:
    """(n,) right or not, (n,) whether the best model was called."""
    agree = np.all([answers[model] == answers[panel[0]] for model in panel[1:]], axis=0)
    return np.where(agree, right[panel[0]], right[best]), ~agree


def read_predictions(path: Path) -> tuple[dict[str, np.ndarray], list[str], dict[str, float]]:
    """(model -> labels, true labels, model -> median seconds), complaints in order."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    table = pq.read_table(path).to_pydict()
    said: dict[str, dict[int, str]] = defaultdict(dict)
    took: dict[str, list[float]] = defaultdict(list)
    gold: dict[int, str] = {}
    columns = (table[name] for name in ("id", "model", "prediction", "seconds", "gold"))
    for id, model, prediction, seconds, meant in zip(*columns, strict=True):
        said[model][id], gold[id] = str(prediction), meant
        took[model].append(seconds)
    ids = sorted(gold)
    answers = {model: np.array([row.get(id, "") for id in ids]) for model, row in sorted(said.items())}
    return answers, [gold[id] for id in ids], {model: float(np.median(times)) for model, times in sorted(took.items())}


if __name__ == "__main__":
    main()
