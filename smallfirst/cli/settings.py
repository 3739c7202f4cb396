"""The whole config file: every room's section under its name.

Knows the sections. Does not read files (config/ does) and builds nothing (cli/build.py does).
"""

from __future__ import annotations

import msgspec

from smallfirst.accounts.settings import KeysSettings, TeamSettings
from smallfirst.engine.gates import ResilienceSettings
from smallfirst.engine.settings import CacheSettings, SessionSettings
from smallfirst.gateway.settings import ServerSettings
from smallfirst.ledger.settings import LedgerSettings
from smallfirst.models.settings import BaselineSettings, ModelSettings, ProviderSettings, RouterSettings
from smallfirst.monitor.settings import MonitorSettings
from smallfirst.policy.settings import PolicySettings
from smallfirst.privacy.settings import PrivacySettings
from smallfirst.tasks.settings import TaskSettings


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    server: ServerSettings = ServerSettings()
    ledger: LedgerSettings = LedgerSettings()
    providers: dict[str, ProviderSettings] = {}
    models: dict[str, ModelSettings] = {}
    tiers: tuple[
        dict[str, tuple[str, ...]], ...
    ] = ()  # from the cheapest to the best: `[{slm: [a, b]}, {mid: [c]}]`; without it, presets have usual tiers
    baseline: BaselineSettings = BaselineSettings()
    router: RouterSettings = RouterSettings()
    resilience: ResilienceSettings = ResilienceSettings()
    sessions: SessionSettings = SessionSettings()
    cache: CacheSettings = CacheSettings()
    policies: dict[str, PolicySettings] = {}
    default_policy: str = "auto"  # what callers get who ask for the model `auto`
    tasks: dict[str, TaskSettings] = {}  # by name
    monitor: MonitorSettings | None = None
    privacy: PrivacySettings = PrivacySettings()
    keys: KeysSettings = KeysSettings()
    teams: dict[str, TeamSettings] = {}  # by name
