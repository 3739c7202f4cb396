"""`smallfirst demo`: the samples through the real gateway, cost falling on a live plot, then the report."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import click
import msgspec
from rich.live import Live

from smallfirst.classify.shipped import shipped_weights
from smallfirst.cli.build import App
from smallfirst.cli.console import out
from smallfirst.cli.report_cmd import render_report
from smallfirst.cli.running import running
from smallfirst.cli.serve import fetch_weights
from smallfirst.cli.settings import Settings
from smallfirst.core import Price
from smallfirst.errors import SetupError
from smallfirst.evals import demo as numbers
from smallfirst.evals import demo_view as view
from smallfirst.evals.demo_upstream import FRONTIER, MID, SLM, DemoUpstream
from smallfirst.evals.prompts import DEFAULT_N, samples
from smallfirst.evals.prompts_sample import Sample, part
from smallfirst.evals.record import Recorded, Recording, shipped
from smallfirst.ledger import queries
from smallfirst.models.embedded import READY_WITHIN_S

SPEED = 5.0
LIVE_N = 48


@click.command()
@click.option("--live", is_flag=True, help="The embedded model answers itself, instead of its recorded answers.")
@click.option("--n", type=click.IntRange(20, DEFAULT_N), help=f"Prompts  [default: {DEFAULT_N}; live: {LIVE_N}].")
@click.option(
    "--speed", default=SPEED, show_default=True, type=click.FloatRange(0.1), help="Models' waiting times by this."
)
@click.option(
    "--max-loss",
    default=numbers.MOST_LOSS,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of wrong small-model answers allowed where thresholds are fitted.",
)
def demo(live: bool, n: int | None, speed: float, max_loss: float) -> None:
    """A few hundred prompts through the real gateway, without key or network.

    The small model's answers are real. Mid and frontier answer from gold: they are assumed perfect, and priced as
    gpt-4o-mini and gpt-4o. Each half of the prompts is routed with what was fitted on the other half.

    \b
    Examples:
      smallfirst demo
      smallfirst demo --live --n 24
      smallfirst demo --max-loss 0.1
    """
    recording = shipped()
    asked = samples(recording.run.seed, n or (LIVE_N if live else recording.run.n))
    with tempfile.TemporaryDirectory(prefix="smallfirst-demo-") as folder:
        ledger = Path(folder) / "ledger.db"
        served, prices = _serve(asked, recording, ledger, live=live, speed=speed, max_loss=max_loss)
        routed = numbers.routed(served)
        out.print(view.result(routed, numbers.baselines(asked, recording.answers, prices, routed.cost)))
        _report(ledger)


def _serve(
    asked: Sequence[Sample], recording: Recording, ledger: Path, *, live: bool, speed: float, max_loss: float
) -> tuple[list[numbers.Served], Mapping[str, Price]]:
    """Both halves, one after the other, each through a gateway of its own with the same ledger."""
    everything = samples(recording.run.seed, recording.run.n)
    weights = shipped_weights()
    folds = [numbers.fit_fold(half, everything, recording.answers, weights, max_loss) for half in ("report", "fit")]
    served: list[numbers.Served] = []
    with ExitStack() as stack:
        upstream = stack.enter_context(DemoUpstream(asked, recording.answers, speed=speed))
        show = None
        prices: Mapping[str, Price] = {}
        for fold in folds:
            half = [sample for sample in asked if part(sample) != fold.fitted_on]
            with start_gateway(_settings(upstream.url, fold, live=live), fold, ledger) as (url, app):
                prices = _prices(app)
                if show is None:
                    show = stack.enter_context(_screen(asked, recording.answers, prices, _notes(live, speed, max_loss)))
                for one in numbers.serve(url, half, prices[FRONTIER], callers=2 if live else numbers.CALLERS):
                    served.append(one)
                    show(served)
    return served, prices


@contextmanager
def start_gateway(settings: Settings, fold: numbers.Fold, ledger: Path) -> Iterator[tuple[str, App]]:
    """The real gateway on an ephemeral loopback port; yields its base URL, ending in /v1."""
    fetch_weights(settings)
    app = App(settings, os.environ, ledger_path=ledger, probes=fold.probes)
    with running(app) as url:
        _wait_ready(app)
        yield url, app


def _wait_ready(app: App) -> None:
    """Until the embedded model has loaded (--live): before that the gateway would hand everything up."""
    end = time.monotonic() + READY_WITHIN_S
    while not all(runtime.is_ready for runtime in app.runtimes):
        if time.monotonic() > end:
            raise SetupError(f"the embedded model was not ready after {READY_WITHIN_S:.0f} s")
        time.sleep(0.05)


def _report(ledger: Path) -> None:
    """What the ledger says. Its baseline is an estimate from the served length, as it would be in real use."""
    with closing(queries.open_ledger(ledger)) as conn:
        render_report(queries.summary(conn, 0, time.time_ns() // 1000 + 1), out, title="the ledger's report")


def _settings(url: str, fold: numbers.Fold, *, live: bool) -> Settings:
    """The demo's configuration, as a user would write it."""
    small: dict[str, object] = {"provider": "builtin", "weights": SLM} if live else {"provider": "recorded"}
    small["cost"] = {"input_per_m": 0.0, "output_per_m": 0.0}  # as the embedded runtime's default price
    config = {
        "providers": {
            "builtin": {"runtime": "embedded", "location": "device"},
            "recorded": {"url": url, "location": "device"},
            "gold": {"url": url, "location": "premises"},
        },
        "models": {
            SLM: small,
            MID: {"preset": MID, "provider": "gold"},
            FRONTIER: {"preset": FRONTIER, "provider": "gold"},
        },
        "tiers": [{"slm": [SLM]}, {"mid": [MID]}, {"frontier": [FRONTIER]}],
        "baseline": {"model": FRONTIER},
        "policies": {
            "auto": {"kind": "cascade", "accept": {"slm": fold.accept, "mid": 0.5}, "try_above": fold.try_above}
        },
    }
    return msgspec.convert(config, Settings)


