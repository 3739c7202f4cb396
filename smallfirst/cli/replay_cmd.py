"""`smallfirst replay FILE.jsonl`: recorded prompts through a gateway, then the report."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from smallfirst.cli.build import App, read_settings
from smallfirst.cli.console import err, out
from smallfirst.cli.report_cmd import render_report
from smallfirst.cli.running import running
from smallfirst.core import NANO
from smallfirst.evals.replay import Prompt, Replay, read_prompts
from smallfirst.evals.replies import Reply, Tally, tally
from smallfirst.ledger import queries
from smallfirst.ledger.report import make_report
from smallfirst.ledger.summary import Summary


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--url", help="A running gateway, like http://127.0.0.1:4000/v1. Default: one is started for the replay.")
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Start it with this file.")
@click.option("--model", default="auto", show_default=True, help="`auto`, a policy or a model, for every prompt.")
@click.option("--concurrency", default=4, show_default=True, type=click.IntRange(1, 256))
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many prompts.")
@click.option("--key", envvar="SMALLFIRST_KEY", help="Client key, where the gateway asks for one (or SMALLFIRST_KEY).")
@click.option("--out", "out_file", type=click.Path(dir_okay=False, path_type=Path), help="One line a reply, as JSONL.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def replay(
    file: Path,
    url: str | None,
    config: Path | None,
    model: str,
    concurrency: int,
    limit: int | None,
    key: str | None,
    out_file: Path | None,
    as_json: bool,
) -> None:
    """Send the prompts of FILE (JSONL: {"prompt": ...} or {"messages": [...]}, with "id" and "target" if you like)
    through a gateway and report what it served. Ctrl-C reports what was done so far."""
    if url and config:
        raise click.UsageError("--url names a gateway that runs already, --config one to start: give one of them")
    prompts = read_prompts(file, limit)
    replies: list[Reply] = []
    with tempfile.TemporaryDirectory(prefix="smallfirst-") as folder:
        ledger = Path(folder) / "ledger.db"
        with _gateway(url, config, ledger) as base:
            interrupted = _send(Replay(base, prompts, model=model, concurrency=concurrency, key=key), prompts, replies)
        summary = None if url else _summary(ledger)
    if out_file is not None:
        out_file.write_bytes(b"".join(msgspec.json.encode(reply) + b"\n" for reply in replies))
    sums = tally(replies)
    if as_json:
        shown = {"replay": sums, "report": summary and make_report(summary)}
        out.print_json(msgspec.json.encode(shown).decode())
    elif summary is not None and summary.requests:
        render_report(summary, out, _extra(sums), title=f"replay of {file.name}")
    else:
        render_tally(sums)
    if interrupted:
        err.print(f"interrupted: {len(replies)} of {len(prompts)} prompts were sent", style="yellow")
        sys.exit(130)


@contextmanager
def _gateway(url: str | None, config: Path | None, ledger: Path) -> Iterator[str]:
    """A base URL ending in /v1, of the running gateway or of one that lives as long as this block.

    The latter writes to `ledger`, not to the user's: a replay is no traffic.
    """
    if url is not None:
        base = url.rstrip("/")
        yield base if base.endswith("/v1") else f"{base}/v1"
        return
    settings = msgspec.structs.replace(read_settings(config, os.environ), monitor=None)  # nor is it to be audited
    app = App(settings, os.environ, ledger_path=ledger)
    with running(app) as base:
        yield base


def _send(run: Replay, prompts: list[Prompt], replies: list[Reply]) -> bool:
    """Fill `replies`, with a bar on the terminal. True: somebody pressed Ctrl-C."""
    columns = (TextColumn("[progress.description]{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err) as progress:
        task = progress.add_task("replay", total=len(prompts))
        try:
            for reply in run:
                replies.append(reply)
                progress.advance(task)
        except KeyboardInterrupt:
            return True
    return False


def _summary(ledger: Path) -> Summary:
    conn = queries.open_ledger(ledger)
    try:
        return queries.summary(conn, 0, time.time_ns() // 1000 + 1)
    finally:
        conn.close()


def _extra(sums: Tally) -> list[tuple[str, str]]:
    """What the ledger does not know."""
    extra = []
    if sums.with_target:
        extra.append(("right", f"{sums.right} of {sums.with_target} with a target (same canonical answer)"))
    if sums.errors:
        extra.append(("errors", ", ".join(f"{name} {count}" for name, count in sums.errors.items())))
    return extra


def render_tally(sums: Tally) -> None:
    """The report of a replay, from what the gateway said in its headers."""
    table = Table(title=f"{sums.answered} of {sums.sent} prompts answered", title_justify="left")
    for name in ("tier", "requests", "share", "p50 ms", "p95 ms"):
        table.add_column(name, justify="left" if name == "tier" else "right")
    for tier, count in sums.by_tier.items():
        share = f"{100 * count / sums.answered:.1f}%"
        table.add_row(tier, str(count), share, f"{sums.p50_us[tier] / 1000:.0f}", f"{sums.p95_us[tier] / 1000:.0f}")
    out.print(table)
    out.print(f"cost ${sums.cost / NANO:.6f} for {sums.attempts} calls", end="")
    if sums.baseline_cost:
        out.print(f", {100 * sums.cost / sums.baseline_cost:.1f}% of the baseline's ${sums.baseline_cost / NANO:.6f}")
    else:
        out.print("; no price is known for the baseline")
    out.print("models: " + ", ".join(f"{name} {count}" for name, count in sums.by_model.items()))
    out.print("reasons: " + ", ".join(f"{name} {count}" for name, count in sums.by_reason.items()))
    for name, figure in _extra(sums):
        out.print(f"{name}: {figure}")
