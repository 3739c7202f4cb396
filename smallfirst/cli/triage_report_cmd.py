"""`smallfirst triage report`: how often labels were right, what was handed up, what it cost, where it errs."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import click
import msgspec
from rich.table import Table

from smallfirst.cli.console import err, out
from smallfirst.errors import DataError
from smallfirst.tasks.certify import Certified
from smallfirst.tasks.triage.model import Triage
from smallfirst.tasks.triage.overview import Overview, Said, answer_all, join, meant, overview
from smallfirst.tasks.triage.overview_page import page
from smallfirst.tasks.triage.report import Share
from smallfirst.tasks.triage.rows import Labelled, pair_of, read_labelled, read_records
from smallfirst.tasks.triage.run import read_lines
from smallfirst.tasks.triage.store import load_model

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--data", type=FILE, required=True, help="Texts with their true labels: .csv, .jsonl or .parquet.")
@click.option("--text", default="text", show_default=True, help="The field that holds the text.")
@click.option("--label", "label_field", default="label", show_default=True, help="The field that holds the label.")
@click.option("--id", "id_field", help="The field that names a record; default: its number.")
@click.option("--where", metavar="FIELD=VALUE", help="Only these records, such as split=test.")
@click.option("--several", is_flag=True, help="A text may carry several labels.")
@click.option("--separator", default=";", show_default=True, help="Between several labels in one field.")
@click.option("--out-of-scope", metavar="LABEL", help="The label of texts that belong to none; default: the model's.")
@click.option("--model", "model_file", type=FILE, help="What `triage fit` wrote: it answers every text now.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Keep from this confidence on, certified or not.")
@click.option(
    "--run", "run_file", type=FILE, help="What `triage run` wrote: its answers are counted, hand-ups and all."
)
@click.option("--predictions", type=FILE, help="What other models said: fields id, model, prediction, seconds.")
@click.option("--html", "html_file", type=FILE, help="Write one page that fetches nothing.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def report(
    data: Path, text: str, label_field: str, id_field: str | None, where: str | None, several: bool, separator: str,
    out_of_scope: str | None, model_file: Path | None, threshold: float | None, run_file: Path | None,
    predictions: Path | None, html_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Count against true labels: of a run (with what was handed up, its cost and time), or of a model on new texts.

    \b
    Examples:
      smallfirst triage report --data tickets.csv --text body --label queue --run labelled.jsonl --html report.html
      smallfirst triage report --data new.csv --where split=test --model tickets.triage
      smallfirst triage report --data complaints.parquet --id id --model m.triage --predictions llms.parquet

    Texts that the model was fitted or certified on flatter it: give others.
    """
    if model_file is None and run_file is None:
        raise click.UsageError("give --run FILE, or --model FILE")
    model = None if model_file is None else load_model(model_file)
    if model is not None and threshold is not None:
        model = msgspec.structs.replace(model, threshold=threshold, certified=None)
    beyond = out_of_scope or (model.out_of_scope if model is not None else None)
    rows = _by_id(data, text, label_field, id_field, where, separator if several else None)
    if run_file is not None:
        gold = {id: meant(row, beyond) for id, row in rows.items()}
        answered, unread = join(read_lines(run_file), gold)
    else:
        assert model is not None  # noqa: S101 - one of the two was given
        answered, unread = answer_all(Triage(model), rows, beyond), 0
    others = None if predictions is None else read_predictions(predictions, beyond)
    found = overview(answered, unread=unread, others=others)
    certified = None if model is None else model.certified
    if html_file is not None:
        html_file.write_text(page(data.name, found, certified), "utf-8")
        err.print(f"written to {html_file}", style="dim", soft_wrap=True)
    if as_json:
        out.print_json(msgspec.json.encode(found).decode())
    else:
        render(found, certified)


