"""The `monitor` section of the config, as a user writes it."""

from __future__ import annotations

from typing import Literal

import msgspec


class MonitorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Audits: a coin chooses requests of one policy before they are answered; the baseline answers them too, off the
    request path, and the two answers are compared. Without this section nothing is audited.

    Where the policy has a certificate, detectors raise an alarm once the promise is no longer kept, and the policy is
    always-frontier until it is certified again.
    """

    policy: str | None = None  # whose requests; default: the certified policy, or else `default_policy`
    audit_rate: float = 0.01  # the coin's probability, 0 to 1
    alpha: float = 0.05  # the chance of any false alarm within the first `horizon` audits, shared by all slices
    horizon: int = 10_000  # audits; a larger one is quieter and slower
    slices: tuple[str, ...] = ()  # of the certificate's slices, those watched beside the whole; none named: all of them
    usd_per_day: float | None = None  # for shadow calls and judges, a UTC day; none: no limit
    judge: str | None = None  # a model that grades where answers differ; none: people do, with `smallfirst grade`
    shadow: Literal["baseline", "all"] = "baseline"  # all: every model of the tiers answers, to collect outcomes
    keep: Literal["none", "audited"] = "none"  # audited: prompts and answers of audited requests, in a file
    keep_up_to: str = "internal"  # the highest data class of which texts are kept
