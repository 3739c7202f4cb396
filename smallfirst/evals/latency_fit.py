"""Latency laws from times that were seen: the ledger's calls, or the recorded times of an outcome table.

Knows how a law is fitted so that a few calls that hung do not bend it. Does not know where the times come from, and
fits nothing where they can't tell: the caller then falls back on a stated law and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from smallfirst.evals.latency import Law
from smallfirst.evals.statistics import Floats
from smallfirst.ledger.timings import Timing

LEAST_CALLS = 30
"""Calls below which nothing is fitted."""

PAIRS = 20_000
"""Pairs of calls that the slope is a median over."""

MAD_TO_SD = 1.4826
"""Median absolute deviation -> standard deviation, for a normal law."""


def fit_laws(timings: Iterable[Timing], *, where: str, seed: int = 0) -> dict[str, Law]:
    """A law for each model that has enough calls of differing lengths; `where` goes into its source."""
    by_model: dict[str, list[Timing]] = {}
    for timing in timings:
        by_model.setdefault(timing.model, []).append(timing)
    laws = {model: fit_law(calls, where=where, seed=seed) for model, calls in sorted(by_model.items())}
    return {model: law for model, law in laws.items() if law is not None}


def fit_law(calls: Iterable[Timing], *, where: str, seed: int = 0) -> Law | None:
    """Median slope over pairs of calls (Theil-Sen), median intercept, and the spread by the median deviation.

    Of streamed calls the slope is over the time after the first token, else over the whole time. None: fewer than
    LEAST_CALLS, or all answers equally long. Source: Sen, JASA 63, 1968; Rousseeuw and Croux, JASA 88, 1993 (MAD).
    """
    kept = list(calls)
    if len(kept) < LEAST_CALLS:
        return None
    tokens = np.array([call.output_tokens for call in kept], dtype=np.float64) - 1
    total = np.array([call.latency_us for call in kept]) / 1000
    first = np.array([np.nan if call.ttft_us is None else call.ttft_us for call in kept]) / 1000
    streamed = np.isfinite(first)
    writing = np.where(streamed, total - np.nan_to_num(first), total)
    use = streamed if streamed.sum() >= LEAST_CALLS else np.ones(len(kept), dtype=bool)
    slope = _slope(tokens[use], (writing if use is streamed else total)[use], seed)
    if slope is None:
        return None
    begun = float(np.median(first[streamed] if use is streamed else (total - slope * tokens)))
    begun = max(begun, 0.0)
    expected = begun + slope * tokens
    usable = (expected > 0) & (total > 0)
    logs = np.log(total[usable] / expected[usable])
    spread = float(MAD_TO_SD * np.median(np.abs(logs - np.median(logs)))) if usable.any() else 0.0
    return Law(
        first_ms=round(begun, 1),
        token_ms=round(slope, 3),
        spread=round(spread, 3),
        source=f"fitted to {len(kept)} calls in {where} (Theil-Sen)",
    )


def _slope(tokens: Floats, times: Floats, seed: int) -> float | None:
    """Median of (difference in time) / (difference in tokens), over random pairs; None where lengths do not differ."""
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, len(tokens), (2, PAIRS))
    apart = tokens[one] != tokens[other]
    if apart.sum() < LEAST_CALLS:
        return None
    slopes = (times[one] - times[other])[apart] / (tokens[one] - tokens[other])[apart]
    return max(float(np.median(slopes)), 0.0)


def recorded_timings(
    seconds: Floats, input_tokens: Floats, output_tokens: Floats, models: Iterable[str]
) -> list[Timing]:
    """The recorded times (n, m) of an outcome table as calls; nan where none was recorded."""
    found = []
    for m, model in enumerate(models):
        for s, i, o in zip(seconds[:, m], input_tokens[:, m], output_tokens[:, m], strict=True):
            if np.isfinite(s) and s > 0 and o > 0:
                found.append(Timing(model, None, round(s * 1e6), int(i), int(o)))
    return found


def described(laws: Mapping[str, Law]) -> bytes:
    """The laws as YAML that `--latency` reads back."""
    return msgspec.yaml.encode({"models": dict(laws)})