def _by_id(
    data: Path, text: str, label: str, id_field: str | None, where: str | None, separator: str | None
) -> dict[str, Labelled]:
    """Labelled texts by the names that `triage run` gives them. Raises DataError for a name that stands twice."""
    names = [
        str(record.get(id_field, n)) if id_field else str(n) for n, (_, record) in enumerate(read_records(data), 1)
    ]
    rows = read_labelled(data, text, label, separator=separator)
    kept = read_labelled(data, text, label, separator=separator, where=pair_of(where)) if where else rows
    wanted = {row.where for row in kept}
    found: dict[str, Labelled] = {}
    for name, row in zip(names, rows, strict=True):
        if found.setdefault(name, row) is not row:
            raise DataError(f"{row.where}: a second record of the name {name!r}")
    return {name: row for name, row in found.items() if row.where in wanted}


def read_predictions(path: Path, beyond: str | None) -> dict[str, dict[str, Said]]:
    """Model -> text id -> what it said. Fields: id, model, prediction; seconds and cost_usd where they are known."""
    found: dict[str, dict[str, Said]] = defaultdict(dict)
    for at, record in read_records(path):
        for field in ("id", "model", "prediction"):
            if field not in record:
                raise DataError(f"{at}: there is no field {field!r}; there are: {', '.join(map(str, record))}")
        said = record["prediction"]
        labels = [said] if isinstance(said, str) else list(said or [])
        seconds, cost = (None if record.get(name) is None else float(record[name]) for name in ("seconds", "cost_usd"))
        told = Said(frozenset(one for one in labels if one and one != beyond), seconds, cost)
        found[str(record["model"])][str(record["id"])] = told
    return dict(found)


def render(found: Overview, certified: Certified | None) -> None:
    """For people: all together first, then who answered what, then other models and mistakes."""
    if certified is not None:
        out.print(f"[bold]certified:[/bold] {certified.explain()}")
    table = Table(title=f"{found.texts:,} texts with a known label", title_justify="left")
    for name in ("what", "right", "95% interval", "texts"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for name, share in (
        ("all together", found.total), ("kept by triage", found.kept), ("handed up", found.handed),
        ("served though not sure", found.unsure), ("triage alone", found.local),
    ):  # fmt: skip
        if share.n:
            table.add_row(name, f"{share.value:.1%}", _span(share), f"{share.n:,}")
    out.print(table)
    if found.unread:
        out.print(f"{found.unread} more could not be read", style="yellow")
    out.print("accuracy of the surest share: " + ", ".join(f"{c} {a:.1%}" for c, a in found.at_coverage.items()))
    out.print(f"{found.local_ms:.1f} ms a text in triage (median), {found.ms:.1f} ms mean in all")
    if found.handed_ms is not None and found.cost_all_up_usd is not None:
        times = found.handed_ms / max(found.ms, 1e-9)
        out.print(
            f"a call above took {found.handed_ms:.0f} ms on average: {times:.1f} times as long as a text did here; "
            f"${found.cost_usd:.4f} was paid, about ${found.cost_all_up_usd:.4f} if all were handed up"
        )
    _others(found)
    _mistakes(found)


def _others(found: Overview) -> None:
    if not found.beside:
        return
    table = Table(title="other models: asked of all, and only where triage is not sure", title_justify="left")
    for name in ("model", "alone", "with triage", "calls", "mean s", "with triage"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for one in found.beside:
        times = ("-" if s is None else f"{s:.2f}" for s in (one.seconds, one.seconds_together))
        alone, together = f"{one.alone.value:.1%}", f"{one.together.value:.1%}"
        table.add_row(one.model, alone, together, f"{one.calls:.1%}", *times)
    out.print(table)


def _mistakes(found: Overview) -> None:
    wrong = [(n, m, s) for m, row in found.confusion.items() for s, n in row.items() if s != m]
    if not wrong:
        return
    table = Table(title="most often mistaken", title_justify="left")
    for name in ("is", "was called", "times"):
        table.add_column(name, justify="right" if name == "times" else "left")
    for count, is_, said in sorted(wrong, key=lambda one: (-one[0], one[1:]))[:8]:
        table.add_row(is_, said, str(count))
    out.print(table)


def _span(share: Share) -> str:
    return f"{share.low:.1%} .. {share.high:.1%}"
