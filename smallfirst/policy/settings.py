"""The `policies` section of the config, as a user writes it."""

from __future__ import annotations

from typing import Literal

import msgspec


class PanelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    models: tuple[str, ...]
    with_mid: bool = False  # ask the next tier's first model at the same time
    quick: bool = False  # serve as soon as any two agree, without waiting for the model whose word counts first


class CommitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stream of a model below the highest tier is passed on as soon as its first tokens are sure enough, and is not
    checked after that. Needs a model that gives log-probabilities; what it does to quality is measured in
    docs/cooperation.md."""

    tokens: int = 1  # how many are waited for
    above: float  # 0..1: least probability of them, the geometric mean of several


class HedgeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a model takes longer than usual, the next one up is asked beside it; the first good answer is served and
    the other call is stopped and paid for. Not where a request limits its cost."""

    after: Literal["p95"] | float = "p95"  # milliseconds; `p95`: what the model stays within 19 times in 20


class GiveUpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model below the highest tier that takes longer than this is stopped, paid for, and counts as failed."""

    beyond: Literal["p95"] | float = "p95"  # milliseconds; `p95`: what the model stays within 19 times in 20


class PolicySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One named policy. Which fields count depends on `kind`; policy/build.py says when one is missing.

    fixed: `model` always. threshold: the lowest tier whose predicted p_correct reaches `accept[tier]` answers,
    unchecked. cascade: answer, check against `accept[tier]`, hand up. panel: `panel.models` are asked side by side
    and served when they agree; otherwise hand up. certified: what `certificate` was issued for, while it is in force;
    otherwise, and for requests that it does not cover, the highest tier answers.
    """

    kind: Literal["fixed", "threshold", "cascade", "panel", "certified"] = "cascade"
    model: str | None = None
    accept: dict[str, float] = {}  # tier -> least p_correct that is served; default 0.8
    try_above: float = 0.3  # cascade: a tier predicted below this is not even asked
    panel: PanelSettings | None = None
    certificate: str | None = None  # certified: the file that `smallfirst calibrate` wrote, relative to this one
    on_alarm: Literal["frontier"] = "frontier"  # certified: who answers once the monitor has raised its alarm
    stream: Literal["hold"] = "hold"
    commit: CommitSettings | None = None  # cascade: pass a stream on before its end; off unless given
    hand_over: Literal["none", "draft", "critique"] = "none"  # cascade, panel: the smaller model's answer goes up too
    hedge: HedgeSettings | None = None  # cascade, panel, certified: a second model beside a slow one; off unless given
    give_up: GiveUpSettings | None = None  # cascade, panel: stop an answer that takes too long; off unless given
