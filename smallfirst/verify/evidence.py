"""What a query and the answers so far show, as a flat list of numbers for a learned combiner.

Knows how an answer is looked at once (`seen`), which answers say the same, and which of them would be served (`lead`).
Does not know which answer is right, what anything costs, or what will be done with the numbers. There is one
implementation, made of scalars: the gateway calls it for a request, evaluation maps it over rows, so both decide alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
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

LOOKED_AT = 8000
"""Characters from a text's start that are looked at; its length is always counted in full."""

_OPTION = re.compile(r"\n\(?A[.)] ")
_NUMBER = re.compile(r"\d+")
_SIGN = re.compile(r"[{}\\^=<>]")


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


def about(text: str, *, tools: bool = False, logits: Iterable[float] = ()) -> list[float]:
    """What a query shows before anyone has answered it: its shape (5), its text's build (5), and `logits`.

    `logits`: log-odds of each model's being right by the query's words, from fitted heads; none where there are none.
    """
    size, text = len(text), text[:LOOKED_AT]
    shape = SHAPES.index(shape_of(text, tools=tools))
    numbers = [1.0 if n == shape else 0.0 for n in range(len(SHAPES))]
    numbers += (
        log1p(size),
        log1p(len(_NUMBER.findall(text))),
        log1p(text.count("\n")),
        float(text.count("?")),
        len(_SIGN.findall(text)) / (len(text) + 1),
    )
    numbers += logits
    return numbers


def same(one: str | None, other: str | None) -> bool:
    """Whether two short forms say the same; a missing form says nothing."""
    return one is not None and other is not None and (one == other or compare(one, other, "", "") == "same")


def lead(answers: Sequence[Seen], trust: Sequence[float]) -> int:
    """Which of `answers` would be served: of the form that the most trust stands behind, its most trusted speaker.

    Where no valid answer has a short form, the most trusted of the valid ones. -1: none is valid.
    """
    best, most, backed = -1, 0.0, False
    for n, answer in enumerate(answers):
        if not answer.valid:
            continue
        form = answer.form
        if form is None:
            if not backed and (best < 0 or trust[n] > most):
                best, most = n, trust[n]
            continue
        behind, strongest = 0.0, True
        for other, weight in zip(answers, trust, strict=True):
            if other.valid and (other.form == form or same(form, other.form)):
                behind += weight
                strongest = strongest and weight <= trust[n]
        if strongest and (not backed or behind > most):
            best, most, backed = n, behind, True
    return best


def evidence(query: Sequence[float], answers: Sequence[Seen], leading: int) -> list[float]:
    """`query` (from `about`), and what k answers show of the one at index `leading`: 6 k + 8 numbers.

    For each answer: says the same as the leading one, has no short form, natural log of 1 + tokens, leads. Then how
    many say the same (one of 1..k), how many the largest other party has (one of 0..k-1), the spread of lengths, the
    leading answer's length over the mean, and its own flags and log-probabilities.
    """
    k, first = len(answers), answers[leading]
    form = first.form
    with_it = [n == leading or same(form, answer.form) for n, answer in enumerate(answers)]
    rest = [answer.form for n, answer in enumerate(answers) if not with_it[n] and answer.form is not None]
    rival = max((sum(1 for other in rest if other == one) for one in rest), default=0)
    backed = sum(with_it)
    lengths = [log1p(answer.tokens) for answer in answers]
    numbers = [*query]
    numbers += [1.0 if yes else 0.0 for yes in with_it]
    numbers += [1.0 if answer.form is None else 0.0 for answer in answers]
    numbers += lengths
    numbers += [1.0 if n == leading else 0.0 for n in range(k)]
    numbers += [1.0 if n == backed else 0.0 for n in range(1, k + 1)]
    numbers += [1.0 if n == rival else 0.0 for n in range(k)]
    numbers += (
        max(lengths) - min(lengths),
        lengths[leading] - sum(lengths) / k,
        1.0 if first.valid else 0.0,
        1.0 if first.refuses else 0.0,
        1.0 if first.hedges else 0.0,
        1.0 if first.cut or first.loops else 0.0,
        0.0 if first.first_logprob is None else max(-10.0, first.first_logprob),
        0.0 if first.mean_logprob is None else max(-10.0, first.mean_logprob),
    )
    return numbers
