"""What a probe found out about a model, and the chance it gives for a new query.

Knows counts by kind of query. Does not know prompts, models or files: bytes come in and go out.

A model's chance on a query is the share of the kind's probe prompts it got right (with one right and one wrong
answer added, so that few prompts never look like certainty), moved on the log-odds scale by how much harder the query
looks than those prompts did. It is moved by the whole difference: of 0 to 1.25 times it, that was the best on recorded
models (log loss of SLMs 0.575, against 0.643 unmoved; of frontier models 0.427 against 0.496). A kind with too few
prompts gets the model's worst kind: what is unfamiliar goes up.

A probe may carry a head, which reads the query's words as well (classifier.py); the counts still hold it down where the
kind has too few prompts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import mul

import msgspec

from smallfirst.core import Kind
from smallfirst.errors import DataError

ENOUGH = 10
"""Prompts of a kind below which its row does not speak for it."""

LEAST, MOST = 0.02, 0.98
"""No probe of a few hundred prompts can show more than this."""

_MARGIN = 1e-6
_FAR = 700.0  # exp of more than this overflows


class ProbeRow(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """`right` of `n` prompts of one kind; `right` may be a fraction where prompts are scored in part."""

    n: int
    right: float
    mean_logit: float  # mean of logit(complexity) over these prompts
    offset: float = 0.0  # log-odds that the probe's head adds for this kind


class Probe(msgspec.Struct, frozen=True):
    """One model, probed once."""

    model: str
    digest: str  # of the prompts and whatever else must be the same for the rows to hold
    at: int  # UTC microseconds since 1970
    rows: Mapping[Kind, ProbeRow]
    head: tuple[float, ...] = ()  # intercept, slope of the complexity's log-odds, slope for a step of each factor


def logit(chance: float) -> float:
    """Log-odds; 0 and 1 are moved in by a millionth."""
    inside = min(1.0 - _MARGIN, max(_MARGIN, chance))
    return math.log(inside / (1.0 - inside))


def make_row(results: list[tuple[float, float]]) -> ProbeRow:
    """A row from (score 0..1, complexity 0..1) of each prompt of a kind."""
    logits = [logit(complexity) for _, complexity in results]
    mean = math.fsum(logits) / len(logits) if logits else 0.0
    return ProbeRow(n=len(results), right=math.fsum(score for score, _ in results), mean_logit=mean)


def p_correct(probe: Probe, kind: Kind, complexity: float) -> float:
    """The chance that the model answers a query of this kind and complexity well, LEAST..MOST.

    A kind with fewer than ENOUGH prompts takes the worst of the kinds that have enough, and is never moved above it by
    a low complexity; a probe without any such kind gives LEAST.
    """
    return p_correct_at(probe, kind, logit(complexity))


def p_correct_at(probe: Probe, kind: Kind, complexity_logit: float) -> float:
    """p_correct for a complexity that is already on the log-odds scale."""
    row = probe.rows.get(kind)
    if row is not None and row.n >= ENOUGH:
        return _moved(row, complexity_logit - row.mean_logit)
    worst = None
    for other in probe.rows.values():
        if other.n >= ENOUGH and (worst is None or _mean(other) < _mean(worst)):
            worst = other
    if worst is None:
        return LEAST
    return _moved(worst, max(0.0, complexity_logit - worst.mean_logit))


def p_correct_by_words(
    probe: Probe, kind: Kind, complexity_logit: float, features: Sequence[float], strange: float, caution: float
) -> float:
    """The chance by the probe's head, whose `features` are Classifier.features; LEAST..MOST.

    `strange` is 0 for a familiar text and 1 where every word is unknown: it lowers the log-odds by up to `caution` and
    draws the chance down to the kind's share. For a kind with fewer than ENOUGH prompts, the head may lower what the
    worst kind gives, never raise it.
    """
    row = probe.rows.get(kind)
    found: float = sum(map(mul, probe.head, features)) - caution * strange
    if row is not None:
        found += row.offset
    chance = 1.0 / (1.0 + math.exp(-found)) if found > -_FAR else LEAST
    if row is None or row.n < ENOUGH:
        chance = min(chance, p_correct_at(probe, kind, complexity_logit))
    elif strange > 0.0:
        chance -= strange * max(0.0, chance - _mean(row))
    return LEAST if chance < LEAST else MOST if chance > MOST else chance


def encode_probe(probe: Probe) -> bytes:
    """JSON, for a file."""
    return msgspec.json.format(msgspec.json.encode(probe, order="deterministic"), indent=1)


def decode_probe(data: bytes) -> Probe:
    """Read what encode_probe wrote. Raises DataError that names the field."""
    try:
        probe = msgspec.json.decode(data, type=Probe)
    except msgspec.DecodeError as error:
        raise DataError(f"probe: {error}") from error
    for kind, row in probe.rows.items():
        if not 0 <= row.right <= row.n:
            raise DataError(f"probe: rows.{kind}: right must lie in 0..n")
    return probe


def _mean(row: ProbeRow) -> float:
    return (row.right + 1.0) / (row.n + 2.0)


def _moved(row: ProbeRow, harder: float) -> float:
    chance = 1.0 / (1.0 + math.exp(harder) * (row.n - row.right + 1.0) / (row.right + 1.0))
    return LEAST if chance < LEAST else MOST if chance > MOST else chance
