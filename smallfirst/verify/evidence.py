"""What a query and the answers so far show, as a flat list of numbers for a learned combiner.

Knows how an answer is looked at once (`seen`), which answers say the same, and which of them would be served (`lead`).
Does not know which answer is right, what anything costs, or what will be done with the numbers. There is one
implementation, made of scalars: the gateway calls it for a request, evaluation maps it over rows, so both decide alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import log1p
from typing import Literal

import msgspec

from smallfirst.core import Outcome, Query
from smallfirst.verify.agreement import compare
from smallfirst.verify.canonical import canonical
from smallfirst.verify.validity import cut_off_by_caller, faults, hedges, loops, refuses

Shape = Literal["tools", "options", "code", "maths", "plain"]
SHAPES: tuple[Shape, ...] = ("tools", "options", "code", "maths", "plain")
"""What a query looks like from outside, the first that fits: where agreement means more, and where less."""

LOOKED_AT = 4000
"""Characters from each end of a text that are looked at."""

_OPTION = re.compile(r"\n\(?A[.)] ")
_NUMBERS = re.compile(r"\d+")
_SIGNS = re.compile(r"[{}\\^=<>]")


class Seen(msgspec.Struct, frozen=True, gc=False):
    """One answer, looked at once. Holds nothing of the text but its short form."""

    form: str | None  # canonical short form; None: free text, or no answer
    valid: bool = True  # it came, and has the format that was asked for
    refuses: bool = False
    hedges: bool = False
    cut: bool = False  # ended by a limit or a filter
    loops: bool = False
    tokens: int = 0  # written
    first_logprob: float | None = None  # natural logarithms
    mean_logprob: float | None = None


def seen(query: Query, outcome: Outcome) -> Seen:
    """Look at an answer, as the gateway and every evaluation do."""
    if not outcome.ok:
        return Seen(None, valid=False)
    text, signals = outcome.text, outcome.signals
    words = "" if outcome.tool_calls else text
    return Seen(
        form=canonical(outcome),
        valid=not faults(query, outcome),
        refuses=refuses(words),
        hedges=hedges(words),
        cut=outcome.finish in ("length", "content_filter") and not cut_off_by_caller(query, outcome),
        loops=loops(words),
        tokens=outcome.usage.output_tokens,
        first_logprob=signals.first_logprob,
        mean_logprob=signals.mean_logprob,
    )


def shape_of(text: str, *, tools: bool = False) -> Shape:
    """The shape of a query by a few plain marks in its text."""
    if tools:
        return "tools"
    if _OPTION.search(text):
        return "options"
    if "def " in text or "```" in text:
        return "code"
    return "maths" if "$" in text and "\\" in text else "plain"
