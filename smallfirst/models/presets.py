"""The models that people use, by name: what they can take, what they are called where, and whose list price they have.

The facts lie in presets.json. Hosted models: names, context sizes and price references are those of the genai-prices
package (0.2.3); an ability that could not be established for a vendor's OpenAI-compatible endpoint is off. Models with
open weights: repository, Ollama tag and context size of the model's card; they have no list price, because what they
cost depends on the machine (see `cost` in the config). A config can override every ability.

Knows names and abilities. Does not know prices themselves (prices.py) or which models a config uses (catalogue.py).
"""

from __future__ import annotations

import difflib
import functools
import importlib.resources
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from smallfirst.core import Abilities

OLLAMA_PORT = 11434
OLLAMA_CONTEXT = 4096
"""Ollama cuts longer prompts without a word unless it was told otherwise (OLLAMA_CONTEXT_LENGTH), and its API does not
say. Assumed until the config states `abilities: {context: ...}`."""


class Can(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Abilities as the file writes them."""

    tools: bool = True
    json_object: bool = True
    json_schema: bool = True
    vision: bool = False
    logprobs: bool = True
    n: bool = True


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model that people use. `context` is in tokens, prompt and answer together."""

    name: str
    tier: str  # where it usually stands
    context: int
    abilities: Can = Can()
    hf: str | None = None  # repository of the weights: the name vLLM and llama-server know it by
    ollama: str | None = None  # tag
    api: str | None = None  # the name a vendor's or another fixed endpoint knows it by
    vendor: str | None = None  # a name in `vendors()`
    price: str | None = None  # reference for prices.look_up; None: no list price
    aliases: tuple[str, ...] = ()
    note: str = ""

    def upstream(self, url: str | None) -> str:
        """What the endpoint at `url` calls this model."""
        if self.ollama is not None and is_ollama(url):
            return self.ollama
        return self.api or self.hf or self.name

    def can(self, url: str | None) -> Abilities:
        """What it can take when it is reached at `url`: some runtimes take less than the model would."""
        able = self.abilities
        ollama = is_ollama(url)
        return Abilities(
            context=min(self.context, OLLAMA_CONTEXT) if ollama else self.context,
            tools=able.tools,
            json_object=able.json_object,
            json_schema=able.json_schema,
            vision=able.vision,
            logprobs=able.logprobs,
            n=able.n and not ollama,
        )


class Vendor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A public API: the environment variables that may hold its key, and the presets its key opens by default."""

    name: str
    keys: tuple[str, ...]
    url: str
    mid: str
    frontier: str
    retention_days: int | None = None
    trains: bool | None = None
    wire: Literal["openai", "anthropic"] = "openai"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    vendors: tuple[Vendor, ...]
    presets: tuple[Preset, ...]


def is_ollama(url: str | None) -> bool:
    """Whether `url` looks like Ollama: by its port, there being nothing else to go by before the first request."""
    try:
        return url is not None and urlsplit(url).port == OLLAMA_PORT
    except ValueError:
        return False


@functools.cache
def _file() -> _File:
    data = importlib.resources.files("smallfirst.models").joinpath("presets.json").read_bytes()
    return msgspec.json.decode(data, type=_File)


@functools.cache
def presets() -> Mapping[str, Preset]:
    """Every preset under its name, smallest first; aliases are left out."""
    return {preset.name: preset for preset in _file().presets}


def vendors() -> tuple[Vendor, ...]:
    """The public APIs, in the order in which keys in the environment are looked for."""
    return _file().vendors


def find(name: str) -> Preset | None:
    """The preset of that name or alias."""
    return presets().get(name) or next((p for p in _file().presets if name in p.aliases), None)


def nearest(name: str) -> str | None:
    """The preset that `name` was probably meant to be."""
    close = difflib.get_close_matches(name, presets(), n=1)
    return close[0] if close else None
