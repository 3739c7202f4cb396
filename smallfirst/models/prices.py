"""What tokens cost: from the config, else from the genai-prices package, else unknown. Nothing is invented.

genai-prices takes 0.36 s and 30 MB to import (pydantic, httpx2, 1.6 MB of data as code), more than the gateway may
spend on starting. So it is asked in a short-lived process (`python -m smallfirst.models.prices`, a JSON list of
references on standard input), and what it said is kept in a file of the cache folder until the package or the day
changes: prices have start dates. Reading that file takes 0.4 ms; nothing here is ever on the request path.

References: `openai/gpt-4o` (provider and model of genai-prices), or `https://api.openai.com/v1 gpt-4o` (the address of
an endpoint, and the model's name there), which finds a price only where the package knows the vendor by its address.

Knows prices. Does not know models or tiers. Not in a Price: what vendors charge for writing to their prompt cache.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.core import NANO, Price
from smallfirst.models.settings import CostSettings

EMBEDDED = Price(0, 0, 0, "embedded: runs on this machine, electricity not counted")
"""What a model of the embedded runtime costs unless the config says otherwise."""

LOOK_UP_WITHIN_S = 20.0


class _Kept(msgspec.Struct, frozen=True):
    """The file in the cache folder. `stamp` changes with the package and the day."""

    stamp: str
    prices: dict[str, Price | None]


def look_up(references: Collection[str], cache: Path, *, also: Collection[str] = ()) -> Mapping[str, Price | None]:
    """A price for each reference, None where the package has none or can't be asked.

    `also`: references to ask for in the same go when the package has to be asked anyway. `cache` is a folder.
    """
    if not references:
        return {}
    file, stamp = cache / "prices.json", _stamp()
    known: dict[str, Price | None] = {}
    with contextlib.suppress(OSError, msgspec.DecodeError):
        kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
        known = kept.prices if kept.stamp == stamp else {}
    missing = [reference for reference in references if reference not in known]
    if missing:
        fresh = _ask(sorted({*missing, *also} - known.keys()))
        if fresh is not None:
            known = {**known, **fresh}
            _keep(file, _Kept(stamp, known))
    return {reference: known.get(reference) for reference in references}


def from_cost(cost: CostSettings, listed: Price | None) -> Price:
    """The price that a model's `cost` section says, filled up from its list price where it says only a part.

    ValueError names what is wrong with the section.
    """
    parts = (cost.input_per_m, cost.output_per_m, cost.cached_per_m)
    if any(part is not None and part < 0 for part in parts):
        raise ValueError("a price can't be negative")
    if cost.usd_per_hour is not None or cost.tokens_per_hour is not None:
        if any(part is not None for part in parts):
            raise ValueError("give prices per million tokens, or usd_per_hour with tokens_per_hour, not both")
        return _by_the_hour(cost)
    if cost.input_per_m is not None and cost.output_per_m is not None:
        cached = cost.input_per_m if cost.cached_per_m is None else cost.cached_per_m
        return Price(_nano(cost.input_per_m), _nano(cost.output_per_m), _nano(cached), "config")
    if listed is None:
        raise ValueError("needs input_per_m and output_per_m, or usd_per_hour and tokens_per_hour")
    return Price(
        listed.input if cost.input_per_m is None else _nano(cost.input_per_m),
        listed.output if cost.output_per_m is None else _nano(cost.output_per_m),
        listed.cached if cost.cached_per_m is None else _nano(cost.cached_per_m),
        f"config, else {listed.source}",
    )


def _by_the_hour(cost: CostSettings) -> Price:
    """Every token, read or written, costs its share of the machine's hour."""
    if cost.usd_per_hour is None or cost.tokens_per_hour is None:
        raise ValueError("usd_per_hour and tokens_per_hour go together")
    if cost.usd_per_hour < 0 or cost.tokens_per_hour <= 0:
        raise ValueError("usd_per_hour can't be negative, and tokens_per_hour must be above 0")
    rate = _nano(Decimal(str(cost.usd_per_hour)) / Decimal(str(cost.tokens_per_hour)) * 1_000_000)
    source = f"config: ${cost.usd_per_hour:.2f}/h at {cost.tokens_per_hour / 1e6:g}M tokens/h"
    return Price(rate, rate, rate, source)


