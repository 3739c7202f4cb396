"""What a new model's head is worth from 100, 200 and 400 labels, beside a refit with all of its labels.

    python bench/quality/new_model.py [--seeds 10] [--data FOLDER]

Needs ../shared/data/outcomes, pyarrow and scikit-learn; about three minutes on a free core. A classifier is trained as
if eight recorded models did not exist. Each of them is then added from labelled prompts of one half of the held-out
fifth, and measured on the other half: prompts that neither the classifier nor the head was fitted on. Beside it, from
the same labels: the model's mean, and the probe's table by kind. Above it: the shipped classifier, which was fitted on
all of the fit part's labels of these models. Means over models and seeds. Writes bench/out/new_model.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np
from rich.progress import track

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.probes import Probe
from smallfirst.classify.shipped import shipped_weights
from smallfirst.classify.weights import encode
from smallfirst.core import Query
from smallfirst.evals.heads_report import Cells, table_of, worth
from smallfirst.evals.probe import Scored, fit_probe
from smallfirst.evals.prompts import main as write_prompts
from smallfirst.learn.fit import Recipe
from smallfirst.learn.outcomes import Prompt, is_held_out, read_prompts
from smallfirst.learn.train_classifier import read_kinds, train

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent.parent / "shared" / "data" / "outcomes"
NEW = (
    "gemma-2-9b-it",
    "llama-3.1-8b-instruct",
    "phi-3-mini-4k-instruct",
    "qwen2.5-7b-instruct",
    "mixtral-8x7b-instruct",
    "gemini-1.5-flash-002",
    "gpt-4o-mini-2024-07-18",
    "gpt-4o-2024-08-06",
)
LABELS = (100, 200, 400)


def in_first_half(prompt: Prompt) -> bool:
    return int(prompt.group[8:10], 16) % 2 == 0


def chances(classifier: Classifier, probe: Probe, prompts: list[Prompt]) -> np.ndarray:
    queries = [Query(id="", asked="auto", text=prompt.text, fields={}) for prompt in prompts]
    return np.array([[classifier.score(query, {"new": probe}).p_correct["new"]] for query in queries])


def measures(cells: Cells, made: np.ndarray) -> list[float]:
    return list(msgspec.structs.astuple(worth(cells, made)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    if not given.data.is_dir():
        sys.exit(f"{given.data} is not there: this program needs the recorded outcomes")
    with tempfile.TemporaryDirectory() as folder:
        kinds_file = Path(folder) / "kinds.jsonl"
        write_prompts(["--jsonl", str(kinds_file)])
        kinds = read_kinds(kinds_file)
    weights = train(read_prompts(given.data, without=NEW), kinds, Recipe(), 0)
    encoded, without, shipped = encode(weights), Classifier(weights), Classifier.from_bytes(shipped_weights())
    held = [prompt for prompt in read_prompts(given.data) if is_held_out(prompt.group)]
    found: dict[tuple[int, str], list[list[float]]] = {}
    for model in track(NEW, description="models"):
        answered = [prompt for prompt in held if model in prompt.scores]
        labelled = [prompt for prompt in answered if in_first_half(prompt)]
        report = [prompt for prompt in answered if not in_first_half(prompt)]
        cells = table_of(report, [model])
        refit = measures(cells, chances(shipped, shipped.heads[model], report))
        found.setdefault((0, "refit, all labels"), []).append(refit)
        for seed in range(given.seeds):
            order = np.random.default_rng(seed).permutation(len(labelled)).tolist()
            for count in LABELS:
                taken = [labelled[at] for at in order[:count]]
                scored = [Scored(prompt.text, prompt.scores[model]) for prompt in taken]
                probe = fit_probe(model, scored, encoded, prompts="", at=0)
                table = msgspec.structs.replace(probe, head=())
                mean = (sum(one.score for one in scored) + 1.0) / (len(scored) + 2.0)
                ways = {
                    "constant": np.full((len(report), 1), mean),
                    "table by kind": chances(without, table, report),
                    "head": chances(without, probe, report),
                }
                for way, made in ways.items():
                    found.setdefault((count, way), []).append(measures(cells, made))
    print(f"{'labels':>7}  {'chances from':<20}{'AUROC':>8}{'within':>8}{'Brier':>8}{'cal. error':>12}")
    rows = []
    for (count, way), values in sorted(found.items(), key=lambda item: item[0]):
        mean = np.nanmean(np.array(values), 0)
        rows.append(
            {
                "labels": count,
                "way": way,
                **dict(zip(("auroc", "within", "brier", "ece"), mean.round(4).tolist(), strict=True)),
            }
        )
        print(f"{count or 'all':>7}  {way:<20}{mean[0]:>8.3f}{mean[1]:>8.3f}{mean[2]:>8.4f}{mean[3]:>12.3f}")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    record = {"commit": commit, "command": command, "seeds": given.seeds, "models": NEW, "rows": rows}
    (HERE / "out").mkdir(exist_ok=True)
    (HERE / "out" / "new_model.json").write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
