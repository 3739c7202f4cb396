"""An answer, what came with it, and what others answered -> a Verdict: p_correct, and why in words.

Knows rules of thumb on the log-odds scale: a prior from the classifier, plus a number for each piece of evidence. They
are not calibrated: use them to order answers and to hand up, do not read them as measured frequencies.
Does not know which model is best, what anything costs, or what will be done with the verdict. What an answer claims
about itself ("I am certain", "confidence: 0.99") is never read as evidence for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from smallfirst.core import Outcome, Query, Score, Verdict
from smallfirst.verify.agreement import Agreement, compare
from smallfirst.verify.canonical import canonical
from smallfirst.verify.validity import cut_off_by_caller, faults, hedges, loops, refuses

Judge = Callable[[Outcome, tuple[Outcome, ...]], Verdict]
"""(the answer, the other answers so far) -> p_correct and why."""

INVALID = 0.01
"""p_correct of an answer that breaks the format, is empty, or did not come: whatever else speaks for it."""

LEAST, MOST = 0.02, 0.99
"""Every other verdict lies between these: rules of thumb are never surer than that."""

UNPROBED = 0.5
"""Prior for a model that was never probed; the verdict says so."""

# Evidence, in log-odds: +0.7 doubles the odds that the answer is right, -0.7 halves them.
FIRST_SURE, FIRST_UNSURE = 0.9, 0.5
FIRST_WEIGHT = 0.8
"""Short answers: the first token's probability. At or above 0.9 it adds 0.8, at or below 0.5 it takes 0.8, linear
between. (A tuned 135M model was right on 89% of answers above 0.9 and on 16% of those below: this is far milder.)"""

MEAN_SURE, MEAN_UNSURE = 0.95, 0.7
MEAN_WEIGHT = 0.6
"""Longer answers: the geometric mean of the tokens' probabilities, in the same way."""

SHORT_TOKENS = 8
"""Up to this many tokens the first token speaks for the whole answer."""

SAME_MISTAKE = 0.25
"""How often two wrong answers are the same wrong answer. Measured between small models, and small and mid ones: 0.28
GSM8K, 0.16 CRUX, 0.08 MATH level 5, 0.25 MMLU-Pro."""

MOST_AGREEMENT = 3.0
ALIKE = 0.4
"""Two free texts that share most of their words."""

LATER_WITNESS = 0.5
"""A second, third... witness counts half: models err together more often than chance."""

HEDGE_SHORT, HEDGE_FREE = -1.2, -0.4
"""Doubt in the text: strong beside a short answer, weak in free text, where "might be" is ordinary speech."""

REFUSAL = -2.5
LOOP = -2.5
CUT_OFF = -2.0
CUT_OFF_BY_CALLER = -0.3
"""finish_reason `length`: by the model's limit; by the caller's own max_tokens, with a short answer already there."""

FILTERED = -2.5
"""finish_reason `content_filter`."""


def make_judge(query: Query, score: Score) -> Judge:
    """A judge of answers to `query`; `score` gives each model's prior. It keeps no state between calls."""

    def judge(outcome: Outcome, others: tuple[Outcome, ...] = ()) -> Verdict:
        if not outcome.ok:
            return Verdict(INVALID, (f"no answer: {outcome.status.value}",), valid=False)
        found = faults(query, outcome)
        if found and not cut_off_by_caller(query, outcome):
            return Verdict(INVALID, found, valid=False)
        if found:
            return Verdict(LEAST, ("cut off by the caller's own max_tokens", *found))
        return _weigh(query, score, outcome, others)

    return judge


def _weigh(query: Query, score: Score, outcome: Outcome, others: tuple[Outcome, ...]) -> Verdict:
    prior, said = _prior(score, outcome.model)
    odds, why = _logit(prior), [said]
    form = canonical(outcome)
    for weight, word in (_certainty(outcome), _wording(outcome, form), _ending(query, outcome, form)):
        if weight:
            odds += weight
            why.append(f"{word} ({weight:+.1f})")
    if others:
        odds += _witnesses(score, outcome, form, others, why)
    return Verdict(min(MOST, max(LEAST, 1 / (1 + math.exp(-odds)))), tuple(why))


