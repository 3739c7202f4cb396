"""`smallfirst triage fit | run | report | show`: labels from a small local model that knows when it is not sure."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table

from smallfirst.cli.bars import bars
from smallfirst.cli.console import err, out
from smallfirst.cli.triage_report_cmd import report
from smallfirst.tasks.triage.above import Gateway
from smallfirst.tasks.triage.model import Triage, TriageModel
from smallfirst.tasks.triage.report import TriageReport
from smallfirst.tasks.triage.run import Line, batches, done_before, label, read_inputs
from smallfirst.tasks.triage.spec import TriageSpec, fit_spec, merged, read_spec
from smallfirst.tasks.triage.store import load_model, save_model

FILE = click.Path(dir_okay=False, path_type=Path)

STEPS = {
    "embed": "reading for meaning",
    "compare": "comparing words",
    "choose": "choosing the recipe",
    "solve": "fitting",
}

WORDS = "no sentence encoder here (pip install 'smallfirst[tasks]'): words only, less accurate"


@click.group()
def triage() -> None:
    """Label documents with a small local model that knows when it is not sure.

    \b
      smallfirst triage fit --data tickets.csv --text body --label queue --out tickets.triage
      smallfirst triage run inbox/ --model tickets.triage --out labelled.jsonl
      smallfirst triage run new.csv --model tickets.triage --text body --out labelled.jsonl --above http://127.0.0.1:4000/v1
    """


@triage.command()
@click.option("--spec", "spec_file", type=FILE, help="A YAML file that holds what follows; options here come first.")
@click.option("--data", type=FILE, help="Labelled texts: .csv, .jsonl or .parquet.")
@click.option("--text", help="The field that holds the text.  [default: text]")
@click.option("--label", help="The field that holds the label.  [default: label]")
@click.option("--several", is_flag=True, default=None, help="A text may carry several labels.")
@click.option("--separator", help="Between several labels in one field.  [default: ;]")
@click.option("--out-of-scope", metavar="LABEL", help="The label of texts that belong to none of the others.")
@click.option("--where", metavar="FIELD=VALUE", help="Fit only on these records, such as split=train.")
@click.option("--report-where", metavar="FIELD=VALUE", help="Report on these records; they are not looked at before.")
@click.option("--drop-copies", is_flag=True, default=None, help="Leave texts out that stand in the report part too.")
@click.option("--accuracy", type=float, help="To certify, of what is kept.  [default: 0.97]")
@click.option("--confidence", type=float, help="How sure that is.  [default: 0.95]")
@click.option("--words-only", is_flag=True, default=None, help="No sentence vectors: faster, smaller, less accurate.")
@click.option("--seed", type=int, help="[default: 0]")
@click.option("--out", type=FILE, help="The model to write.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def fit(spec_file: Path | None, as_json: bool, **given: Any) -> None:
    """Fit a model on labelled texts, certify what it may keep, and report on texts that it never saw.

    \b
    Examples:
      smallfirst triage fit --spec examples/triage/tickets.yaml
      smallfirst triage fit --data tickets.csv --text body --label queue --out tickets.triage --accuracy 0.95

    Texts are dealt into three parts, all copies of a text on one side: 70% to fit, 15% to certify, 15% to report on
    (with --report-where 85% and 15%). Seconds for hundreds of texts, a few minutes for ten thousand.
    """
    paths = {name: str(path) for name in ("data", "out") if (path := given[name]) is not None}
    spec = merged(TriageSpec() if spec_file is None else read_spec(spec_file, os.environ), {**given, **paths})
    if spec.data is None or spec.out is None:
        raise click.UsageError("give --data and --out, or a --spec that has them")
    with bars(STEPS) as told:
        model, report = fit_spec(spec, told)
    if model.embedder is None and not spec.words_only:
        err.print(WORDS, style="yellow")
    size = save_model(model, Path(spec.out))
    if as_json:
        out.print_json(msgspec.json.encode({"certified": model.certified, "report": report}).decode())
    else:
        render(model, report)
        out.print(f"written to {spec.out} ({size / 1e6:.1f} MB)", soft_wrap=True)


@triage.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--spec", "spec_file", type=FILE, help="The spec it was fitted by: model, text field, policy above.")
@click.option("--model", "model_file", type=FILE, help="What `triage fit` wrote; default: the spec's `out`.")
@click.option("--text", help="The field that holds the text, in files of records.  [default: text]")
@click.option("--id", "id_field", help="The field that names a record; default: its number.")
@click.option(
    "--out", "out_file", type=FILE, required=True, help="A JSON line a text; an existing file is gone on with."
)
@click.option("--above", metavar="URL", help="A gateway to ask where triage is not sure.")
@click.option("--above-model", help="The model or policy asked there.  [default: auto]")
@click.option("--key", envvar="SMALLFIRST_KEY", help="Client key for that gateway.")
def run(
    source: Path, spec_file: Path | None, model_file: Path | None, text: str | None, id_field: str | None,
    out_file: Path, above: str | None, above_model: str | None, key: str | None,
) -> None:  # fmt: skip
    """Label every text of SOURCE: a .csv, .jsonl or .parquet file, a document, or a folder of .txt, .md, .html, .eml,
    .pdf and .docx files. Ctrl-C keeps what is done; the same command goes on from there."""
    spec = TriageSpec() if spec_file is None else read_spec(spec_file, os.environ)
    spec = merged(spec, {"out": model_file and str(model_file), "text": text, "policy": above_model})
    if spec.out is None:
        raise click.UsageError("give --model FILE, or a --spec that says `out`")
    model = load_model(Path(spec.out))
    worker = Triage(model)
    asked = None
    if above is not None:
        asked = Gateway(above, model=spec.policy, key=key, several=model.several, beyond=model.out_of_scope)
    inputs = list(read_inputs(source, spec.text, id_field))
    known = done_before(out_file)
    left = [one for one in inputs if one.id not in known]
    if known:
        err.print(f"{len(inputs) - len(left)} of {len(inputs)} were done before", style="dim")
    lines: list[Line] = []
    try:
        with out_file.open("ab") as file, bars(STEPS) as told:
            for batch in batches(left):
                for line in label(batch, worker, asked):
                    file.write(msgspec.json.encode(line) + b"\n")
                    lines.append(line)
                file.flush()
                told("label", len(lines), len(left))
    except KeyboardInterrupt:
        err.print(f"{len(lines)} of {len(left)} are done; the same command goes on from there", style="yellow")
        sys.exit(130)
    _summary(lines, asked is not None)


@triage.command()
@click.argument("model_file", type=FILE)
def show(model_file: Path) -> None:
    """What MODEL_FILE knows: its labels, what it was fitted on, what was certified."""
    model = load_model(model_file)
    card = model.card
    more = " ..." if len(model.labels) > 20 else ""
    out.print(f"[bold]{len(model.labels)} labels[/bold]: {', '.join(model.labels[:20])}{more}")
    out.print(f"fitted on {card.rows} texts ({card.groups} distinct), seed {card.seed}, data {card.data_digest}")
    out.print(f"meaning: {model.embedder or 'none, words only'}; recipe {model.recipe}")
    out.print(model.certified.explain() if model.certified else "nothing is certified: everything is handed up")
    if card.accuracy is not None:
        kept = f"kept {card.kept:.1%}, of those {card.kept_accuracy:.1%} right"
        out.print(f"on texts it never saw: {card.accuracy:.1%} right; {kept}")


triage.add_command(report)


def render(model: TriageModel, report: TriageReport) -> None:
    """The report for people: the promise first, then what was reached, then where it errs."""
    if model.certified is not None:
        out.print(f"[bold]certified:[/bold] {model.certified.explain()}")
    else:
        out.print("[yellow]nothing could be certified: every text is handed up. Label more, or promise less.[/yellow]")
    table = Table(title=f"on {report.rows} texts that were neither fitted nor certified on", title_justify="left")
    for name in ("what", "right", "95% interval", "texts"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for name, share in (
        ("everything kept", report.everything),
        ("texts with a label", report.in_scope),
        ("kept", report.kept),
    ):
        table.add_row(name, f"{share.value:.1%}", f"{share.low:.1%} .. {share.high:.1%}", str(share.n))
    out.print(table)
    out.print(f"kept {report.kept_share:.1%} of them; {report.us_per_text / 1000:.1f} ms a text")
    if report.scope_auroc is not None:
        out.print(f"out of scope or not: AUROC {report.scope_auroc:.3f}")
    out.print("accuracy of the surest share: " + ", ".join(f"{c} {a:.1%}" for c, a in report.at_coverage.items()))
    if rare := model.card.rare:
        shown = ", ".join(rare[:5]) + (" ..." if len(rare) > 5 else "")
        out.print(f"[yellow]{len(rare)} labels stand on a single text: {shown}; give them more, or merge them[/yellow]")
    if report.confusions:
        confused = Table(title="most often mistaken", title_justify="left")
        for name in ("is", "was called", "times"):
            confused.add_column(name, justify="right" if name == "times" else "left")
        for meant, said, count in report.confusions[:8]:
            confused.add_row(meant, said, str(count))
        out.print(confused)


def _summary(lines: list[Line], asked: bool) -> None:
    kept = sum(line.by == "triage" for line in lines)
    failed = [line for line in lines if line.error is not None]
    unsure = sum(line.by == "triage (not sure)" for line in lines)
    handed = len(lines) - kept - unsure - sum(not line.by for line in lines)
    cost = sum(line.cost_usd for line in lines)
    out.print(
        f"{len(lines)} texts: {kept} labelled by triage, {handed} by a model above (${cost:.4f}), {unsure} not sure"
    )
    if unsure and not asked:
        out.print("those that are not sure carry triage's best guess; --above URL asks a larger model", style="dim")
    for line in failed[:5]:
        err.print(f"[yellow]{line.id}[/yellow]: {line.error}", soft_wrap=True)
    if len(failed) > 5:
        err.print(f"... and {len(failed) - 5} more; each has an `error` in its line", style="yellow")
