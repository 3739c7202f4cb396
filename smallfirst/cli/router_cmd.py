"""`smallfirst router`: train the classifier, and show what the weights in use know."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click
import msgspec
from rich.markup import escape

from smallfirst.classify.classifier import Classifier
from smallfirst.classify.shipped import shipped_path, shipped_weights
from smallfirst.cli.console import out
from smallfirst.core import Query


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


@router.command("show")
@click.argument("text", required=False)
@click.option("--weights", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Default: the package's.")
def show(text: str | None, weights: Path | None) -> None:
    """What the weights were fitted on; with TEXT, what the classifier makes of it and why."""
    data = weights.read_bytes() if weights else shipped_weights()
    classifier = Classifier.from_bytes(data)
    if text is not None:
        query = Query(id="", asked="auto", text=text, fields={})
        score = classifier.score(query, {})
        out.print(f"complexity {score.complexity:.3f}, kind {score.kind}")
        for line in classifier.explain(query):
            out.print(f"  {escape(line)}", highlight=False)
        return
    out.print(f"{len(data):,} bytes, {len(classifier.words):,} words, {len(classifier.pairs):,} pairs")
    out.print_json(msgspec.json.encode(classifier.provenance).decode())
