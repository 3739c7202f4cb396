"""The mix: how much each source weighs, which local answers count, what things cost. A table, made to be changed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

TABLE = Path(__file__).resolve().parent / "mix.yaml"
NAMES = ("banking77", "clinc150", "cfpb", "restaurant8k", "cuad", "clapnq", "mtragun", "general")
CALL = 0.004
"""Dollars that any call counts as where calls are saved and not dollars: about a mean call of the mix."""

KINDS = {"triage": NAMES[:3], "extraction": NAMES[3:5], "knowledge base": NAMES[5:7], "general": NAMES[7:]}


class Mix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    weights: dict[str, float]
    answers: dict[str, list[str]]
    usd_per_m: dict[str, tuple[float, float]]
    usd_per_core_hour: float = 0.05
    excerpts: str = "never"  # never | up: what is handed up | always: all-frontier too
    plan: str = "small first"
    saves: str = "dollars"

    def worth(self, usd: np.ndarray) -> np.ndarray:
        """What it is worth to save calls of so many dollars."""
        return usd if self.saves == "dollars" else np.full(np.shape(usd), CALL)

    def usd(self, tier: str, sent: np.ndarray, got: np.ndarray) -> np.ndarray:
        """Dollars of calls with so many tokens."""
        per_input, per_output = self.usd_per_m[tier]
        return (sent * per_input + got * per_output) / 1e6

    @property
    def names(self) -> list[str]:
        return [name for name in NAMES if self.weights.get(name, 0) > 0]


def read_mix(path: Path = TABLE) -> Mix:
    """Raises ValueError that says which weight is wrong."""
    mix = msgspec.yaml.decode(path.read_bytes(), type=Mix)
    for name, weight in mix.weights.items():
        if name not in NAMES:
            raise ValueError(f"{path}: weights.{name}: no such source; there are: {', '.join(NAMES)}")
        if not 0 <= weight <= 1:
            raise ValueError(f"{path}: weights.{name}: {weight} is not in 0..1")
    if abs(sum(mix.weights.values()) - 1) > 1e-6:
        raise ValueError(f"{path}: weights add up to {sum(mix.weights.values()):g}, not 1")
    return mix


def reweighed(mix: Mix, **kinds: float) -> Mix:
    """Kinds get these shares, and inside a kind the sources keep their proportions; a kind not named gets nothing."""
    weights = {}
    for kind, names in KINDS.items():
        total = sum(mix.weights.get(name, 0) for name in names)
        weights |= {name: kinds.get(kind.replace(" ", "_"), 0) * mix.weights.get(name, 0) / total for name in names}
    return msgspec.structs.replace(mix, weights=weights)
