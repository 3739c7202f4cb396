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
    and served when they agree; otherwise hand up.
    """

    kind: Literal["fixed", "threshold", "cascade", "panel"] = "cascade"
    model: str | None = None
    accept: dict[str, float] = {}  # tier -> least p_correct that is served; default 0.8
    try_above: float = 0.3  # cascade: a tier predicted below this is not even asked
    panel: PanelSettings | None = None
    stream: Literal["hold"] = "hold"
