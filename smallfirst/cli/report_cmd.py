"""`smallfirst report`: what was asked, served, spent and saved.

`render_report` is also how the demo and a replay end.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from smallfirst.cli.console import err, out
from smallfirst.cli.ledger_option import LEDGER_OPTION
from smallfirst.config.paths import data_dir
from smallfirst.core import NANO
from smallfirst.ledger import queries
from smallfirst.ledger.report import HOW_TO_FILL, PromiseRow, Report, Year, make_report, since
from smallfirst.ledger.summary import Percentiles, Summary
from smallfirst.store.connection import Place, shown

BAR = 30
"""Characters of a bar that stands for everything."""


@click.command()
@LEDGER_OPTION
@click.option("--config", "-c", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its `ledger.url`.")
@click.option("--since", "span", metavar="SPAN", help="Only the last 90m, 24h, 7d, 2w; or from a date on, 2026-11-01.")
@click.option(
    "--monthly-queries", type=click.FloatRange(min=0, min_open=True), help="Show a year at this volume, like 1e6."
)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def report(
    ledger: Place | None, config: Path | None, span: str | None, monthly_queries: float | None, as_json: bool
) -> None:
    """What was asked, served, spent and saved, from the ledger.

    \b
    Examples:
      smallfirst report --since 7d
      smallfirst report --monthly-queries 1e6
      smallfirst report --ledger ledger.db --json
    """
    path = ledger or default_ledger(config)
    now = dt.datetime.now(dt.UTC)
    start = since(span, now) if span else 0
    found = _summary(path, start, int(now.timestamp() * 1_000_000) + 1, must_exist=ledger is not None)
    if as_json:
        out.print_json(msgspec.json.encode(make_report(found, monthly_queries)).decode())
        return
    if not found.requests:
        say_how_to_fill(path, err, span)
        return
    render_report(found, out, monthly_queries=monthly_queries)


def default_ledger(config: Path | None) -> Place:
    """The ledger of a config, or the one that a gateway without a config writes."""
    if config is None:
        return data_dir(os.environ) / "ledger.db"
    from smallfirst.cli.build import ledger_place, read_settings  # noqa: PLC0415 - the whole gateway, for its config

    return ledger_place(read_settings(config, os.environ), os.environ)


def _summary(path: Place, start: int, end: int, *, must_exist: bool) -> Summary:
    if isinstance(path, Path) and not path.exists() and not must_exist:
        return Summary(start, end)
    conn = queries.open_ledger(path)
    try:
        return queries.summary(conn, start, end)
    finally:
        conn.close()


def say_how_to_fill(path: Place, console: Console, span: str | None = None) -> None:
    """For a ledger without requests: what to do about it."""
    when = f" since {span}" if span else " yet"
    console.print(f"No requests{when} in the ledger {shown(path)}. To fill it:", markup=False, soft_wrap=True)
    for line in HOW_TO_FILL:
        console.print(f"  {line}", markup=False, soft_wrap=True)


def render_report(
    summary: Summary,
    console: Console,
    extra: Sequence[tuple[str, str]] = (),
    *,
    monthly_queries: float | None = None,
    title: str = "smallfirst report",
) -> None:
    """Print the report. `extra` holds further (name, figure) rows of the caller's, shown under the sums."""
    data = make_report(summary, monthly_queries)
    console.print()
    console.print(f"[bold]{escape(title)}[/bold]  {data.requests:,} requests, {data.first} to {data.last}")
    console.print(_tiers(data, console))
    console.print(_sums(data, extra))
    if data.year:
        _print_year(data.year, console, lower_bound=data.cost_is_lower_bound)
    _print_promise(data.promise, console)
    _print_counts("decisions", data.decisions, console)
    _print_counts("handed up because", data.deferrals, console)
    if data.would_escalate:
        share = _percent(data.would_escalate_share)
        console.print(f"would have been handed up, had there been a higher tier: {data.would_escalate:,} ({share})")
    console.print(_kinds(data))


def _tiers(data: Report, console: Console) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("tier", "requests", "share", "", "cost", "p50", "p95"):
        table.add_column(name, justify="left" if name in ("tier", "") else "right", no_wrap=True)
    block = "#" if console.options.ascii_only else "█"
    for row in data.tiers:
        bar = block * max(1, round(row.share * BAR))
        table.add_row(
            escape(row.tier), f"{row.requests:,}", _percent(row.share), bar, usd(row.cost_usd), *_ms(row.latency)
        )
    for name, count in (("failed", data.failed), ("client gone", data.client_gone)):
        if count:
            table.add_row(name, f"{count:,}", _percent(count / data.requests), "", "", "", "", style="yellow")
    table.add_row("all", f"{data.requests:,}", "", "", usd(data.cost_usd), *_ms(data.latency), style="bold")
    return table


