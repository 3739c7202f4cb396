"""`smallfirst kb ask | evaluate`: questions to a knowledge base, through a running gateway or one of our own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from rich.table import Table

from smallfirst.cli.bars import bars
from smallfirst.cli.build import App, read_settings, temporary_ledger
from smallfirst.cli.console import err, out
from smallfirst.cli.running import running
from smallfirst.cli.serve import fetch_weights
from smallfirst.tasks.kb.client import KbClient, Reply
from smallfirst.tasks.kb.questions import Asked, Given, KbReport, Share, read_questions, report
from smallfirst.tasks.settings import TaskSettings

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
NAME = "here"

STEPS = {"ask": "asking"}


@click.command()
@click.argument("folder", type=FOLDER)
@click.argument("question", nargs=-1, required=True)
@click.option("--config", "-c", type=FILE, help="Whose models answer; default: those that are here.")
@click.option("--url", metavar="URL", help="A running gateway to ask instead, such as http://127.0.0.1:4000/v1.")
@click.option("--model", default=None, help="With --url: what it calls the knowledge base, such as kb:handbook.")
@click.option("--key", envvar="SMALLFIRST_KEY", help="Client key for that gateway.")
def ask(
    folder: Path, question: tuple[str, ...], config: Path | None, url: str | None, model: str | None, key: str | None
) -> None:
    """Ask the knowledge base FOLDER one QUESTION and print the answer with its citations.

    \b
      smallfirst kb ask kb/handbook "How many days of leave do I have?"
      smallfirst kb ask kb/handbook "Who approves expenses?" --config smallfirst.yaml
      smallfirst kb ask kb/handbook "..." --url http://127.0.0.1:4000/v1 --model kb:handbook
    """
    with _client(folder, config, url, model, key) as client, err.status("asking ..."):
        reply = client.ask(" ".join(question))
    _render(reply)


@click.command()
@click.argument("folder", type=FOLDER)
@click.option(
    "--questions", "file", type=FILE, required=True, help="JSON lines: question, and answers or unanswerable."
)
@click.option("--config", "-c", type=FILE, help="Whose models answer; default: those that are here.")
@click.option("--url", metavar="URL", help="A running gateway to ask instead.")
@click.option("--model", default=None, help="With --url: what it calls the knowledge base.")
@click.option("--key", envvar="SMALLFIRST_KEY", help="Client key for that gateway.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def evaluate(
    folder: Path, file: Path, config: Path | None, url: str | None, model: str | None, key: str | None, as_json: bool
) -> None:
    """Put your own questions to the knowledge base FOLDER and say three numbers together: the share answered, how many
    answers were wrong, and how many questions should have gone to a person and did not.

    \b
      {"question": "...", "answers": ["27 days", "27"], "document": "people/leave.md"}
      {"question": "...", "unanswerable": true}
      {"history": [["user", "..."], ["assistant", "..."]], "question": "...", "answers": ["..."]}
    """
    asked = read_questions(file)
    given: list[Given] = []
    with _client(folder, config, url, model, key) as client, bars(STEPS) as told:
        for one in asked:
            given.append(client.ask(one.question, one.history).given)
            told("ask", len(given), len(asked))
    found = report(asked, given)
    if as_json:
        out.print_json(msgspec.json.encode(found).decode())
    else:
        _show(found, asked)


@contextlib.contextmanager
def _client(
    folder: Path, config: Path | None, url: str | None, model: str | None, key: str | None
) -> Iterator[KbClient]:
    """A gateway's knowledge base, or FOLDER behind a gateway of our own on a free loopback port."""
    if url is not None:
        if model is None:
            raise click.UsageError(
                "--url needs --model: what that gateway calls the knowledge base, such as kb:handbook"
            )
        with contextlib.closing(KbClient(url, model, key)) as client:
            yield client
        return
    settings = read_settings(config, os.environ)
    fetch_weights(settings)
    task = TaskSettings(kind="kb", index=str(folder.absolute()))
    open_to_us = type(settings.keys)()  # it listens on loopback, for this command alone
    settings = msgspec.structs.replace(settings, tasks={NAME: task}, keys=open_to_us)
    app = App(settings, os.environ, ledger_path=temporary_ledger())
    with running(app) as address, contextlib.closing(KbClient(address, f"kb:{NAME}")) as client:
        yield client


def _render(reply: Reply) -> None:
    out.print(reply.text, markup=False)
    for one in reply.result.citations:
        place = f"[{one.n}] {one.document}, characters {one.start}-{one.end}: {one.title}"
        out.print(place, style="dim", markup=False, soft_wrap=True)
    err.print(f"{reply.tier}/{reply.by} · {reply.reason} · ${reply.cost_usd:.6f}", style="dim", markup=False)


def _show(found: KbReport, asked: list[Asked]) -> None:
    table = Table(title=f"{len(asked)} questions", title_justify="left")
    for name in ("what", "share", "95% interval", "of"):
        table.add_column(name, justify="left" if name == "what" else "right")
    rows: tuple[tuple[str, Share], ...] = (
        ("answered, of the questions that have an answer", found.answered),
        ("wrong, of the answers given", found.wrong),
        ("missed: answered all the same, of what should have gone to a person", found.missed),
    )
    for name, share in rows:
        value = "-" if share.value is None else f"{share.value:.1%}"
        table.add_row(name, value, f"{share.low:.1%} .. {share.high:.1%}", str(share.of))
    out.print(table)
    out.print(
        "by " + ", ".join(f"{tier} {count}" for tier, count in found.by_tier.items()) + f"; ${found.cost_usd:.4f}"
    )
    for question, answer in found.mistakes[:10]:
        out.print(f"wrong: {question} -> {answer}", markup=False, soft_wrap=True, style="yellow")
