"""Rule sets to start from, named after the laws that people ask about. They are like what such a law asks of routing;
they are no compliance, and docs/privacy.md says plainly what each does and does not cover.

Knows rules as a user writes them. Does not know how they are matched (rules.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from smallfirst.privacy.settings import RuleSettings, TargetSettings

_OURS = TargetSettings(location=("device", "premises"))
_HARMLESS = RuleSettings(classes=("public", "internal"), to="any", do="allow")
_ALL_OURS = RuleSettings(classes=("personal", "health", "financial", "secret"), to=_OURS, do="allow")

PRESETS: Mapping[str, tuple[RuleSettings, ...]] = {
    "hipaa-like": (
        _HARMLESS,
        _ALL_OURS,
        RuleSettings(classes=("personal", "health"), to=TargetSettings(baa=True, trains=False), do="allow"),
        RuleSettings(classes=("health",), to=TargetSettings(location="cloud", baa=False), do="deny"),
        RuleSettings(classes=("health",), to=TargetSettings(location="cloud", trains=True), do="deny"),
    ),
    "gdpr-like": (
        _HARMLESS,
        _ALL_OURS,
        RuleSettings(classes=("personal",), to=TargetSettings(location="cloud/eu", trains=False), do="redact"),
        RuleSettings(
            classes=("personal", "health", "financial"), to=TargetSettings(location="cloud", trains=True), do="deny"
        ),
        RuleSettings(classes=("health", "secret"), to=TargetSettings(location="cloud"), do="deny"),
    ),
    "sox-like": (
        _HARMLESS,
        _ALL_OURS,
        RuleSettings(classes=("financial",), to=TargetSettings(location="cloud"), do="deny"),
        RuleSettings(classes=("secret",), to=TargetSettings(location="cloud"), do="deny"),
    ),
}