def _sums(data: Report, extra: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    at_least = "at least " if data.cost_is_lower_bound else ""
    table.add_row("cost", f"{at_least}{usd(data.cost_usd)}")
    if data.unpriced_attempts:
        table.add_row("", f"{data.unpriced_attempts:,} calls went to models of unknown price and count as $0")
    if data.baseline_cost_usd is None:
        table.add_row("all to the baseline", "not known: no price is known for the baseline model")
    else:
        table.add_row("all to the baseline", f"{usd(data.baseline_cost_usd)} for {data.baseline_requests:,} requests")
        table.add_row("", f"method: {escape(', '.join(data.baseline_methods))}")
    if data.saving is not None:
        at_most = "at most " if data.cost_is_lower_bound else ""
        compared = f"{usd(data.compared_cost_usd)} against {usd(data.baseline_cost_usd or 0.0)}"
        table.add_row("[bold]saving[/bold]", f"[bold]{at_most}{_percent(data.saving)}[/bold]  ({compared})")
    table.add_row("calls a request", f"{data.attempts_per_request:.2f}")
    for name, figure in extra:
        table.add_row(escape(name), escape(figure))
    return table


def _print_year(year: Year, console: Console, *, lower_bound: bool) -> None:
    cost = ("at least " if lower_bound else "") + usd(year.cost_usd)
    line = f"a year at {year.monthly_queries:,.0f} queries a month: {cost}"
    if year.baseline_usd is not None and year.saving_usd is not None:
        line += f" instead of {usd(year.baseline_usd)}, {usd(year.saving_usd)} less"
    console.print(line + ", if they are like these")


def _print_promise(promise: PromiseRow, console: Console) -> None:
    """The share inside a certificate and why not more; nothing where nobody asked for a promise."""
    for alarm in promise.alarms:
        words = f"ALARM since {alarm.since}: {alarm.policy} no longer keeps its promise"
        console.print(f"{words} (slice {alarm.slice}, {alarm.audits} audits); certify it again", style="bold red")
    if promise.inside or promise.outside:
        why = "".join(f", {escape(reason)} {count:,}" for reason, count in promise.outside.items())
        unasked = f"; {promise.not_asked:,} asked for none" if promise.not_asked else ""
        console.print(f"inside the certificate: {promise.inside:,} ({_percent(promise.inside_share)}){why}{unasked}")
    for one in promise.certificates:
        words = f"at most {one.max_quality_loss:.1%} below the baseline, {one.confidence:.0%} sure"
        inside = f"{one.inside:,} of {one.requests:,} requests"
        console.print(f"  {escape(one.policy)}: {words} (certificate {one.certificate_id}): {inside}")
    if promise.audits:
        agreed = "" if promise.audit_agreement is None else f", {_percent(promise.audit_agreement)} as the baseline"
        graded = f", {promise.audits_graded:,} graded" if promise.audits_graded else ""
        console.print(f"audits: {promise.audits:,}{agreed}{graded}; they cost {usd(promise.audit_cost_usd)}")
    if promise.feedback:
        said = ", ".join(f"{escape(t)} {o.mean:.2f} of {o.count:,}" for t, o in promise.feedback.items())
        console.print(f"what callers say (0 bad, 1 good; not tested): {said}")


def _print_counts(name: str, counts: Mapping[str, int], console: Console) -> None:
    if counts:
        console.print(f"{name}: " + ", ".join(f"{escape(word)} {count:,}" for word, count in counts.items()))


def _kinds(data: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("kind", "requests", "share", "cost", "served by"):
        table.add_column(name, justify="left" if name in ("kind", "served by") else "right", no_wrap=True)
    for kind in data.kinds:
        served = ", ".join(f"{escape(tier)} {_percent(count / kind.requests)}" for tier, count in kind.tiers.items())
        table.add_row(kind.kind, f"{kind.requests:,}", _percent(kind.share), usd(kind.cost / NANO), served)
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _ms(latency: Percentiles) -> tuple[str, str]:
    return f"{latency.p50_us / 1000:,.0f} ms", f"{latency.p95_us / 1000:,.0f} ms"


def usd(dollars: float) -> str:
    """Dollars as people read them: cents from a dollar on, as many digits as it takes below."""
    sign, size = ("-" if dollars < 0 else ""), abs(dollars)
    if size >= 1 or not size:
        return f"{sign}${size:,.2f}"
    return f"{sign}${size:.4f}" if size >= 0.01 else f"{sign}${size:.7f}"
