"""How long a call takes, by a stated law: time to the first token, then a time for each further token.

Knows laws, the file they are stated in, and how times of several calls combine: one after another, side by side,
hedged. Does not know prompts or scores. A law is an assumption that is stated, never a measurement; one that was fitted
to the ledger says so in its `source` (latency_fit.py makes those).
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from smallfirst.errors import DataError
from smallfirst.evals.statistics import Floats

SHIPPED = "latency_laws.yaml"
"""In smallfirst/evals/data: the laws that hold where nothing else is stated, and why they are what they are."""


class Law(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """first_ms + input_token_ms * input tokens until the first token; token_ms for every further one.

    `spread`: standard deviation of the logarithm of a factor on the whole time, drawn once for each query and model
    (0: none). The factor's median is 1, so that the law is the median call's.
    """

    first_ms: float
    token_ms: float
    input_token_ms: float = 0.0
    spread: float = 0.0
    source: str = ""

    def first_us(self, input_tokens: npt.ArrayLike) -> Floats:
        """Time to the first token, without the factor, microseconds."""
        return 1000 * (self.first_ms + self.input_token_ms * np.asarray(input_tokens, dtype=np.float64))

    def total_us(self, input_tokens: npt.ArrayLike, output_tokens: npt.ArrayLike) -> Floats:
        """Time to the last token, without the factor, microseconds."""
        further = np.maximum(np.asarray(output_tokens, dtype=np.float64) - 1, 0)
        return self.first_us(input_tokens) + 1000 * self.token_ms * further


class Laws(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of laws: of models by name, else of their tier, else `other`."""

    models: Mapping[str, Law] = {}
    tiers: Mapping[str, Law] = {}
    other: Law | None = None

    def of(self, model: str, tier: str) -> Law:
        """The law of a model. Raises DataError that says what to add where there is none."""
        law = self.models.get(model) or self.tiers.get(tier) or self.other
        if law is None:
            raise DataError(
                f"no latency law for {model!r} (tier {tier or 'none'!r}); add it to the file, as "
                f"models: {{{model}: {{first_ms: 500, token_ms: 15}}}}"
            )
        return law

    def over(self, below: Laws) -> Laws:
        """These laws, and where they say nothing those of `below`. A model's own law beats a tier's."""
        return Laws(
            models={**below.models, **self.models},
            tiers={**below.tiers, **self.tiers},
            other=self.other or below.other,
        )


def shipped_laws() -> Laws:
    """The laws that come with smallfirst: assumptions, one for each usual tier."""
    return parse_laws((importlib.resources.files("smallfirst.evals") / "data" / SHIPPED).read_bytes(), SHIPPED)


def read_laws(path: Path) -> Laws:
    """Laws from a user's YAML file. Raises DataError that names the file and the field."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    return parse_laws(path.read_bytes(), path.name)


def parse_laws(data: bytes, name: str) -> Laws:
    """Raises DataError where the YAML can't be read, a field is unknown, or a number is negative."""
    try:
        laws = msgspec.yaml.decode(data, type=Laws)
    except msgspec.DecodeError as error:
        raise DataError(f"{name}: {error}; a law looks like {{first_ms: 500, token_ms: 15}}") from None
    every = [*laws.models.items(), *laws.tiers.items(), *([("other", laws.other)] if laws.other else [])]
    for of, law in every:
        for field in ("first_ms", "token_ms", "input_token_ms", "spread"):
            value = getattr(law, field)
            if not 0 <= value < float("inf"):
                raise DataError(f"{name}: {of}.{field}: must be 0 or more, not {value}")
    return laws


class Times(msgspec.Struct, frozen=True):
    """What each model would take for each query: first and last token, microseconds, both (n, m), whole numbers."""

    first: npt.NDArray[np.int64]
    total: npt.NDArray[np.int64]
    laws: tuple[Law, ...]

    def rows(self, keep: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Times:
        """Only these queries."""
        return Times(self.first[keep], self.total[keep], self.laws)


def make_times(laws: Sequence[Law], input_tokens: Floats, output_tokens: Floats, *, seed: int) -> Times:
    """Times by law of m models on n queries, (n, m) tokens each; the factors of `spread` are drawn from the seed."""
    rng = np.random.default_rng(seed)
    first, total = np.empty(input_tokens.shape), np.empty(input_tokens.shape)
    for m, law in enumerate(laws):
        factor = np.exp(law.spread * rng.standard_normal(len(input_tokens)))
        first[:, m] = law.first_us(input_tokens[:, m]) * factor
        total[:, m] = law.total_us(input_tokens[:, m], output_tokens[:, m]) * factor
    whole = np.rint(total).astype(np.int64)
    return Times(np.minimum(np.rint(first).astype(np.int64), whole), whole, tuple(laws))


def one_after_another(*times: npt.ArrayLike) -> Floats:
    """(n,) of calls that each wait for the one before: the sum."""
    total: Floats = np.sum([np.asarray(one, dtype=np.float64) for one in times], axis=0)
    return total


def side_by_side(*times: npt.ArrayLike) -> Floats:
    """(n,) of a panel whose every member is waited for: the slowest."""
    slowest: Floats = np.max([np.asarray(one, dtype=np.float64) for one in times], axis=0)
    return slowest


def hedged(first: npt.ArrayLike, second: npt.ArrayLike, after: float) -> Floats:
    """(n,) of a call with a second one sent `after` microseconds later if the first is not back: whichever ends first.

    Source: Dean and Barroso, The Tail at Scale, CACM 56(2), 2013 ("hedged requests").
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return np.where(one <= after, one, np.minimum(one, after + other))


class Latency(msgspec.Struct, frozen=True):
    """Time to the whole answer, microseconds: mean, median and 95th percentile."""

    mean_us: float
    p50_us: float
    p95_us: float


class Waits(msgspec.Struct, frozen=True):
    """Times (k,) in microseconds with weights (k,): of a mix in expectation every branch is there with its share."""

    us: Floats
    weights: Floats

    def summary(self) -> Latency:
        """Percentiles are the least value that this much of the weight does not exceed."""
        order = np.argsort(self.us, kind="stable")
        weight = np.cumsum(self.weights[order])
        at = np.searchsorted(weight, np.array([0.5, 0.95]) * weight[-1] * (1 - 1e-12))
        p50, p95 = self.us[order][np.minimum(at, len(order) - 1)]
        return Latency(float(np.average(self.us, weights=self.weights)), float(p50), float(p95))


def waits(us: npt.ArrayLike) -> Waits:
    """Times of single queries, each once."""
    values = np.asarray(us, dtype=np.float64)
    return Waits(values, np.ones_like(values))


def mixed(parts: Sequence[tuple[float, Waits]]) -> Waits:
    """Several laws of waiting, each with its share."""
    kept = [(share, part) for share, part in parts if share > 0]
    scaled = [share * part.weights / part.weights.sum() for share, part in kept]
    return Waits(np.concatenate([part.us for _, part in kept]), np.concatenate(scaled))
