"""`smallfirst extract run | fit | show`: named fields of documents, where each stands, and how sure that is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import click
import msgspec
from rich.table import Table

from smallfirst.cli.bars import bars
from smallfirst.cli.console import err, out
from smallfirst.errors import DataError
from smallfirst.tasks.extract.above import Gateway
from smallfirst.tasks.extract.fit import Wanted, fit_extract, part
from smallfirst.tasks.extract.labelled import Columns, read_labelled
from smallfirst.tasks.extract.model import ExtractModel, Extractor, unfitted
from smallfirst.tasks.extract.report import ExtractReport, Share, measure
from smallfirst.tasks.extract.run import Above, Input, Line, done_before, extract_line, read_inputs
from smallfirst.tasks.extract.schema import read_schema
from smallfirst.tasks.extract.store import load_model, save_model

FILE = click.Path(dir_okay=False, path_type=Path)


class Extract(click.Group):
    """A group whose command is `run` where none is named: `smallfirst extract --schema invoice.yaml FILE...`."""

    default = "run"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [self.default, *args]
        return super().parse_args(ctx, args)


@click.group(cls=Extract)
def extract() -> None:
    """Find named fields in documents, locally first; each value with the place in the text that says so.

    \b
      smallfirst extract --schema invoice.yaml invoices/*.pdf
      smallfirst extract fit --schema receipt.yaml --data labelled.jsonl --out receipt.extract
      smallfirst extract --model receipt.extract receipts/ --out found.jsonl
      smallfirst extract --model receipt.extract receipts/ --out found.jsonl --above http://127.0.0.1:4000/v1

    Without a verb, `run` is meant. Without a fitted model values are found by patterns: nothing is calibrated then, and
    every field is marked doubtful.
    """


@extract.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--schema", "schema_file", type=FILE, help="The fields wanted (YAML); needed without --model.")
@click.option("--model", "model_file", type=FILE, help="What `extract fit` wrote; it holds its schema.")
@click.option("--text", default="document", show_default=True, help="The field with the text, in files of records.")
@click.option("--id", "id_field", help="The field that names a record; default: its number.")
@click.option("--out", "out_file", type=FILE, help="A JSON line a document; an existing file is gone on with.")
@click.option("--above", metavar="URL", help="A gateway to ask for the fields that are doubtful.")
@click.option("--above-model", default="auto", show_default=True, help="The model or policy asked there.")
@click.option("--whole", is_flag=True, help="Where a field is doubtful, ask above for all of them.")
@click.option("--key", envvar="SMALLFIRST_KEY", help="Client key for that gateway.")
def run(
    sources: tuple[Path, ...], schema_file: Path | None, model_file: Path | None, text: str, id_field: str | None,
    out_file: Path | None, above: str | None, above_model: str, whole: bool, key: str | None,
) -> None:  # fmt: skip
    """Extract from every document of SOURCES: files, folders, or files of records (.jsonl, .csv, .parquet).

    Lines go to --out, or to the standard output. Ctrl-C keeps what is done; the same command goes on from there. A file
    that can't be read becomes a line with its error. --above asks a gateway, with a JSON schema, for what is doubtful
    alone, and believes of the answer what stands in the document. Offline: `smallfirst serve` answers with the embedded
    model.
    """
    extractor = Extractor(_model(schema_file, model_file))
    asked = Gateway(above, model=above_model, key=key) if above is not None else None
    inputs = list(read_inputs(sources, text, id_field))
    known = done_before(out_file) if out_file is not None else set()
    left = [one for one in inputs if one.id not in known]
    if known:
        err.print(f"{len(inputs) - len(left)} of {len(inputs)} were done before", style="dim")
    lines: list[Line] = []
    try:
        with bars({"extract": "extracting"}) as told:
            if out_file is None:
                _write(left, extractor, asked, whole, sys.stdout.buffer, lines, told)
            else:
                with out_file.open("ab") as file:
                    _write(left, extractor, asked, whole, file, lines, told)
    except KeyboardInterrupt:
        err.print(f"{len(lines)} of {len(left)} are done; the same command goes on from there", style="yellow")
        sys.exit(130)
    _summary(lines, above is not None, extractor.model)


@extract.command()
@click.option("--schema", "schema_file", type=FILE, required=True, help="The fields (YAML).")
@click.option("--data", type=FILE, required=True, help="Labelled documents: .jsonl, .csv or .parquet.")
@click.option("--document", default="document", show_default=True, help="The field with the text; `file` names a file.")
@click.option("--fields", "fields_name", default="fields", show_default=True, help="The field with the values.")
@click.option("--group", default="group", show_default=True, help="The field that names what resembles each other.")
@click.option("--where", metavar="FIELD=VALUE", help="Fit only on these records, such as split=train.")
@click.option("--report-where", metavar="FIELD=VALUE", help="Report on these records; they are not looked at before.")
@click.option("--accuracy", default=0.97, show_default=True, help="To certify, of each field that is kept.")
@click.option("--confidence", default=0.95, show_default=True)
@click.option("--uncertified", is_flag=True, help="Where nothing can be certified, keep by left-out documents' word.")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", "out_file", type=FILE, required=True, help="The model to write.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def fit(
    schema_file: Path, data: Path, document: str, fields_name: str, group: str, where: str | None,
    report_where: str | None, accuracy: float, confidence: float, uncertified: bool, seed: int, out_file: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Learn a type of document from labelled examples, certify what may be kept, and report on ones never seen.

    \b
      {"document": "the text", "fields": {"total": "9.00", "date": "25/12/2018"}, "group": "acme"}
      {"file": "scans/7.pdf", "fields": {"total": null}}

    Documents are dealt into three parts, groups kept whole: 70% to fit, 15% to certify, 15% to report on (with
    --report-where 85% and 15%). A group is what resembles each other more than the rest does, such as one vendor's
    invoices; name it where new ones will come.
    """
    schema = read_schema(schema_file)
    columns = Columns(document, fields_name, group)
    rows, left_out = read_labelled(data, schema, columns, _pair(where))
    kept_apart = None
    if report_where is not None:
        kept_apart, more = read_labelled(data, schema, columns, _pair(report_where))
        left_out += more
    for words in left_out[:5]:
        err.print(f"left out: {words}", style="yellow", soft_wrap=True)
    if len(left_out) > 5:
        err.print(f"... and {len(left_out) - 5} more values", style="yellow")
    parts = part(rows, seed, kept_apart)
    with bars({"tag": "training taggers", "fit": "fitting fields"}) as told:
        model = fit_extract(schema, parts, Wanted(accuracy, confidence, uncertified, seed), told)
    report = measure(model, parts.report, seed)
    reached = {name: one.everything.value for name, one in report.fields.items()}
    if model.card is not None:
        model = msgspec.structs.replace(model, card=msgspec.structs.replace(model.card, accuracy=reached))
    size = save_model(model, out_file)
    if as_json:
        promises = {name: one.certified for name, one in model.fields.items()}
        out.print_json(msgspec.json.encode({"certified": promises, "report": report}).decode())
    else:
        render(model, report)
        out.print(f"written to {out_file} ({size / 1e6:.1f} MB)", soft_wrap=True)


@extract.command()
@click.argument("model_file", type=FILE)
def show(model_file: Path) -> None:
    """What MODEL_FILE knows: its fields, what it was fitted on, what was certified."""
    model = load_model(model_file)
    card = model.card
    out.print(f"[bold]{model.schema.name}[/bold] {model.schema.about}")
    if card is not None:
        words = f"{card.documents} documents of {card.groups} groups"
        out.print(f"fitted on {words}, seed {card.seed}, data {card.data_digest}")
    for field in model.schema.fields:
        made = model.fields[field.name]
        wants = f"{field.type}{'' if field.required else ', optional'}{', several' if field.several else ''}"
        finders = ", ".join(stored.kind for stored in made.finders)
        out.print(f"[bold]{field.name}[/bold] ({wants}; {finders}): {_promise(model, field.name)}")
        if card is not None and field.name in card.accuracy:
            out.print(f"  on documents it never saw: {card.accuracy[field.name]:.1%} right")


def _model(schema_file: Path | None, model_file: Path | None) -> ExtractModel:
    if model_file is None:
        if schema_file is None:
            raise click.UsageError("which fields? --schema FILE.yaml, or --model FILE from `smallfirst extract fit`")
        return unfitted(read_schema(schema_file))
    model = load_model(model_file)
    if schema_file is not None and read_schema(schema_file).fields != model.schema.fields:
        raise DataError(f"{schema_file}: not the fields that {model_file} was fitted for; fit again, or leave it out")
    return model


def _write(
    left: list[Input], extractor: Extractor, above: Above | None, whole: bool, file: BinaryIO, lines: list[Line],
    told: Callable[[str, int, int], None],
) -> None:  # fmt: skip
    for one in left:
        line = extract_line(one, extractor, above, whole=whole)
        file.write(msgspec.json.encode(line) + b"\n")
        file.flush()
        lines.append(line)
        told("extract", len(lines), len(left))


def _promise(model: ExtractModel, name: str) -> str:
    made = model.fields[name]
    if made.certified is not None:
        return f"certified: {made.certified.explain()}"
    if made.threshold <= 1:
        return f"kept from {made.threshold:.3f} on; that is not certified"
    return "nothing is certified: every value is handed up"


def render(model: ExtractModel, report: ExtractReport) -> None:
    """The report for people: the promises first, then what was reached."""
    for field in model.schema.fields:
        out.print(f"[bold]{field.name}[/bold]: {_promise(model, field.name)}")
    words = f"{report.documents} documents of {report.groups} groups, neither fitted nor certified on"
    table = Table(title=words, title_justify="left")
    for name in ("field", "right, everything kept", "kept", "right of those", "patterns alone"):
        table.add_column(name, justify="left" if name == "field" else "right")
    for name, one in report.fields.items():
        kept = f"{one.kept_share:.0%}"
        table.add_row(name, _shown(one.everything), kept, _shown(one.kept), _shown(one.patterns))
    out.print(table)
    out.print(f"every field right: {_shown(report.whole)}; nothing to hand up: {report.untouched:.0%}")
    out.print(f"{report.us_per_document / 1000:.1f} ms a document")


def _shown(share: Share) -> str:
    return f"{share.value:.1%} ({share.low:.0%} .. {share.high:.0%})" if share.n else "-"


def _summary(lines: list[Line], asked: bool, model: ExtractModel) -> None:
    failed = [line for line in lines if line.error is not None]
    read = [line for line in lines if line.fields]
    fields = len(read) * len(model.schema.fields)
    doubtful = sum(len(line.doubtful) for line in read)
    handed = sum(len(line.asked) for line in read)
    cost = sum(line.cost_usd for line in lines)
    err.print(
        f"{len(lines)} documents, {fields} fields: {handed} handed up (${cost:.4f}), {doubtful} left doubtful; "
        f"{sum(len(line.refused) for line in read)} answers from above do not stand in their document"
    )
    if doubtful and not asked:
        err.print("doubtful fields carry the best guess; --above URL asks a larger model", style="dim")
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
