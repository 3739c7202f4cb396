"""`smallfirst outcomes`: look at files of outcomes, and make them from what a gateway has recorded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click
from rich.table import Table

from smallfirst.cli.console import err, out
from smallfirst.cli.ledger_option import LEDGER_OPTION
from smallfirst.config.paths import data_dir
from smallfirst.core import Grade
from smallfirst.errors import DataError
from smallfirst.models.answers import AnswerRow
from smallfirst.store.connection import Place


@click.group()
def outcomes() -> None:
    """What models answered, and how it was graded (docs/outcomes.md)."""


@outcomes.command("check")
@click.argument("answers", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--scores", type=click.Path(dir_okay=False, path_type=Path), help="Grades beside them.")
def check(answers: Path, scores: Path | None) -> None:
    """Read a file of ANSWERS (.jsonl or .parquet) as `grade` and `calibrate` will, and say what is in it.

    \b
    Example:
      smallfirst outcomes check logs.parquet --scores grades.parquet
    """
    from smallfirst.evals.grades import read_grades  # noqa: PLC0415 - numpy, which `--help` does not need
    from smallfirst.models.answers import read_answers  # noqa: PLC0415 - as above

    rows = read_answers(answers)
    _describe(rows, read_grades(scores) if scores else [])


def _describe(rows: Sequence[AnswerRow], grades: Sequence[Grade]) -> None:
    from smallfirst.learn.outcomes import group_of  # noqa: PLC0415 - as above

    queries = {row.query_id: row for row in rows}
    groups = {group_of(row.prompt) for row in queries.values()}
    out.print(f"{len(rows):,} answers to {len(queries):,} queries ({len(groups):,} different prompts)")
    by_answer = {(grade.query_id, grade.model): grade.score for grade in grades}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("model", "answers", "failed", "tokens estimated", "graded", "mean score"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for model, count in Counter(row.model for row in rows).most_common():
        mine = [row for row in rows if row.model == model]
        failed = sum(row.answer is None and not row.tool_calls for row in mine)
        guessed = sum(row.output_tokens is None for row in mine)
        scored = [by_answer[row.query_id, model] for row in mine if (row.query_id, model) in by_answer]
        mean = f"{sum(scored) / len(scored):.3f}" if scored else "-"
        table.add_row(model, f"{count:,}", f"{failed:,}", f"{guessed:,}", f"{len(scored):,}", mean)
    out.print(table)
    for name, values in (
        ("categories", Counter(row.category for row in queries.values() if row.category)),
        ("slices", Counter(row.slice for row in queries.values() if row.slice)),
        ("graders", Counter(grade.grader for grade in grades)),
    ):
        if values:
            out.print(
                f"{name}: " + ", ".join(f"{word} {count:,}" for word, count in values.most_common()), markup=False
            )
    stray = sum((grade.query_id, grade.model) not in {(row.query_id, row.model) for row in rows} for grade in grades)
    if stray:
        err.print(f"{stray:,} grades are of answers that are not in the file", style="yellow")


@outcomes.command("join")
@click.argument("answers", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--scores", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Grades of them.")
@click.option("--grader", help="Whose grades, where several graded.")
@click.option("--out", "target", required=True, type=click.Path(dir_okay=False, path_type=Path), help="One table.")
def join(answers: Path, scores: Path, grader: str | None, target: Path) -> None:
    """Write ANSWERS with their scores in one table, for `smallfirst evaluate`: the queries that are graded in full.

    \b
    Example:
      smallfirst outcomes join answers.parquet --scores grades.parquet --out outcomes.parquet
    """
    from smallfirst.evals.grades import join, read_grades, scored_rows  # noqa: PLC0415 - numpy, as above
    from smallfirst.models.answers import read_answers, write_rows  # noqa: PLC0415 - as above

    rows = scored_rows(join(read_answers(answers), read_grades(scores), grader=grader))
    out.print(f"{write_rows(target, rows):,} scored answers written to {target}", markup=False)


@outcomes.command("export")
@click.option("--out", "target", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Answers.")
@click.option("--scores", type=click.Path(dir_okay=False, path_type=Path), help="Grades, beside them.")
@LEDGER_OPTION
@click.option("--audits", type=click.Path(dir_okay=False, path_type=Path), help="The file of audited answers.")
@click.option("--since", "span", metavar="SPAN", help="Only the last 90m, 24h, 7d, 2w; or from a date on.")
def export(target: Path, scores: Path | None, ledger: Place | None, audits: Path | None, span: str | None) -> None:
    """Write what a gateway has recorded as outcomes: .jsonl or .parquet, by the files' endings.

    The ledger holds no texts. Answers come from the file of audited answers, where `monitor.keep: audited` has made
    one; cost, latency, tokens and kind are completed from the ledger, grades come from its grade table.

    \b
    Example:
      smallfirst outcomes export --out answers.parquet --scores grades.parquet --since 30d
    """
    import datetime as dt  # noqa: PLC0415 - for this verb alone

    from smallfirst.evals.export import export_outcomes  # noqa: PLC0415 - numpy, as above
    from smallfirst.ledger.queries import open_ledger  # noqa: PLC0415 - as above
    from smallfirst.ledger.report import since  # noqa: PLC0415 - as above
    from smallfirst.models.answers import write_rows  # noqa: PLC0415 - as above
    from smallfirst.monitor.pairs import PAIRS  # noqa: PLC0415 - as above

    folder = data_dir(os.environ)
    file = audits or folder / PAIRS
    if not file.is_file():
        raise DataError(
            f"{file}: no audited answers were kept, and the ledger holds no texts; set `monitor.keep: audited` in the "
            "config and let the monitor run (docs/certificates.md), or bring outcomes of your own (docs/outcomes.md)"
        )
    start = since(span, dt.datetime.now(dt.UTC)) if span else 0
    with closing(open_ledger(ledger or folder / "ledger.db")) as conn:
        found = export_outcomes(conn, file, start)
    count = write_rows(target, found.answers)
    out.print(f"{count:,} answers to {found.queries:,} queries written to {target}", markup=False)
    if scores is not None:
        write_rows(scores, found.grades)
        out.print(f"{len(found.grades):,} grades written to {scores}", markup=False)
    if found.without_text:
        err.print(f"{found.without_text:,} graded requests have no kept text and were left out", style="yellow")
