"""A real gateway on a loopback port, before scripted upstreams on loopback ports."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from smallfirst.classify.probes import Probe, ProbeRow
from smallfirst.cli.build import App
from smallfirst.cli.running import running
from smallfirst.cli.settings import Settings
from smallfirst.core import Entry
from smallfirst.gateway.settings import ServerSettings
from smallfirst.models.loopback import Script, ScriptedUpstream
from smallfirst.models.settings import AbilitySettings, BaselineSettings, CostSettings, ModelSettings, ProviderSettings

KINDS = (
    "faq",
    "label",
    "extraction",
    "arithmetic",
    "formatting",
    "rewriting",
    "choice",
    "mathematics",
    "code",
    "tools",
    "other",
)


def sure(model: str, right: int = 98) -> Probe:
    """A probe that found `model` right on `right` of 100 prompts of every kind."""
    return Probe(
        model=model, digest="test", at=0, rows={kind: ProbeRow(n=100, right=right, mean_logit=0.0) for kind in KINDS}
    )


class Stage:
    """One running gateway, what it was sent, and what it wrote down."""

    def __init__(self, url: str, app: App, upstreams: dict[str, ScriptedUpstream], entries: list[Entry]) -> None:
        self.url, self.app, self.upstreams, self.entries = url, app, upstreams, entries
        self.root = url.removesuffix("/v1")
        self.client = openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=20)

    def ask(self, text: str = "Say hello.", **more: Any) -> Any:
        """The raw response of one chat completion."""
        return self.client.chat.completions.with_raw_response.create(
            **{"model": "auto", "messages": [{"role": "user", "content": text}], **more}
        )

    def seen(self, model: str) -> int:
        """How many requests reached this model's upstream."""
        return len(self.upstreams[model].requests)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: prices are looked up by a process of their own, once, and kept there."""
    return tmp_path_factory.mktemp("home")


@contextlib.contextmanager
def staging(tmp_path: Path, home: Path) -> Iterator[Any]:
    """`stage(small=script, large=script, **sections)`: the models in order become the tiers slm, mid, frontier."""
    with contextlib.ExitStack() as stack:

        def make(
            *,
            server: ServerSettings | None = None,
            abilities: dict[str, AbilitySettings] | None = None,
            locations: dict[str, str] | None = None,
            probes: dict[str, Probe | None] | None = None,
            sections: dict[str, Any] | None = None,
            **scripts: Script,
        ) -> Stage:
            upstreams = {name: stack.enter_context(ScriptedUpstream(script)) for name, script in scripts.items()}
            names = list(upstreams)
            tiers = dict(zip(names, ("slm", "mid", "frontier")[: len(names)], strict=True))
            if len(names) == 2:
                tiers = dict(zip(names, ("slm", "frontier"), strict=True))
            where = locations or {}
            settings = Settings(
                server=server or ServerSettings(),
                providers={
                    f"at-{name}": ProviderSettings(
                        url=up.url, key=f"upstream-{name}", location=where.get(name, "premises")
                    )
                    for name, up in upstreams.items()
                },
                models={
                    name: ModelSettings(
                        provider=f"at-{name}",
                        cost=CostSettings(input_per_m=10.0**i, output_per_m=2 * 10.0**i),
                        abilities=(abilities or {}).get(name, AbilitySettings()),
                        timeout_s=2,
                    )
                    for i, name in enumerate(names)
                },
                tiers=tuple({tier: (name,)} for name, tier in tiers.items()),
                baseline=BaselineSettings(model=names[-1]),
                **(sections or {}),
            )
            entries: list[Entry] = []
            found = {name: sure(name) for name in names} if probes is None else probes
            app = App(
                settings, {"HOME": str(home)}, ledger_path=tmp_path / "ledger.db", probes=found,
                observers=(entries.append,),
            )  # fmt: skip
            url = stack.enter_context(running(app))
            return Stage(url, app, upstreams, entries)

        yield make


@pytest.fixture
def stage(tmp_path: Path, home: Path) -> Iterator[Any]:
    """See staging."""
    with staging(tmp_path, home) as make:
        yield make
