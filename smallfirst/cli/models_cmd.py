"""`smallfirst models`: what is configured, what could be, and the weights that lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.table import Table

from smallfirst.cli.build import probes_dir, read_settings
from smallfirst.cli.console import err, out
from smallfirst.config.paths import cache_dir
from smallfirst.core import NANO, Abilities, Model, Price
from smallfirst.evals.probe import load_probes
from smallfirst.models import prices
from smallfirst.models.catalogue import Catalogue, build_catalogue
from smallfirst.models.presets import presets
from smallfirst.models.weights import obtain, place

NOT_TAKEN = "-"


@click.group()
def models() -> None:
    """Models and presets; weights for the embedded runtime."""


@models.command("list")
@click.option(
    "--config", "-c", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Default: no config file."
)
@click.option("--presets", "show_presets", is_flag=True, help="The models that smallfirst knows by name, instead.")
@click.option("--json", "as_json", is_flag=True, help="For programs: a JSON list.")
def list_models(config: Path | None, show_presets: bool, as_json: bool) -> None:
    """Each model's tier and place, what it can take, what it costs and who says so.

    Without a config file: what the keys in the environment make possible.
    """
    if show_presets:
        _print(preset_rows(), as_json)
        return
    settings = read_settings(config, os.environ)
    catalogue = build_catalogue(
        settings.providers, settings.models, settings.tiers, settings.baseline, environ=os.environ
    )
    probed = load_probes(probes_dir(os.environ), catalogue.models.values())
    _print(model_rows(catalogue, {name for name, probe in probed.items() if probe is not None}), as_json)
    if not as_json:
        said = catalogue.baseline
        out.print(f"baseline: {said.method}; {dollars(said.price)} per million tokens in / out", style="dim")


@models.command("pull")
@click.argument("name")
def pull(name: str) -> None:
    """Fetch weights for the embedded runtime: smollm2-135m, or hf:ORG/REPO:FILE.gguf.

    Does nothing when they are there. HF_ENDPOINT and HF_TOKEN are heeded.
    """
    cache = cache_dir(os.environ)
    there = place(name, cache).is_file()
    with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=err) as progress:
        tasks: dict[str, TaskID] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total or None)
            progress.update(tasks[step], completed=done, total=total or None)

        path = obtain(name, cache, show)
    out.print(f"{name} {'is there already' if there else 'lies'} at {path}", soft_wrap=True)


def model_rows(catalogue: Catalogue, probed: set[str]) -> list[dict[str, str]]:
    """One row a model, tier by tier; models in no tier come last."""
    in_tiers = [name for tier in catalogue.tiers for name in tier.models]
    rest = [name for name in catalogue.models if name not in in_tiers]
    return [_model_row(catalogue.models[name], name in probed) for name in [*in_tiers, *rest]]


def preset_rows() -> list[dict[str, str]]:
    """One row a preset, with its list price where it has one."""
    known = presets().values()
    listed = prices.look_up([p.price for p in known if p.price], cache_dir(os.environ))
    return [
        {
            "preset": preset.name,
            "tier": preset.tier,
            "called": preset.api or preset.hf or preset.name,
            "ollama": preset.ollama or NOT_TAKEN,
            "takes": takes(preset.can(None)),
            "context": str(preset.context),
            "$ in / out": dollars(listed.get(preset.price)) if preset.price else "your machine's",
        }
        for preset in known
    ]


def takes(able: Abilities) -> str:
    """The abilities that not every model has, in words."""
    words = {
        "tools": able.tools,
        "json": able.json_object,
        "schema": able.json_schema,
        "images": able.vision,
        "logprobs": able.logprobs,
        "n": able.n,
    }
    return " ".join(word for word, can in words.items() if can) or NOT_TAKEN


def dollars(price: Price | None) -> str:
    """Dollars per million tokens, in / out; a plus sign where long prompts cost more."""
    if price is None:
        return "unknown"
    return f"{price.input / NANO:g} / {price.output / NANO:g}{' +' if price.above else ''}"


def _model_row(model: Model, probed: bool) -> dict[str, str]:
    return {
        "model": model.name + (" (demonstration)" if model.demonstration else ""),
        "tier": model.tier or NOT_TAKEN,
        "where": "\n".join(f"{replica.provider}, {replica.location}" for replica in model.replicas),
        "takes": takes(model.abilities),
        "context": str(model.abilities.context),
        "$ in / out": dollars(model.price),
        "price from": model.price.source if model.price else "nobody: add `cost`",
        "probed": "yes" if probed else "no",
    }


def _print(rows: list[dict[str, str]], as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in rows[0] if rows else ():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    out.print(table)