def _nano(dollars: float | Decimal) -> int:
    """Dollars -> nano-dollars, exact for what people write."""
    return int((Decimal(str(dollars)) * NANO).to_integral_value(ROUND_HALF_UP))


def _stamp() -> str:
    """Changes when the package changes (told by its data file, without importing it), and every day (UTC)."""
    spec = importlib.util.find_spec("genai_prices")
    if spec is None or spec.origin is None:
        return "no package"
    data = Path(spec.origin).with_name("data.py").stat()
    return f"{data.st_size}-{data.st_mtime_ns}-{datetime.datetime.now(datetime.UTC).date()}"


def _keep(file: Path, kept: _Kept) -> None:
    """Best effort: a cache folder that can't be written costs time at the next start, nothing else."""
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    with contextlib.suppress(OSError):
        partial.write_bytes(msgspec.json.encode(kept))
        partial.replace(file)


def _ask(references: list[str]) -> dict[str, Price | None] | None:
    """Ask the package in a process of its own; None where it can't be asked."""
    command = [sys.executable, "-m", "smallfirst.models.prices"]
    try:
        done = subprocess.run(
            command, input=msgspec.json.encode(references), capture_output=True, check=True, timeout=LOOK_UP_WITHIN_S
        )
        return msgspec.json.decode(done.stdout, type=dict[str, Price | None])
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError):
        return None


# The rest runs only in that process.


def answer(references: list[str], now: datetime.datetime) -> dict[str, Price | None]:
    """Each reference's price on the day of `now`."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - heavy: see the first lines

    snapshot, version = get_snapshot(), importlib.metadata.version("genai-prices")
    found: dict[str, Price | None] = {}
    for reference in references:
        is_url = reference.startswith("http")
        vendor, _, name = reference.partition(" " if is_url else "/")
        try:
            provider, model = snapshot.find_provider_model(
                name, None, None if is_url else vendor, vendor if is_url else None
            )
        except LookupError:
            found[reference] = None
            continue
        found[reference] = _dearest(model, now, f"genai-prices {version} {provider.id}/{model.id}")
    return found


def _dearest(model: Any, now: datetime.datetime, source: str) -> Price | None:
    """The highest price of the day: some vendors charge less at night, and sums shall not flatter us."""
    hours = [now.replace(hour=hour, minute=30) for hour in range(24)]
    prices = [price for price in (_convert(model.get_prices(hour), source) for hour in hours) if price is not None]
    return max(prices, key=lambda price: (price.output, price.input), default=None)


def _convert(listed: Any, source: str) -> Price | None:
    """genai-prices' way of writing it -> ours; None where it has no price for text in or out."""
    kinds = [listed.input_mtok, listed.cache_read_mtok or listed.input_mtok, listed.output_mtok]
    if any(kind is None for kind in kinds):
        return None
    # their step applies above `start` tokens, ours from a number of tokens on
    starts = sorted({tier.start + 1 for kind in kinds for tier in getattr(kind, "tiers", ())})
    above = tuple((start, *(_rate(kind, start) for kind in kinds)) for start in starts)
    rate_in, cached, rate_out = (_rate(kind, 0) for kind in kinds)
    return Price(rate_in, rate_out, cached, source, tuple((s, i, c, o) for s, i, c, o in above))


def _rate(kind: Any, input_tokens: int) -> int:
    """Nano-dollars per million tokens, of one kind, for a prompt of that length."""
    dollars = getattr(kind, "base", kind)
    for tier in getattr(kind, "tiers", ()):
        if input_tokens > tier.start:
            dollars = tier.price
    return _nano(dollars)


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=list[str])
    sys.stdout.buffer.write(msgspec.json.encode(answer(asked, datetime.datetime.now(datetime.UTC))))
