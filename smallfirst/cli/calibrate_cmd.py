"""`smallfirst calibrate`: from graded outcomes to a certificate, or a plain word why there is none.

Knows options, files and tables. The order of the work is in evals/calibrating.py, the test in calibrate/.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.table import Table

from smallfirst.cli.console import err, out
from smallfirst.errors import DataError

if TYPE_CHECKING:
    from smallfirst.calibrate.walk import Step
    from smallfirst.evals.calibrating import Calibrated, Identity
    from smallfirst.models.answers import AnswerRow
    from smallfirst.models.catalogue import Catalogue
    from smallfirst.models.settings import ModelSettings

MANY_STEPS = 12
"""Rungs of the walk that are shown around the one that runs."""


@click.group(invoke_without_command=True)
@click.option("--data", type=click.Path(dir_okay=False, path_type=Path), help="Answers (docs/outcomes.md).")
@click.option("--scores", type=click.Path(dir_okay=False, path_type=Path), help="Their grades.  [default: in --data]")
@click.option("--config", "-c", type=click.Path(path_type=Path, dir_okay=False), help="Whose models, prices, tiers.")
@click.option("--model", "models", multiple=True, help="Below the baseline.  [default: all of the tiers in --data]")
@click.option("--max-quality-loss", default=0.02, show_default=True, help="At most this much worse than the baseline.")
@click.option("--confidence", default=0.95, show_default=True)
@click.option("--slices", type=click.Choice(["alone", "joint", "common"]), help="Promise for each slice by itself.")
@click.option("--asks", multiple=True, metavar="A+B", help="Models of one step; repeat for more.  [default: one step]")
@click.option("--parts", default="0.4,0.4,0.2", show_default=True, help="Shares of prompts: fit, certify, report.")
@click.option("--max-latency-ratio", type=float, help="Mean latency over the baseline's, at most.")
@click.option("--budget-ratio", type=float, help="The safest certified setting that costs at most this share.")
@click.option("--grader", help="Whose grades, where several graded.")
@click.option("--seed", default=0, show_default=True, help="Deals the parts and draws the order of rows.")
@click.option("--out", "target", type=click.Path(dir_okay=False, path_type=Path), help="The certificate.")
@click.pass_context
def calibrate(
    ctx: click.Context,
    data: Path | None,
    scores: Path | None,
    config: Path | None,
    models: tuple[str, ...],
    max_quality_loss: float,
    confidence: float,
    slices: str | None,
    asks: tuple[str, ...],
    parts: str,
    max_latency_ratio: float | None,
    budget_ratio: float | None,
    grader: str | None,
    seed: int,
    target: Path | None,
) -> None:
    """Fit a policy on graded outcomes and certify that it loses at most so much quality.

    Prompts are dealt into three parts. On the first the policy is fitted: a path of settings from always-frontier to
    cheap. On the second the path is walked, and each setting is tested; the cheapest that holds is certified. On the
    third, which chose nothing, cost and quality are measured beside what they must beat. Rerunning with other seeds
    until it fits breaks the promise. Writes the certificate and, beside it, the policy (.ladder).

    \b
    Examples:
      smallfirst calibrate --data logs.parquet --scores grades.parquet -c smallfirst.yaml --out certs/support.json
      smallfirst calibrate --data logs.jsonl -c smallfirst.yaml --max-quality-loss 0.05 --slices joint
      smallfirst calibrate plan --loss 0.01 --changed 0.1
    """
    if ctx.invoked_subcommand is not None:
        return
    if data is None:
        raise click.UsageError("--data FILE: the outcomes to calibrate on; `smallfirst calibrate plan` needs none")
    from smallfirst.calibrate.promise import Promise  # noqa: PLC0415 - numpy and scikit-learn, not for `--help`
    from smallfirst.cli.build import read_settings  # noqa: PLC0415 - as above
    from smallfirst.evals.calibrating import Wish  # noqa: PLC0415 - as above
    from smallfirst.evals.calibrating import calibrate as run  # noqa: PLC0415 - as above
    from smallfirst.evals.grades import graders_of, join, read_grades  # noqa: PLC0415 - as above
    from smallfirst.evals.outcome_board import board_of  # noqa: PLC0415 - as above
    from smallfirst.models.answers import read_answers  # noqa: PLC0415 - as above
    from smallfirst.models.catalogue import build_catalogue  # noqa: PLC0415 - as above

    settings = read_settings(config, os.environ)
    catalogue = build_catalogue(
        settings.providers, settings.models, settings.tiers, settings.baseline, environ=os.environ
    )
    wish = Wish(
        promise=Promise(max_quality_loss, confidence),
        slicing=slices,  # type: ignore[arg-type] # click has checked it
        fractions=_fractions(parts),
        asks=tuple(tuple(step.split("+")) for step in asks) or None,
        seed=seed,
        max_latency_ratio=max_latency_ratio,
        budget_ratio=budget_ratio,
    )
    with err.status("reading outcomes ..."):
        names = _names(catalogue)
        answers = [msgspec.structs.replace(row, model=names.get(row.model, row.model)) for row in read_answers(data)]
        given = read_grades(scores or data)
        grades = [msgspec.structs.replace(one, model=names.get(one.model, one.model)) for one in given]
        chosen = _models(catalogue, answers, models or tuple(m for step in wish.asks or () for m in step))
        queries = join(answers, grades, chosen, grader=grader)
        board = board_of(queries, chosen, {name: catalogue.models[name].price for name in chosen})
    who = _identity(catalogue, settings.models, chosen, target, grader or graders_of(grades)[0])
    with err.status(f"fitting and certifying on {len(board):,} queries ..."):
        found = run(queries, board, wish, who)
    _left_out(answers, len(queries))
    show(found)
    if found.certificate is None:
        err.print("nothing is certified, and no certificate is written", style="yellow")
        sys.exit(1)
    if target is not None:
        _write(found, target)


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        fit, certify, report = (float(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(f"--parts: three numbers such as 0.4,0.4,0.2, not {text!r}") from None
    return fit, certify, report


def _names(catalogue: Catalogue) -> dict[str, str]:
    """What an endpoint calls a model -> its name in the config, where the config does not know the former."""
    upstream = [(r.upstream_model, model.name) for model in catalogue.models.values() for r in model.replicas]
    return {known: name for known, name in upstream if known not in catalogue.models}


def _models(catalogue: Catalogue, answers: list[AnswerRow], wanted: tuple[str, ...]) -> list[str]:
    """The models in the order of the tiers, the baseline last."""
    top = catalogue.baseline.model
    in_order = [name for tier in catalogue.tiers for name in tier.models if name != top]
    if unknown := [name for name in wanted if name not in catalogue.models or name == top]:
        raise click.UsageError(
            f"{unknown[0]!r} is no configured model below the baseline; there are: {', '.join(in_order)}"
        )
    if top not in catalogue.models:
        raise DataError(f"the baseline {top} is not configured; name one of your models under `baseline.model`")
    there = {row.model for row in answers}
    chosen = [name for name in in_order if (name in wanted if wanted else name in there)]
    if top not in there or not chosen:
        have = ", ".join(sorted(there))
        raise DataError(
            f"the outcomes need answers of the baseline {top} and of at least one model below it, under the names of "
            f"the config; the file has: {have}"
        )
    return [*chosen, top]


def _identity(
    catalogue: Catalogue, settings: dict[str, ModelSettings], chosen: list[str], target: Path | None, grader: str
) -> Identity:
    from smallfirst.evals.calibrating import Identity  # noqa: PLC0415 - numpy
    from smallfirst.monitor import digests  # noqa: PLC0415 - as above

    weights = {name: model.weights for name, model in settings.items()}
    models = [catalogue.models[name] for name in chosen]
    return Identity(
        policy=target.stem if target is not None else "promise",
        tiers={model.name: model.tier for model in models},
        models=digests.model_digests(models, weights),
        prompts=digests.PROMPTS,
        verifier=digests.verifier_digest(),
        canonicaliser=digests.canonicaliser_digest(),
        prices=digests.price_digest(models),
        grader=grader,
        issued_at=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _left_out(answers: list[AnswerRow], used: int) -> None:
    queries = len({row.query_id for row in answers})
    if used < queries:
        err.print(
            f"{queries - used:,} of {queries:,} queries were not graded, or not answered by every model", style="dim"
        )


def _write(found: Calibrated, target: Path) -> None:
    from smallfirst.calibrate.certificate import encode  # noqa: PLC0415 - numpy
    from smallfirst.cli.certified import ladder_path  # noqa: PLC0415 - as above
    from smallfirst.policy.ladder import encode as encode_ladder  # noqa: PLC0415 - as above

    assert found.certificate is not None  # noqa: S101 - the caller has looked
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encode(found.certificate))
    ladder_path(target).write_bytes(encode_ladder(found.ladder))
    out.print(f"certificate {found.certificate.id} written to {target}, its policy to {ladder_path(target)}")
    out.print(
        f"serve it:  policies: {{promise: {{kind: certified, certificate: {target}}}}}", markup=False, style="cyan"
    )


def show(found: Calibrated) -> None:
    """The walk, the certificate in a sentence, and the report part's table."""
    fit, certify, report = found.groups
    out.print(f"prompts: {fit:,} to fit on, {certify:,} to certify on, {report:,} to report on")
    for name, taken in found.walks.items():
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title=f"walk, slice {name}", title_justify="left")
        for column in ("rung", "setting", "loss", "p", "z-test's p", ""):
            table.add_column(column, justify="right")
        runs = found.rungs[name]
        for step in _around(taken.steps, runs):
            mark = "runs" if step.rung == runs else "certified" if step.rung <= taken.certified else ""
            style = "bold" if step.rung == runs else None if mark else "dim"
            p, z = f"{step.p_value:.3g}", f"{step.z_p_value:.3g}"
            table.add_row(str(step.rung), f"{step.setting:.4g}", f"{step.loss:.2%}", p, z, mark, style=style)
        out.print(table)
        out.print(taken.explain(), soft_wrap=True)
    out.print(
        f"cost on the certification rows: {found.cost:.3f} of always-frontier; a z-test, which is not valid, would "
        f"have stopped at {found.floor_cost:.3f}",
        soft_wrap=True,
    )
    _show_lines(found)


