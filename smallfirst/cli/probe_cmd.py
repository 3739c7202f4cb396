"""`smallfirst probe [MODEL]`: about 300 checkable prompts through a configured model, price first."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from smallfirst.classify.probes import ENOUGH
from smallfirst.cli.build import App, probes_dir, read_settings, temporary_ledger
from smallfirst.cli.console import err, out
from smallfirst.cli.serve import fetch_weights
from smallfirst.core import NANO, DataClass, Kind, Model
from smallfirst.errors import SetupError, SmallfirstError
from smallfirst.evals.probe import save_probe, wilson
from smallfirst.evals.probe_run import Partial, Result, ask_all, ceiling, probe_of
from smallfirst.evals.prompts import DEFAULT_N, samples
from smallfirst.evals.prompts_sample import Sample
from smallfirst.privacy.rules import Rules

PARALLEL = 4
"""Questions at a time; an embedded model gets one."""


@click.command()
@click.argument("model", required=False)
@click.option("--config", "-c", type=click.Path(path_type=Path, dir_okay=False), help="A YAML file.")
@click.option("--yes", is_flag=True, help="Do not ask before spending.")
@click.option("--limit", type=click.IntRange(12, DEFAULT_N), default=DEFAULT_N, help="Only the first so many prompts.")
def probe(model: str | None, config: Path | None, yes: bool, limit: int) -> None:
    """Find out what MODEL gets right, by kind of query. The router trusts a model only where its probe shows it.

    Ctrl-C keeps what was answered; the same command goes on from there.

    \b
    Examples:
      smallfirst probe gpt-4o-mini
      smallfirst probe llama-8b --config smallfirst.yaml --yes
    """
    settings = read_settings(config, os.environ)
    fetch_weights(settings)
    app = App(settings, os.environ, ledger_path=temporary_ledger(), probes={})
    chosen = _choose(app, model)
    asked = samples(n=limit)
    directory = probes_dir(os.environ)
    partial = Partial(directory, chosen.name, asked)
    left = [sample for sample in asked if sample.id not in partial.results]
    _announce(chosen, asked, left)
    if _costs(chosen) and left and not yes:
        click.confirm("Go on?", abort=True, err=True)
    try:
        asyncio.run(_ask(app, chosen, left, partial, len(asked)))
    except (KeyboardInterrupt, SmallfirstError):
        kept = len(partial.results)
        err.print(f"[yellow]{kept} of {len(asked)} answers are kept; the same command goes on from there[/yellow]")
        raise
    made = probe_of(chosen.name, asked, partial.results, at=time.time_ns() // 1000)
    _show(chosen.name, partial.results)
    file = save_probe(directory, made)
    partial.remove()
    if len(asked) < DEFAULT_N // 2:
        err.print(f"kinds with fewer than {ENOUGH} prompts do not count: leave --limit away", style="yellow")
    err.print(f"saved to {file}; gateways read it when they start", soft_wrap=True)


def _choose(app: App, name: str | None) -> Model:
    models = app.catalogue.models
    if name is None:
        unprobed = [tier.models[0] for tier in app.catalogue.tiers]
        if len(unprobed) == 1:
            return models[unprobed[0]]
        raise click.UsageError(f"which model? configured are: {', '.join(models)}")
    if name not in models:
        raise click.UsageError(f"no model {name!r} is configured; there are: {', '.join(models)}")
    return models[name]


def _costs(model: Model) -> bool:
    """Whether somebody else may bill for it: anything that does not run on this machine or the premises for nothing."""
    if all(replica.location == "device" for replica in model.replicas):
        return False
    return model.price is None or model.price.input > 0 or model.price.output > 0


def _announce(model: Model, asked: Sequence[Sample], left: Sequence[Sample]) -> None:
    replica = model.replicas[0]
    out.print(f"[bold]{model.name}[/bold] at {replica.provider} ({replica.location}): {len(left)} prompts", end="")
    out.print(f", {len(asked) - len(left)} are answered already" if len(left) < len(asked) else "")
    most = ceiling(model, left)
    if most is None or model.price is None:
        out.print("price unknown: nothing can be said about the cost")
    elif most == 0:
        out.print("it costs nothing")
    else:
        out.print(f"at most ${most / NANO:.4f} (characters / 4 in, max_tokens out; {model.price.source})")


async def _ask(app: App, model: Model, left: Sequence[Sample], partial: Partial, total: int) -> None:
    """Ask what is left, with a bar; results are in the file as they come."""
    permit = Rules.from_settings(app.settings.privacy).permit(DataClass.public, [model])
    if not permit.replicas:
        raise SetupError(f"the privacy rules let no public query go to {model.name} ({permit.rule})")
    embedded = next((runtime for runtime in app.runtimes if runtime.name == model.name), None)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        if embedded is not None:
            await embedded.start()
            await embedded.ready()
        with partial, Progress(*columns, console=err) as progress:
            task = progress.add_task("asking", total=total, completed=total - len(left))

            def keep(result: Result) -> None:
                partial.keep(result)
                progress.advance(task)

            await ask_all(app.sender, model, permit, left, keep, parallel=1 if embedded else PARALLEL)
    finally:
        await app.stop()


def _show(name: str, results: Mapping[str, Result]) -> None:
    """Accuracy by kind, with 95% Wilson intervals."""
    kinds: dict[Kind, list[float]] = {}
    for result in results.values():
        kinds.setdefault(result.kind, []).append(result.score)
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, title=name, title_justify="left")
    table.add_column("kind")
    for column in ("right", "of", "share", "95% interval"):
        table.add_column(column, justify="right")
    for kind, scores in (*sorted(kinds.items()), ("all", [it.score for it in results.values()])):
        low, high = wilson(sum(scores), len(scores))
        share = sum(scores) / len(scores)
        table.add_row(kind, f"{sum(scores):g}", str(len(scores)), f"{share:.0%}", f"{low:.0%} - {high:.0%}")
    out.print(table)
    cut = sum(result.cut for result in results.values())
    if cut > 0.3 * len(results):
        err.print(
            f"{cut} answers were cut off at max_tokens: a model that thinks first is probed too short", style="yellow"
        )
    spent = sum(result.cost for result in results.values())
    if spent:
        out.print(f"spent ${spent / NANO:.4f}")
