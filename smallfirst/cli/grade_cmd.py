"""`smallfirst grade`: scores for answers, by checkers, by a judge model, or by a person, blind.

Knows options and the terminal. Which answers are graded, and how, is in evals/grading.py and evals/judging.py.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import click
import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from smallfirst.cli.console import err, out
from smallfirst.cli.grade_terminal import ask_person
from smallfirst.cli.ledger_option import LEDGER_OPTION
from smallfirst.config.paths import data_dir
from smallfirst.core import NANO, Grade
from smallfirst.errors import SetupError
from smallfirst.evals.grades import read_grades
from smallfirst.evals.grading import CHECKERS, Pile, check, choose
from smallfirst.ledger.migrations import ROOM, STEPS
from smallfirst.ledger.notes import read_grades as ledger_grades
from smallfirst.ledger.notes import write_notes
from smallfirst.models.answers import read_answers
from smallfirst.store.connection import Connection, Place, open_to_write
from smallfirst.store.migrations import migrate

Keep = Callable[[Sequence[Grade]], None]


@click.command()
@click.argument("answers", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--check", "checker", type=click.Choice(list(CHECKERS)), help="Compare with each row's `reference`.")
@click.option("--judge", metavar="MODEL", help="A configured model grades; its price is shown first.")
@click.option("--terminal", metavar="NAME", help="You grade, blind, under this name.")
@click.option("--config", "-c", type=click.Path(path_type=Path, dir_okay=False), help="A YAML file, for --judge.")
@click.option("--data-class", help="--judge: what the texts are; privacy rules apply.  [default: the config's]")
@click.option("--differ-rate", default=1.0, show_default=True, help="Share of queries graded where answers differ.")
@click.option("--agree-rate", default=0.2, show_default=True, help="Share of queries graded where all say the same.")
@click.option("--seed", default=0, show_default=True, help="Draws which queries, and in which order answers are shown.")
@click.option(
    "--limit", type=click.IntRange(1), help="Stop after so many queries; the same command goes on from there."
)
@click.option("--out", "out_file", type=click.Path(dir_okay=False, path_type=Path), help="Grades as JSONL, too.")
@LEDGER_OPTION
@click.option("--yes", is_flag=True, help="Do not ask before spending.")
def grade(
    answers: Path,
    checker: str | None,
    judge: str | None,
    terminal: str | None,
    config: Path | None,
    data_class: str | None,
    differ_rate: float,
    agree_rate: float,
    seed: int,
    limit: int | None,
    out_file: Path | None,
    ledger: Place | None,
    yes: bool,
) -> None:
    """Grade the ANSWERS of a file (.jsonl or .parquet; docs/outcomes.md), queries whose answers differ first.

    All answers to a chosen query are graded together. Which queries are chosen is drawn by --seed with the two
    rates, and each grade says with which probability: leave the rates as they are until a file is done. Grades go into
    the ledger, and with --out into a file.

    \b
    Examples:
      smallfirst grade logs.parquet --check canonical --agree-rate 1
      smallfirst grade audits.jsonl --judge best --config smallfirst.yaml
      smallfirst grade audits.jsonl --terminal ada --limit 50
    """
    if sum(one is not None for one in (checker, judge, terminal)) != 1:
        raise click.UsageError("say who grades: one of --check, --judge, --terminal")
    rows = read_answers(answers)
    with closing(_open(ledger)) as conn:
        who = _grader(checker, judge, terminal)
        done = {g.query_id for g in _known(conn, out_file) if g.grader == who}
        chosen = choose(rows, agree_rate=agree_rate, differ_rate=differ_rate, seed=seed, done=done)
        piles = chosen[:limit]
        _announce(piles, chosen, done)
        keep = _keeper(conn, out_file)
        if checker is not None:
            for pile in piles:
                keep(check(pile, checker, _now()))
        elif judge is not None:
            _judge(piles, judge, config, data_class, seed, keep, yes=yes)
        else:
            ask_person(piles, who, seed, keep, now=_now)


def _grader(checker: str | None, judge: str | None, person: str | None) -> str:
    from smallfirst.monitor.judge import judge_name  # noqa: PLC0415 - keeps `--help` light

    return f"checker:{checker}" if checker else judge_name(judge) if judge else f"person:{person}"


def _open(place: Place | None) -> Connection:
    """The ledger, made where there is none: grades lie in it. A gateway may be writing to it."""
    conn = open_to_write(place or data_dir(os.environ) / "ledger.db")
    migrate(conn, ROOM, STEPS)
    return conn


def _known(conn: Connection, out_file: Path | None) -> list[Grade]:
    in_file = read_grades(out_file) if out_file is not None and out_file.is_file() and out_file.stat().st_size else []
    return [*ledger_grades(conn), *in_file]


def _keeper(conn: Connection, out_file: Path | None) -> Keep:
    """Writes grades as they come, so that whoever stops loses nothing."""

    def keep(grades: Sequence[Grade]) -> None:
        write_notes(conn, grades)
        if out_file is not None:
            with out_file.open("ab") as file:
                file.write(b"".join(msgspec.json.encode(one) + b"\n" for one in grades))

    return keep


def _announce(piles: Sequence[Pile], chosen: Sequence[Pile], done: set[str]) -> None:
    differ = sum(pile.differ for pile in piles)
    left = f" of {len(chosen)} that are left" if len(chosen) > len(piles) else ""
    before = f"; {len(done)} are graded already" if done else ""
    err.print(f"{len(piles)} queries{left}: {differ} whose answers differ, {len(piles) - differ} that agree{before}")


def _judge(
    piles: Sequence[Pile], name: str, config: Path | None, data_class: str | None, seed: int, keep: Keep, *, yes: bool
) -> None:
    """The price first, then the judge."""
    from smallfirst.cli.build import App, read_settings, temporary_ledger  # noqa: PLC0415 - the whole gateway
    from smallfirst.evals.judging import judge_all, most_cost, questions  # noqa: PLC0415 - as above
    from smallfirst.privacy.classes import parse_class  # noqa: PLC0415 - as above
    from smallfirst.privacy.rules import Rules  # noqa: PLC0415 - as above

    settings = read_settings(config, os.environ)
    app = App(settings, os.environ, ledger_path=temporary_ledger(), probes={})
    model = app.catalogue.models.get(name)
    if model is None:
        raise click.UsageError(f"no model {name!r} is configured; there are: {', '.join(app.catalogue.models)}")
    try:
        level = parse_class(data_class or settings.privacy.default_class)
    except ValueError as error:
        raise click.UsageError(f"--data-class: {error}") from error
    permit = Rules.from_settings(settings.privacy).permit(level, [model])
    if not permit.replicas:
        raise SetupError(f"the privacy rules let no {level.name} text go to {name} ({permit.rule})")
    most = most_cost(model, questions(piles, seed))
    words = "its price is not known" if most is None else f"at most ${most / NANO:.4f}"
    out.print(f"[bold]{name}[/bold] as judge, {len(piles)} calls: {words}")
    if piles and most != 0 and not yes:
        click.confirm("Go on?", abort=True, err=True)
    spent = unread = 0
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as progress:
        task = progress.add_task("judging", total=len(piles))

        def kept(grades: list[Grade], cost: int) -> None:
            nonlocal spent, unread
            spent += cost
            unread += not grades
            keep(grades)
            progress.advance(task)

        async def run() -> None:
            try:
                for runtime in app.runtimes:
                    if runtime.name == name:
                        await runtime.start()
                        await runtime.ready()
                await judge_all(app.sender, model, permit, piles, kept, seed=seed)
            finally:
                await app.stop()

        asyncio.run(run())
    out.print(f"spent ${spent / NANO:.4f}" + (f"; {unread} replies could not be read, ask again" if unread else ""))


def _now() -> int:
    return time.time_ns() // 1000
