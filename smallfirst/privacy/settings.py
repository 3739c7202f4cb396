"""The `privacy` section of the config, as a user writes it."""

from __future__ import annotations

from typing import Literal

import msgspec


class TargetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which replicas a rule speaks of; every field that is given must match."""

    location: str | tuple[str, ...] | None = None  # device | premises | cloud | cloud/<region>
    trains: bool | None = None  # what the provider states about training
    baa: bool | None = None  # whether a business associate agreement is signed
    retention_days: int | None = None  # at most; an allow rule only
    model: str | tuple[str, ...] | None = None  # names of models


class WhenSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose queries a rule speaks of; every field that is given must match."""

    key: str | tuple[str, ...] | None = None  # names of client keys
    team: str | tuple[str, ...] | None = None  # names of teams
    tag: str | tuple[str, ...] | None = None  # a tag that the caller or its key gave
    route: str | tuple[str, ...] | None = None  # what the caller names as `model`: auto, a policy, a model


class RuleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"classes": "class"}):
    """Whether queries of some data classes may be sent to some replicas.

    redact: only with placeholders for what was found, which are restored in the answer. What can't be located can't be
    replaced; such a query is denied, unless `unlocated` says otherwise.
    """

    classes: tuple[str, ...]  # data classes
    to: Literal["any"] | TargetSettings = "any"  # any replica, or those that match the mapping
    when: WhenSettings | None = None  # whose queries; by default everyone's
    do: Literal["allow", "redact", "deny"]  # deny wins over redact, redact over allow


class RecogniserSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Personal data of your own kind: give one of `pattern`, `words`, `file` and `entry_point`."""

    category: str  # what it is called in headers, the audit trail and `privacy.categories`
    pattern: str | None = None  # a regular expression; of one with a group, the group
    words: tuple[str, ...] = ()  # whole words or phrases, in any case
    file: str | None = None  # a word list, one a line
    entry_point: str | None = None  # a Python entry point of the group smallfirst.recognisers


class PrivacySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No rules at all: `public` and `internal` may go anywhere, everything above only to device and premises."""

    preset: Literal["hipaa-like", "gdpr-like", "sox-like"] | None = None  # rules to start from: docs/privacy.md
    rules: tuple[RuleSettings, ...] | None = None  # no match: deny; several: the strictest; beside the preset's
    default_class: str = "internal"  # of a query whose caller declares none
    detect: bool = True  # look for personal data in every message, tool call and tool result
    matters: bool | None = None  # the trained classifier of private matters; default: on as soon as there are rules
    categories: dict[str, str] = {}  # category of finding -> a data class, or off
    recognisers: tuple[RecogniserSettings, ...] = ()  # your own patterns, word lists and entry points
    presidio: bool = False  # names and addresses by Presidio (the extra `presidio`); slow
    unlocated: Literal["deny", "send"] = "deny"  # redact: a query of which something was found that can't be replaced
    on_detector_error: Literal["deny", "ignore"] = "deny"  # when a recogniser raises
