"""`smallfirst ask`: one question through the whole path, without a server; `--explain` shows each step."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click
import msgspec
from rich.table import Table

from smallfirst.cli.build import App, read_settings
from smallfirst.cli.console import err, out
from smallfirst.cli.serve import fetch_weights
from smallfirst.core import Attempt, Entry, Query
from smallfirst.engine.request import Answer
from smallfirst.errors import SmallfirstError
from smallfirst.gateway.chat import new_request_id
from smallfirst.gateway.parse import parse_chat
from smallfirst.gateway.respond import standing, usd


@click.command()
@click.argument("question", nargs=-1)
@click.option("--config", "-c", type=click.Path(path_type=Path, dir_okay=False), help="A YAML file.")
@click.option("--model", "-m", default="auto", show_default=True, help="auto, a policy, or a model by name.")
@click.option("--max-tokens", type=click.IntRange(1), default=256, show_default=True)
@click.option("--data-class", help="public, internal, personal, health, financial or secret.")
@click.option("--explain", is_flag=True, help="Show the decision step by step.")
def ask(
    question: tuple[str, ...], config: Path | None, model: str, max_tokens: int, data_class: str | None, explain: bool
) -> None:
    """Route one QUESTION and print the answer. Without QUESTION it is read from standard input.

    \b
    Examples:
      smallfirst ask "What is the capital of France?"
      smallfirst ask --explain "Summarise the causes of the First World War."
      git diff | smallfirst ask --data-class secret
    """
    text = " ".join(question) or ("" if sys.stdin.isatty() else sys.stdin.read())
    if not text.strip():
        raise click.UsageError('give a question: smallfirst ask "..."')
    settings = read_settings(config, os.environ)
    fetch_weights(settings)
    dials = {} if data_class is None else {"smallfirst": {"data_class": data_class}}
    messages = [{"role": "user", "content": text}]
    body = msgspec.json.encode({"model": model, "messages": messages, "max_tokens": max_tokens, **dials})
    query = parse_chat(body, {}, new_request_id(), max_messages=1)
    app = App(settings, os.environ)
    answer = asyncio.run(_route(app, query))
    if explain:
        _explain(app, query, answer)
    if answer.error is not None or answer.outcome is None:
        raise SmallfirstError(str(answer.error))
    out.print(answer.outcome.text, markup=False)
    entry = answer.entry
    err.print(f"[dim]{entry.served_tier}/{entry.served_model} · {entry.reason} · ${usd(entry.cost)}[/dim]")


async def _route(app: App, query: Query) -> Answer:
    await app.start()
    try:
        with err.status("loading the embedded model ..."):
            for runtime in app.runtimes:
                await runtime.ready()
        with err.status("asking ..."):
            return await app.engine.exchange(query).run()
    finally:
        await app.stop()


def _explain(app: App, query: Query, answer: Answer) -> None:
    """The hops of engine/request.py, with what each one found."""
    entry = answer.entry
    steps = Table(box=None, show_header=False, pad_edge=False)
    steps.add_column(style="bold")
    steps.add_column(overflow="fold")
    steps.add_row("classify", f"complexity {entry.complexity:.2f}, kind {entry.kind}")
    for words in app.classifier.explain(query):
        steps.add_row("", f"[dim]{words}[/dim]")
    steps.add_row("privacy", f"data class {entry.data_class.name}")
    steps.add_row("policy", entry.policy)
    for attempt in entry.attempts:
        steps.add_row(f"attempt {attempt.n}", _attempt(attempt))
    for why in entry.deferrals:
        steps.add_row("handed up", why.replace("_", " "))
    decision = answer.decision
    if decision is not None and decision.verdict is not None:
        steps.add_row("verify", f"p_correct {decision.verdict.p_correct:.2f} (rules of thumb, not calibrated)")
        for words in decision.verdict.why:
            steps.add_row("", f"[dim]{words}[/dim]")
    steps.add_row("decision", f"{entry.reason}: {entry.served_tier or '-'} / {entry.served_model or '-'}")
    if entry.would_escalate:
        steps.add_row("", "[yellow]a higher tier would have been asked, had one been configured[/yellow]")
    if entry.certificate_id is not None or entry.out_reason is not None:
        steps.add_row("certificate", standing(entry))
    steps.add_row("cost", _cost(entry))
    steps.add_row("time", f"{entry.latency_us / 1000:.0f} ms, of which routing {entry.overhead_us / 1000:.2f} ms")
    err.print(steps)
    err.print()


def _attempt(attempt: Attempt) -> str:
    outcome = attempt.outcome
    words = f"{outcome.model} at {outcome.provider} ({outcome.location}): {outcome.status}"
    tokens = f"{outcome.usage.input_tokens}+{outcome.usage.output_tokens} tokens"
    sure = outcome.signals.mean_logprob
    probability = "" if sure is None else f", mean log-probability {sure:.2f}"
    return f"{words}, {tokens}, {outcome.latency_us / 1000:.0f} ms{probability}"


def _cost(entry: Entry) -> str:
    if entry.baseline_cost is None:
        return f"${usd(entry.cost)}; the baseline's price is not known"
    return f"${usd(entry.cost)} against ${usd(entry.baseline_cost)} ({entry.baseline_method})"
