"""`smallfirst serve`: build, fetch what is missing, say what is running, serve until told to stop."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from smallfirst import __version__
from smallfirst.cli.build import App, read_settings
from smallfirst.cli.check import check, require
from smallfirst.cli.console import err, out
from smallfirst.cli.monitoring import standings
from smallfirst.cli.running import listen, listen_admin, make_server
from smallfirst.cli.settings import Settings
from smallfirst.config.paths import cache_dir
from smallfirst.core import Entry, Model
from smallfirst.errors import SetupError
from smallfirst.gateway.logs import RequestLog, use_json
from smallfirst.models.offline import go_offline, is_offline, refuse_remote
from smallfirst.models.settings import ModelSettings
from smallfirst.models.weights import obtain, place
from smallfirst.tasks.task import Task


@click.command()
@click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A YAML file; without one, keys in the environment decide.",
)
@click.option(
    "--listen", "address", metavar="HOST:PORT", help="Where to listen  [default: server.listen, 127.0.0.1:4000]."
)
@click.option("--ledger", type=click.Path(path_type=Path, dir_okay=False), help="The ledger's SQLite file.")
@click.option("--offline", is_flag=True, help="Open no socket beyond this machine, whatever the config says.")
def serve(config: Path | None, address: str | None, ledger: Path | None, offline: bool) -> None:
    """Start the gateway.

    With nothing configured the embedded demonstration model answers. With OPENAI_API_KEY, ANTHROPIC_API_KEY,
    GEMINI_API_KEY or MISTRAL_API_KEY in the environment, or with a config file, larger tiers are there too.

    \b
    Examples:
      smallfirst serve
      OPENAI_API_KEY=... smallfirst serve --listen 0.0.0.0:4000
      smallfirst serve --config smallfirst.yaml
      smallfirst serve --offline               for an air-gapped room: only models on this machine
    """
    settings = read_settings(config, os.environ) if not offline else read_offline(config)
    if address:
        server = msgspec.structs.replace(settings.server, listen=address)
        settings = msgspec.structs.replace(settings, server=server)
        require(settings, {})
    fetch_weights(settings)
    app = App(settings, os.environ, ledger_path=ledger, observers=observers(settings))
    bound, admin = listen(settings.server.listen), listen_admin(app)
    host, port = bound.getsockname()[:2]
    banner(app, f"http://{host}:{port}")
    spare_the_collector()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has finished its streams and says who asked it to
        make_server(app, settings.server).run(sockets=[bound, *admin])
    err.print("stopped; the ledger is written", style="dim")


def observers(settings: Settings) -> tuple[Callable[[Entry], None], ...]:
    """Who else hears of each finished request: the JSON log, OpenTelemetry."""
    found: list[Callable[[Entry], None]] = []
    if settings.server.log == "json":
        use_json()
        found.append(RequestLog())
    if settings.server.otlp is not None:
        from smallfirst.gateway.telemetry import Telemetry  # noqa: PLC0415 - an extra, and slow to import

        telemetry = Telemetry(settings.server.otlp, os.environ)
        atexit.register(telemetry.close)
        found.append(telemetry)
    return tuple(found)


def read_offline(config: Path | None) -> Settings:
    """The settings of a gateway that may reach nothing but this machine; from here on nothing else is reached.

    Keys in the environment add no models. Raises SetupError for what is remote, and for weights that would be fetched.
    """
    go_offline()
    kept = {
        name: value for name, value in os.environ.items() if name.startswith("SMALLFIRST_") or name in ("HOME", "PATH")
    }
    settings = read_settings(config, os.environ if config else kept)
    hosts = {f"provider {name}": urlsplit(one.url).hostname for name, one in settings.providers.items() if one.url}
    for name, url in (
        ("ledger.url", settings.ledger.url),
        ("keys.url", settings.keys.url),
        ("server.otlp", settings.server.otlp),
    ):
        if url and not url.startswith("sqlite:"):
            hosts[name] = urlsplit(url).hostname
    refuse_remote(hosts)
    for name, model in embedded_models(settings):
        weights = place(model.weights or name, cache_dir(os.environ))
        if not weights.is_file():
            raise SetupError(f"offline: the weights of {name} are not at {weights}; fetch them once with a network")
    return settings


def embedded_models(settings: Settings) -> list[tuple[str, ModelSettings]]:
    """The models whose weights run in a child process."""
    embedded = {name for name, provider in settings.providers.items() if provider.runtime == "embedded"}
    return [
        (name, model)
        for name, model in settings.models.items()
        if model.provider in embedded or any(r.provider in embedded for r in model.replicas)
    ]


def spare_the_collector() -> None:
    """What was built lives as long as the process: the garbage collector need not look at it again and again.

    What 64 streams and a batch of the ledger hold at a time is some 10,000 objects; it need not look at those either.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def fetch_weights(settings: Settings) -> None:
    """Have every embedded model's weights at hand, with a progress bar for what must be fetched."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total or None)
            progress.update(tasks[step], completed=done, total=total or None)

        for name, model in embedded_models(settings):
            obtain(model.weights or name, cache_dir(os.environ), show)


def banner(app: App, url: str) -> None:
    """What is running, which tiers there are, what is not trusted yet, and how to call it."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("tier", "model", "where", "trusted"):
        table.add_column(column)
    for tier in app.catalogue.tiers:
        for name in tier.models:
            model = app.catalogue.models[name]
            table.add_row(tier.name, name, where(model), trusted(app, model))
    for task in app.tasks:
        own = app.catalogue.own[task.name]
        table.add_row(own.tier, task.name, where(own), kept(task))
    out.print()
    where_to = "  [bold]offline[/bold]: nothing beyond this machine can be reached" if is_offline() else ""
    out.print(f"[bold]smallfirst {__version__}[/bold]  serves on [bold]{url}/v1[/bold]{where_to}")
    out.print()
    out.print(table)
    for words in standings(tuple(app.guards.values())):
        out.print(Panel(escape(words), border_style="red", padding=(0, 1)))
    for words in warnings(app):
        out.print(Panel(words, border_style="yellow", padding=(0, 1)))
    out.print(_calls(url), soft_wrap=True)  # a wrapped line could not be pasted