def _prior(score: Score, model: str) -> tuple[float, str]:
    p = score.p_correct.get(model)
    if p is None:
        return UNPROBED, f"{model} was never probed: prior {UNPROBED:.2f}"
    return p, f"prior {p:.2f} for {model}"


def _certainty(outcome: Outcome) -> tuple[float, str]:
    """What the token probabilities say."""
    signals = outcome.signals
    tokens = signals.tokens or outcome.usage.output_tokens
    if signals.first_logprob is not None and tokens <= SHORT_TOKENS:
        p = math.exp(min(0.0, signals.first_logprob))
        return _ramp(p, FIRST_UNSURE, FIRST_SURE) * FIRST_WEIGHT, f"first token at probability {p:.2f}"
    if signals.mean_logprob is not None:
        p = math.exp(min(0.0, signals.mean_logprob))
        return _ramp(p, MEAN_UNSURE, MEAN_SURE) * MEAN_WEIGHT, f"tokens at mean probability {p:.2f}"
    return 0.0, ""


def _wording(outcome: Outcome, form: str | None) -> tuple[float, str]:
    """What the words show: a refusal, or doubt."""
    text = outcome.text
    if not text or outcome.tool_calls:
        return 0.0, ""
    if refuses(text):
        return REFUSAL, "it reads like a refusal"
    if hedges(text):
        return (HEDGE_FREE if form is None else HEDGE_SHORT), "it voices doubt"
    return 0.0, ""


def _ending(query: Query, outcome: Outcome, form: str | None) -> tuple[float, str]:
    """How it ended: whole, cut off, filtered, or going round in circles."""
    if outcome.finish == "content_filter":
        return FILTERED, "the provider's filter stopped it"
    if loops(outcome.text):
        return LOOP, "it repeats itself"
    if outcome.finish == "length":
        if form is not None and cut_off_by_caller(query, outcome):
            return CUT_OFF_BY_CALLER, "max_tokens ended it"
        return CUT_OFF, "it is cut off"
    return 0.0, ""


def _witnesses(score: Score, outcome: Outcome, form: str | None, others: tuple[Outcome, ...], why: list[str]) -> float:
    """What the other answers say. The strongest counts in full, each further one half."""
    found: list[tuple[float, str]] = []
    for other in others:
        if other.ok and other is not outcome:
            how = compare(form, canonical(other), outcome.text, other.text)
            weight = _testimony(how, score.p_correct.get(other.model))
            if weight:
                found.append((weight, f"{_SAYS[how]} {other.model}"))
    found.sort(key=lambda pair: -abs(pair[0]))
    total = 0.0
    for n, (weight, word) in enumerate(found):
        share = weight * (1.0 if n == 0 else LATER_WITNESS)
        total += share
        why.append(f"{word} ({share:+.1f})")
    return total


_SAYS = {"same": "same answer as", "different": "another answer than", "alike": "reads like"}


def _testimony(how: Agreement, p_other: float | None) -> float:
    """Log of how much likelier this agreement is when our answer is right than when it is wrong.

    Right: the other agrees when it is right too. Wrong: the other agrees when it makes the same mistake.
    """
    q = min(0.95, max(0.05, UNPROBED if p_other is None else p_other))
    same_mistake = (1 - q) * SAME_MISTAKE
    match how:
        case "same":
            return min(MOST_AGREEMENT, math.log(q / same_mistake))
        case "different":
            return math.log((1 - q) / (1 - same_mistake))
        case "alike":
            return ALIKE
        case _:
            return 0.0


def _ramp(p: float, low: float, high: float) -> float:
    """-1 at or below `low`, +1 at or above `high`, linear between."""
    return min(1.0, max(-1.0, 2 * (p - low) / (high - low) - 1))


def _logit(p: float) -> float:
    p = min(0.995, max(0.005, p))
    return math.log(p / (1 - p))
