"""The `policies` section of the config, as a user writes it."""

from __future__ import annotations

from typing import Literal

import msgspec


class PanelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    models: tuple[str, ...]
    with_mid: bool = False  # ask the next tier's first model at the same time


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
