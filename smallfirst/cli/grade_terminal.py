"""A person grades: answers side by side, names hidden, order drawn by the query's id.

Knows the terminal. Does not know which model an answer is from until it is graded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click
from rich.columns import Columns
from rich.markup import escape
from rich.panel import Panel

from smallfirst.cli.console import out
from smallfirst.core import Grade
from smallfirst.evals.grading import Pile
from smallfirst.models.answers import query_of
from smallfirst.monitor.judge import NAMES, order_of, request_text, shorten

WORTH = {"g": 1.0, "h": 0.5, "b": 0.0}
"""good: does what was asked; half: with a fault that matters; bad: wrong or useless."""

SKIP, QUIT = "s", "q"


def ask_person(
    piles: Sequence[Pile],
    grader: str,
    seed: int,
    keep: Callable[[Sequence[Grade]], None],
    *,
    now: Callable[[], int],
) -> None:
    """Show each pile, ask for a grade for each answer, keep them; `q` stops, `s` leaves a query for later."""
    for number, pile in enumerate(piles, 1):
        order = order_of(pile.query_id, len(pile.texts), seed)
        _show(pile, order, f"{number} of {len(piles)}")
        scores = _ask(pile, order)
        if scores is None:
            return
        if scores:
            keep(pile.grades(scores, grader, now()))


def _show(pile: Pile, order: Sequence[int], place: str) -> None:
    out.print()
    request = escape(shorten(request_text(query_of(pile.rows[0]))))
    out.print(Panel(request, title=f"request, {place}", title_align="left", border_style="cyan"))
    if pile.reference is not None:
        out.print(
            Panel(escape(shorten(pile.reference)), title="right answer", title_align="left", border_style="green")
        )
    out.print(Columns([_panel(NAMES[n], pile.texts[at]) for n, at in enumerate(order)], equal=True, expand=True))


def _panel(name: str, text: str) -> Panel:
    return Panel(escape(shorten(text)), title=name, title_align="left")


def _ask(pile: Pile, order: Sequence[int]) -> list[float] | None:
    """A score for each text; empty: skipped; None: enough for today."""
    scores = [0.0] * len(pile.texts)
    choices = click.Choice([*WORTH, SKIP, QUIT])
    for n, at in enumerate(order):
        word = click.prompt(f"{NAMES[n]}: good, half, bad; skip or quit", type=choices, show_choices=True)
        if word == QUIT:
            return None
        if word == SKIP:
            return []
        scores[at] = WORTH[word]
    return scores