def where(model: Model) -> str:
    return ", ".join(sorted({f"{r.provider} ({r.location})" for r in model.replicas}))


def trusted(app: App, model: Model) -> str:
    """In words, what the router believes about a model."""
    highest = app.catalogue.tiers[-1]
    if app.probes.get(model.name) is not None:
        return "where its probe shows it"
    if model.name in highest.models:
        return "as the highest tier"
    return f"no: run `smallfirst probe {model.name}`"


def kept(task: Task) -> str:
    """In words, what a task keeps for itself."""
    promise = task.promise
    if promise is None:
        return "as far as its threshold says; nothing is certified"
    return f"on {promise.coverage:.0%}, at least {promise.accuracy:.1%} right (certified)"


def warnings(app: App) -> list[str]:
    """What whoever starts this should know."""
    found = []
    if app.engine.demonstration:
        names = ", ".join(sorted(app.engine.demonstration))
        found.append(
            f"[bold]{names} is a demonstration[/bold]: a 135M model that runs on any laptop and is often wrong. "
            "Set OPENAI_API_KEY (or another vendor's) or point a tier at vLLM, Ollama or llama-server in a config file."
        )
    below = {name for tier in app.catalogue.tiers[:-1] for name in tier.models}
    unprobed = sorted(name for name in below if app.probes.get(name) is None)
    if unprobed and app.settings.router.unprobed == "escalate":
        found.append(
            f"{', '.join(unprobed)}: never probed, so queries are handed up past it. `smallfirst probe MODEL` takes a "
            "few minutes and shows its price first."
        )
    privacy, models = app.settings.privacy, app.catalogue.models.values()
    usual = privacy.rules is None and privacy.preset is None and privacy.detect
    if usual and any(r.location.startswith("cloud") for model in models for r in model.replicas):
        found.append(
            "Queries in which personal data are found (an e-mail address, a card number, ...) stay on this machine or "
            "your premises. Where such data may go is for `privacy.rules` to say: docs/privacy.md."
        )
    found += [escape(finding.words) for finding in check(app.settings, {}) if finding.level == "warning"]
    return found


def _calls(url: str) -> Text:
    body = '{"model": "auto", "messages": [{"role": "user", "content": "Name the capital of France."}]}'
    return Text(
        f"""
curl -i {url}/v1/chat/completions -H 'content-type: application/json' \\
  -d '{body}'

python -c '
from openai import OpenAI
client = OpenAI(base_url="{url}/v1", api_key="none")
reply = client.chat.completions.create(model="auto", messages=[{{"role": "user", "content": "Say hello."}}])
print(reply.choices[0].message.content)'

smallfirst report     what was served and saved      ctrl-c stops
""",
        style="cyan",
    )
