"""`smallfirst router`: train the classifier, measure it, add a model to it, and show what the weights in use know."""

from __future__ import annotations

import difflib
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import msgspec
from rich.markup import escape

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.probes import Probe, decode_probe
from smallfirst.classify.shipped import shipped_path, shipped_weights
from smallfirst.cli.build import probes_dir
from smallfirst.cli.console import out
from smallfirst.core import Query
from smallfirst.errors import SetupError
from smallfirst.evals.probe import classifier_digest, probe_path, save_probe


@click.group()
def router() -> None:
    """Train and inspect the classifier."""


@router.command("train")
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the recorded outcome tables.",
)
@click.option(
    "--kinds",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='JSONL of {"text", "kind"}. Default: the repo\'s own prompts.',
)
@click.option(
    "--out", "target", type=click.Path(dir_okay=False, path_type=Path), help="Default: the weights in the package."
)
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write the measures as JSON.")
@click.option("--seed", default=0, show_default=True)
def train(data: Path, kinds: Path | None, target: Path | None, report: Path | None, seed: int) -> None:
    """Fit new weights and measure them on prompts that were held out (needs smallfirst[learn], about a minute)."""
    from smallfirst.evals.prompts import main as write_prompts  # noqa: PLC0415 - `router show` needs none of these
    from smallfirst.learn.report import print_report  # noqa: PLC0415 - as above
    from smallfirst.learn.train_classifier import run  # noqa: PLC0415 - as above

    with TemporaryDirectory() as folder:
        if kinds is None:
            kinds = Path(folder) / "kinds.jsonl"
            write_prompts(["--jsonl", str(kinds)])
        measured = run(data, kinds, target or shipped_path(), seed=seed)
    print_report(measured, out)
    if report:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=1))


@router.command("eval")
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the recorded outcome tables.",
)
@click.option("--weights", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Default: the package's.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write the measures as JSON.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
def evaluate(data: Path, weights: Path | None, report: Path | None, seed: int) -> None:
    """Measure the weights on the fifth of the prompts that nothing was fitted on: complexity, then per-model chances.

    \b
    Example:
      smallfirst router eval --data ../shared/data/outcomes
    """
    from smallfirst.evals.heads_report import measure_heads, print_heads_report  # noqa: PLC0415 - `show` needs none
    from smallfirst.learn.outcomes import read_prompts  # noqa: PLC0415 - as above
    from smallfirst.learn.report import measure, print_report  # noqa: PLC0415 - as above

    classifier = Classifier.from_bytes(weights.read_bytes() if weights else shipped_weights())
    prompts = read_prompts(data)
    complexity = measure(classifier, prompts, (), seed=seed, draws=100)
    print_report(complexity, out)
    heads = measure_heads(classifier, prompts, seed=seed)
    print_heads_report(heads, out)
    if report:
        both = {"complexity": complexity, "heads": heads}
        report.write_bytes(msgspec.json.format(msgspec.json.encode(both), indent=1))


@router.command("add")
@click.argument("model")
@click.option(
    "--outcomes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Parquet or JSONL of scored outcomes (query_id, prompt, model, score).",
)
@click.option("--recorded", help="In FILE: what it calls MODEL. Without a file: the recorded model that MODEL is.")
def add(model: str, outcomes: Path | None, recorded: str | None) -> None:
    """Give MODEL a head from your own scored outcomes, as `smallfirst probe` does from its own prompts.

    A few hundred labels are enough; no other model's chances change. Gateways read it when they start. Without a file,
    MODEL takes the head of the recorded model it is said to be: the same weights, asked by somebody else on public
    benchmarks; your own labels are better.

    \b
    Examples:
      smallfirst router add llama-8b --outcomes graded.jsonl
      smallfirst router add gemma-9b --recorded gemma-2-9b-it
    """
    if outcomes is None:
        if recorded is None:
            raise click.UsageError("give --outcomes FILE, or --recorded NAME for a head that came with the weights")
        data = shipped_weights()
        head = _recorded(Classifier.from_bytes(data), recorded)
        probe = msgspec.structs.replace(head, model=model, digest=f"{head.digest}/{classifier_digest(data)}")
    else:
        from smallfirst.evals.added_model import add_model, print_added  # noqa: PLC0415 - `show` needs none of it

        added = add_model(model, outcomes, recorded or model, shipped_weights(), at=time.time_ns() // 1000)
        print_added(added, out)
        probe = added.probe
    file = save_probe(probes_dir(os.environ), probe)
    out.print(f"saved to {file}; gateways read it when they start", soft_wrap=True)


@router.command("show")
@click.argument("text", required=False)
@click.option("--model", "models", multiple=True, help="Also why this recorded or probed model's chance is what it is.")
@click.option("--weights", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Default: the package's.")
def show(text: str | None, models: tuple[str, ...], weights: Path | None) -> None:
    """What the weights were fitted on; with TEXT, what the classifier makes of it and why.

    \b
    Examples:
      smallfirst router show "Prove that the square root of 2 is irrational."
      smallfirst router show "What is 17 times 23?" --model gemma-2-9b-it --model gpt-4o-2024-08-06
    """
    data = weights.read_bytes() if weights else shipped_weights()
    classifier = Classifier.from_bytes(data)
    if text is not None:
        _explain(classifier, Query(id="", asked="auto", text=text, fields={}), models)
        return
    out.print(f"{len(data):,} bytes, {len(classifier.tables.words):,} words, {len(classifier.tables.pairs):,} pairs")
    out.print(f"heads of recorded models: {', '.join(classifier.heads)}", soft_wrap=True)
    out.print_json(msgspec.json.encode(classifier.provenance).decode())


def _explain(classifier: Classifier, query: Query, models: tuple[str, ...]) -> None:
    """Complexity and kind with what moved them, then the same for each model asked for."""
    probes = {model: _probe(classifier, model) for model in models}
    score = classifier.score(query, probes)
    out.print(f"complexity {score.complexity:.3f}, kind {score.kind}")
    for line in classifier.explain(query):
        out.print(f"  {escape(line)}", highlight=False)
    for model, probe in probes.items():
        out.print(f"{escape(model)}: right with a chance of {score.p_correct[model]:.2f}")
        for line in classifier.explain_model(query, probe):
            out.print(f"  {escape(line)}", highlight=False)


def _probe(classifier: Classifier, model: str) -> Probe:
    """The model's own probe, else the head that came with the weights. Raises SetupError that names near ones."""
    file = probe_path(probes_dir(os.environ), model)
    if file.is_file():
        return decode_probe(file.read_bytes())
    return _recorded(classifier, model)


def _recorded(classifier: Classifier, model: str) -> Probe:
    if model not in classifier.heads:
        near = ", ".join(difflib.get_close_matches(model, classifier.heads, n=3, cutoff=0.3))
        raise SetupError(f"no probe and no recorded head of {model!r}; probe it, or name one of: {near}")
    return classifier.heads[model]