def _prices(app: App) -> dict[str, Price]:
    prices = {name: model.price for name, model in app.catalogue.models.items() if model.price is not None}
    if missing := {SLM, MID, FRONTIER} - prices.keys():
        raise SetupError(f"no price is known for {', '.join(sorted(missing))}")
    return prices


def _notes(live: bool, speed: float, max_loss: float) -> list[str]:
    """What must be known to read the picture rightly."""
    small = "live" if live else f"recorded (waits / {speed:g})"
    return [
        "● so far, the rest still with frontier   S M F always small, mid, frontier",
        f"S    {SLM}, a demonstration: real answers, right and wrong,",
        f"     {small}, on this machine, booked at $0",
        f"M F  answer from gold: assumed perfect, priced as {MID} and {FRONTIER}",
        "     (list), so quality is lost only where S is served and wrong",
        "···  a coin between S and F",
        f"each half is routed by what the other half taught (at most {max_loss:.0%} wrong there)",
    ]


@contextmanager
def _screen(
    asked: Sequence[Sample], answers: Mapping[str, Recorded], prices: Mapping[str, Price], notes: Sequence[str]
) -> Iterator[Callable[[Sequence[numbers.Served]], None]]:
    """What to call after each prompt: a live picture on a terminal, elsewhere a line after each tenth of them."""
    marks = numbers.baselines(asked, answers, prices, 0.0)

    def frame(served: Sequence[numbers.Served]) -> view.Frame:
        return view.Frame(len(asked), served, numbers.path(served, asked, prices[FRONTIER]), marks, notes)

    if out.is_terminal:
        with Live(view.picture(frame([]), out.width), console=out, auto_refresh=False) as live:
            yield lambda served: live.update(view.picture(frame(served), out.width), refresh=True)
        return
    for note in notes[1:]:
        out.print(note, soft_wrap=True)

    def line(served: Sequence[numbers.Served]) -> None:
        done, total = len(served), len(asked)
        if done * 10 // total > (done - 1) * 10 // total:
            out.print(view.plain_line(frame(served)), soft_wrap=True)

    yield line
