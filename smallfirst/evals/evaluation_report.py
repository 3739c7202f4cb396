"""What an evaluation finds, as plain data: the JSON, and what the terminal and the page show.

Knows shapes and names. Does not compute anything. `schema` changes with the meaning of a field; fields may be added.
A figure that can't be had (no gap between two models, say) is null in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from smallfirst.evals.curves import CurveLine
from smallfirst.evals.deferral import Deferral
from smallfirst.evals.estimates import EstimateLine
from smallfirst.evals.latency import Latency
from smallfirst.evals.statistics import Interval

SCHEMA = "smallfirst.evaluation/1"

Kind = Literal["policy", "rule", "router", "single", "oracle"]
"""policy: of the config, or certified. rule: agreement. router: reads the query only. single: one model."""


class Part(msgspec.Struct, frozen=True):
    """One side of the split."""

    prompts: int
    groups: int


class ModelLine(msgspec.Struct, frozen=True):
    """One model. Prices in dollars per million tokens, None: the data's own costs. Latency laws are assumptions."""

    name: str
    recorded: str
    tier: str
    input_per_m: float | None
    output_per_m: float | None
    quality: float  # mean score on the report part
    cost_usd: float  # mean, one call
    first_ms: float
    input_token_ms: float
    token_ms: float
    spread: float
    law: str  # who says so
    latency: Latency


class Beside(msgspec.Struct, frozen=True):
    """What something else gives for the same money: its mean score, and how much better the way beside it is."""

    name: str
    quality: float
    ahead: Interval  # difference in mean score, paired


class WayLine(msgspec.Struct, frozen=True):
    """One way to route. `cost` and `relative` (quality) are ratios to always-baseline on the same queries."""

    name: str
    kind: Kind
    cost: Interval
    quality: float
    relative: Interval
    recovered: float  # PGR
    cost_save: float  # of this one setting: nan where it is worse than the best single model
    tiers: Mapping[str, float]
    calls: float
    sequential: float | None
    latency: Latency | None
    latency_ratio: float | None  # mean / mean of always-baseline
    beside: tuple[Beside, ...] = ()
    reasons: Mapping[str, int] = {}
    note: str = ""


class SliceLine(msgspec.Struct, frozen=True):
    """One way on one slice of the queries."""

    by: str  # benchmark, category or slice
    name: str
    way: str
    prompts: int
    groups: int
    cost: float
    quality: float
    relative: Interval
    beyond: bool  # the whole interval lies below 1 - target loss


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. Shares and ratios in 0..1 unless said otherwise; times in microseconds or as named."""

    schema: str = SCHEMA
    smallfirst: str
    data: str
    digest: str
    seed: int
    draws: int
    fit: Part
    report: Part
    baseline: str
    weak: str
    best: str
    cheapest: str
    target_loss: float
    models: tuple[ModelLine, ...]
    ways: tuple[WayLine, ...]
    curves: tuple[CurveLine, ...]
    deferrals: tuple[Deferral, ...]
    estimates: tuple[EstimateLine, ...]
    slices: tuple[SliceLine, ...]
    notes: tuple[str, ...]


def encode(report: Report) -> bytes:
    """The report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"