def _around(steps: tuple[Step, ...], runs: int) -> tuple[Step, ...]:
    """The part of the walk that is worth a look."""
    first = max(0, min(runs - MANY_STEPS // 2, len(steps) - MANY_STEPS))
    return steps[first : first + MANY_STEPS]


def _show_lines(found: Calibrated) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title="on the report part", title_justify="left")
    for column in ("", "cost", "quality", "95% interval", "latency"):
        table.add_column(column, justify="right" if column else "left")
    for line in found.lines:
        quality = line.quality
        latency = "-" if line.latency is None else f"{line.latency:.2f}"
        interval = f"{quality.low:.3f} - {quality.high:.3f}"
        table.add_row(line.name, f"{line.cost:.3f}", f"{quality.estimate:.3f}", interval, latency)
    out.print(table)
    out.print(
        "cost, quality and latency relative to the baseline; the random mix costs what the policy does", style="dim"
    )


@calibrate.command("plan")
@click.option("--max-quality-loss", default=0.02, show_default=True)
@click.option("--confidence", default=0.95, show_default=True)
@click.option("--loss", default=0.0, show_default=True, help="Loss that you expect of the policy.")
@click.option("--changed", default=0.10, show_default=True, help="Share of queries whose score is not the baseline's.")
@click.option("--baseline", default=0.80, show_default=True, help="Mean score of the baseline.")
@click.option("--differing", type=float, help="Share whose answers differ.  [default: --changed]")
@click.option("--handed-up", default=0.25, show_default=True, help="Share that the baseline answers anyway.")
@click.option("--power", default=0.8, show_default=True, help="Chance that it is certified, if all that is so.")
@click.option("--agree-rate", default=0.1, show_default=True, help="Share graded where answers agree.")
def plan(
    max_quality_loss: float,
    confidence: float,
    loss: float,
    changed: float,
    baseline: float,
    differing: float | None,
    handed_up: float,
    power: float,
    agree_rate: float,
) -> None:
    """Say beforehand how many shadow calls and grades a promise takes, or that no number will do.

    A pilot of 200 graded queries tells enough to fill the options in. The rows are those of the certification part:
    with parts of 0.4,0.4,0.2 bring two and a half times as many.

    \b
    Examples:
      smallfirst calibrate plan --loss 0.01 --changed 0.1
      smallfirst calibrate plan --max-quality-loss 0.05 --changed 0.2 --baseline 0.7
    """
    from smallfirst.calibrate.plan import Expectation  # noqa: PLC0415 - numpy, which `--help` does not need
    from smallfirst.calibrate.plan import plan as planned  # noqa: PLC0415 - as above
    from smallfirst.calibrate.promise import Promise  # noqa: PLC0415 - as above

    expected = Expectation(loss, changed, baseline, differing, handed_up)
    found = planned(Promise(max_quality_loss, confidence), expected, power=power, agree_probability=agree_rate)
    out.print(found.explain(), soft_wrap=True)
