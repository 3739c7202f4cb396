"""`smallfirst evaluate`: a dataset of outcomes x policies -> a report in the terminal, as JSON and as one HTML page."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from smallfirst.classify.shipped import shipped_weights
from smallfirst.cli.console import err, out
from smallfirst.cli.evaluate_parts import configured, latency_laws, learned, noted, outcomes_file, run_policies
from smallfirst.cli.evaluate_view import render_evaluation
from smallfirst.evals import example as made
from smallfirst.evals.dataset import Request, load
from smallfirst.evals.evaluation import STEPS, Wanted, evaluate
from smallfirst.evals.evaluation_report import Report, encode
from smallfirst.evals.page import page as html_page

File = click.Path(exists=True, dir_okay=False, path_type=Path)
Written = click.Path(dir_okay=False, path_type=Path)


@click.command("evaluate")
@click.argument("data", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--example", is_flag=True, help="Evaluate outcomes made for the purpose (simulated models), without DATA."
)
@click.option(
    "--config", "-c", type=File, help="Its models, tiers, prices and policies; `model:` names the recorded one."
)
@click.option("--policy", "only", multiple=True, help="Only these policies of the config. Default: all of them.")
@click.option(
    "--learned", "fit_ladder", is_flag=True, help="Fit a ladder on the fit part too (slower); measured, not certified."
)
@click.option("--model", "models", multiple=True, help="Only these models of DATA. Default: all that are in it.")
@click.option("--benchmark", "benchmarks", multiple=True, help="Only these benchmarks of DATA. Default: all.")
@click.option(
    "--baseline",
    default="",
    help="What costs and qualities are relative to. Default: the config's, else the best of the highest tier.",
)
@click.option("--weak", default="", help="The weak model of the deferral curve. Default: the best of the lowest tier.")
@click.option(
    "--price", "prices", multiple=True, metavar="NAME=IN/OUT", help="Dollars per million tokens, of a model or a tier."
)
@click.option(
    "--answers",
    type=click.Path(exists=True, path_type=Path),
    help="The models' answers (recordings), where DATA's rows hold none.",
)
@click.option("--fit", "fit_file", type=File, help="Outcomes to choose on, instead of a part of DATA.")
@click.option(
    "--fit-share",
    default=0.4,
    show_default=True,
    type=click.FloatRange(0.05, 0.95),
    help="Part of the prompt groups to choose on.",
)
@click.option("--score", default="score", show_default=True, help="The score's column, where a table has several.")
@click.option("--complete-only", is_flag=True, help="Leave out prompts that some model did not answer.")
@click.option(
    "--latency",
    metavar="FILE.yaml|recorded",
    help="Latency laws of your own, or the times in DATA. Default: stated laws by tier.",
)
@click.option(
    "--laws-from", type=File, help="A ledger (SQLite): its calls' times give a law to each model that has enough."
)
@click.option("--weights", type=File, help="The classifier that policies read. Default: the package's.")
@click.option(
    "--target-loss",
    default=0.02,
    show_default=True,
    type=click.FloatRange(0, 0.5),
    help="Loss that query routers are tuned to on the fit part, and that slices are marked beyond.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--draws", default=1000, show_default=True, type=click.IntRange(50, 20000), help="Bootstrap resamples.")
@click.option("--page", "page_file", type=Written, help="Write the page (HTML, one file).")
@click.option("--out", "out_file", type=Written, help="Write the report as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def evaluate_verb(
    data: Path | None,
    example: bool,
    config: Path | None,
    only: tuple[str, ...],
    fit_ladder: bool,
    models: tuple[str, ...],
    benchmarks: tuple[str, ...],
    baseline: str,
    weak: str,
    prices: tuple[str, ...],
    answers: Path | None,
    fit_file: Path | None,
    fit_share: float,
    score: str,
    complete_only: bool,
    latency: str | None,
    laws_from: Path | None,
    weights: Path | None,
    target_loss: float,
    seed: int,
    draws: int,
    page_file: Path | None,
    out_file: Path | None,
    as_json: bool,
) -> None:
    """How good, how dear and how quick each way to route is, on outcomes in DATA: a file (.jsonl, .parquet) with a row
    for each query and model, or a folder with outcomes.jsonl. Prompts are split: what is chosen is chosen on one part,
    and every figure is of the other. docs/evaluation.md explains the format, each figure, and how to read the page.

    \b
    Examples:
      smallfirst evaluate --example --page report.html
      smallfirst evaluate outcomes.jsonl --price gpt-4o=2.5/10 --price slm=0.1/0.1
      smallfirst evaluate outcomes.jsonl --config smallfirst.yaml --page report.html
      smallfirst evaluate outcomes.jsonl -c smallfirst.yaml --laws-from ledger.db --out report.json
      smallfirst evaluate zeroeval.parquet --model gemma-2-9b-it --model gpt-4o-2024-08-06
    """
    if example == (data is not None):
        raise click.UsageError("give DATA, or --example, and not both")
    laws = latency_laws(latency, laws_from)
    with tempfile.TemporaryDirectory(prefix="smallfirst-") as folder:
        if data is None:
            data = Path(folder) / "example"
            made.write(data)
            config = config or data / "config.yaml"
        players, policies = configured(config, only, prices, baseline, models)
        file = outcomes_file(data)
        with _bar(len(policies) + (len(policies) > 0) + fit_ladder) as step:
            step("reading")
            request = Request(
                file, players, models, fit_file, answers, score, fit_share, seed, complete_only, benchmarks, laws
            )
            dataset = load(request)
            weighed = weights.read_bytes() if weights else shipped_weights()
            runs = run_policies(dataset, policies, weighed, step)
            if runs:
                dataset = noted(dataset, file, weighed)
            wanted = Wanted(runs=runs, weak=weak, target_loss=target_loss, seed=seed, draws=draws)
            if fit_ladder:
                step("ladder")
                ways, curves = learned(dataset, target_loss, seed)
                wanted = msgspec.structs.replace(wanted, ways=ways, curves=curves)
            report = evaluate(dataset, wanted, step)
    _write(report, page_file, out_file)
    if as_json:
        out.print_json(encode(report).decode())
        return
    render_evaluation(report, out)
    for written in (page_file, out_file):
        if written is not None:
            out.print(f"wrote {written}", soft_wrap=True)


def _write(report: Report, page_file: Path | None, out_file: Path | None) -> None:
    if page_file is not None:
        page_file.write_text(html_page(report), "utf-8")
    if out_file is not None:
        out_file.write_bytes(encode(report))


@contextmanager
def _bar(more: int) -> Iterator[Callable[[str], None]]:
    """A bar that moves one step at each call, and says which."""
    steps = len(STEPS) + more + 1
    columns = (
        TextColumn("{task.description:24}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=steps)
        begun = 0

        def step(name: str) -> None:
            nonlocal begun
            progress.update(task, description=name, completed=begun)
            begun += 1

        yield step
        progress.update(task, completed=steps)
