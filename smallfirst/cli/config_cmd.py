"""`smallfirst config`: check and explain a configuration file, print one to start from, print the reference.

Knows how findings are shown. Does not check (check.py) or explain (explain.py) anything itself.
"""

from __future__ import annotations

import importlib.resources
import os
import sys
from pathlib import Path

import click
import msgspec
import yaml

from smallfirst.cli.build import read_settings
from smallfirst.cli.certified import describe
from smallfirst.cli.check import check
from smallfirst.cli.console import err, out
from smallfirst.cli.document import document
from smallfirst.cli.explain import explain
from smallfirst.cli.finding import Finding
from smallfirst.cli.litellm import convert
from smallfirst.cli.settings import Settings
from smallfirst.cli.tasks import task_lines
from smallfirst.config.loader import load
from smallfirst.errors import ConfigError
from smallfirst.models.catalogue import build_catalogue


@click.group()
def config() -> None:
    """Check, explain and start a configuration file."""


@config.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check_file(file: Path) -> None:
    """Say what FILE means, or name every mistake with its line. Exit status 1 if there is one.

    \b
    Examples:
      smallfirst config check smallfirst.yaml
      OPENAI_API_KEY=any smallfirst config check examples/openai-only.yaml
    """
    try:
        lines, findings = understood(file)
    except ConfigError as error:
        for problem in error.problems:
            err.print(problem, style="red", markup=False, soft_wrap=True)
        count = len(error.problems)
        err.print(f"{file}: {count} {'mistake' if count == 1 else 'mistakes'}", markup=False, soft_wrap=True)
        sys.exit(1)
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
    for finding in findings:
        style = "yellow" if finding.level == "warning" else "dim"
        err.print(f"{finding.level}: {finding}", style=style, markup=False, soft_wrap=True)
    out.print(f"{file}: fine", style="green", markup=False, soft_wrap=True)


def understood(file: Path) -> tuple[list[str], list[Finding]]:
    """The explanation of `file`, and its warnings and notes. Raises ConfigError with every problem."""
    loaded = load(file, Settings, os.environ)
    settings = loaded.value if loaded.value.models else read_settings(file, os.environ)
    findings = check(settings, loaded.lines)
    errors = [str(one) for one in findings if one.level == "error"]
    if errors:
        raise ConfigError(errors)
    catalogue = build_catalogue(
        settings.providers, settings.models, settings.tiers, settings.baseline, environ=os.environ
    )
    lines = explain(settings, catalogue)
    lines += task_lines(settings, file.parent)
    for name, policy in settings.policies.items():
        if policy.kind == "certified" and policy.certificate:
            said, found = describe(name, file.parent / policy.certificate, catalogue, settings.models)
            lines += said
            placed = [msgspec.structs.replace(one, line=loaded.lines.get(one.path)) for one in found]
            if wrong := [str(one) for one in placed if one.level == "error"]:
                raise ConfigError(wrong)
            findings += placed
    return lines, findings


@config.command()
def init() -> None:
    """Print a commented file to start from.

    \b
    Example:
      smallfirst config init > smallfirst.yaml
    """
    click.echo(starter(), nl=False)


def starter() -> str:
    """The file that `init` prints."""
    return importlib.resources.files("smallfirst.cli").joinpath("starter.yaml").read_text("utf-8")


@config.group("import")
def import_() -> None:
    """Turn another gateway's configuration into ours."""


@import_.command("litellm")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def import_litellm(file: Path) -> None:
    """Print the config that a LiteLLM proxy's FILE amounts to, and list what could not be carried over.

    \b
    Example:
      smallfirst config import litellm litellm_config.yaml > smallfirst.yaml
      smallfirst config check smallfirst.yaml
    """
    try:
        found = convert(yaml.safe_load(file.read_text("utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError([f"{file}: {str(error).splitlines()[0]}"]) from None
    click.echo(found.text, nl=False)
    for note in found.notes:
        err.print(note, style="yellow", markup=False, soft_wrap=True)
    count = len(found.notes)
    err.print(f"{count} {'thing' if count == 1 else 'things'} to look at" if count else "all of it", style="dim")


@config.command()
def docs() -> None:
    """Print the reference of every section and field, in Markdown."""
    click.echo(document(), nl=False)
